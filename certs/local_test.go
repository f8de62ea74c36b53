package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

const secret = "a secret of forty-four random characters ..."

func TestReplicasShareOneAuthority(t *testing.T) {
	store := openMemory(t)
	var all sync.WaitGroup
	found := make([]string, 16)
	for i := range found {
		all.Go(func() {
			keep, err := NewKeep(store, secret, false)
			if err != nil {
				t.Error(err)
				return
			}
			a, err := OpenAuthority(t.Context(), keep)
			if err != nil {
				t.Error(err)
				return
			}
			found[i] = a.Fingerprint()
		})
	}
	all.Wait()
	if len(slices.Compact(slices.Sorted(slices.Values(found)))) != 1 {
		t.Errorf("the replicas have different CAs: %q", found)
	}
}

func TestKeyIsEncrypted(t *testing.T) {
	store := openMemory(t)
	open := func(secret string, private bool) (*Authority, error) {
		t.Helper()
		keep, err := NewKeep(store, secret, private)
		if err != nil {
			t.Fatal(err)
		}
		return OpenAuthority(t.Context(), keep)
	}
	if _, err := open("", false); !errors.Is(err, ErrNoSecret) {
		t.Errorf("without a secret: got %v, want ErrNoSecret", err)
	}
	first, err := open(secret, false)
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range store.List(t.Context(), "", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		keep := Keep{store: store}
		body, err := keep.get(t.Context(), strings.TrimPrefix(e.Key, prefix))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(body), "PRIVATE KEY") {
			t.Errorf("%s holds a key in clear", e.Key)
		}
	}
	again, err := open(secret, false)
	if err != nil || again.Fingerprint() != first.Fingerprint() {
		t.Errorf("with the secret: got %v, want the same CA", err)
	}
	if _, err := open(strings.ToUpper(secret), true); !errors.Is(err, ErrWrongSecret) {
		t.Errorf("with another secret: got %v, want ErrWrongSecret", err)
	}
	if _, err := open("", true); !errors.Is(err, ErrNoSecret) {
		t.Errorf("without the secret: got %v, want ErrNoSecret", err)
	}
	if _, err := NewKeep(store, "short", false); err == nil {
		t.Error("a short secret is taken")
	}
	if err := store.Put(t.Context(), prefix+authorityKeyName, []byte(`{"sealed":1,"salt":"","nonce":"","data":""}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := open(secret, false); !errors.Is(err, drivers.ErrCorrupt) {
		t.Errorf("damaged: got %v, want ErrCorrupt", err)
	}
}

// plainStore can't put only where nothing is.
type plainStore struct{ drivers.Driver }

func (plainStore) Extras() drivers.Extras { return drivers.Extras{} }

func TestStoreWithoutPutIfAbsent(t *testing.T) {
	store := plainStore{openMemory(t)}
	var prints []string
	for range 2 {
		keep, err := NewKeep(store, secret, false)
		if err != nil {
			t.Fatal(err)
		}
		a, err := OpenAuthority(t.Context(), keep)
		if err != nil {
			t.Fatal(err)
		}
		prints = append(prints, a.Fingerprint())
	}
	if prints[0] != prints[1] {
		t.Error("the second start makes another CA")
	}
}

func TestAuthorityOfFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, body []byte) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, body, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	one, other := newAuthority(t), newAuthority(t)
	der, err := x509.MarshalPKCS8PrivateKey(one.key)
	if err != nil {
		t.Fatal(err)
	}
	key := write("key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	cert := write("cert", one.PEM())
	a, err := ReadAuthority(cert, key)
	if err != nil || a.Fingerprint() != one.Fingerprint() {
		t.Fatalf("got %v", err)
	}
	leaf, err := one.issue(names{hosts: []string{"a"}}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ cert, key, want string }{
		"of another":    {write("other", other.PEM()), key, "is not the key of"},
		"no CA":         {write("leaf", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Certificate[0]})), key, "not the certificate of a CA"},
		"no key":        {cert, cert, "holds no private key"},
		"no PEM":        {write("text", []byte("text")), key, "holds no certificate"},
		"not there":     {filepath.Join(dir, "absent"), key, "absent"},
		"key is absent": {cert, filepath.Join(dir, "absent"), "absent"},
	} {
		if _, err := ReadAuthority(test.cert, test.key); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

// TestIntermediate is a CA below a root that clients trust.
func TestIntermediate(t *testing.T) {
	root := newAuthority(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "below"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	below, err := x509.CreateCertificate(rand.Reader, template, root.Certificate, key.Public(), root.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: below}), root.PEM()...)
	a, err := parseAuthority(both, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), "cert", "key")
	if err != nil {
		t.Fatal(err)
	}
	if a.Fingerprint() != root.Fingerprint() {
		t.Error("clients are not told to trust the root")
	}
	leaf, err := a.issue(names{hosts: []string{"nas.lan"}}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if len(leaf.Certificate) != 2 || string(leaf.Certificate[1]) != string(below) {
		t.Errorf("%d certificates are sent, want the server's and that of the CA below the root", len(leaf.Certificate))
	}
}

// TestCertificate looks at both certificates as strict clients do.
func TestCertificate(t *testing.T) {
	l := newLocal(t, LocalOptions{Hosts: []string{"NAS.lan", "192.168.1.9", "fd00::9", "*.apps.lan"}})
	leaf, ca := l.current.Load().Leaf, l.Authority().Certificate
	for _, host := range []string{"nas.lan", "192.168.1.9", "fd00::9", "x.apps.lan", "localhost", "127.0.0.1"} {
		if !l.Covers(host) {
			t.Errorf("%s is not covered", host)
		}
	}
	if l.Covers("other.lan") {
		t.Error("a name is covered that nobody gave")
	}
	if _, err := leaf.Verify(x509.VerifyOptions{DNSName: "nas.lan", Roots: l.Authority().pool()}); err != nil {
		t.Error(err)
	}
	// What Apple asks for: https://support.apple.com/en-us/103769
	if life := leaf.NotAfter.Sub(leaf.NotBefore); life > 398*24*time.Hour {
		t.Errorf("a life of %v is too long for some clients", life)
	}
	if !ca.MaxPathLenZero || !slices.Equal(ca.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
		t.Error("the CA may sign more than servers")
	}
	if !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
		t.Errorf("usage %v", leaf.ExtKeyUsage)
	}
}

func TestCheckHost(t *testing.T) {
	for _, good := range []string{"a", "nas.lan", "NAS", "my_host", "1.2.3.4", "::1", "fe80::1", "*.lan", "xn--bcher-kva.example"} {
		if err := CheckHost(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "https://nas.lan", "nas.lan:5000", "[::1]:5000", "1.2.3.4:5000", "a b", "a..b", ".a", "a/b", "ä", strings.Repeat("a.", 130) + "a"} {
		if CheckHost(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestRenewal(t *testing.T) {
	machine := names{[]string{"localhost"}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
	now := time.Now()
	l := newLocal(t, LocalOptions{Life: 30 * 24 * time.Hour, machine: func() names {
		return names{slices.Clone(machine.hosts), slices.Clone(machine.addresses)}
	}, now: func() time.Time { return now }})
	serialNow := func() string { return l.current.Load().Leaf.SerialNumber.String() }
	step := func(what string, renewed bool) {
		t.Helper()
		before := serialNow()
		if err := l.renew(); err != nil {
			t.Fatal(err)
		}
		if (serialNow() != before) != renewed {
			t.Errorf("%s: renewed %t, want %t", what, !renewed, renewed)
		}
	}
	step("nothing has changed", false)
	machine.addresses = append(machine.addresses, netip.MustParseAddr("10.0.0.7"))
	step("a new address", true)
	if !l.Covers("10.0.0.7") {
		t.Error("the new address is not in it")
	}
	step("no change", false)
	l.full = "nas.example.com"
	step("a name from the name server", true)
	now = now.Add(19 * 24 * time.Hour)
	step("more than a third is left", false)
	now = now.Add(2 * 24 * time.Hour)
	step("less than a third is left", true)
	now = l.authority.Certificate.NotAfter.Add(-time.Hour)
	step("the CA ends", true)
	step("there is nothing to gain", false)
	if end := l.current.Load().Leaf.NotAfter; end.After(l.authority.Certificate.NotAfter) {
		t.Errorf("ends %v, after its CA", end)
	}
}

// TestRotationKeepsConnections renews the certificate in the middle of a request: it goes on, and the next connection sees the new one.
func TestRotationKeepsConnections(t *testing.T) {
	machine := names{[]string{"localhost"}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
	var mu sync.Mutex
	l := newLocal(t, LocalOptions{machine: func() names {
		mu.Lock()
		defer mu.Unlock()
		return names{slices.Clone(machine.hosts), slices.Clone(machine.addresses)}
	}})
	turn := make(chan struct{})
	addr, _ := serveOn(t, ListenOptions{TLS: Config(l, ConfigOptions{})}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			turn <- struct{}{}
			<-turn
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	c := client(t, l.Authority().pool(), nil)
	type result struct {
		state *tls.ConnectionState
		err   error
	}
	request := func(c *http.Client, path string) result {
		r, err := c.Get("https://" + addr + path)
		if err != nil {
			return result{nil, err}
		}
		_ = r.Body.Close()
		return result{r.TLS, nil}
	}
	done := make(chan result, 1)
	go func() { done <- request(c, "/wait") }()
	<-turn
	mu.Lock()
	machine.addresses = append(machine.addresses, netip.MustParseAddr("10.0.0.7"))
	mu.Unlock()
	if err := l.renew(); err != nil {
		t.Fatal(err)
	}
	turn <- struct{}{}
	old := <-done
	again, fresh := request(c, "/"), request(client(t, l.Authority().pool(), nil), "/")
	for _, r := range []result{old, again, fresh} {
		if r.err != nil {
			t.Fatal(r.err)
		}
	}
	number := func(r result) string { return r.state.PeerCertificates[0].SerialNumber.String() }
	if number(old) != number(again) {
		t.Error("the connection was not kept")
	}
	if number(old) == number(fresh) {
		t.Error("a new connection has the old certificate")
	}
}

// TestRun: it looks at once, and ends with its context.
func TestRun(t *testing.T) {
	l := newLocal(t, LocalOptions{})
	l.options.full = func(context.Context) string { return "nas.example.com" }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		l.Run(ctx)
		close(ended)
	}()
	eventually(t, "the whole name", func() bool { return l.Covers("nas.example.com") })
	cancel()
	<-ended
}

// TestThisMachine asks the system as a registry does.
func TestThisMachine(t *testing.T) {
	l, err := NewLocal(newAuthority(t), LocalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
		if !l.Covers(host) {
			t.Errorf("%s is not covered", host)
		}
	}
	if host, err := os.Hostname(); err == nil && CheckHost(host) == nil && !l.Covers(host) {
		t.Errorf("the host name %s is not covered by %q", host, l.Names())
	}
}
