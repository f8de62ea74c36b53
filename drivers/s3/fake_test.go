package s3

import (
	"cmp"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/internal/s3suite"
)

// fake is a driver on a store that answers as h does. change may be nil.
func fake(t *testing.T, h http.HandlerFunc, change func(*Config)) *Driver {
	t.Helper()
	return faked(t, s3suite.Fake(t, h), change)
}

// faked is a driver on the bucket registry of a store that never fails for long.
func faked(t *testing.T, endpoint string, change func(*Config)) *Driver {
	t.Helper()
	c := goodConfig()
	c.Endpoint, c.Attempts = endpoint, 2
	if change != nil {
		change(&c)
	}
	d, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func TestAnswers(t *testing.T) {
	s3suite.Answers{Name: name, Open: func(t *testing.T, endpoint string, change s3suite.Change) s3suite.Driver {
		return faked(t, endpoint, func(c *Config) {
			c.ListVersion, c.Attempts = cmp.Or(change.ListVersion, c.ListVersion), cmp.Or(change.Attempts, c.Attempts)
			c.PublicEndpoint, c.BatchDelete = change.PublicEndpoint, !change.OneByOne
		})
	}}.Run(t)
}

// TestHeaders looks at what the configuration puts into requests.
func TestHeaders(t *testing.T) {
	const sse = "X-Amz-Server-Side-Encryption"
	for name, test := range map[string]struct {
		change func(*Config)
		put    map[string]string // of a record
		data   map[string]string // of a blob
		part   map[string]string
	}{
		"the defaults": {nil,
			map[string]string{sse: "", "X-Amz-Acl": "", "X-Amz-Storage-Class": "", "X-Amz-Content-Sha256": unsigned, "X-Amz-Checksum-Crc32c": "lEfIpA==", "Content-Encoding": "", "Expect": ""},
			map[string]string{"X-Amz-Storage-Class": ""}, nil},
		"KMS": {func(c *Config) { c.Encryption, c.KMSKey, c.BucketKey = "kms", "alias/k", true },
			map[string]string{sse: "aws:kms", sse + "-Aws-Kms-Key-Id": "alias/k", sse + "-Bucket-Key-Enabled": "true"},
			map[string]string{sse: "aws:kms", sse + "-Aws-Kms-Key-Id": "alias/k"},
			map[string]string{sse: ""}},
		"SSE-S3, class, ACL": {func(c *Config) {
			c.Encryption, c.StorageClass, c.ACL = "s3", "STANDARD_IA", "bucket-owner-full-control"
		},
			map[string]string{sse: "AES256", "X-Amz-Storage-Class": "", "X-Amz-Acl": "bucket-owner-full-control"},
			map[string]string{sse: "AES256", "X-Amz-Storage-Class": "STANDARD_IA", "X-Amz-Acl": "bucket-owner-full-control"},
			map[string]string{sse: "", "X-Amz-Acl": "", "X-Amz-Storage-Class": ""}},
		"sums": {func(c *Config) { c.Checksums = "md5" },
			map[string]string{"Content-Md5": "MGYXYYX8yjXSbBsWEqkeeA==", "X-Amz-Checksum-Crc32c": ""}, nil, nil},
	} {
		var mu sync.Mutex
		seen := make(map[string]http.Header)
		d := fake(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			kind := r.Method
			switch q := r.URL.Query(); {
			case q.Has("uploads"):
				kind = "data"
				_, _ = io.WriteString(w, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
			case q.Has("partNumber"):
				kind = "part"
				w.Header().Set("ETag", `"e"`)
			case r.Method == http.MethodPost:
				_, _ = io.WriteString(w, `<CompleteMultipartUploadResult><ETag>"e-1"</ETag></CompleteMultipartUploadResult>`)
			}
			mu.Lock()
			seen[kind] = r.Header
			mu.Unlock()
		}, test.change)
		if err := d.Put(t.Context(), "a/b", []byte("the body")); err != nil {
			t.Fatal(err)
		}
		w, err := d.Writer(t.Context(), "a/c", -1)
		if err == nil {
			_, err = w.Write(make([]byte, 9<<20))
		}
		if err == nil {
			err = w.Commit(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := seen["PUT"].Get("User-Agent"); !strings.Contains(got, "longshore") {
			t.Errorf("%s: user agent %q", name, got)
		}
		for kind, want := range map[string]map[string]string{"PUT": test.put, "data": test.data, "part": test.part} {
			for k, v := range want {
				if got := seen[kind].Get(k); got != v {
					t.Errorf("%s: %s has %s %q, want %q", name, kind, k, got, v)
				}
			}
		}
	}
}

// TestIfMatch looks at the quotes.
func TestIfMatch(t *testing.T) {
	for quotes, want := range map[string]string{"auto": "0123", "unquoted": "0123", "quoted": `"0123"`} {
		got := ""
		d := fake(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("If-Match") }, func(c *Config) { c.IfMatch = quotes })
		if err := d.PutIfMatch(t.Context(), "a/b", nil, "0123"); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", quotes, got, err, want)
		}
	}
	if c := (Config{IfMatch: "auto"}); !c.quotes() {
		t.Error("AWS gets no quotes")
	}
}

// TestOpenSaysWhatIsWrong by answers that a healthy store can't be made to give.
func TestOpenSaysWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		code   string
		header map[string]string
		want   string
	}{
		"clock":   {403, "RequestTimeTooSkewed", map[string]string{"Date": time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)}, "the clock of this machine and that of the store differ too much (by 1h0m"},
		"region":  {400, "AuthorizationHeaderMalformed", map[string]string{"X-Amz-Bucket-Region": "eu-1"}, `region: is "us-east-1", but the bucket "registry" is in "eu-1"`},
		"moved":   {301, "PermanentRedirect", map[string]string{"X-Amz-Bucket-Region": "eu-1"}, `region: is "us-east-1", but`},
		"rights":  {403, "AccessDenied", nil, "access_key: access_key, user has no right"},
		"token":   {400, "ExpiredToken", nil, "session_token: "},
		"key":     {403, "InvalidAccessKeyId", nil, "access_key: the store does not know"},
		"secret":  {403, "SignatureDoesNotMatch", nil, "secret_key: "},
		"style":   {403, "SecondLevelDomainForbidden", nil, "addressing: "},
		"bucket":  {404, "NoSuchBucket", nil, "bucket: there is no bucket"},
		"teapot":  {418, "Teapot", nil, "endpoint: "},
		"console": {404, "", map[string]string{"Content-Type": "text/html"}, "endpoint: "},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for k, v := range test.header {
				w.Header().Set(k, v)
			}
			if test.header["Content-Type"] == "" {
				s3suite.Fails(w, test.status, test.code)
				return
			}
			w.WriteHeader(test.status)
		}))
		c := goodConfig()
		c.Endpoint = server.URL
		_, err := Open(t.Context(), c)
		server.Close()
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q first", name, err, test.want)
		}
	}
}
