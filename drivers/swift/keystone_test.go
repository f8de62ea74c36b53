package swift

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

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
		"project: the identity":            func(f *fake, c *Config) { f.noStore, c.Project = true, "" },
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

func TestValidate(t *testing.T) {
	for field, change := range map[string]func(*Config){
		"auth_url":                      func(c *Config) { c.AuthURL = "" },
		"storage_url":                   func(c *Config) { c.StorageURL = "swift.example.com" },
		"public_endpoint":               func(c *Config) { c.PublicEndpoint = "ftp://a" },
		"container":                     func(c *Config) { c.Container = "a/b" },
		"prefix":                        func(c *Config) { c.Prefix = "a//b" },
		"username":                      func(c *Config) { c.Username = "" },
		"domain":                        func(c *Config) { c.Domain = "" },
		"password":                      func(c *Config) { c.Password = "" },
		"application_credential_id":     func(c *Config) { c.Password, c.ApplicationCredentialSecret = "", "s" },
		"application_credential_secret": func(c *Config) { c.ApplicationCredentialID = "a" },
		"auth_version":                  func(c *Config) { c.AuthURL = "https://keystone.example.com" },
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
		c.AuthURL, c.Username, c.Domain, c.Password, c.Container = "https://keystone.example.com/v3", "me", "Default", "secret", "images"
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), field+": ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", field, err)
		}
	}
}
