package minio

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// fake is a store that answers as h does. The first HEAD, which asks for the bucket, finds it.
func fake(t *testing.T, h http.HandlerFunc) *Driver {
	t.Helper()
	return fakeWith(t, h, func(*Config) {})
}

// fakeWith is fake with other settings.
func fakeWith(t *testing.T, h http.HandlerFunc, change func(*Config)) *Driver {
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
	change(&c)
	d, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// answer writes an error as S3 does.
func answer(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>made by the test</Message></Error>", code)
}

func TestCodesBecomeKinds(t *testing.T) {
	for _, test := range []struct {
		status int
		code   string
		want   error
	}{
		{404, "NoSuchKey", drivers.ErrNotFound},
		{404, "NoSuchBucket", nil},
		{403, "AccessDenied", drivers.ErrDenied},
		{403, "SomethingNew", drivers.ErrDenied},
		{403, "InvalidAccessKeyId", drivers.ErrDenied},
		{400, "ExpiredToken", drivers.ErrDenied},
		{503, "SlowDown", drivers.ErrThrottled},
		{503, "SlowDownWrite", drivers.ErrThrottled},
		{503, "XMinioServerNotInitialized", drivers.ErrThrottled},
		{500, "InternalError", drivers.ErrThrottled},
		{429, "TooManyRequests", drivers.ErrThrottled},
		{400, "RequestTimeout", drivers.ErrThrottled},
		{409, "ConditionalRequestConflict", drivers.ErrThrottled},
		{507, "XMinioStorageFull", drivers.ErrNoSpace},
		{400, "XMinioAdminBucketQuotaExceeded", drivers.ErrNoSpace},
		{400, "XAmzContentChecksumMismatch", drivers.ErrCorrupt},
		{400, "BadDigest", drivers.ErrCorrupt},
		{412, "PreconditionFailed", drivers.ErrPrecondition},
		{501, "NotImplemented", nil},
		{418, "Teapot", nil},
	} {
		d := fake(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, test.status, test.code) })
		err := d.Put(t.Context(), "a/b", []byte("x"))
		var e *drivers.Error
		if !errors.As(err, &e) || e.Kind != test.want || e.Op != "put" || e.Key != "a/b" || e.Driver != "minio" {
			t.Errorf("%d %s: %v, want kind %v", test.status, test.code, err, test.want)
		}
	}
}

// TestListThatRepeats: a store whose listing begins again must not be listed for ever.
func TestListThatRepeats(t *testing.T) {
	for name, token := range map[string]string{"the same token": "t", "new tokens": "t%d"} {
		var calls atomic.Int64
		d := fake(t, func(w http.ResponseWriter, _ *http.Request) {
			next := token
			if strings.Contains(token, "%") {
				next = fmt.Sprintf(token, calls.Load())
			}
			if calls.Add(1) > 20 {
				answer(w, 500, "asked too often")
				return
			}
			_, _ = fmt.Fprintf(w, `<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>%s</NextContinuationToken>
				<Contents><Key>a</Key><Size>1</Size><ETag>"x"</ETag><LastModified>2026-01-01T00:00:00.123Z</LastModified></Contents>
				<Contents><Key>b</Key><Size>1</Size><ETag>"x"</ETag><LastModified>2026-01-01T00:00:00.123Z</LastModified></Contents>
				</ListBucketResult>`, next)
		})
		var keys []string
		var last error
		for e, err := range d.List(t.Context(), "", "", "") {
			if last = err; err == nil {
				keys = append(keys, e.Key)
			}
		}
		if !errors.Is(last, drivers.ErrCorrupt) || len(keys) != 2 || calls.Load() > 3 {
			t.Errorf("%s: %q after %d requests, then %v; want a and b, then ErrCorrupt", name, keys, calls.Load(), last)
		}
	}
}

// TestListOfEmptyPages: pages without entries, as of many deleted versions, are no end.
func TestListOfEmptyPages(t *testing.T) {
	var calls atomic.Int64
	d := fake(t, func(w http.ResponseWriter, _ *http.Request) {
		n := calls.Add(1)
		entry := ""
		if n == 4 {
			entry = `<Contents><Key>a</Key><Size>1</Size><ETag>"x"</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>`
		}
		_, _ = fmt.Fprintf(w, `<ListBucketResult><IsTruncated>%v</IsTruncated><NextContinuationToken>t%d</NextContinuationToken>%s</ListBucketResult>`, n < 4, n, entry)
	})
	n := 0
	for e, err := range d.List(t.Context(), "", "", "") {
		if n++; err != nil || e.Key != "a" {
			t.Errorf("%+v, %v", e, err)
		}
	}
	if n != 1 {
		t.Errorf("%d entries, want 1", n)
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
	})
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

// TestRangeThatWasIgnored: a store that sends other bytes than asked for is found out.
func TestRangeThatWasIgnored(t *testing.T) {
	for name, header := range map[string]string{"ignored": "", "others": "bytes 0-3/10", "no size": "bytes 2-5/*"} {
		d := fake(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"x"`)
			w.Header().Set("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
			if header != "" {
				w.Header().Set("Content-Range", header)
				w.WriteHeader(http.StatusPartialContent)
			}
			_, _ = io.WriteString(w, "0123")
		})
		if body, _, err := d.Reader(t.Context(), "a/b", 2, 4); err == nil {
			_ = body.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSignURLMakesNoRequest(t *testing.T) {
	c := goodConfig()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/registry/" {
			t.Errorf("asked %s %s", r.Method, r.URL)
		}
	}))
	t.Cleanup(server.Close)
	c.Endpoint, c.PublicEndpoint = server.URL, "https://images.example.com"
	d, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	url, err := d.SignURL(t.Context(), "a/b", 1000*time.Hour)
	if err != nil || !strings.HasPrefix(url, "https://images.example.com/registry/a/b?") || !strings.Contains(url, "X-Amz-Expires=604800") {
		t.Errorf("got %q, %v", url, err)
	}
	if _, err := d.SignURL(t.Context(), "a/b", time.Millisecond); !errors.Is(err, drivers.ErrInvalid) {
		t.Errorf("for a millisecond: %v, want ErrInvalid", err)
	}
}

// TestOpenSaysWhatIsWrong by answers that a healthy MinIO can't be made to give.
func TestOpenSaysWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		header map[string]string
		want   string
	}{
		"web page": {200, map[string]string{"Content-Type": "text/html; charset=utf-8"}, "endpoint: "},
		"clock": {403, map[string]string{"X-Minio-Error-Code": "RequestTimeTooSkewed", "Date": time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)},
			"the clock of this machine and that of the store differ too much (by 1h0m"},
		"region":   {400, map[string]string{"X-Minio-Error-Code": "AuthorizationHeaderMalformed", "X-Amz-Bucket-Region": "eu-1"}, `region: is "us-east-1", but the store says "eu-1"`},
		"rights":   {403, map[string]string{"X-Minio-Error-Code": "AccessDenied"}, "access_key: has no right"},
		"token":    {403, map[string]string{"X-Minio-Error-Code": "InvalidTokenId"}, "session_token: "},
		"redirect": {301, nil, "region: "},
		"teapot":   {418, nil, "endpoint: "},
		"no S3":    {400, nil, "secure: "},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for k, v := range test.header {
				w.Header().Set(k, v)
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
