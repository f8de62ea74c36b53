//go:build integration

package minio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/internal/miniotest"
)

// proxy stands before a MinIO, counts what passes, and makes some of it fail.
type proxy struct {
	URL string

	mu    sync.Mutex
	seen  []string
	fault func(call string) fault // nil: none
}

// fault is what happens to a request.
type fault int

const (
	pass      fault = iota
	slowDown        // 503, not applied
	denied          // 403, not applied
	reset           // the connection breaks, not applied
	loseReply       // applied, then the connection breaks
	lose503         // applied, then 503
	truncate        // half of the answer's body
	hang            // no answer until the client leaves
	damage          // the last byte of the request's body is another
	badOK           // 200 with an error in the body, not applied
)

// newProxy starts a proxy in front of s.
func newProxy(t testing.TB, s *miniotest.Server) *proxy {
	t.Helper()
	to, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}
	p := &proxy{}
	forward := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			panic(http.ErrAbortHandler) // breaks the connection
		},
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: p.handler(forward)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("proxy: %v", err)
		}
	}()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("proxy: %v", err)
		}
		<-done
		transport.CloseIdleConnections()
	})
	p.URL = "http://" + listener.Addr().String()
	return p
}

func (p *proxy) handler(forward http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		call := callOf(r)
		p.mu.Lock()
		p.seen = append(p.seen, call)
		what := pass
		if p.fault != nil {
			what = p.fault(call)
		}
		p.mu.Unlock()
		switch what {
		case pass:
			forward.ServeHTTP(w, r)
		case slowDown, denied, badOK:
			_, _ = io.Copy(io.Discard, r.Body) // as MinIO does, so that the connection lives
			status, code := http.StatusServiceUnavailable, "SlowDownWrite"
			if what == denied {
				status, code = http.StatusForbidden, "AccessDenied"
			}
			if what == badOK {
				status, code = http.StatusOK, "InternalError"
			}
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>made by the test</Message></Error>", code)
		case reset:
			panic(http.ErrAbortHandler)
		case loseReply, lose503:
			forward.ServeHTTP(&nowhere{header: http.Header{}}, r)
			if what == lose503 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			panic(http.ErrAbortHandler)
		case truncate:
			forward.ServeHTTP(&short{ResponseWriter: w}, r)
		case hang:
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		case damage:
			body, err := io.ReadAll(r.Body)
			if err != nil || len(body) == 0 {
				panic(http.ErrAbortHandler)
			}
			body[len(body)-1] ^= 1
			r.Body = io.NopCloser(bytes.NewReader(body))
			forward.ServeHTTP(w, r)
		}
	}
}

// callOf names a request as S3 does.
func callOf(r *http.Request) string {
	q := r.URL.Query()
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case q.Has("uploads"):
		return "Create"
	case q.Has("partNumber"):
		return "Part"
	case q.Has("uploadId"):
		return map[string]string{http.MethodPost: "Complete", http.MethodDelete: "Abort", http.MethodGet: "ListParts"}[r.Method]
	case q.Has("delete"):
		return "DeleteMany"
	case q.Has("list-type"):
		return "List"
	case key == "":
		return r.Method + " bucket"
	}
	return r.Method
}

// calls returns what was seen since the last call.
func (p *proxy) calls() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.seen
	p.seen = nil
	return seen
}

// set makes f decide on every request from now on.
func (p *proxy) set(f func(call string) fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// times does what to the first n requests of a kind.
func (p *proxy) times(n int, kind string, what fault) {
	p.set(func(call string) fault {
		if call == kind && n > 0 {
			n--
			return what
		}
		return pass
	})
}

// changes reports whether a request changes something.
func changes(call string) bool {
	return !slices.Contains([]string{"GET", "HEAD", "List", "ListParts", "HEAD bucket"}, call)
}

// nowhere takes an answer and drops it.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n *nowhere) WriteHeader(int)             {}

// short breaks the connection in the middle of the body.
type short struct{ http.ResponseWriter }

func (s *short) Write(p []byte) (int, error) {
	if _, err := s.ResponseWriter.Write(p[:len(p)/2]); err != nil {
		return 0, err
	}
	if f, ok := s.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
	panic(http.ErrAbortHandler)
}

// openProxied opens a driver on a new bucket through a proxy of its own. change may be nil.
func openProxied(t testing.TB, change func(*Config)) (*Driver, *proxy) {
	t.Helper()
	p := newProxy(t, server.Get(t))
	c := newConfig(t)
	c.Endpoint = p.URL
	if change != nil {
		change(&c)
	}
	d := open(t, c)
	p.calls()
	return d, p
}

// wantCalls fails t unless exactly these requests were sent, whatever the order of parts.
func wantCalls(t *testing.T, p *proxy, want ...string) {
	t.Helper()
	got := p.calls()
	if !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
}

// readBack returns the object at key.
func readBack(t *testing.T, d *Driver, key string) []byte {
	t.Helper()
	body, info, err := d.Reader(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	if err != nil || int64(len(got)) != info.Size {
		t.Fatalf("read %d of %d bytes: %v", len(got), info.Size, err)
	}
	return got
}

// soon is a context for what must end by itself.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
