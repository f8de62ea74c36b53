package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers/memory"
)

// safeLog is a log that tests can read while it is written.
type safeLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *safeLog) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func openMemory(t testing.TB) *memory.Driver {
	t.Helper()
	d, err := memory.Open(context.Background(), memory.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newAuthority(t testing.TB) *Authority {
	t.Helper()
	keep, err := NewKeep(openMemory(t), "", true)
	if err != nil {
		t.Fatal(err)
	}
	a, err := OpenAuthority(context.Background(), keep)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// newLocal is a Local of a machine with 127.0.0.1 alone.
func newLocal(t testing.TB, o LocalOptions) *Local {
	t.Helper()
	if o.machine == nil {
		o.machine = func() names { return names{[]string{"localhost"}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}} }
	}
	o.full = func(context.Context) string { return "" }
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l, err := NewLocal(newAuthority(t), o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (a *Authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate)
	return pool
}

func listenTCP(t testing.TB) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l.(*net.TCPListener)
}

// serveOn serves handler on a Listener until the test ends, as longshore serve does.
func serveOn(t testing.TB, o ListenOptions, handler http.Handler) (addr string, l *Listener) {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l = Listen(listenTCP(t), o)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()                                                                 // the end of Serve says whether that worked
		if err := <-ended; err != http.ErrServerClosed && !errors.Is(err, net.ErrClosed) { // some tests close the listener
			t.Error(err)
		}
	})
	return l.Addr().String(), l
}

// client trusts a CA and speaks what it is told.
func client(t testing.TB, ca *x509.CertPool, set func(*http.Transport)) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca, MinVersion: tls.VersionTLS12}, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(true)
	if set != nil {
		set(transport)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

func get(t testing.TB, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	r, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(body)
}

// eventually polls until ok, for 20 seconds at most.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatal("never came: " + what)
		case <-tick.C:
		}
	}
}

func wantIn(t testing.TB, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s: no %q in\n%s", what, p, text)
		}
	}
}

func addrNumber(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}
