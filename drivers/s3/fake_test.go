package s3

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// fake is a store that answers as h does. The first HEAD, which asks for the bucket, finds it. change may be nil.
func fake(t *testing.T, h http.HandlerFunc, change func(*Config)) *Driver {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, key, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/"); r.Method == http.MethodHead && key == "" {
			return
		}
		h(w, r)
	}))
	t.Cleanup(server.Close)
	c := goodConfig()
	c.Endpoint, c.Attempts = server.URL, 2
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

// fails writes an error as S3 does.
func fails(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>made by the test</Message></Error>", code)
}

func TestCodesBecomeKinds(t *testing.T) {
	for _, test := range []struct {
		status int
		code   string
		want   error
		calls  int64
	}{
		{404, "NoSuchKey", drivers.ErrNotFound, 1},
		{404, "NoSuchBucket", nil, 1},
		{403, "AccessDenied", drivers.ErrDenied, 1},
		{403, "SomethingNew", drivers.ErrDenied, 1},
		{403, "InvalidAccessKeyId", drivers.ErrDenied, 1},
		{400, "ExpiredToken", drivers.ErrDenied, 1},
		{503, "SlowDown", drivers.ErrThrottled, 2},
		{503, "ServiceUnavailable", drivers.ErrThrottled, 2},
		{500, "InternalError", drivers.ErrThrottled, 2},
		{500, "UnknownError", drivers.ErrThrottled, 2},
		{429, "TooManyRequests", drivers.ErrThrottled, 2},
		{400, "RequestTimeout", drivers.ErrThrottled, 2},
		{400, "ThrottlingException", drivers.ErrThrottled, 2},
		{409, "ConditionalRequestConflict", drivers.ErrThrottled, 2},
		{409, "OperationAborted", drivers.ErrThrottled, 2},
		{507, "XMinioStorageFull", drivers.ErrNoSpace, 1},
		{403, "QuotaExceeded", drivers.ErrNoSpace, 1},
		{400, "BadDigest", drivers.ErrCorrupt, 2},
		{412, "PreconditionFailed", drivers.ErrPrecondition, 1},
		{501, "NotImplemented", nil, 1},
		{418, "Teapot", nil, 1},
	} {
		var calls atomic.Int64
		d := fake(t, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			fails(w, test.status, test.code)
		}, nil)
		err := d.Put(t.Context(), "a/b", []byte("x"))
		var e *drivers.Error
		if !errors.As(err, &e) || e.Kind != test.want || e.Op != "put" || e.Key != "a/b" || e.Driver != "s3" {
			t.Errorf("%d %s: %v, want kind %v", test.status, test.code, err, test.want)
		}
		if calls.Load() != test.calls {
			t.Errorf("%d %s: %d requests, want %d", test.status, test.code, calls.Load(), test.calls)
		}
	}
}

// TestFolderThatGoes: MinIO says AccessDenied where it only has to be asked again. Others mean it, and so does MinIO
// in the end.
func TestFolderThatGoes(t *testing.T) {
	for server, want := range map[string]int64{"MinIO": 4, "AmazonS3": 1} {
		var calls atomic.Int64
		d := fake(t, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.Header().Set("Server", server)
			fails(w, 403, "AccessDenied")
		}, func(c *Config) { c.Attempts = 8 })
		if err := d.Put(t.Context(), "a/b", nil); !errors.Is(err, drivers.ErrDenied) || calls.Load() != want {
			t.Errorf("%s: %v after %d requests, want ErrDenied after %d", server, err, calls.Load(), want)
		}
	}
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

// TestListThatRepeats: a store whose listing begins again must not be listed for ever.
func TestListThatRepeats(t *testing.T) {
	const line = `<Contents><Key>%s</Key><Size>1</Size><ETag>"x"</ETag><LastModified>2026-01-01T00:00:00.123Z</LastModified></Contents>`
	for _, version := range []string{"v1", "v2"} {
		var calls atomic.Int64
		d := fake(t, func(w http.ResponseWriter, _ *http.Request) {
			if calls.Add(1) > 20 {
				fails(w, 500, "asked too often")
				return
			}
			_, _ = fmt.Fprintf(w, `<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>`+line+line+`</ListBucketResult>`, "a", "b")
		}, func(c *Config) { c.ListVersion = version })
		var keys []string
		var last error
		for e, err := range d.List(t.Context(), "", "", "") {
			if last = err; err == nil {
				keys = append(keys, e.Key)
			}
		}
		if !errors.Is(last, drivers.ErrCorrupt) || len(keys) != 2 || calls.Load() > 3 {
			t.Errorf("%s: %q after %d requests, then %v; want a and b, then ErrCorrupt", version, keys, calls.Load(), last)
		}
	}
}

// TestDeleteOfSome: the answer to a DeleteObjects names those that are left.
func TestDeleteOfSome(t *testing.T) {
	var calls atomic.Int64
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if calls.Add(1) == 1 {
			_, _ = io.WriteString(w, `<DeleteResult><Error><Key>a/1</Key><Code>AccessDenied</Code><Message>no</Message></Error>
				<Error><Key>a/2</Key><Code>SlowDown</Code><Message>later</Message></Error></DeleteResult>`)
			return
		}
		if text := string(body); !strings.Contains(text, "a/2") || strings.Contains(text, "a/1") || strings.Contains(text, "a/3") {
			t.Errorf("the second request is %s, want a/2 alone", text)
		}
		_, _ = io.WriteString(w, `<DeleteResult></DeleteResult>`)
	}, nil)
	err := d.Delete(t.Context(), "a/1", "a/2", "a/3", "bad//key")
	if !errors.Is(err, drivers.ErrDenied) || !errors.Is(err, drivers.ErrInvalid) {
		t.Errorf("got %v, want ErrDenied for a/1 and ErrInvalid for bad//key", err)
	}
	if err == nil || strings.Contains(err.Error(), "a/2") || strings.Contains(err.Error(), "a/3") {
		t.Errorf("got %v, want nothing of a/2 and a/3", err)
	}
	if calls.Load() != 2 {
		t.Errorf("%d requests, want 2", calls.Load())
	}
}

// TestDeleteOneByOne is for stores without DeleteObjects.
func TestDeleteOneByOne(t *testing.T) {
	var calls atomic.Int64
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if r.Method != http.MethodDelete {
			t.Errorf("asked %s %s", r.Method, r.URL)
		}
		if strings.HasSuffix(r.URL.Path, "/a/7") {
			fails(w, 403, "AccessDenied")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}, func(c *Config) { c.BatchDelete = false })
	var keys []string
	for i := range 40 {
		keys = append(keys, fmt.Sprintf("a/%d", i))
	}
	err := d.Delete(t.Context(), keys...)
	if !errors.Is(err, drivers.ErrDenied) || strings.Count(err.Error(), "a/") != 1 || calls.Load() != 40 {
		t.Errorf("after %d requests: %v, want ErrDenied for a/7 after 40", calls.Load(), err)
	}
}

// TestRangeThatWasIgnored: a store that sends other bytes than asked for is found out.
func TestRangeThatWasIgnored(t *testing.T) {
	for name, header := range map[string]string{"ignored": "", "others": "bytes 0-3/10", "no size": "bytes 2-5/*"} {
		d := fake(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"x"`)
			if header != "" {
				w.Header().Set("Content-Range", header)
				w.WriteHeader(http.StatusPartialContent)
			}
			_, _ = io.WriteString(w, "0123")
		}, nil)
		if body, _, err := d.Reader(t.Context(), "a/b", 2, 4); err == nil {
			_ = body.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSignURLMakesNoRequest(t *testing.T) {
	d := fake(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked %s %s", r.Method, r.URL) },
		func(c *Config) { c.PublicEndpoint = "https://images.example.com" })
	url, err := d.SignURL(t.Context(), "a/b", 1000*time.Hour)
	if err != nil || !strings.HasPrefix(url, "https://images.example.com/registry/a/b?") || !strings.Contains(url, "X-Amz-Expires=604800") {
		t.Errorf("got %q, %v", url, err)
	}
	if _, err := d.SignURL(t.Context(), "a/b", time.Millisecond); !errors.Is(err, drivers.ErrInvalid) {
		t.Errorf("for a millisecond: %v, want ErrInvalid", err)
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
				fails(w, test.status, test.code)
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
