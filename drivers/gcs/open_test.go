package gcs

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/internal/gcstest"
)

func TestOpenSaysWhatIsWrong(t *testing.T) {
	html := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(html.Close)
	for want, server := range map[string]http.HandlerFunc{
		`bucket: there is no bucket "images"`:   func(w http.ResponseWriter, _ *http.Request) { fails(w, 404, "notFound") },
		"bucket: none (anonymous) has no right": func(w http.ResponseWriter, _ *http.Request) { fails(w, 403, "forbidden") },
		"user_project: ":                        func(w http.ResponseWriter, _ *http.Request) { fails(w, 403, "userProjectMissing") },
		"credentials_file: ":                    func(w http.ResponseWriter, _ *http.Request) { fails(w, 401, "authError") },
		"endpoint: ":                            func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
	} {
		s := httptest.NewServer(server)
		c := Defaults()
		c.Bucket, c.Endpoint, c.Anonymous, c.Attempts = "images", s.URL, true, 1
		_, err := Open(t.Context(), c)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s…", err, want)
		}
		s.Close()
	}
	for want, endpoint := range map[string]string{
		"endpoint: ": "http://127.0.0.1:1", "ca_file: ": html.URL, "endpoint: http": strings.Replace(html.URL, "https", "http", 1),
	} {
		c := Defaults()
		c.Bucket, c.Endpoint, c.Anonymous, c.Attempts = "images", endpoint, true, 1
		_, err := Open(t.Context(), c)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s…", endpoint, err, want)
		}
	}
}

// Open says whose fault it is that there is no token.
func TestOpenWithoutCredentials(t *testing.T) {
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`)
	}))
	t.Cleanup(refuses.Close)
	account, err := gcstest.NewAccount("registry@p.iam.gserviceaccount.com")
	if err != nil {
		t.Fatal(err)
	}
	revoked, err := account.File(refuses.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"a key that was revoked": {func(c *Config) { c.CredentialsJSON = drivers.Secret(revoked) }, "credentials_file: registry@p.iam.gserviceaccount.com (service_account, from credentials_json) gets no token"},
		"no such file":           {func(c *Config) { c.CredentialsFile = "/nowhere/account.json" }, "credentials_file: open /nowhere"},
		"another kind of file":   {func(c *Config) { c.CredentialsJSON = `{"type":"letter"}` }, "credentials_json: "},
		"none":                   {func(*Config) {}, "credentials_file: none is set and the machine has no application default credentials: open /nowhere"},
	} {
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/default.json") // or the machine would be asked
		c := Defaults()
		c.Bucket, c.Endpoint, c.Attempts = "images", "http://127.0.0.1:1", 1
		test.change(&c)
		_, err := Open(t.Context(), c)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) || strings.Contains(err.Error(), "PRIVATE KEY") {
			t.Errorf("%s: got %v, want %s…", name, err, test.want)
		}
	}
}

func TestValidate(t *testing.T) {
	for field, change := range map[string]func(*Config){
		"bucket":           func(c *Config) { c.Bucket = "" },
		"prefix":           func(c *Config) { c.Prefix = "a//b" },
		"endpoint":         func(c *Config) { c.Endpoint = "storage.example.com" },
		"public_endpoint":  func(c *Config) { c.PublicEndpoint = "https://a/b" },
		"credentials_json": func(c *Config) { c.CredentialsJSON = "{" },
		"anonymous":        func(c *Config) { c.Anonymous, c.CredentialsFile = true, "f" },
		"impersonate":      func(c *Config) { c.Impersonate = "someone" },
		"signing_account":  func(c *Config) { c.SigningAccount = "someone" },
		"kms_key":          func(c *Config) { c.KMSKey = "key" },
		"storage_class":    func(c *Config) { c.StorageClass = "GLACIER" },
		"part_size":        func(c *Config) { c.PartSize = 1 },
		"memory":           func(c *Config) { c.Memory = 1 },
		"user_agent":       func(c *Config) { c.UserAgent = "a b" },
		"timeout":          func(c *Config) { c.Timeout = 0 },
		"attempts":         func(c *Config) { c.Attempts = 0 },
	} {
		c := Defaults()
		c.Bucket = "images"
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), field+": ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", field, err)
		}
	}
}
