package minio

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

// newTransport makes the connections to the store.
func newTransport(c Config) (*http.Transport, error) {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
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
		// A thousand pulls that end together should not close 900 connections that the next
		// thousand needs again: the default of 2 does, and each costs a handshake.
		MaxIdleConnsPerHost: 256,
		// Before watched ends them.
		IdleConnTimeout: c.Timeout * 3 / 4,
		// Otherwise the bytes of an object with Content-Encoding gzip would change on the way.
		DisableCompression: true,
		ReadBufferSize:     64 << 10,
		WriteBufferSize:    64 << 10,
		TLSClientConfig:    &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.InsecureVerify},
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

// bound sends requests with the context of its maker: minio-go's Core.ListObjectsV2 has none.
type bound struct {
	ctx  context.Context
	next http.RoundTripper
}

// RoundTrip is next's, in bound's context.
func (b bound) RoundTrip(r *http.Request) (*http.Response, error) {
	return b.next.RoundTrip(r.WithContext(b.ctx))
}

// tap keeps what the last answer said about the server, for messages at start.
type tap struct {
	next   http.RoundTripper
	header http.Header // of the last answer; nil if there was none
}

// RoundTrip is next's.
func (t *tap) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err == nil {
		t.header = resp.Header
	}
	return resp, err
}
