package abilities

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

// asked is a Store at a server that is made of handle.
func asked(t *testing.T, handle http.HandlerFunc) Store {
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return Store{
		Bucket:    "b",
		URL:       func(_ context.Context, full string) (*url.URL, error) { return url.Parse(server.URL + "/b/" + full) },
		Sign:      func(_ context.Context, r *http.Request) error { r.Header.Set("Authorization", "ours"); return nil },
		Transport: http.DefaultTransport,
		Headers:   func(operation string) map[string]string { return map[string]string{"X-Operation": operation} },
	}
}

func states(all []drivers.Ability) map[string]int {
	n := make(map[string]int)
	for _, a := range all {
		n[a.State]++
	}
	return n
}

// A store that refuses everything for want of rights, or that fails, tells nothing of what it can do.
func TestRefusalsTellNothing(t *testing.T) {
	for name, handle := range map[string]http.HandlerFunc{
		"denied": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte("<Error><Code>AccessDenied</Code></Error>"))
		},
		"broken": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"gone":   func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		all := asked(t, handle).Find(t.Context(), "f/")
		if n := states(all); n["unknown"] != len(all) || len(all) < 20 {
			t.Errorf("%s: %v", name, all)
		}
		if name == "denied" && all[0].Detail != "403 AccessDenied" {
			t.Errorf("%q", all[0].Detail)
		}
	}
}

func TestEndsWithItsContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	all := asked(t, func(http.ResponseWriter, *http.Request) { stop() }).Find(ctx, "f/")
	if n := states(all); n["unknown"] < len(all)-1 {
		t.Errorf("%v", all)
	}
}

// What was begun is removed, also where the store says 503 for a while and then an error inside of a 200.
func TestRemovesWhatItMade(t *testing.T) {
	var mu sync.Mutex
	busy := true
	removed := make(map[string]bool)
	made := make(map[string]bool)
	s := asked(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		key, q := strings.TrimPrefix(r.URL.Path, "/b/"), r.URL.Query()
		if r.Header.Get("Authorization") != "ours" || key != "" && !strings.HasPrefix(key, "f/") {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		if busy = !busy; !busy {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		switch {
		case r.Method == http.MethodPost && q.Has("uploads"):
			made[key+"?7"] = true
			_, _ = w.Write([]byte("<InitiateMultipartUploadResult><UploadId>7</UploadId></InitiateMultipartUploadResult>"))
		case r.Method == http.MethodPost:
			_, _ = w.Write([]byte("<Error><Code>InternalError</Code></Error>"))
		case r.Method == http.MethodDelete && q.Has("uploadId"):
			removed[key+"?"+q.Get("uploadId")] = true
		case r.Method == http.MethodDelete:
			removed[key] = true
		case r.Method == http.MethodPut && !q.Has("partNumber"):
			if r.Header.Get("X-Operation") != "PutObject" {
				t.Errorf("%s without the headers of PutObject", key)
			}
			made[key] = true
		}
	})
	all := s.Find(t.Context(), "f/")
	for _, a := range all {
		if a.Name == "repeated complete" && (a.State != "no" || a.Detail != "200 InternalError") || a.Name == "conditional delete" && a.State != "ignored" {
			t.Errorf("%+v", a)
		}
	}
	if len(made) < 20 {
		t.Errorf("made only %v", made)
	}
	for what := range made {
		if !removed[what] {
			t.Errorf("%s was not removed", what)
		}
	}
}

func TestKeysHaveNoOddBytes(t *testing.T) {
	for _, group := range [][]one{conditions(), multipart(), checksums(), others()} {
		for _, q := range group {
			if err := drivers.CheckKey("", "", "f/"+keyOf(q.name)); err != nil {
				t.Error(err)
			}
		}
	}
}
