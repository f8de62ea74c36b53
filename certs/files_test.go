package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writePair makes a pair for a name, signed by a.
func writePair(t testing.TB, a *Authority, dir, name string, life time.Duration) Pair {
	t.Helper()
	c, err := a.issue(names{hosts: []string{name}}, time.Now(), life)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	p := Pair{filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")}
	for file, block := range map[string]*pem.Block{p.Cert: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, p.Key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// served is the certificate that a client gets who wants a name.
func served(t testing.TB, f *Files, name string) *x509.Certificate {
	t.Helper()
	c, err := f.Certificate(&tls.ClientHelloInfo{
		ServerName: name, SupportedVersions: []uint16{tls.VersionTLS13},
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, SupportedCurves: []tls.CurveID{tls.CurveP256},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf
}

func TestFilesByName(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	f, err := OpenFiles([]Pair{writePair(t, a, dir, "one.lan", time.Hour), writePair(t, a, dir, "two.lan", time.Hour)}, new(safeLog).logger())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"one.lan": "one.lan", "two.lan": "two.lan", "three.lan": "one.lan", "": "one.lan"} {
		if got := served(t, f, name).DNSNames[0]; got != want {
			t.Errorf("%q gets the certificate of %s, want %s", name, got, want)
		}
	}
}

func TestBrokenFiles(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	one, two := writePair(t, a, dir, "one.lan", time.Hour), writePair(t, a, dir, "two.lan", time.Hour)
	for name, test := range map[string]struct {
		pairs []Pair
		want  string
	}{
		"none":        {nil, "no certificate"},
		"absent":      {[]Pair{{filepath.Join(dir, "absent"), one.Key}}, "absent"},
		"of another":  {[]Pair{{one.Cert, two.Key}}, one.Cert},
		"no key":      {[]Pair{{one.Cert, one.Cert}}, one.Cert + " holds no private key"},
		"second only": {[]Pair{one, {two.Cert, one.Key}}, two.Cert},
	} {
		if _, err := OpenFiles(test.pairs, new(safeLog).logger()); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

func TestFilesChange(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	var log safeLog
	pair := writePair(t, a, dir, "one.lan", time.Hour)
	f, err := OpenFiles([]Pair{pair}, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	wantIn(t, "log", log.String(), "ends soon", pair.Cert)
	first := served(t, f, "one.lan").SerialNumber.String()
	now := func() string { return served(t, f, "one.lan").SerialNumber.String() }
	f.look()
	if now() != first {
		t.Error("is loaded anew without a change")
	}

	writePair(t, a, dir, "one.lan", 100*24*time.Hour)
	f.look()
	if now() != first {
		t.Error("is loaded while somebody may be writing")
	}
	f.look()
	second := now()
	if second == first {
		t.Error("the new one is not loaded")
	}
	wantIn(t, "log", log.String(), "a new certificate from a file")

	if err := os.WriteFile(pair.Key, []byte("half a k"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		f.look()
	}
	if now() != second {
		t.Error("a broken pair replaced a good one")
	}
	wantIn(t, "log", log.String(), "the old one stays", pair.Key+" holds no private key")
	if n := strings.Count(log.String(), "the old one stays"); n != 1 {
		t.Errorf("said %d times", n)
	}

	if err := os.Remove(pair.Cert); err != nil {
		t.Fatal(err)
	}
	f.look()
	f.look()
	if now() != second {
		t.Error("is gone with its file")
	}
	writePair(t, a, dir, "one.lan", 100*24*time.Hour)
	f.look()
	f.look()
	if now() == second {
		t.Error("does not come back")
	}
}

// TestFilesOfKubernetes changes what a symbolic link leads to, as Kubernetes does with secrets.
func TestFilesOfKubernetes(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	for _, version := range []string{"v1", "v2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		writePair(t, a, filepath.Join(dir, version), "one.lan", 100*24*time.Hour)
	}
	link := func(version string) {
		t.Helper()
		if err := os.Symlink(version, filepath.Join(dir, "new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "data")); err != nil {
			t.Fatal(err)
		}
	}
	link("v1")
	f, err := OpenFiles([]Pair{{filepath.Join(dir, "data", "one.lan.crt"), filepath.Join(dir, "data", "one.lan.key")}}, new(safeLog).logger())
	if err != nil {
		t.Fatal(err)
	}
	first := served(t, f, "one.lan").SerialNumber.String()
	link("v2")
	f.look()
	f.look()
	if served(t, f, "one.lan").SerialNumber.String() == first {
		t.Error("the new one is not loaded")
	}
}

// TestFilesRun changes a pair below a running server: the connection that there is stays, a new one sees the new certificate.
func TestFilesRun(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	f, err := OpenFiles([]Pair{writePair(t, a, dir, "localhost", 100*24*time.Hour)}, new(safeLog).logger())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go f.Run(ctx)
	addr, _ := serveOn(t, ListenOptions{TLS: Config(f, ConfigOptions{})}, hello)
	asLocalhost := func(tr *http.Transport) { tr.TLSClientConfig.ServerName = "localhost" }
	kept := client(t, a.pool(), asLocalhost)
	number := func(c *http.Client) string {
		t.Helper()
		r, _ := get(t, c, "https://"+addr)
		return r.TLS.PeerCertificates[0].SerialNumber.String()
	}
	first := number(kept)
	writePair(t, a, dir, "localhost", 100*24*time.Hour)
	eventually(t, "the new certificate", func() bool { return number(client(t, a.pool(), asLocalhost)) != first })
	if number(kept) != first {
		t.Error("the connection was not kept")
	}
}
