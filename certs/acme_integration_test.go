//go:build integration

package certs

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/internal/pebbletest"
)

const acmeHost = "registry.example.com"

// acmeReplica is a registry with certificates by ACME, which takes nothing over plain HTTP but what the ACME server asks.
type acmeReplica struct {
	acme *ACME
	addr string
	log  *safeLog
}

func (r acmeReplica) serve(t *testing.T, store drivers.Driver, l *net.TCPListener, p *pebbletest.Server) acmeReplica {
	t.Helper()
	keep, err := NewKeep(store, secret, false)
	if err != nil {
		t.Fatal(err)
	}
	r.log = new(safeLog)
	r.acme, err = NewACME(keep, ACMEOptions{Hosts: []string{acmeHost}, Email: "me@example.com", Directory: p.Directory, Roots: p.CA, Log: r.log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	listener := Listen(l, ListenOptions{TLS: Config(r.acme, ConfigOptions{MinVersion: tls.VersionTLS13}), Log: r.log.logger(), Timeout: time.Minute})
	server := &http.Server{Handler: r.acme.Handler(NewSite(hello, SiteOptions{Plain: PlainRefuse, TLS: true}))}
	ended := make(chan struct{})
	go func() {
		_ = server.Serve(listener) // ends when it is closed
		close(ended)
	}()
	t.Cleanup(func() {
		_ = server.Close() // as above
		<-ended
	})
	return r
}

// serial connects, wanting a name, and returns the number of the certificate.
func (r acmeReplica) serial(t *testing.T, p *pebbletest.Server, name string) string {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{RootCAs: p.Roots, ServerName: acmeHost}}
	if name != acmeHost { // the certificate is that of the host all the same
		d.Config.ServerName, d.Config.InsecureSkipVerify = name, true
	}
	c, err := d.DialContext(t.Context(), "tcp", r.addr)
	if err != nil {
		t.Fatalf("%v\n%s", err, r.log)
	}
	defer c.Close()
	leaf := c.(*tls.Conn).ConnectionState().PeerCertificates[0]
	if err := leaf.VerifyHostname(acmeHost); err != nil {
		t.Error(err)
	}
	return leaf.SerialNumber.String()
}

func portOf(l *net.TCPListener) int { return l.Addr().(*net.TCPAddr).Port }

// TestACMEReplicas: two replicas that start on an empty store at the same moment get one certificate, by TLS-ALPN-01, of which the ACME server
// asks one of them only; and so with the next one, when that is due.
func TestACMEReplicas(t *testing.T) {
	store, one, two := openMemory(t), listenTCP(t), listenTCP(t)
	p := pebbletest.Start(t, pebbletest.Options{TLSPort: portOf(two), Life: 12 * time.Second})
	replicas := []acmeReplica{acmeReplica{}.serve(t, store, one, p), acmeReplica{}.serve(t, store, two, p)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, r := range replicas {
		go r.acme.Run(ctx)
	}
	first := replicas[0].serial(t, p, acmeHost)
	if second := replicas[1].serial(t, p, acmeHost); second != first {
		t.Errorf("two certificates: %s and %s", first, second)
	}
	if other := replicas[1].serial(t, p, "other.example.com"); other != first {
		t.Errorf("who wants another name gets %s, want %s", other, first)
	}
	for e, err := range store.List(t.Context(), "", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		k := Keep{store: store}
		body, err := k.get(t.Context(), strings.TrimPrefix(e.Key, prefix))
		if err != nil && !strings.Contains(e.Key, "/lease/") {
			t.Fatal(err)
		}
		if strings.Contains(string(body), "PRIVATE KEY") {
			t.Errorf("%s holds a key in clear", e.Key)
		}
	}
	for i, r := range replicas {
		eventually(t, "the renewed certificate", func() bool { return r.serial(t, p, acmeHost) != first })
		t.Logf("replica %d has a new certificate", i)
	}
}

// TestACMEByHTTP has port 80 only, at another replica than the one that asks.
func TestACMEByHTTP(t *testing.T) {
	store, one, two := openMemory(t), listenTCP(t), listenTCP(t)
	p := pebbletest.Start(t, pebbletest.Options{HTTPPort: portOf(two), Life: 90 * 24 * time.Hour})
	asks, answers := acmeReplica{}.serve(t, store, one, p), acmeReplica{}.serve(t, store, two, p)
	first := asks.serial(t, p, acmeHost)
	if second := answers.serial(t, p, acmeHost); second != first {
		t.Errorf("two certificates: %s and %s", first, second)
	}
	again := acmeReplica{}.serve(t, store, listenTCP(t), p)
	if after := again.serial(t, p, acmeHost); after != first {
		t.Errorf("after a restart there is another one: %s and %s", first, after)
	}
}
