package api_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/longshore-registry/longshore/drivers/counting"
	"github.com/longshore-registry/longshore/drivers/memory"
	search "github.com/longshore-registry/longshore/index"
	"github.com/longshore-registry/longshore/registry"
	"github.com/longshore-registry/longshore/registry/api"
)

// indexed is a handler that tells an index, or nobody.
type indexed struct {
	t       *testing.T
	store   *counting.Driver
	index   *search.Index
	handler http.Handler
}

func newIndexed(t *testing.T, with bool) *indexed {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s := &indexed{t: t, store: counting.New(memory.New(memory.Options{}), counting.Options{})}
	r, err := registry.Open(t.Context(), s.store, registry.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	if with {
		s.index = search.New(r, s.store, search.Options{Log: log})
	}
	s.handler = api.New(r, api.Options{Log: log, Index: s.index, DeleteRepositories: true})
	return s
}

// do sends a request, and returns the answer's body.
func (s *indexed) do(method, path, contentType, body string, want int) string {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	if w.Code != want {
		s.t.Errorf("%s %s: %d, want %d: %s", method, path, w.Code, want, w.Body)
	}
	return w.Body.String()
}

// push puts an image without layers.
func (s *indexed) push(repo, description string) {
	s.t.Helper()
	s.do("POST", "/v2/"+repo+"/blobs/uploads/?digest="+sum("{}"), "application/octet-stream", "{}", http.StatusCreated)
	s.do("PUT", "/v2/"+repo+"/manifests/v1", v1.MediaTypeImageManifest, `{"schemaVersion":2,"config":{"mediaType":"`+v1.MediaTypeImageConfig+`","digest":"`+sum("{}")+`","size":2},"layers":[],
		"annotations":{"`+v1.AnnotationDescription+`":"`+description+`"}}`, http.StatusCreated)
}

// finish writes all that is pending.
func (s *indexed) finish() {
	ctx, cancel := context.WithCancel(s.t.Context())
	cancel()
	s.index.Run(ctx)
}

func (s *indexed) wantFound(word, want string) {
	s.t.Helper()
	var answer struct {
		Results []struct{ Name, Description string }
	}
	if err := json.Unmarshal([]byte(s.do("GET", "/v1/search?q="+word, "", "", http.StatusOK)), &answer); err != nil {
		s.t.Fatal(err)
	}
	var got []string
	for _, one := range answer.Results {
		got = append(got, one.Name+": "+one.Description)
	}
	if text := strings.Join(got, ", "); text != want {
		s.t.Errorf("%s: found %q, want %q", word, text, want)
	}
}

func TestSearchInIndex(t *testing.T) {
	s := newIndexed(t, true)
	s.push("team/hats", "sells hats")
	s.push("team/socks", "sells socks")
	s.wantFound("socks", "team/socks: ")
	s.do("GET", "/v2/team/socks/manifests/v1", "", "", http.StatusOK)
	s.do("HEAD", "/v2/team/hats/manifests/v1", "", "", http.StatusOK)
	s.finish()
	s.wantFound("sells", "team/socks: sells socks, team/hats: sells hats")
	s.do("DELETE", "/v2/team/socks/", "", "", http.StatusAccepted)
	s.wantFound("sells", "team/hats: sells hats")
}

// TestIndexCostsNoRequests: what clients wait for is the same with an index and without.
func TestIndexCostsNoRequests(t *testing.T) {
	var counts [2]int
	for i, with := range []bool{false, true} {
		s := newIndexed(t, with)
		s.store.Reset()
		s.push("team/app", "text")
		s.do("GET", "/v2/team/app/manifests/v1", "", "", http.StatusOK)
		counts[i] = s.store.Counts().Total()
	}
	if counts[0] != counts[1] {
		t.Errorf("%d requests to the store without an index, %d with one", counts[0], counts[1])
	}
}
