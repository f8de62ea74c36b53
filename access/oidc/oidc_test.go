package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/access/internal/jwks"
	"github.com/longshore-registry/longshore/access/internal/tokentest"
)

// key is one of a provider.
type key struct {
	id        string
	algorithm jose.SignatureAlgorithm
	private   any
	public    any
}

func ecKey(t *testing.T, id string) key {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key{id, jose.ES256, k, k.Public()}
}

func rsaKey(t *testing.T, id string) key {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key{id, jose.RS256, k, k.Public()}
}

// sign makes a token.
func (k key) sign(t *testing.T, c claims, headers ...string) string {
	t.Helper()
	all := map[jose.HeaderKey]any{}
	for i := 0; i < len(headers); i += 2 {
		all[jose.HeaderKey(headers[i])] = headers[i+1]
	}
	return tokentest.Sign(t, k.algorithm, k.private, k.id, all, c)
}

func keySet(t *testing.T, keys ...key) []byte {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.public, KeyID: k.id, Use: "sig"})
	}
	body, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// provider is one that a test can change.
type provider struct {
	*httptest.Server
	keys    atomic.Pointer[[]byte]
	down    atomic.Bool
	fetches atomic.Int32
	wants   string // the Authorization that it wants, if any
}

func newProvider(t *testing.T, secure bool, keys ...key) *provider {
	t.Helper()
	p := &provider{}
	p.set(keySet(t, keys...))
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case p.down.Load():
			w.WriteHeader(http.StatusBadGateway)
		case p.wants != "" && r.Header.Get("Authorization") != p.wants:
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/.well-known/openid-configuration":
			_ = json.NewEncoder(w).Encode(map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/keys", "authorization_endpoint": p.URL + "/auth", "token_endpoint": p.URL + "/token"})
		case r.URL.Path == "/keys":
			p.fetches.Add(1)
			_, _ = w.Write(*p.keys.Load())
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	if secure {
		p.StartTLS()
	} else {
		p.Start()
	}
	t.Cleanup(p.Close)
	return p
}

func (p *provider) set(keys []byte) { p.keys.Store(&keys) }

// clock is one that a test moves.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Now().Unix())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(c.at.Load(), 0) }
func (c *clock) forward(d time.Duration) { c.at.Add(int64(d / time.Second)) }

func mustOpen(t *testing.T, all ...Options) *Providers {
	t.Helper()
	p, err := Open(all...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// with is a copy with some claims changed; nil takes one away.
func with(c claims, changes claims) claims {
	all := maps.Clone(c)
	for k, v := range changes {
		if v == nil {
			delete(all, k)
		} else {
			all[k] = v
		}
	}
	return all
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func TestTokens(t *testing.T) {
	c := newClock()
	rs, es, stranger := rsaKey(t, "rs"), ecKey(t, "es"), ecKey(t, "es")
	forge, other := newProvider(t, false, rs, es), newProvider(t, false, stranger)
	p := mustOpen(t,
		Options{Name: "forge", Kind: access.Workload, Issuer: forge.URL, Audiences: []string{"registry.test"}, Now: c.now, Required: map[string]string{"ref_protected": "true"}},
		Options{Name: "people", Issuer: forge.URL, ClientID: "app", Audiences: []string{"app2"}, Parties: []string{"cli"}, Admins: []string{"group:ops", "root@x.test"}, Now: c.now},
		Options{Name: "other", Issuer: other.URL, ClientID: "registry.test", UsernameClaim: "preferred_username", UsernamePrefix: "other:", GroupsClaim: "realm.groups", Now: c.now},
	)
	now := c.now().Unix()
	job := claims{
		"iss": forge.URL, "aud": "registry.test", "sub": "repo:org/app:ref:refs/heads/main", "iat": now, "nbf": now, "exp": now + 300,
		"repository": "org/app", "ref": "refs/heads/main", "ref_protected": "true", "kubernetes.io": map[string]any{"namespace": "prod"},
	}
	alice := claims{"iss": forge.URL, "aud": "app", "sub": "1", "iat": now, "exp": now + 300, "email": "alice@x.test", "email_verified": true, "groups": []string{"dev"}}
	bob := claims{"iss": other.URL, "aud": []string{"registry.test"}, "sub": "2", "exp": now + 300, "preferred_username": "bob", "realm": map[string]any{"groups": "ops"}}
	good := rs.sign(t, job, "typ", "JWT")
	parts := strings.Split(good, ".")
	der, err := x509.MarshalPKIXPublicKey(rs.public)
	if err != nil {
		t.Fatal(err)
	}
	hmac := func(secret []byte) string {
		return key{"rs", jose.HS256, secret, nil}.sign(t, job)
	}
	wide, err := json.Marshal(with(alice, claims{"groups": []string{"dev", "ops"}}))
	if err != nil {
		t.Fatal(err)
	}
	person := strings.Split(es.sign(t, alice), ".")
	embedded, err := json.Marshal(jose.JSONWebKey{Key: stranger.public, KeyID: "es"})
	if err != nil {
		t.Fatal(err)
	}
	byStranger := strings.Split(stranger.sign(t, job), ".")

	const unknown, expired, no = "unknown", "expired", "refused"
	for name, test := range map[string]struct{ token, want string }{
		"job":                      {good, "forge/repo:org/app:ref:refs/heads/main"},
		"job, another algorithm":   {es.sign(t, job), "forge/repo:org/app:ref:refs/heads/main"},
		"job, no kid":              {key{"", es.algorithm, es.private, nil}.sign(t, job), "forge/repo:org/app:ref:refs/heads/main"},
		"job, access token":        {rs.sign(t, job, "typ", "at+JWT"), "forge/repo:org/app:ref:refs/heads/main"},
		"job, azp of its own":      {rs.sign(t, with(job, claims{"azp": "1234"})), "forge/repo:org/app:ref:refs/heads/main"},
		"person":                   {es.sign(t, alice), "people/alice@x.test"},
		"person, admin":            {es.sign(t, with(alice, claims{"groups": "ops"})), "people/alice@x.test admin"},
		"person, admin by name":    {es.sign(t, with(alice, claims{"email": "root@x.test"})), "people/root@x.test admin"},
		"person, fetched by us":    {es.sign(t, with(alice, claims{"aud": []string{"app", "x"}, "azp": "app"})), "people/alice@x.test"},
		"person, fetched by a CLI": {es.sign(t, with(alice, claims{"azp": "cli"})), "people/alice@x.test"},
		"person of another":        {stranger.sign(t, bob), "other/other:bob"},
		"just over":                {es.sign(t, with(alice, claims{"exp": now - 59})), "people/alice@x.test"},
		"not yet, but nearly":      {es.sign(t, with(alice, claims{"nbf": now + 59, "iat": now + 59})), "people/alice@x.test"},

		"expired":                       {es.sign(t, with(alice, claims{"exp": now - 60})), expired},
		"not yet":                       {es.sign(t, with(alice, claims{"nbf": now + 61})), no},
		"nbf that is no number":         {es.sign(t, with(alice, claims{"nbf": "yesterday"})), no},
		"made in the future":            {es.sign(t, with(alice, claims{"iat": now + 61})), no},
		"no end":                        {es.sign(t, with(alice, claims{"exp": nil})), no},
		"end that is no number":         {es.sign(t, with(alice, claims{"exp": "2099"})), no},
		"end that is too large":         {es.sign(t, with(alice, claims{"exp": 1e300})), no},
		"another audience":              {rs.sign(t, with(job, claims{"aud": "elsewhere"})), no},
		"no audience":                   {rs.sign(t, with(job, claims{"aud": nil})), no},
		"audience as a prefix":          {rs.sign(t, with(job, claims{"aud": "registry.test.evil"})), no},
		"another issuer":                {rs.sign(t, with(job, claims{"iss": "https://evil.test"})), unknown},
		"no issuer":                     {rs.sign(t, with(job, claims{"iss": nil})), unknown},
		"issuer with a slash":           {rs.sign(t, with(job, claims{"iss": forge.URL + "/"})), unknown},
		"issuer, another case":          {rs.sign(t, with(with(job, claims{"iss": nil}), claims{"ISS": forge.URL})), unknown},
		"another's key with the kid":    {stranger.sign(t, job), no},
		"of another, for its people":    {es.sign(t, bob), no},
		"another's, said to be ours":    {stranger.sign(t, with(bob, claims{"iss": forge.URL})), no},
		"kid of nobody":                 {key{"x", es.algorithm, es.private, nil}.sign(t, job), no},
		"alg none":                      {encode(`{"alg":"none","kid":"rs"}`) + "." + parts[1] + ".", no},
		"alg None, with a signature":    {encode(`{"alg":"None","kid":"rs"}`) + "." + parts[1] + "." + parts[2], no},
		"no alg":                        {encode(`{"kid":"rs"}`) + "." + parts[1] + "." + parts[2], no},
		"no signature":                  {parts[0] + "." + parts[1] + ".", no},
		"HMAC with the public key, DER": {hmac(der), no},
		"HMAC with the public key, PEM": {hmac(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), no},
		"HMAC with the public key, n":   {hmac(rs.public.(*rsa.PublicKey).N.Bytes()), no},
		"HMAC with nothing":             {hmac(make([]byte, 32)), no},
		"another key in the header":     {encode(`{"alg":"ES256","kid":"es","jwk":`+string(embedded)+`}`) + "." + byStranger[1] + "." + byStranger[2], no},
		"a URL of keys in the header":   {stranger.sign(t, job, "jku", other.URL+"/keys"), no},
		"widened groups":                {person[0] + "." + encode(string(wide)) + "." + person[2], no},
		"a crit that nobody knows":      {encode(`{"alg":"ES256","kid":"es","crit":["x"],"x":1}`) + "." + person[1] + "." + person[2], no},
		"a logout token":                {es.sign(t, alice, "typ", "logout+jwt"), no},
		"a logout token, by its claims": {es.sign(t, with(alice, claims{"events": map[string]any{}})), no},
		"a refresh token":               {es.sign(t, with(alice, claims{"typ": "Refresh"})), no},
		"a proof of DPoP":               {es.sign(t, alice, "typ", "dpop+jwt"), no},
		"an address not verified":       {es.sign(t, with(alice, claims{"email_verified": false})), no},
		"an address, verified in words": {es.sign(t, with(alice, claims{"email_verified": "true"})), no},
		"no word of verification":       {es.sign(t, with(alice, claims{"email_verified": nil})), no},
		"no name":                       {stranger.sign(t, with(bob, claims{"preferred_username": nil})), no},
		"a name that is no text":        {stranger.sign(t, with(bob, claims{"preferred_username": []string{"bob"}})), no},
		"a robot's name":                {es.sign(t, with(alice, claims{"email": "robot$ci"})), no},
		"a name with a line break":      {es.sign(t, with(alice, claims{"email": "a\nb"})), no},
		"no sub":                        {es.sign(t, with(alice, claims{"sub": nil})), no},
		"fetched by a stranger":         {es.sign(t, with(alice, claims{"azp": "evil"})), no},
		"fetched by nobody we can name": {es.sign(t, with(alice, claims{"aud": []string{"app", "x"}})), no},
		"an azp that is no text":        {es.sign(t, with(alice, claims{"azp": 1})), no},
		"a claim that is required":      {rs.sign(t, with(job, claims{"ref_protected": "false"})), no},
		"no claim that is required":     {rs.sign(t, with(job, claims{"ref_protected": nil})), no},
		"no JWT":                        {"x.y.z", unknown},
		"two parts":                     {parts[0] + "." + parts[1], unknown},
		"five parts":                    {good + ".x.y", unknown},
		"a list":                        {parts[0] + "." + encode(`["iss"]`) + "." + parts[2], unknown},
		"too long":                      {good + strings.Repeat("A", maxToken), unknown},
		"nothing":                       {"", unknown},
	} {
		id, err := p.CheckToken(t.Context(), test.token)
		got := id.Source + "/" + id.Name
		if id.Admin {
			got += " admin"
		}
		switch {
		case errors.Is(err, access.ErrExpired):
			got = expired
		case errors.Is(err, access.ErrRefused):
			got = no
		case errors.Is(err, access.ErrUnknown):
			got = unknown
		case err != nil:
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: got %s (%v), want %s", name, got, err, test.want)
		}
		if err != nil && err != access.ErrExpired && (id.Name != "" || id.Claims != nil) {
			t.Errorf("%s: an account comes with %v", name, err)
		}
		if err != nil && test.token != "" && strings.Contains(err.Error(), test.token) {
			t.Errorf("%s: the token is in the error", name)
		}
	}
	id, err := p.CheckToken(t.Context(), good)
	if err != nil || id.Kind != access.Workload || !id.Expires.Equal(time.Unix(now+300, 0).Add(skew)) || !access.FitsClaim(id.Claims, "kubernetes.io.namespace", "pro*") {
		t.Errorf("job: got %+v, %v", id, err)
	}
	id, err = p.CheckToken(t.Context(), stranger.sign(t, bob))
	if err != nil || id.Kind != access.User || strings.Join(id.Groups, " ") != "ops" {
		t.Errorf("bob: got %+v, %v", id, err)
	}
}

// TestKeysRotate is about what is asked of a provider, and when.
func TestKeysRotate(t *testing.T) {
	c := newClock()
	old, next, made := ecKey(t, "old"), ecKey(t, "next"), ecKey(t, "made-up")
	server := newProvider(t, false, old)
	server.down.Store(true)
	p := mustOpen(t, Options{Name: "people", Issuer: server.URL, ClientID: "app", Now: c.now})
	check := func(k key) error {
		now := c.now().Unix()
		_, err := p.CheckToken(t.Context(), k.sign(t, claims{
			"iss": server.URL, "aud": "app", "sub": "1", "exp": now + 60, "email": "a@x.test", "email_verified": true,
		}))
		return err
	}
	fetches := func(want int32) {
		t.Helper()
		if got := server.fetches.Load(); got != want {
			t.Errorf("keys were fetched %d times, want %d", got, want)
		}
	}
	isFault := func(err error) bool {
		return err != nil && !errors.Is(err, access.ErrRefused) && !errors.Is(err, access.ErrUnknown)
	}
	if err := check(old); !isFault(err) {
		t.Errorf("while the provider is down: got %v", err)
	}
	server.down.Store(false)
	if err := check(old); !isFault(err) {
		t.Errorf("before it is asked again: got %v", err)
	}
	c.forward(jwks.Again)
	if err := check(old); err != nil {
		t.Error(err)
	}
	for range 20 {
		if err := check(made); !errors.Is(err, access.ErrRefused) {
			t.Errorf("a made-up key: got %v", err)
		}
	}
	fetches(1)
	server.set(keySet(t, old, next))
	c.forward(jwks.Again)
	if err := check(next); err != nil {
		t.Error("a new key:", err)
	}
	fetches(2)
	server.set(keySet(t, next)) // the old one is withdrawn
	c.forward(jwks.Fresh)
	if err := check(old); !errors.Is(err, access.ErrRefused) {
		t.Errorf("a key that was withdrawn: got %v", err)
	}
	fetches(3)
	server.down.Store(true)
	c.forward(jwks.Fresh)
	if err := check(next); err != nil {
		t.Error("a known key, while the provider is down:", err)
	}
	c.forward(jwks.Outlive)
	if err := check(next); !isFault(err) {
		t.Errorf("a key of yesterday, while the provider is down: got %v", err)
	}
	server.down.Store(false)
	c.forward(jwks.Again)
	if err := check(next); err != nil {
		t.Error(err)
	}
}

// TestCluster is Kubernetes: keys at a URL with a CA of its own, which wants the pod's token; or a file with them.
func TestCluster(t *testing.T) {
	k := rsaKey(t, "k")
	server := newProvider(t, true, k)
	dir := t.TempDir()
	ca, token, jwks := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "token"), filepath.Join(dir, "jwks.json")
	write := func(file string, text []byte) {
		t.Helper()
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	write(token, []byte("the pod's\n"))
	write(jwks, keySet(t, k))
	server.wants = "Bearer the pod's"
	base := Options{Name: "cluster", Kind: access.Workload, Issuer: "https://kubernetes.default.svc", Audiences: []string{"registry"}}
	pod := k.sign(t, claims{
		"iss": base.Issuer, "aud": []string{"registry"}, "sub": "system:serviceaccount:prod:puller", "exp": time.Now().Unix() + 60,
		"kubernetes.io": map[string]any{"namespace": "prod", "serviceaccount": map[string]any{"name": "puller"}},
	})
	for name, test := range map[string]struct {
		change func(*Options)
		good   bool
	}{
		"URL":                  {func(o *Options) { o.JWKS, o.CAFile, o.TokenFile = server.URL+"/keys", ca, token }, true},
		"file":                 {func(o *Options) { o.JWKS = jwks }, true},
		"URL, no CA":           {func(o *Options) { o.JWKS, o.TokenFile = server.URL+"/keys", token }, false},
		"URL, no token":        {func(o *Options) { o.JWKS, o.CAFile = server.URL+"/keys", ca }, false},
		"URL, a token of none": {func(o *Options) { o.JWKS, o.CAFile, o.TokenFile = server.URL+"/keys", ca, dir+"/none" }, false},
	} {
		o := base
		test.change(&o)
		id, err := mustOpen(t, o).CheckToken(t.Context(), pod)
		good := err == nil && id.Name == "system:serviceaccount:prod:puller" && access.FitsClaim(id.Claims, "kubernetes.io.serviceaccount.name", "puller")
		if good != test.good || errors.Is(err, access.ErrRefused) || errors.Is(err, access.ErrUnknown) {
			t.Errorf("%s: got %+v, %v", name, id, err)
		}
	}
}

func TestOptions(t *testing.T) {
	good := Options{Name: "a", Issuer: "https://a.test", ClientID: "app"}
	for want, change := range map[string]func(*Options){
		"name: \"A\"":   func(o *Options) { o.Name = "A" },
		"name: ldap":    func(o *Options) { o.Name = "ldap" },
		"kind":          func(o *Options) { o.Kind = access.Robot },
		"audiences":     func(o *Options) { o.ClientID = "" },
		"issuer":        func(o *Options) { o.Issuer = "http://a.test" },
		"issuer: \"a":   func(o *Options) { o.Issuer = "a.test" },
		"jwks: \"http:": func(o *Options) { o.JWKS = "http://a.test/keys" },
		"jwks":          func(o *Options) { o.JWKS = "/nowhere/keys" },
		"ca_file":       func(o *Options) { o.CAFile = "/nowhere/ca" },
		"admins":        func(o *Options) { o.Admins = []string{"*"} },
	} {
		o := good
		change(&o)
		if _, err := Open(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	twice := good
	twice.Name = "b"
	for want, second := range map[string]Options{"twice": good, "in common": twice} {
		if _, err := Open(good, second); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}
