// Package faultproxy stands between a driver and the server of a store, for tests: it counts what passes
// and makes some of it fail. It knows the requests of the S3 API; for others they are named by its user.
package faultproxy

import (
	"bytes"
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
)

// Proxy is one proxy, on a port of 127.0.0.1.
type Proxy struct {
	URL string // http://127.0.0.1:port

	name func(r *http.Request) string

	mu    sync.Mutex
	seen  []string
	fault func(call string) Fault // nil: none
}

// Fault is what happens to a request.
type Fault int

const (
	Pass      Fault = iota // nothing
	SlowDown               // 503, not applied
	Denied                 // 403, not applied
	Reset                  // the connection breaks, not applied
	LoseReply              // applied, then the connection breaks
	Lose503                // applied, then 503
	Truncate               // half of the answer's body
	Hang                   // no answer until the client leaves
	Damage                 // the last byte of the request's body is another
	BadOK                  // 200 with an error in the body, not applied
)

// New starts a proxy in front of the S3 server at the URL server; it ends with the test.
func New(t testing.TB, server string) *Proxy {
	t.Helper()
	return start(t, server, callOf, true)
}

// NewNamed starts a proxy in front of another kind of server, which sees its own address in the Host of requests. name names a
// request; it has to return GET and List for those kinds alone, and for what reads besides one of the other words of [Changes].
func NewNamed(t testing.TB, server string, name func(r *http.Request) string) *Proxy {
	t.Helper()
	return start(t, server, name, false)
}

func start(t testing.TB, server string, name func(r *http.Request) string, keepHost bool) *Proxy {
	t.Helper()
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}
	p := &Proxy{name: name}
	forward := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			if keepHost {
				r.Out.Host = r.In.Host // it is signed
			}
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			panic(http.ErrAbortHandler) // breaks the connection
		},
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	front := &http.Server{Handler: p.handler(forward)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := front.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("proxy: %v", err)
		}
	}()
	t.Cleanup(func() {
		if err := front.Close(); err != nil {
			t.Errorf("proxy: %v", err)
		}
		<-done
		transport.CloseIdleConnections()
	})
	p.URL = "http://" + listener.Addr().String()
	return p
}

func (p *Proxy) handler(forward http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		call := p.name(r)
		p.mu.Lock()
		p.seen = append(p.seen, call)
		what := Pass
		if p.fault != nil {
			what = p.fault(call)
		}
		p.mu.Unlock()
		switch what {
		case Pass:
			forward.ServeHTTP(w, r)
		case SlowDown, Denied, BadOK:
			_, _ = io.Copy(io.Discard, r.Body) // as MinIO does, so that the connection lives
			status, code := http.StatusServiceUnavailable, "SlowDownWrite"
			if what == Denied {
				status, code = http.StatusForbidden, "AccessDenied"
			}
			if what == BadOK {
				status, code = http.StatusOK, "InternalError"
			}
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>made by the test</Message></Error>", code)
		case Reset:
			panic(http.ErrAbortHandler)
		case LoseReply, Lose503:
			forward.ServeHTTP(&nowhere{header: http.Header{}}, r)
			if what == Lose503 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			panic(http.ErrAbortHandler)
		case Truncate:
			forward.ServeHTTP(&short{ResponseWriter: w}, r)
		case Hang:
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		case Damage:
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
	case q.Has("uploads") && r.Method == http.MethodGet:
		return "ListUploads"
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
	case key == "" && r.Method == http.MethodGet:
		return "List" // the older version of it
	case key == "":
		return r.Method + " bucket"
	}
	return r.Method
}

// Calls returns the requests since the last call of Calls, named as S3 does ("PUT", "Create", "Part", …).
func (p *Proxy) Calls() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.seen
	p.seen = nil
	return seen
}

// Set makes f decide on every request from now on; nil lets all pass.
func (p *Proxy) Set(f func(call string) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// Times does what to the first n requests of a kind.
func (p *Proxy) Times(n int, kind string, what Fault) {
	p.Set(func(call string) Fault {
		if call == kind && n > 0 {
			n--
			return what
		}
		return Pass
	})
}

// Changes reports whether a request changes something.
func Changes(call string) bool {
	return !slices.Contains([]string{"GET", "HEAD", "List", "ListParts", "ListUploads", "HEAD bucket"}, call)
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
