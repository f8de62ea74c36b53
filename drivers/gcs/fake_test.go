package gcs

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/internal/gcstest"
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

// serviceAccount is an account with a new key, and its credentials file.
func serviceAccount(t *testing.T, email string) (*gcstest.Account, drivers.Secret) {
	t.Helper()
	account, err := gcstest.NewAccount(email)
	if err != nil {
		t.Fatal(err)
	}
	file, err := account.File(tokens(t))
	if err != nil {
		t.Fatal(err)
	}
	return account, drivers.Secret(file)
}

// tokens answers as an endpoint of tokens does.
func tokens(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"T","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// verify checks a signed URL, and returns its query.
func verify(t *testing.T, signed string, account *gcstest.Account) url.Values {
	t.Helper()
	u, err := url.Parse(signed)
	if err != nil {
		t.Fatal(err)
	}
	if err := account.Check(http.MethodGet, u.Host, u); err != nil {
		t.Errorf("%s: %v", signed, err)
	}
	return u.Query()
}

func TestSignURLWithAKey(t *testing.T) {
	account, content := serviceAccount(t, "registry@p.iam.gserviceaccount.com")
	requests := 0
	d := fake(t, func(w http.ResponseWriter, _ *http.Request) { requests++ }, func(c *Config) {
		c.Anonymous, c.CredentialsJSON, c.PublicEndpoint = false, content, "https://images.example.com"
	})
	if drivers.ExtrasOf(d).Signer == nil {
		t.Fatal("with a key the driver can sign")
	}
	signed, err := d.SignURL(t.Context(), "a/b", 90*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	q := verify(t, signed, account)
	if !strings.HasPrefix(signed, "https://images.example.com/images/a/b?") || q.Get("X-Goog-Expires") != "89" && q.Get("X-Goog-Expires") != "90" {
		t.Errorf("signed %s", signed)
	}
	if requests != 0 {
		t.Errorf("%d requests", requests)
	}
	if !strings.Contains(d.Identity(), "registry@p.iam.gserviceaccount.com") || strings.Contains(d.Identity(), "PRIVATE") {
		t.Errorf("Identity() = %s", d.Identity())
	}
}

// iam answers for Google's services.
type iam struct {
	next http.RoundTripper
	sign func(account string, payload []byte) (status int, signature []byte)
}

func (i iam) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Host, ".googleapis.com") {
		return i.next.RoundTrip(r)
	}
	account, found := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/v1/projects/-/serviceAccounts/"), ":signBlob")
	if !found || r.Header.Get("Authorization") != "Bearer T" {
		return nil, fmt.Errorf("asked for %s with %q", r.URL, r.Header.Get("Authorization"))
	}
	var in struct{ Payload []byte }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	status, signature := i.sign(account, in.Payload)
	w := httptest.NewRecorder()
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"keyId":"k","signedBlob":%q}`, base64.StdEncoding.EncodeToString(signature))
	return w.Result(), nil
}

// Without a key IAM signs, for an account that the configuration names.
func TestSignURLThroughIAM(t *testing.T) {
	_, content := serviceAccount(t, "registry@p.iam.gserviceaccount.com")
	signer, _ := serviceAccount(t, "signer@p.iam.gserviceaccount.com")
	status := http.StatusOK
	d := fake(t, nil, func(c *Config) {
		c.Anonymous, c.CredentialsJSON, c.SigningAccount = false, content, signer.Email
		c.Transport = func(next http.RoundTripper) http.RoundTripper {
			return iam{next, func(asked string, payload []byte) (int, []byte) {
				if asked != signer.Email {
					t.Errorf("asked for %s", asked)
				}
				signature, err := signer.Sign(payload)
				if err != nil {
					t.Error(err)
				}
				return status, signature
			}}
		}
	})
	signed, err := d.SignURL(t.Context(), "a/b", 48*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if q := verify(t, signed, signer); q.Get("X-Goog-Expires") > "43200" {
		t.Errorf("expires in %s s, want at most twelve hours", q.Get("X-Goog-Expires"))
	}
	status = http.StatusForbidden
	if _, err := d.SignURL(t.Context(), "a/b", time.Hour); !errors.Is(err, drivers.ErrDenied) || !strings.Contains(err.Error(), "signBlob") {
		t.Errorf("refused by IAM: %v", err)
	}
}

func TestAnonymousSignsNothing(t *testing.T) {
	d := fake(t, nil, nil)
	if drivers.ExtrasOf(d).Signer != nil {
		t.Error("a driver without credentials says that it can sign")
	}
}

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
