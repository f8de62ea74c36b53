// Package pebbletest runs Pebble, the ACME server that Let's Encrypt makes for tests, and its name server.
//
// The binaries pebble and pebble-challtestsrv are in $LONGSHORE_TOOLS or else in PATH. A test that needs them and does not find
// them fails; it is never left out.
package pebbletest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/internal/daemon"
	"github.com/longshore-registry/longshore/internal/miniotest"
)

// Options say how Pebble asks whom it makes certificates for. All names lead to 127.0.0.1.
type Options struct {
	HTTPPort int           // where it looks for HTTP-01; 0: where nobody listens
	TLSPort  int           // where it looks for TLS-ALPN-01; 0: where nobody listens
	Life     time.Duration // of certificates; whole seconds
}

// Server is a Pebble that runs.
type Server struct {
	Directory string         // URL
	CAFile    string         // PEM, of the CA of Pebble's own certificate
	CA        *x509.CertPool // the same
	RootsPEM  []byte         // of the CA that signs what Pebble issues
	Roots     *x509.CertPool // the same
}

const install = "go install github.com/letsencrypt/pebble/v2/cmd/...@latest builds it"

// Start starts a Pebble, and stops it when the test ends. It fails the test if that is not possible.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	pebble, err := daemon.Find("pebble", install)
	must(err)
	names, err := daemon.Find("pebble-challtestsrv", install)
	must(err)
	ports, err := daemon.FreePorts(5)
	must(err)
	at := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	closed := ports[4]
	if o.HTTPPort == 0 {
		o.HTTPPort = closed
	}
	if o.TLSPort == 0 {
		o.TLSPort = closed
	}
	own := miniotest.Certificates(t)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": at(0), "managementListenAddress": at(1), "httpPort": o.HTTPPort, "tlsPort": o.TLSPort,
		"certificate": filepath.Join(own, "public.crt"), "privateKey": filepath.Join(own, "private.key"),
		"retryAfter": map[string]int{"authz": 1, "order": 1}, "keyAlgorithm": "ecdsa",
		"profiles": map[string]any{"default": map[string]any{"description": "of tests", "validityPeriod": int(o.Life / time.Second)}},
	}})
	must(err)
	file := filepath.Join(own, "pebble.json")
	must(os.WriteFile(file, config, 0o600))

	start(t, exec.Command(names, "-dnsserver", at(2), "-management", at(3), "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""))
	cmd := exec.Command(pebble, "-config", file, "-dnsserver", at(2))
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	p := start(t, cmd)

	s := &Server{Directory: "https://" + at(0) + "/dir", CAFile: filepath.Join(own, "public.crt"), CA: x509.NewCertPool(), Roots: x509.NewCertPool()}
	body, err := os.ReadFile(s.CAFile)
	must(err)
	s.CA.AppendCertsFromPEM(body)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.CA, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	must(p.Until(func() bool {
		r, err := client.Get("https://" + at(1) + "/roots/0")
		if err != nil {
			return false
		}
		defer func() { _ = r.Body.Close() }() // what counts has been read
		s.RootsPEM, err = io.ReadAll(r.Body)
		return err == nil && s.Roots.AppendCertsFromPEM(s.RootsPEM)
	}))
	return s
}

func start(t testing.TB, cmd *exec.Cmd) *daemon.Process {
	t.Helper()
	p, err := daemon.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(cmd.Path), p.Log())
		}
	})
	return p
}
