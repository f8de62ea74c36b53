package faultproxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// Rough is a proxy in front of a store that has a bad day: it is slow, it says now and then that it is busy, and some
// connections break half way. Which requests are hit nobody knows before: it counts them all, whoever sends them.
type Rough struct {
	URL string // http://127.0.0.1:port

	Requests, Connections atomic.Int64
	Busy                  atomic.Int64 // requests answered with 503
	CutBodies, CutAnswers atomic.Int64 // connections that were reset in the middle of the body of a request, of an answer
}

// How rough it is.
const (
	roughDelay    = 50 * time.Millisecond // before each request
	busyEvery     = 7                     // requests: 503, not applied
	brokenEvery   = 50                    // connections: reset in the middle of a body
	roughRequests = 5                     // after which a connection is closed in good order, so that there are many
)

// NewRough starts a rough proxy in front of the server at a URL; it ends with the test. keepHost is for requests whose
// Host is signed.
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
	front := &http.Server{
		Handler: r.handler(forward),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, roughKey{}, &roughConn{Conn: c, doomed: r.Connections.Add(1)%brokenEvery == 0})
		},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := front.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("proxy: %v", err)
		}
	}()
	t.Cleanup(func() {
		_ = front.Close() // the test is over
		<-done
		transport.CloseIdleConnections()
	})
	r.URL = "http://" + listener.Addr().String()
	return r
}

// Broken is how many connections were reset.
func (r *Rough) Broken() int64 { return r.CutBodies.Load() + r.CutAnswers.Load() }

// Doomed is how many connections were to be reset. One that nobody used for a request or an answer with a body was not.
func (r *Rough) Doomed() int64 { return r.Connections.Load() / brokenEvery }

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
		if c.requests.Add(1) >= roughRequests && !c.doomed {
			w.Header().Set("Connection", "close")
		}
		switch {
		case c.doomed && q.ContentLength != 0:
			half := q.ContentLength / 2 // 0 if the length is unknown, or 1
			_, _ = io.CopyN(io.Discard, q.Body, max(half, 1))
			r.CutBodies.Add(1)
			c.reset()
		case c.doomed && q.Method == http.MethodGet:
			forward.ServeHTTP(&cutAnswer{ResponseWriter: w, conn: c, cut: &r.CutAnswers}, q)
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

// cutAnswer resets the connection half way through the body of an answer, if there is one.
type cutAnswer struct {
	http.ResponseWriter
	conn *roughConn
	cut  *atomic.Int64

	begun bool
	left  int // bytes to go
}

// Write is part of http.ResponseWriter.
func (a *cutAnswer) Write(p []byte) (int, error) {
	if !a.begun {
		a.begun = true
		size, err := strconv.Atoi(a.Header().Get("Content-Length"))
		if err != nil {
			size = len(p)
		}
		a.left = size / 2
	}
	if len(p) < a.left {
		a.left -= len(p)
		return a.ResponseWriter.Write(p)
	}
	_, _ = a.ResponseWriter.Write(p[:a.left])
	if f, ok := a.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
	a.cut.Add(1)
	a.conn.reset()
	return 0, nil
}
