package swift

import (
	"encoding/json"
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

// fake is a cluster with a keystone that keeps what it was asked for. objects answers for the object store, whose container is there.
type fake struct {
	server  *httptest.Server
	asked   []map[string]any // bodies of requests for tokens
	objects http.HandlerFunc
	refuse  int // a status for requests for tokens
	noStore bool
}

func newFake(t *testing.T, objects http.HandlerFunc) *fake {
	f := &fake{objects: objects}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v3/auth/tokens", func(w http.ResponseWriter, r *http.Request) {
		if f.token(t, w, r) {
			return
		}
		w.Header().Set("X-Subject-Token", "T3")
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
		answer(t, w, map[string]any{"slo": map[string]any{"max_manifest_segments": 500}, "bulk_delete": map[string]any{"max_deletes_per_request": 3}})
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

func TestIdentities(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   string // in the body
		token  string
		path   string
	}{
		{"v3 with a password", func(c *Config) {},
			`{"auth":{"identity":{"methods":["password"],"password":{"user":{"domain":{"name":"here"},"name":"me","password":"secret"}}},"scope":{"project":{"domain":{"name":"here"},"name":"p"}}}}`,
			"T3", "/v1/AUTH_one/images/a/o"},
		{"v3 in a region, inside", func(c *Config) { c.Region, c.Interface = "two", "internal" }, `"name":"me"`, "T3", "/v1/AUTH_inside/images/a/o"},
		{"v3 with ids", func(c *Config) { c.Username, c.Domain, c.UserID, c.Project, c.ProjectID = "", "", "U1", "", "P1" },
			`"scope":{"project":{"id":"P1"}}`, "T3", "/v1/AUTH_one/images/a/o"},
		{"application credential", func(c *Config) {
			c.Username, c.Domain, c.Password, c.Project = "", "", "", ""
			c.ApplicationCredentialID, c.ApplicationCredentialSecret = "A1", "S1"
		}, `"application_credential":{"id":"A1","secret":"S1"`, "T3", "/v1/AUTH_one/images/a/o"},
		{"application credential by name", func(c *Config) {
			c.Password, c.Project = "", ""
			c.ApplicationCredentialName, c.ApplicationCredentialSecret = "N1", "S1"
		}, `"application_credential":{"name":"N1","secret":"S1","user":{"domain":{"name":"here"},"name":"me"}}`, "T3", "/v1/AUTH_one/images/a/o"},
		{"a trust", func(c *Config) { c.TrustID, c.Project = "X1", "" }, `"scope":{"OS-TRUST:trust":{"id":"X1"}}`, "T3", "/v1/AUTH_one/images/a/o"},
		{"v2", func(c *Config) { c.AuthURL = strings.Replace(c.AuthURL, "/v3", "/v2.0", 1) },
			`{"auth":{"passwordCredentials":{"password":"secret","username":"me"},"tenantName":"p"}}`, "T2", "/v1/AUTH_one/images/a/o"},
		{"another's account", func(c *Config) { c.StorageURL = strings.Replace(c.AuthURL, "/v3", "/v1/AUTH_theirs", 1) }, `"name":"me"`, "T3", "/v1/AUTH_theirs/images/a/o"},
	} {
		var path, token string
		f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
			path, token = r.URL.Path, r.Header.Get("X-Auth-Token")
			w.WriteHeader(http.StatusCreated)
		})
		c := f.config()
		test.change(&c)
		d := f.open(t, c)
		if err := d.Put(t.Context(), "a/o", []byte("x")); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		body, err := json.Marshal(f.asked[0])
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(body), test.want) || len(f.asked) != 1 {
			t.Errorf("%s: asked %d times, with %s", test.name, len(f.asked), body)
		}
		if path != test.path || token != test.token {
			t.Errorf("%s: PUT %s with the token %q", test.name, path, token)
		}
		if id := d.Identity(); strings.Contains(id, "secret") || strings.Contains(id, "S1") {
			t.Errorf("%s: Identity() = %s", test.name, id)
		}
		if d.info.segments() != 500 {
			t.Errorf("%s: %d segments", test.name, d.info.segments())
		}
	}
}

func TestOpenSaysWhatKeystoneSays(t *testing.T) {
	for want, change := range map[string]func(*fake, *Config){
		"password: ":                       func(f *fake, _ *Config) { f.refuse = http.StatusUnauthorized },
		"region: ":                         func(f *fake, _ *Config) { f.noStore = true },
		"region: the identity":             func(_ *fake, c *Config) { c.Region = "three" },
		"auth_url: there is no":            func(_ *fake, c *Config) { c.AuthURL += "/v3/auth" },
		"auth_url: " + "http://127.0.0.1:": func(f *fake, _ *Config) { f.refuse = http.StatusServiceUnavailable },
	} {
		f := newFake(t, nil)
		c := f.config()
		c.Attempts = 1
		change(f, &c)
		_, err := Open(t.Context(), c)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want %s…", err, want)
		}
	}
}

func TestStatusesBecomeKinds(t *testing.T) {
	for _, test := range []struct {
		status int
		want   error
		calls  int64
	}{
		{404, drivers.ErrNotFound, 2}, {403, drivers.ErrDenied, 1}, {401, drivers.ErrDenied, 2}, {412, drivers.ErrPrecondition, 1},
		{413, drivers.ErrNoSpace, 1}, {507, drivers.ErrNoSpace, 1}, {422, drivers.ErrCorrupt, 1}, {400, nil, 1},
		{409, drivers.ErrThrottled, 2}, {429, drivers.ErrThrottled, 2}, {498, drivers.ErrThrottled, 2}, {408, drivers.ErrThrottled, 2},
		{500, drivers.ErrThrottled, 2}, {503, drivers.ErrThrottled, 2},
	} {
		var calls atomic.Int64
		f := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.WriteHeader(test.status)
		})
		_, err := f.open(t, f.config()).Stat(t.Context(), "a/b")
		var e *drivers.Error
		if !errors.As(err, &e) || e.Kind != test.want || e.Op != "stat" || e.Key != "a/b" {
			t.Errorf("%d: %v", test.status, err)
		}
		if calls.Load() != test.calls {
			t.Errorf("%d: asked %d times, want %d", test.status, calls.Load(), test.calls)
		}
	}
}

// Some stores give pages that are short though more follow.
func TestShortPages(t *testing.T) {
	var markers []string
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		marker := r.URL.Query().Get("marker")
		markers = append(markers, marker)
		next := map[string]string{"": "a", "a": "b", "b": "c"}[marker]
		if next == "" {
			_, _ = io.WriteString(w, "[]")
			return
		}
		_, _ = fmt.Fprintf(w, `[{"name":%q,"hash":"h","bytes":1,"last_modified":"2026-01-02T03:04:05.678900"}]`, next)
	})
	c := f.config()
	c.ShortPages = true
	var got []string
	for e, err := range f.open(t, c).List(t.Context(), "", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Key)
	}
	if !slices.Equal(got, []string{"a", "b", "c"}) || len(markers) != 4 {
		t.Errorf("listed %q with the markers %q", got, markers)
	}
}

// A bulk answer has status 200, and says in its body what failed.
func TestBulkDelete(t *testing.T) {
	posts := 0
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.Header().Set("Etag", "e")
			return
		}
		posts++
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if n := strings.Count(string(body), "\n"); n > 3 {
			t.Errorf("%d names in one request", n)
		}
		errs := [][]string{}
		if strings.Contains(string(body), "images/a/2\n") {
			errs = append(errs, []string{"images/a/2", "403 Forbidden"})
		}
		status := "200 OK"
		if len(errs) > 0 {
			status = "400 Bad Request"
		}
		answer(t, w, map[string]any{"Response Status": status, "Errors": errs})
	})
	err := f.open(t, f.config()).Delete(t.Context(), "a/1", "a/2", "a/3", "a/4", "a/5")
	var e *drivers.Error
	if !errors.As(err, &e) || e.Key != "a/2" || e.Kind != drivers.ErrDenied || strings.Contains(err.Error(), "a/3") || posts != 2 {
		t.Errorf("%d requests: %v", posts, err)
	}
}

func TestValidate(t *testing.T) {
	for field, change := range map[string]func(*Config){
		"auth_url":                      func(c *Config) { c.AuthURL = "" },
		"storage_url":                   func(c *Config) { c.StorageURL = "swift.example.com" },
		"public_endpoint":               func(c *Config) { c.PublicEndpoint = "ftp://a" },
		"container":                     func(c *Config) { c.Container = "a/b" },
		"prefix":                        func(c *Config) { c.Prefix = "a//b" },
		"username":                      func(c *Config) { c.Username = "" },
		"password":                      func(c *Config) { c.Password = "" },
		"application_credential_id":     func(c *Config) { c.Password, c.ApplicationCredentialSecret = "", "s" },
		"application_credential_secret": func(c *Config) { c.ApplicationCredentialID = "a" },
		"auth_version":                  func(c *Config) { c.AuthVersion = "4" },
		"interface":                     func(c *Config) { c.Interface = "outer" },
		"temp_url_digest":               func(c *Config) { c.TempURLDigest = "md5" },
		"large_objects":                 func(c *Config) { c.LargeObjects = "no" },
		"checksums":                     func(c *Config) { c.Checksums = "crc" },
		"part_size":                     func(c *Config) { c.PartSize = 1 },
		"memory":                        func(c *Config) { c.Memory = 1 },
		"user_agent":                    func(c *Config) { c.UserAgent = "" },
		"timeout":                       func(c *Config) { c.Timeout = 0 },
		"attempts":                      func(c *Config) { c.Attempts = 0 },
	} {
		c := Defaults()
		c.AuthURL, c.Username, c.Password, c.Container = "https://keystone.example.com/v3", "me", "secret", "images"
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), field+": ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", field, err)
		}
	}
}
