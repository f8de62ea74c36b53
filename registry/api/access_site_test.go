package api_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"log/slog"
	bigint "math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/access/accounts"
	"github.com/longshore-registry/longshore/access/htpasswd"
	"github.com/longshore-registry/longshore/access/token"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/registry"
	"github.com/longshore-registry/longshore/registry/api"
)

// service is by which name the clients of a guarded site know it.
const service = "registry.test"

// guarded is a site with accounts of each kind.
type guarded struct {
	t        testing.TB
	store    drivers.Driver
	registry *registry.Registry
	control  *access.Control
	issuer   *token.Issuer
	plain    *httptest.Server
	secure   *httptest.Server // the same with TLS
	clients  map[string]*http.Client
	log      *text
	audit    *text

	passwords map[string]string // by name, of all accounts
	key       string            // alice's API key
	scopedKey string            // one that may pull alice/app alone
	carried   *tls.Certificate  // erin's
}

// guardedOptions change what a guarded site is made of.
type guardedOptions struct {
	access   func(*access.ControlOptions)
	api      func(*api.Options)
	registry registry.Options
	wrap     func(drivers.Driver) drivers.Driver
	now      func() time.Time // of tokens and sessions
	refresh  time.Duration    // how long what was read of accounts counts
}

// persons are the users of a guarded site.
func persons() []accounts.User {
	return []accounts.User{{Name: "admin"}, {Name: "alice", Groups: []string{"dev"}}, {Name: "bob"}, {Name: "carol"}}
}

func passwordOf(name string) string { return "password of " + name }

// people is what a store holds of them. It is made once: passwords take their time.
var people = sync.OnceValues(func() (map[string][]byte, error) {
	ctx, store := context.Background(), memory.New(memory.Options{})
	users, err := accounts.Open(store, accounts.Options{})
	if err != nil {
		return nil, err
	}
	for _, u := range persons() {
		if err := users.AddUser(ctx, u, passwordOf(u.Name), "test"); err != nil {
			return nil, err
		}
	}
	if err := users.ChangeUser(ctx, "carol", func(u *accounts.User) { u.Disabled = true }); err != nil {
		return nil, err
	}
	kept := map[string][]byte{}
	for entry, err := range store.List(ctx, "access/", "", "") {
		if err != nil {
			return nil, err
		}
		body, _, err := store.Reader(ctx, entry.Key, 0, -1)
		if err != nil {
			return nil, err
		}
		if kept[entry.Key], err = io.ReadAll(body); err != nil {
			return nil, err
		}
	}
	return kept, nil
})

// text is a log.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// policy is that of the matrix; see testdata/access.txt.
func policy() *access.Policy {
	return access.NewPolicy(access.PolicyOptions{
		Authenticated:     []access.Action{access.Pull, access.Push},
		Admins:            []string{"admin"},
		PrivateNamespaces: true,
		Rules: []access.Rule{
			{Repositories: "public/**", Allow: []access.Action{access.Pull}},
			{Repositories: "team/**", Groups: []string{"dev"}, Allow: []access.Action{access.Pull, access.Push, access.TagMove}},
			{Repositories: "drop/**", Users: []string{"*"}, Allow: []access.Action{access.Push}},
		},
	})
}

func newGuarded(t testing.TB, o guardedOptions) *guarded {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	g := &guarded{t: t, log: &text{}, audit: &text{}, passwords: map[string]string{}, clients: map[string]*http.Client{}}
	g.store = memory.New(memory.Options{})
	if o.wrap != nil {
		g.store = o.wrap(g.store)
	}
	log := slog.New(slog.NewJSONHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o.registry.Log = log
	if o.now != nil {
		o.registry.Now = o.now
	}
	var err error
	g.registry, err = registry.Open(t.Context(), g.store, o.registry)
	check(err)

	kept, err := people()
	check(err)
	for key, body := range kept {
		check(g.store.Put(t.Context(), key, body))
	}
	for _, u := range persons() {
		g.passwords[u.Name] = passwordOf(u.Name)
	}
	users, err := accounts.Open(g.store, accounts.Options{Refresh: o.refresh})
	check(err)
	scope := []access.Grant{{Repositories: "team/**", Actions: []access.Action{access.Pull, access.Push}}}
	g.passwords["robot$ci"], err = users.AddRobot(t.Context(), accounts.Robot{Name: "ci", Scope: scope}, "test")
	check(err)
	g.passwords["robot$old"], err = users.AddRobot(t.Context(), accounts.Robot{Name: "old", Scope: scope, Expires: time.Now().Add(-time.Hour)}, "test")
	check(err)
	_, g.key, err = users.AddKey(t.Context(), accounts.Key{User: "alice"}, "alice")
	check(err)
	_, g.scopedKey, err = users.AddKey(t.Context(), accounts.Key{User: "alice", Scope: []access.Grant{{Repositories: "alice/app", Actions: []access.Action{access.Pull}}}}, "alice")
	check(err)
	g.passwords["dave"] = "password of dave"
	hash, err := bcrypt.GenerateFromPassword([]byte(g.passwords["dave"]), bcrypt.MinCost)
	check(err)
	file := filepath.Join(t.TempDir(), "htpasswd")
	check(os.WriteFile(file, append([]byte("dave:"), hash...), 0o600))
	filed, err := htpasswd.Open(htpasswd.Options{Path: file, Log: log})
	check(err)
	g.issuer, err = token.NewIssuer(token.IssuerOptions{Store: g.store, Now: o.now, Log: log})
	check(err)

	control := access.ControlOptions{
		Passwords: []access.Passwords{users, filed}, Tokens: []access.Tokens{g.issuer, users}, Certificates: []access.Certificates{access.FromCN},
		Policy: policy(), Locked: users.Locked, Audit: access.NewAudit(g.audit, log), Log: log, Now: o.now,
		Throttle: access.ThrottleOptions{Account: 1 << 20, Address: 1 << 20, MaxDelay: -1},
	}
	if o.access != nil {
		o.access(&control)
	}
	g.control, err = access.NewControl(control)
	check(err)
	options := api.Options{
		Access: g.control, Tokens: token.NewServer(g.control, g.issuer), PublicURL: "", Log: log, Challenge: api.Challenge{Service: service},
	}
	if o.api != nil {
		o.api(&options)
	}
	handler := api.New(g.registry, options)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	g.plain, g.secure = httptest.NewUnstartedServer(handler), httptest.NewUnstartedServer(handler)
	g.plain.Config.Protocols, g.secure.Config.Protocols = protocols, protocols
	g.plain.Start()
	t.Cleanup(g.plain.Close)
	g.certificates()
	g.secure.EnableHTTP2 = true
	g.secure.StartTLS()
	t.Cleanup(g.secure.Close)
	return g
}

// certificates makes an authority for clients, which the server trusts, and erin's certificate.
func (g *guarded) certificates() {
	g.t.Helper()
	make := func(c, parent *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			g.t.Fatal(err)
		}
		c.SerialNumber, c.NotBefore, c.NotAfter = bigint.NewInt(1), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		if parent == nil {
			parent, key = c, own
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, own.Public(), key)
		if err != nil {
			g.t.Fatal(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			g.t.Fatal(err)
		}
		return made, own
	}
	authority, key := make(&x509.Certificate{Subject: pkix.Name{CommonName: "clients"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	erin, own := make(&x509.Certificate{Subject: pkix.Name{CommonName: "erin"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, authority, key)
	g.carried = &tls.Certificate{Certificate: [][]byte{erin.Raw}, PrivateKey: own}
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	g.secure.TLS = &tls.Config{ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven}
}

// client speaks HTTP/1.1 or HTTP/2, and carries erin's certificate if that is asked for.
func (g *guarded) client(http2, certificate bool) *http.Client {
	name := map[bool]string{true: "2", false: "1"}[http2] + map[bool]string{true: "c"}[certificate]
	if c := g.clients[name]; c != nil {
		return c
	}
	t := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 32, Protocols: new(http.Protocols)}
	t.Protocols.SetHTTP1(!http2)
	t.Protocols.SetUnencryptedHTTP2(http2)
	t.Protocols.SetHTTP2(http2)
	if certificate {
		pool := x509.NewCertPool()
		pool.AddCert(g.secure.Certificate())
		t.TLSClientConfig = &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{*g.carried}}
	}
	g.t.Cleanup(t.CloseIdleConnections)
	c := &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	g.clients[name] = c
	return c
}

// who sends requests.
type who struct {
	name, password string // of Basic
	bearer         string
	certificate    bool
	http2          bool
}

// send sends a request as somebody.
func (g *guarded) send(w who, method, path, contentType, body string) answer {
	g.t.Helper()
	server := g.plain
	if w.certificate {
		server = g.secure
	}
	req, err := http.NewRequestWithContext(g.t.Context(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	switch {
	case w.bearer != "":
		req.Header.Set("Authorization", "Bearer "+w.bearer)
	case w.name != "":
		req.SetBasicAuth(w.name, w.password)
	}
	res, err := g.client(w.http2, w.certificate).Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	return readAnswer(res)
}

// as is an account with its password.
func (g *guarded) as(name string) who { return who{name: name, password: g.passwords[name]} }

// fetched is an answer of /token.
type fetched struct {
	status int
	answer answer

	Token, Scope string
	AccessToken  string `json:"access_token"`
	ExpiresIn    int    `json:"expires_in"`
	IssuedAt     string `json:"issued_at"`
	Refresh      string `json:"refresh_token"`
}

// fetch asks for a token by GET.
func (g *guarded) fetch(w who, parameters url.Values) fetched {
	g.t.Helper()
	if !parameters.Has("service") {
		parameters.Set("service", service)
	}
	return readToken(g.t, g.send(w, http.MethodGet, "/token?"+parameters.Encode(), "", ""))
}

// post asks for a token by POST.
func (g *guarded) post(form url.Values) fetched {
	g.t.Helper()
	if !form.Has("service") {
		form.Set("service", service)
	}
	return readToken(g.t, g.send(who{}, http.MethodPost, "/token", "application/x-www-form-urlencoded", form.Encode()))
}

func readToken(t testing.TB, a answer) fetched {
	t.Helper()
	f := fetched{status: a.status, answer: a}
	if a.status == http.StatusOK {
		if err := json.Unmarshal([]byte(a.body), &f); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// holds puts an image into a repository, with tags.
func (g *guarded) holds(repo string, body string, tags ...string) {
	g.t.Helper()
	for _, blob := range []string{small, layer} {
		d, err := registry.ParseDigest(sum(blob))
		if err == nil {
			err = g.registry.PutBlob(g.t.Context(), repo, registry.Chunk{Body: io.NopCloser(strings.NewReader(blob)), Length: int64(len(blob))}, d)
		}
		if err != nil {
			g.t.Fatal(err)
		}
	}
	if _, err := g.registry.PushManifest(g.t.Context(), registry.Push{Repo: repo, Tags: tags, Body: []byte(body)}); err != nil {
		g.t.Fatal(err)
	}
}

// codes are those of an error's body.
func (a answer) codes() string {
	var body struct{ Errors []struct{ Code string } }
	if json.Unmarshal([]byte(a.body), &body) != nil {
		return ""
	}
	var all []string
	for _, e := range body.Errors {
		all = append(all, e.Code)
	}
	return strings.Join(all, ",")
}
