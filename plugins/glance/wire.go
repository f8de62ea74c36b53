package glance

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// newTransport makes the connections to the services. The error of a bad ca_file begins with that.
func newTransport(c Config) (*http.Transport, error) {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &watched{Conn: conn, timeout: c.Timeout}, nil
		},
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: c.Timeout,
		MaxIdleConnsPerHost:   64, // the default of 2 would close what the next push needs
		IdleConnTimeout:       c.Timeout * 3 / 4,
		DisableCompression:    true,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.InsecureVerify},
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s holds no certificate in PEM form", c.CAFile)
		}
		t.TLSClientConfig.RootCAs = pool
	}
	return t, nil
}

// watched is a connection that fails when nothing moves on it for a while: a service that died without closing
// its connections would otherwise hold a body for as long as its reader waits.
type watched struct {
	net.Conn
	timeout time.Duration
}

// Read fails when no byte comes within the timeout.
func (w *watched) Read(p []byte) (int, error) {
	if err := w.SetReadDeadline(time.Now().Add(w.timeout)); err != nil {
		return 0, err
	}
	return w.Conn.Read(p)
}

// Write fails when no byte is taken within the timeout. The read of an idle connection has begun before, so it gets as long anew.
func (w *watched) Write(p []byte) (int, error) {
	if err := w.SetDeadline(time.Now().Add(w.timeout)); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}

// try calls f until it succeeds, fails for good, or has been called attempts times. A ctx that ends is returned as
// its own error.
func try(ctx context.Context, attempts int, f func() error) error {
	for n := 1; ; n++ {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := f()
		if ctx.Err() != nil && err != nil {
			return ctx.Err()
		}
		if err == nil || n == attempts || !transient(err) {
			return err
		}
		if err := pause(ctx, n); err != nil {
			return err
		}
	}
}

// pause waits after the n-th failure: 50 to 100 ms, 100 to 200 ms, … 1.6 to 3.2 s.
func pause(ctx context.Context, n int) error {
	wait := 100 * time.Millisecond << min(n-1, 5)
	timer := time.NewTimer(wait/2 + rand.N(wait/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lent is the body of a request, which can be taken back: net/http may read it for a while after the answer is
// there or the context has ended (see http.RoundTripper), and by then the buffer may be another's.
type lent struct {
	mu   sync.Mutex
	left []byte
	gone bool
}

// Read fails once the body was taken back.
func (l *lent) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.gone:
		return 0, errors.New("the request is over")
	case len(l.left) == 0:
		return 0, io.EOF
	}
	n := copy(p, l.left)
	l.left = l.left[n:]
	return n, nil
}

// takeBack returns when nothing reads the body any more.
func (l *lent) takeBack() {
	l.mu.Lock()
	l.gone, l.left = true, nil
	l.mu.Unlock()
}

// permanent reports whether a failure below HTTP will be the same the next time.
func permanent(err error) bool {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var certificate x509.CertificateInvalidError
	return errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &certificate) ||
		strings.Contains(err.Error(), "server gave HTTP response to HTTPS client")
}
