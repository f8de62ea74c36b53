package gcs

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

// fake is a service that answers as h does. The first listing, by which Open looks for the bucket, is empty. change may be nil.
func fake(t *testing.T, h http.HandlerFunc, change func(*Config)) *Driver {
	t.Helper()
	var opened atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !opened.Load() && strings.HasSuffix(r.URL.Path, "/o") {
			_, _ = io.WriteString(w, "{}")
			return
		}
		h(w, r)
	}))
	t.Cleanup(server.Close)
	c := Defaults()
	c.Bucket, c.Endpoint, c.Anonymous, c.Attempts = "images", server.URL, true, 2
	if change != nil {
		change(&c)
	}
	d, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	opened.Store(true)
	t.Cleanup(d.Close)
	return d
}

// fails writes an error as the JSON API does.
func fails(w http.ResponseWriter, status int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"error":{"code":%d,"message":"made by the test","errors":[{"reason":%q,"message":"made by the test"}]}}`, status, reason)
}

func TestStatusesBecomeKinds(t *testing.T) {
	for _, test := range []struct {
		status int
		reason string
		want   error
		calls  int64
	}{
		{404, "notFound", drivers.ErrNotFound, 1},
		{401, "authError", drivers.ErrDenied, 1},
		{403, "forbidden", drivers.ErrDenied, 1},
		{403, "rateLimitExceeded", drivers.ErrThrottled, 2},
		{412, "conditionNotMet", drivers.ErrPrecondition, 1},
		{429, "rateLimitExceeded", drivers.ErrThrottled, 2},
		{408, "requestTimeout", drivers.ErrThrottled, 2},
		{500, "internalError", drivers.ErrThrottled, 2},
		{503, "backendError", drivers.ErrThrottled, 2},
		{400, "invalid", nil, 1},
	} {
		var calls atomic.Int64
		d := fake(t, func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			fails(w, test.status, test.reason)
		}, nil)
		_, err := d.Stat(t.Context(), "a/b")
		var e *drivers.Error
		if !errors.As(err, &e) || e.Kind != test.want || e.Op != "stat" || e.Key != "a/b" {
			t.Errorf("%d %s: %v", test.status, test.reason, err)
		}
		if calls.Load() != test.calls {
			t.Errorf("%d %s: asked %d times, want %d", test.status, test.reason, calls.Load(), test.calls)
		}
	}
}

// The emulator ignores most of these; the service does not.
func TestConditions(t *testing.T) {
	var asked []string
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if g := r.URL.Query().Get("ifGenerationMatch"); g != "" {
			asked = append(asked, r.Method+" "+g)
			fails(w, http.StatusPreconditionFailed, "conditionNotMet")
			return
		}
		fails(w, http.StatusNotFound, "notFound")
	}, nil)
	if err := d.PutIfAbsent(t.Context(), "a/b", nil); !errors.Is(err, drivers.ErrExists) {
		t.Errorf("PutIfAbsent: %v", err)
	}
	if err := d.PutIfMatch(t.Context(), "a/b", nil, "17"); !errors.Is(err, drivers.ErrPrecondition) {
		t.Errorf("PutIfMatch: %v", err)
	}
	if err := d.PutIfMatch(t.Context(), "a/b", nil, "seventeen"); !errors.Is(err, drivers.ErrPrecondition) {
		t.Errorf("PutIfMatch of no generation: %v", err)
	}
	if _, err := (store{d}).Mark(t.Context(), "a/b", "ID.5", ""); !errors.Is(err, errNoUpload) {
		t.Errorf("Mark: %v", err)
	}
	if _, err := (store{d}).Mark(t.Context(), "a/b", "ID.5", "6"); !errors.Is(err, errNoUpload) {
		t.Errorf("Mark: %v", err)
	}
	if want := []string{"POST 0", "POST 17", "POST 5", "POST 6"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

// A put whose answer was lost finds its own object, by its mark, and another's.
func TestLostAnswer(t *testing.T) {
	for _, own := range []bool{true, false} {
		var mark string
		posts := 0
		d := fake(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				_, _ = fmt.Fprintf(w, `{"name":"a/b","generation":"1","metadata":{%q:%q}}`, markKey, mark)
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			if _, rest, found := strings.Cut(string(body), `"`+markKey+`":"`); found && own {
				mark, _, _ = strings.Cut(rest, `"`)
			}
			posts++
			if posts == 1 {
				fails(w, http.StatusServiceUnavailable, "backendError")
				return
			}
			fails(w, http.StatusPreconditionFailed, "conditionNotMet")
		}, nil)
		err := d.PutIfAbsent(t.Context(), "a/b", []byte("x"))
		if own && err != nil || !own && !errors.Is(err, drivers.ErrExists) {
			t.Errorf("own object %v: %v", own, err)
		}
	}
}
