package swift

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// fake is a cluster with a keystone that keeps what it was asked for. objects answers for the object store, whose container is there.
type fake struct {
	server  *httptest.Server
	asked   []map[string]any // bodies of requests for tokens
	objects http.HandlerFunc
	refuse  int // a status for requests for tokens
	noStore bool
	info    string // the answer of /info; "": 404
	next    string // the token of version 3 that is given; "": T3
}

func newFake(t *testing.T, objects http.HandlerFunc) *fake {
	f := &fake{objects: objects, info: `{"slo":{"max_manifest_segments":500},"bulk_delete":{"max_deletes_per_request":3}}`}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v3/auth/tokens", func(w http.ResponseWriter, r *http.Request) {
		if f.token(t, w, r) {
			return
		}
		w.Header().Set("X-Subject-Token", cmp.Or(f.next, "T3"))
		w.WriteHeader(http.StatusCreated)
		var catalog []any
		if !f.noStore {
			catalog = append(catalog, map[string]any{"type": "object-store", "endpoints": []any{
				map[string]any{"interface": "public", "region": "one", "url": f.server.URL + "/v1/AUTH_one"},
				map[string]any{"interface": "public", "region": "two", "url": f.server.URL + "/v1/AUTH_two"},
				map[string]any{"interface": "internal", "region": "two", "url": f.server.URL + "/v1/AUTH_inside"},
			}})
		}
		answer(t, w, map[string]any{"token": map[string]any{"expires_at": "2099-01-01T00:00:00.000000Z", "catalog": catalog}})
	})
	mux.HandleFunc("POST /v2.0/tokens", func(w http.ResponseWriter, r *http.Request) {
		if f.token(t, w, r) {
			return
		}
		answer(t, w, map[string]any{"access": map[string]any{
			"token": map[string]any{"id": "T2", "expires": "2099-01-01T00:00:00Z"},
			"serviceCatalog": []any{map[string]any{"type": "object-store", "endpoints": []any{
				map[string]any{"region": "one", "publicURL": f.server.URL + "/v1/AUTH_one"},
			}}},
		}})
	})
	mux.HandleFunc("GET /info", func(w http.ResponseWriter, r *http.Request) {
		if f.info == "" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, f.info)
	})
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		if strings.Count(r.URL.Path, "/") == 3 && r.Method == http.MethodGet && r.URL.Query().Get("limit") == "1" {
			_, _ = io.WriteString(w, "[]")
			return
		}
		f.objects(w, r)
	})
	f.server = httptest.NewServer(mux)
	t.Cleanup(f.server.Close)
	return f
}

// token keeps a request for one; true: it was refused.
func (f *fake) token(t *testing.T, w http.ResponseWriter, r *http.Request) bool {
	var body map[string]any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		t.Error(err)
	}
	f.asked = append(f.asked, body)
	if f.refuse != 0 {
		w.WriteHeader(f.refuse)
	}
	return f.refuse != 0
}

func answer(t *testing.T, w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		t.Error(err)
	}
}

// config is one for f, with a password.
func (f *fake) config() Config {
	c := Defaults()
	c.AuthURL, c.Username, c.Domain, c.Password, c.Project, c.Container, c.Attempts = f.server.URL+"/v3", "me", "here", "secret", "p", "images", 2
	return c
}

func (f *fake) open(t *testing.T, c Config) *Driver {
	t.Helper()
	d, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}
