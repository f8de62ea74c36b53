package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/registry"
	"github.com/longshore-registry/longshore/registry/api"
)

// fuzzed is a registry with an image and an open upload, for one request.
type fuzzed struct {
	store   *memory.Driver
	handler http.Handler
	upload  string // the Location
	log     bytes.Buffer
}

func newFuzzed(t *testing.T) *fuzzed {
	f := &fuzzed{store: memory.New(memory.Options{Immutable: []string{"data/"}, OnViolation: func(err error) { t.Error(err) }})}
	log := slog.New(slog.NewTextHandler(&f.log, nil))
	r, err := registry.Open(t.Context(), f.store, registry.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	f.handler = api.New(r, api.Options{Log: log, DeleteRepositories: true})
	for _, s := range []struct{ method, target, body string }{
		{"POST", "/v2/a/blobs/uploads/?digest=" + sum(small), small}, {"POST", "/v2/a/blobs/uploads/?digest=" + sum(layer), layer},
		{"PUT", "/v2/a/manifests/1", image()}, {"PUT", "/v2/a/manifests/sig", artifact("a/b", sum(image()))},
	} {
		q := httptest.NewRequest(s.method, s.target, strings.NewReader(s.body))
		if w := f.send(q); w.Code != http.StatusCreated {
			t.Fatalf("%s %s: %d %s", s.method, s.target, w.Code, w.Body)
		}
	}
	f.upload = f.send(httptest.NewRequest("POST", "/v2/a/blobs/uploads/", nil)).Header().Get("Location")
	f.upload = f.send(httptest.NewRequest("PATCH", f.upload, strings.NewReader(ten))).Header().Get("Location")
	return f
}

func (f *fuzzed) send(q *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, q)
	return w
}

// lasting are the objects that an answer of 4xx may not change: all but bytes and steps of uploads.
func (f *fuzzed) lasting(t *testing.T) map[string]string {
	all := map[string]string{}
	for e, err := range f.store.List(t.Context(), "", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(e.Key, "data/") && !strings.HasPrefix(e.Key, "uploads/") {
			all[e.Key] = e.ETag
		}
	}
	return all
}

// ownKeys are the keys that docs/storage-format.md has.
var ownKeys = regexp.MustCompile(`^(format|(blobs|condemned)/sha(256|512)/.+|data/[0-9a-f]{2}/[0-9-]{10}/[0-9a-f]{32}|catalog/[a-z0-9/._-]+|uploads/[0-9a-f-]{36}/[a-z0-9-]+|` +
	`repos/[a-z0-9]+([._/-]+[a-z0-9]+)*/_(blobs/sha(256|512)/[0-9a-f]+|manifests/sha(256|512)/[0-9a-f]+|tags/[A-Za-z0-9._-]+|(referrers|parents)/sha(256|512)/[0-9a-f]+/sha(256|512)-[0-9a-f]+))$`)

// fuzzMethods are those that a request is tried with.
var fuzzMethods = []string{"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "get"}

// FuzzRequest sends one request: whatever it is, the answer is none of 5xx and no redirect, an error has the form that the spec
// says, no headers come from the request, and the store has the objects of the storage format and no others. "$U" stands for the Location of an
// open upload. Lines of header are headers.
func FuzzRequest(f *testing.F) {
	add := func(method int, target, header, body string) {
		f.Add(uint8(method), target, header, []byte(body))
	}
	// The requests of the table, as far as they need nothing but what is there.
	for _, r := range table() {
		for _, s := range r.steps {
			line, header, _ := strings.Cut(s.send, " | ")
			method, target, _ := strings.Cut(line, " ")
			i := slices.Index(fuzzMethods, method)
			if i < 0 || len(s.body) > 10_000 || len(target) > 2000 {
				continue
			}
			target = strings.NewReplacer("$R", "/v2/a", "$N", "a", "$U2", "$U", "$U3", "$U").Replace(target)
			header = strings.NewReplacer(" | ", "\n", "$image", "application/vnd.oci.image.manifest.v1+json", "$index", "application/vnd.oci.image.index.v1+json").Replace(header)
			add(i, target, header, s.body)
		}
	}
	f.Fuzz(func(t *testing.T, method uint8, target, header string, body []byte) {
		if len(target) > 8<<10 || len(body) > 64<<10 {
			return
		}
		site := newFuzzed(t)
		u, err := url.ParseRequestURI(strings.ReplaceAll(target, "$U", site.upload))
		if err != nil || !strings.HasPrefix(u.EscapedPath(), "/") {
			return // net/http answers 400
		}
		q := httptest.NewRequest("GET", "/", bytes.NewReader(body))
		q.Method, q.URL = fuzzMethods[int(method)%len(fuzzMethods)], u
		q.RequestURI = u.RequestURI()
		if method >= 128 { // of unknown length
			q.ContentLength = -1
		}
		for line := range strings.SplitSeq(header, "\n") {
			name, value, _ := strings.Cut(line, ":")
			q.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		}
		q.Header.Del("Content-Length")
		before := site.lasting(t)
		w := site.send(q)
		if problem := judge(q, w); problem != "" {
			t.Errorf("%s %q with %q: %s\n%d %s\n%s", q.Method, target, header, problem, w.Code, w.Header(), w.Body)
		}
		if strings.Contains(site.log.String(), "panic=") {
			t.Errorf("%s", &site.log)
		}
		after := site.lasting(t)
		if w.Code >= 400 || q.Method == http.MethodGet || q.Method == http.MethodHead {
			if !equalMaps(before, after) {
				t.Errorf("%s %q: answered %d, and the store has %v, had %v", q.Method, target, w.Code, after, before)
			}
		}
		for e, err := range site.store.List(t.Context(), "", "", "") {
			if err != nil {
				t.Fatal(err)
			}
			if !ownKeys.MatchString(e.Key) || drivers.CheckKey("test", "fuzz", e.Key) != nil {
				t.Errorf("%s %q: the store has an object %q", q.Method, target, e.Key)
			}
		}
	})
}

func equalMaps(a, b map[string]string) bool { return fmt.Sprint(a) == fmt.Sprint(b) } // which sorts the keys

// judge says what is wrong with an answer.
func judge(q *http.Request, w *httptest.ResponseRecorder) string {
	switch {
	case w.Code >= 500:
		return "a failure of the server"
	case w.Code >= 300 && w.Code < 400 && w.Code != http.StatusNotModified:
		return "a redirect"
	}
	for name, values := range w.Header() {
		if strings.ContainsAny(name+strings.Join(values, ""), "\r\n\x00") {
			return "a header of two lines"
		}
	}
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		return err.Error()
	}
	if q.Method == http.MethodHead || w.Code < 400 {
		return ""
	}
	var e struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal(body, &e); err != nil || len(e.Errors) == 0 || e.Errors[0].Code == "" || e.Errors[0].Message == "" {
		return "an error without its form"
	}
	return ""
}
