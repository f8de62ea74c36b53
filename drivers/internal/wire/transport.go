// Package wire is what drivers of stores that speak HTTP have in common below their SDK: connections, attempts, bodies.
package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// TLS says whose certificates are taken.
type TLS struct {
	CAFile     string // PEM, beside the system's; "": none
	SkipVerify bool   // any
}

// NewTransport makes the connections to a store, which may be silent for as long as timeout in the middle of a request. The error
// of a bad CAFile begins with "ca_file: ".
func NewTransport(t TLS, timeout time.Duration) (*http.Transport, error) {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &watched{Conn: conn, timeout: timeout}, nil
		},
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: timeout,
		// A thousand pulls that end together should not close 900 connections that the next
		// thousand needs again: the default of 2 does, and each costs a handshake.
		MaxIdleConnsPerHost: 256,
		// Before watched ends them.
		IdleConnTimeout: timeout * 3 / 4,
		// Otherwise the bytes of an object with Content-Encoding gzip would change on the way.
		DisableCompression: true,
		TLSClientConfig:    &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.SkipVerify},
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s holds no certificate in PEM form", t.CAFile)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return transport, nil
}

// watched is a connection that fails when nothing moves on it for a while. A store that died
// without closing its connections would otherwise hold a body for as long as its reader waits.
// What the reader itself takes between two reads does not count.
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

// Write fails when the store takes no byte within the timeout. It also gives the answer to what
// is written a whole timeout: the read of an idle connection has begun before.
func (w *watched) Write(p []byte) (int, error) {
	if err := w.SetDeadline(time.Now().Add(w.timeout)); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}
