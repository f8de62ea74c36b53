package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/access/internal/jwks"
	"github.com/longshore-registry/longshore/access/internal/tokentest"
)

// tokenServer is one of somebody else: it publishes keys.
type tokenServer struct {
	*httptest.Server
	mu    sync.Mutex
	keys  []jose.JSONWebKey
	asked int
	down  bool
}

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.down {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	body, _ := json.Marshal(jose.JSONWebKeySet{Keys: s.keys})
	_, _ = w.Write(body)
}

func newTokenServer(t *testing.T, keys ...jose.JSONWebKey) *tokenServer {
	s := &tokenServer{keys: keys}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func newExternal(t *testing.T, o ExternalOptions, c *clock) *External {
	t.Helper()
	o.Issuer, o.Service, o.Now, o.Log = "auth.test", "registry.test", c.Now, slog.New(slog.DiscardHandler)
	e, err := NewExternal(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func written(t *testing.T, name string, body []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestExternal(t *testing.T) {
	c := newClock()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec := ecKey(t)
	secret := []byte("a secret that somebody put among the public keys")
	server := newTokenServer(t,
		jose.JSONWebKey{Key: private.Public(), KeyID: "rsa", Use: "sig"}, jose.JSONWebKey{Key: edwards.Public(), KeyID: "ed"},
		jose.JSONWebKey{Key: ec.Public(), KeyID: "ec", Algorithm: "ES256"}, jose.JSONWebKey{Key: ecKey(t).Public(), KeyID: "enc", Use: "enc"}, jose.JSONWebKey{Key: secret, KeyID: "secret"})
	e := newExternal(t, ExternalOptions{JWKS: server.URL}, c)
	now := c.Now()
	said := func(changes map[string]any) map[string]any {
		all := map[string]any{
			"iss": "auth.test", "sub": "alice", "aud": "registry.test", "exp": now.Add(5 * time.Minute).Unix(), "nbf": now.Unix(), "iat": now.Unix(), "jti": "1",
			"access": []entry{{Type: "repository", Name: "team/app", Actions: []string{"pull", "push"}}, {Type: "repository", Name: "team/**", Actions: []string{"*"}}, {Type: "registry", Name: "catalog", Actions: []string{"*"}}},
		}
		for k, v := range changes {
			if all[k] = v; v == nil {
				delete(all, k)
			}
		}
		return all
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		token string
		want  error
	}{
		{"RS256", sign(t, jose.RS256, private, "rsa", said(nil)), nil},
		{"PS512", sign(t, jose.PS512, private, "rsa", said(nil)), nil},
		{"ES256", sign(t, jose.ES256, ec, "ec", said(nil)), nil},
		{"EdDSA", sign(t, jose.EdDSA, edwards, "ed", said(nil)), nil},
		{"no kid", sign(t, jose.RS256, private, "", said(nil)), nil},
		{"several services", sign(t, jose.RS256, private, "rsa", said(map[string]any{"aud": []string{"other.test", "registry.test"}})), nil},
		{"no nbf", sign(t, jose.RS256, private, "rsa", said(map[string]any{"nbf": nil})), nil},
		{"clocks that differ", sign(t, jose.RS256, private, "rsa", said(map[string]any{"nbf": now.Add(50 * time.Second).Unix()})), nil},
		{"another service", sign(t, jose.RS256, private, "rsa", said(map[string]any{"aud": "other.test"})), access.ErrRefused},
		{"no service", sign(t, jose.RS256, private, "rsa", said(map[string]any{"aud": nil})), access.ErrRefused},
		{"no end", sign(t, jose.RS256, private, "rsa", said(map[string]any{"exp": nil})), access.ErrRefused},
		{"over", sign(t, jose.RS256, private, "rsa", said(map[string]any{"exp": now.Add(-2 * time.Minute).Unix()})), access.ErrExpired},
		{"not yet", sign(t, jose.RS256, private, "rsa", said(map[string]any{"nbf": now.Add(2 * time.Minute).Unix()})), access.ErrRefused},
		{"another issuer", sign(t, jose.RS256, private, "rsa", said(map[string]any{"iss": "other.test"})), access.ErrUnknown},
		{"a key of nobody", sign(t, jose.ES256, ecKey(t), "ec", said(nil)), access.ErrRefused},
		{"a kid of nobody", sign(t, jose.RS256, private, "nobody", said(nil)), access.ErrRefused},
		{"a key for another algorithm", sign(t, jose.RS256, private, "ec", said(nil)), access.ErrRefused},
		{"HMAC with the public key", sign(t, jose.HS256, public, "rsa", said(nil)), access.ErrUnknown},
		{"HMAC with a secret of the set", sign(t, jose.HS256, secret, "secret", said(nil)), access.ErrUnknown},
		{"alg none", encode(`{"alg":"none"}`) + "." + encode(`{"iss":"auth.test"}`) + ".", access.ErrUnknown},
		{"nothing", "", access.ErrUnknown},
	} {
		id, err := e.CheckToken(t.Context(), test.token)
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) || errors.Is(err, access.ErrExpired) != (test.want == access.ErrExpired) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
			continue
		}
		if err == nil {
			if id.Name != "alice" || id.Source != "token" || !id.TokenCovers(access.TagMove, "team/app") || id.TokenCovers(access.Delete, "team/app") ||
				id.TokenCovers(access.Pull, "team/other") || !id.TokenCovers(access.Catalogue, "") || id.TokenCovers(access.Admin, "") {
				t.Errorf("%s: %+v", test.name, id)
			}
		} else if id.Name != "" {
			t.Errorf("%s: an error with an account", test.name)
		}
	}
	id, err := e.CheckToken(t.Context(), sign(t, jose.RS256, private, "rsa", said(map[string]any{"sub": "", "access": nil})))
	if err != nil || id.IsAnonymous() || id.Token == nil || len(id.Token) > 0 {
		t.Errorf("a token for nobody, and nothing: %+v, %v", id, err)
	}
	if server.asked > 2 {
		t.Errorf("the server was asked %d times", server.asked)
	}

	// A new key is found, and one that was withdrawn is forgotten in the end.
	next := ecKey(t)
	server.mu.Lock()
	server.keys = []jose.JSONWebKey{{Key: next.Public(), KeyID: "next"}}
	server.mu.Unlock()
	c.move(jwks.Again)
	late := func(key *ecdsa.PrivateKey, kid string) error {
		_, err := e.CheckToken(t.Context(), sign(t, jose.ES256, key, kid, said(map[string]any{"exp": c.Now().Add(time.Minute).Unix()})))
		return err
	}
	if err := errors.Join(late(next, "next")); err != nil {
		t.Errorf("after the key was changed: %v", err)
	}
	if err := late(ec, "ec"); !errors.Is(err, access.ErrRefused) {
		t.Errorf("with the former key: %v", err)
	}
	// A server that is down: what is known counts on; of what is not, nothing can be said.
	server.mu.Lock()
	server.down = true
	server.mu.Unlock()
	c.move(jwks.Fresh + time.Minute)
	if err := late(next, "next"); err != nil {
		t.Errorf("while the server is down: %v", err)
	}
	if err := late(ec, "ec"); err == nil || errors.Is(err, access.ErrRefused) || errors.Is(err, access.ErrUnknown) {
		t.Errorf("an unknown key while the server is down: %v", err)
	}
}

// certify makes a certificate for a key.
func certify(t *testing.T, name string, key *ecdsa.PrivateKey, parent *x509.Certificate, by *ecdsa.PrivateKey, now time.Time) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: parent == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestExternalRoots(t *testing.T) {
	c := newClock()
	rootKey, leafKey, strangerKey := ecKey(t), ecKey(t), ecKey(t)
	root := certify(t, "root", rootKey, nil, rootKey, c.Now())
	leaf := certify(t, "leaf", leafKey, root, rootKey, c.Now())
	stranger := certify(t, "root", strangerKey, nil, strangerKey, c.Now())
	file := written(t, "roots.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}))
	e := newExternal(t, ExternalOptions{Roots: file, Algorithms: []string{"ES256"}}, c)
	claims := map[string]any{"iss": "auth.test", "sub": "alice", "aud": "registry.test", "exp": c.Now().Add(time.Minute).Unix()}
	chained := func(key *ecdsa.PrivateKey, chain ...*x509.Certificate) string {
		var x5c []string
		for _, one := range chain {
			x5c = append(x5c, base64.StdEncoding.EncodeToString(one.Raw))
		}
		return tokentest.Sign(t, jose.ES256, key, "", map[jose.HeaderKey]any{"x5c": x5c}, claims)
	}
	id, err := libtrustID(rootKey.Public())
	if err != nil || len(id) != 59 {
		t.Fatal(id, err)
	}
	for _, test := range []struct {
		name  string
		token string
		want  error
	}{
		{"a chain", chained(leafKey, leaf), nil},
		{"a chain with its root", chained(leafKey, leaf, root), nil},
		{"the root itself, by libtrust's name", sign(t, jose.ES256, rootKey, id, claims), nil},
		{"a chain to another root of the same name", chained(strangerKey, stranger), access.ErrRefused},
		{"a chain of others' certificates", chained(strangerKey, leaf, root), access.ErrRefused},
		{"a stranger by libtrust's name", sign(t, jose.ES256, strangerKey, id, claims), access.ErrRefused},
		{"another algorithm", sign(t, jose.ES384, func() *ecdsa.PrivateKey { k, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader); return k }(), id, claims), access.ErrUnknown},
	} {
		if _, err := e.CheckToken(t.Context(), test.token); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

func TestExternalOptions(t *testing.T) {
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: ecKey(t).Public(), KeyID: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	good := ExternalOptions{Issuer: "auth.test", Service: "registry.test", JWKS: written(t, "jwks.json", keys)}
	if _, err := NewExternal(good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*ExternalOptions){
		"no issuer":       func(o *ExternalOptions) { o.Issuer = "" },
		"no service":      func(o *ExternalOptions) { o.Service = "" },
		"no keys":         func(o *ExternalOptions) { o.JWKS = "" },
		"HMAC":            func(o *ExternalOptions) { o.Algorithms = []string{"RS256", "HS256"} },
		"none":            func(o *ExternalOptions) { o.Algorithms = []string{"none"} },
		"no such file":    func(o *ExternalOptions) { o.JWKS = "/nowhere" },
		"a file of none":  func(o *ExternalOptions) { o.JWKS = written(t, "jwks.json", []byte(`{"keys":[]}`)) },
		"no JSON":         func(o *ExternalOptions) { o.JWKS = written(t, "jwks.json", []byte("text")) },
		"no certificates": func(o *ExternalOptions) { o.Roots = written(t, "roots.pem", []byte("text")) },
		"no roots":        func(o *ExternalOptions) { o.Roots = "/nowhere" },
	} {
		o := good
		change(&o)
		if _, err := NewExternal(o); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}
