package s3suite

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

// Change is what a case changes in a driver's settings; zero leaves it.
type Change struct {
	ListVersion    string
	PublicEndpoint string
	Attempts       int
	OneByOne       bool // batch_delete: false
}

// Answers are cases on a store that answers as no real one can be made to.
type Answers struct {
	Name string // the driver's in errors

	// Open opens a driver on the bucket registry at endpoint, with two attempts.
	Open func(t *testing.T, endpoint string, c Change) Driver
}

// Run runs all cases. It needs no server.
func (a Answers) Run(t *testing.T) {
	t.Run("codesBecomeKinds", a.codesBecomeKinds)
	t.Run("folderThatGoes", a.folderThatGoes)
	t.Run("listThatRepeats", a.listThatRepeats)
	t.Run("listOfEmptyPages", a.listOfEmptyPages)
	t.Run("deleteOfSome", a.deleteOfSome)
	t.Run("deleteOneByOne", a.deleteOneByOne)
	t.Run("rangeThatWasIgnored", a.rangeThatWasIgnored)
	t.Run("signURLMakesNoRequest", a.signURLMakesNoRequest)
	t.Run("tooLarge", a.tooLarge)
	t.Run("endedWriter", a.endedWriter)
}

// Fake is a store that answers as h does. The first HEAD, which asks for the bucket, finds it.
func Fake(t *testing.T, h http.HandlerFunc) (endpoint string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, key, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/"); r.Method == http.MethodHead && key == "" {
			return
		}
		h(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// Fails writes an error as S3 does.
func Fails(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>made by the test</Message></Error>", code)
}

func (a Answers) fake(t *testing.T, h http.HandlerFunc, c Change) Driver {
	t.Helper()
	return a.Open(t, Fake(t, h), c)
}

func (a Answers) codesBecomeKinds(t *testing.T) {
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
		{503, "SlowDownWrite", drivers.ErrThrottled, 2},
		{503, "ServiceUnavailable", drivers.ErrThrottled, 2},
		{503, "XMinioServerNotInitialized", drivers.ErrThrottled, 2},
		{500, "InternalError", drivers.ErrThrottled, 2},
		{500, "UnknownError", drivers.ErrThrottled, 2},
		{429, "TooManyRequests", drivers.ErrThrottled, 2},
		{400, "RequestTimeout", drivers.ErrThrottled, 2},
		{400, "ThrottlingException", drivers.ErrThrottled, 2},
		{409, "ConditionalRequestConflict", drivers.ErrThrottled, 2},
		{409, "OperationAborted", drivers.ErrThrottled, 2},
		{507, "XMinioStorageFull", drivers.ErrNoSpace, 1},
		{400, "XMinioAdminBucketQuotaExceeded", drivers.ErrNoSpace, 1},
		{403, "QuotaExceeded", drivers.ErrNoSpace, 1},
		{400, "XAmzContentChecksumMismatch", drivers.ErrCorrupt, 2},
		{400, "BadDigest", drivers.ErrCorrupt, 2},
		{412, "PreconditionFailed", drivers.ErrPrecondition, 1},
		{501, "NotImplemented", nil, 1},
		{418, "Teapot", nil, 1},
	} {
		var calls atomic.Int64
		d := a.fake(t, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			Fails(w, test.status, test.code)
		}, Change{})
		err := d.Put(t.Context(), "a/b", []byte("x"))
		var e *drivers.Error
		if !errors.As(err, &e) || e.Kind != test.want || e.Op != "put" || e.Key != "a/b" || e.Driver != a.Name {
			t.Errorf("%d %s: %v, want kind %v", test.status, test.code, err, test.want)
		}
		if calls.Load() != test.calls {
			t.Errorf("%d %s: %d requests, want %d", test.status, test.code, calls.Load(), test.calls)
		}
	}
}

// folderThatGoes: MinIO says AccessDenied where it only has to be asked again. Others mean it, and so does MinIO
// in the end.
func (a Answers) folderThatGoes(t *testing.T) {
	for server, want := range map[string]int64{"MinIO": 4, "AmazonS3": 1} {
		var calls atomic.Int64
		d := a.fake(t, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.Header().Set("Server", server)
			Fails(w, 403, "AccessDenied")
		}, Change{Attempts: 8})
		err := d.Put(t.Context(), "a/b", nil)
		if !errors.Is(err, drivers.ErrDenied) || !strings.Contains(err.Error(), "this needs s3:PutObject") || calls.Load() != want {
			t.Errorf("%s: %v after %d requests, want ErrDenied after %d", server, err, calls.Load(), want)
		}
	}
}

// oneLine is an object in a listing.
const oneLine = `<Contents><Key>%s</Key><Size>1</Size><ETag>"x"</ETag><LastModified>2026-01-01T00:00:00.123Z</LastModified></Contents>`

// listThatRepeats: a store whose listing begins again must not be listed for ever.
func (a Answers) listThatRepeats(t *testing.T) {
	for name, test := range map[string]struct{ version, token string }{
		"v1": {"v1", ""}, "v2, the same token": {"v2", "t"}, "v2, new tokens": {"v2", "t%d"},
	} {
		var calls atomic.Int64
		d := a.fake(t, func(w http.ResponseWriter, _ *http.Request) {
			n := calls.Add(1)
			if n > 20 {
				Fails(w, 500, "asked too often")
				return
			}
			next := test.token
			if strings.Contains(next, "%") {
				next = fmt.Sprintf(next, n)
			}
			_, _ = fmt.Fprintf(w, `<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>%s</NextContinuationToken>`+
				oneLine+oneLine+`</ListBucketResult>`, next, "a", "b")
		}, Change{ListVersion: test.version})
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

// listOfEmptyPages: pages without entries, as of many deleted versions, are no end.
func (a Answers) listOfEmptyPages(t *testing.T) {
	var calls atomic.Int64
	d := a.fake(t, func(w http.ResponseWriter, _ *http.Request) {
		n := calls.Add(1)
		entry := ""
		if n == 4 {
			entry = fmt.Sprintf(oneLine, "a")
		}
		_, _ = fmt.Fprintf(w, `<ListBucketResult><IsTruncated>%v</IsTruncated><NextContinuationToken>t%d</NextContinuationToken>%s</ListBucketResult>`, n < 4, n, entry)
	}, Change{})
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

// deleteOfSome: the answer to a DeleteObjects names those that are left.
func (a Answers) deleteOfSome(t *testing.T) {
	var calls atomic.Int64
	d := a.fake(t, func(w http.ResponseWriter, r *http.Request) {
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
	}, Change{})
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

// deleteOneByOne is for stores without DeleteObjects.
func (a Answers) deleteOneByOne(t *testing.T) {
	var calls atomic.Int64
	d := a.fake(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if r.Method != http.MethodDelete {
			t.Errorf("asked %s %s", r.Method, r.URL)
		}
		if strings.HasSuffix(r.URL.Path, "/a/7") {
			Fails(w, 403, "AccessDenied")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}, Change{OneByOne: true})
	var keys []string
	for i := range 40 {
		keys = append(keys, fmt.Sprintf("a/%d", i))
	}
	err := d.Delete(t.Context(), keys...)
	if !errors.Is(err, drivers.ErrDenied) || strings.Count(err.Error(), `"a/`) != 1 || calls.Load() != 40 {
		t.Errorf("after %d requests: %v, want ErrDenied for a/7 after 40", calls.Load(), err)
	}
}

// rangeThatWasIgnored: a store that sends other bytes than asked for is found out.
func (a Answers) rangeThatWasIgnored(t *testing.T) {
	for name, header := range map[string]string{"ignored": "", "others": "bytes 0-3/10", "no size": "bytes 2-5/*"} {
		d := a.fake(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"x"`)
			w.Header().Set("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
			if header != "" {
				w.Header().Set("Content-Range", header)
				w.WriteHeader(http.StatusPartialContent)
			}
			_, _ = io.WriteString(w, "0123")
		}, Change{})
		if body, _, err := d.Reader(t.Context(), "a/b", 2, 4); err == nil {
			_ = body.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

func (a Answers) signURLMakesNoRequest(t *testing.T) {
	d := a.fake(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked %s %s", r.Method, r.URL) },
		Change{PublicEndpoint: "https://images.example.com"})
	url, err := d.SignURL(t.Context(), "a/b", 1000*time.Hour)
	if err != nil || !strings.HasPrefix(url, "https://images.example.com/registry/a/b?") || !strings.Contains(url, "X-Amz-Expires=604800") {
		t.Errorf("got %q, %v", url, err)
	}
	if _, err := d.SignURL(t.Context(), "a/b", time.Millisecond); !errors.Is(err, drivers.ErrInvalid) {
		t.Errorf("for a millisecond: %v, want ErrInvalid", err)
	}
}

// tooLarge is an object that S3 can't hold.
func (a Answers) tooLarge(t *testing.T) {
	d := a.fake(t, nil, Change{})
	if _, err := d.Writer(t.Context(), "a/b", 5<<40+1); !errors.Is(err, drivers.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

func (a Answers) endedWriter(t *testing.T) {
	d := a.fake(t, nil, Change{})
	w, err := d.Writer(t.Context(), "a/b", -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); !errors.Is(err, drivers.ErrInvalid) {
		t.Errorf("Write: %v, want ErrInvalid", err)
	}
	if _, err := w.Suspend(t.Context()); !errors.Is(err, drivers.ErrInvalid) {
		t.Errorf("Suspend: %v, want ErrInvalid", err)
	}
	if err := w.Commit(t.Context()); !errors.Is(err, drivers.ErrInvalid) {
		t.Errorf("Commit: %v, want ErrInvalid", err)
	}
	if err := w.Cancel(t.Context()); err != nil {
		t.Errorf("Cancel again: %v", err)
	}
}
