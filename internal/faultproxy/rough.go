package faultproxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

// Rough is a proxy in front of a store that has a bad day: it is slow, it says now and then that it is busy, and some connections break half
// way.
type Rough struct {
	URL string // http://127.0.0.1:port

	// How often each happened.
	Requests, Busy, Broken atomic.Int64
}

// How rough it is.
const (
	roughDelay    = 50 * time.Millisecond // before each request
	busyEvery     = 7                     // requests: 503, not applied
	brokenEvery   = 50                    // connections: reset in the middle of a body
	roughRequests = 5                     // after which a connection is closed in good order, so that there are many
)

// NewRough starts a rough proxy in front of the server at a URL; it ends with the test. keepHost is for requests whose Host is signed. What fails
// is known to nobody before: the counts go over all requests.
func NewRough(t testing.TB, server string, keepHost bool) *Rough {
	t.Helper()
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}
	r := &Rough{}
	forward := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			if keepHost {
				p.Out.Host = p.In.Host
			}
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var connections atomic.Int64
	front := &http.Server{
		Handler: r.handler(forward),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, roughKey{}, &roughConn{Conn: c, doomed: connections.Add(1)%brokenEvery == 0})
		},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = front.Serve(listener) // until Close
	}()
	t.Cleanup(func() {
		_ = front.Close() // the test is over
		<-done
		transport.CloseIdleConnections()
	})
	r.URL = "http://" + listener.Addr().String()
	return r
}

// roughKey is the key of a connection in a context.
type roughKey struct{}

type roughConn struct {
	net.Conn
	doomed   bool
	requests atomic.Int64
}

// reset ends the connection without a word.
func (c *roughConn) reset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // the other side gets RST
	}
	_ = c.Conn.Close()
	panic(http.ErrAbortHandler)
}

func (r *Rough) handler(forward http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		time.Sleep(roughDelay)
		c, _ := q.Context().Value(roughKey{}).(*roughConn)
		n := r.Requests.Add(1)
		if c.requests.Add(1) >= roughRequests {
			w.Header().Set("Connection", "close")
		}
		switch {
		case c.doomed && q.ContentLength > 1:
			r.Broken.Add(1)
			_, _ = io.CopyN(io.Discard, q.Body, q.ContentLength/2)
			c.reset()
		case c.doomed && q.Method == http.MethodGet:
			r.Broken.Add(1)
			forward.ServeHTTP(&broken{w, c}, q)
		case n%busyEvery == 0:
			r.Busy.Add(1)
			_, _ = io.Copy(io.Discard, q.Body) // so that the connection lives
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>made by the test</Message></Error>")
		default:
			forward.ServeHTTP(w, q)
		}
	}
}

// broken resets the connection in the middle of the first piece of an answer.
type broken struct {
	http.ResponseWriter
	c *roughConn
}

func (b *broken) Write(p []byte) (int, error) {
	_, _ = b.ResponseWriter.Write(p[:len(p)/2])
	if f, ok := b.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
	b.c.reset()
	return 0, nil
}
