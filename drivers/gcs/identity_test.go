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
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/internal/gcstest"
)

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

// A workload and the machine sign through IAM by the names of their accounts.
func TestWhoSigns(t *testing.T) {
	federated := `{"type":"external_account","audience":"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
		"subject_token_type":"urn:ietf:params:oauth:token-type:jwt","token_url":"https://sts.googleapis.com/v1/token","credential_source":{"file":"/token"},
		"service_account_impersonation_url":"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/workload@p.iam.gserviceaccount.com:generateAccessToken"}`
	_, key := serviceAccount(t, "registry@p.iam.gserviceaccount.com")
	for name, test := range map[string]struct {
		change  func(*Config)
		account string
		key     bool
	}{
		"a key":                    {func(c *Config) { c.CredentialsJSON = key }, "registry@p.iam.gserviceaccount.com", true},
		"a workload":               {func(c *Config) { c.CredentialsJSON = drivers.Secret(federated) }, "workload@p.iam.gserviceaccount.com", false},
		"a key that acts":          {func(c *Config) { c.CredentialsJSON, c.Impersonate = key, "other@p.iam.gserviceaccount.com" }, "other@p.iam.gserviceaccount.com", false},
		"a key, and another signs": {func(c *Config) { c.CredentialsJSON, c.SigningAccount = key, "signer@p.iam.gserviceaccount.com" }, "signer@p.iam.gserviceaccount.com", false},
	} {
		c := Defaults()
		test.change(&c)
		d := &Driver{c: c, requests: http.DefaultTransport}
		i, err := d.findIdentity(t.Context())
		if err != nil || i.account != test.account || (i.key != nil) != test.key || !i.canSign() || !strings.Contains(i.text, test.account) {
			t.Errorf("%s: %q, with a key: %v, %q, %v", name, i.account, i.key != nil, i.text, err)
		}
	}
}
