package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// site is a target, with the connections to it.
type site struct {
	target    Target
	repo      string
	transport *http.Transport
	follow    *http.Client // for URLs outside of the registry, without credentials
	auth      auth
	buffers   sync.Pool // of *[]byte
	pushed    pushed
	next      atomic.Int64 // number of the next operation

	// What the workloads have prepared.
	images []image
	pages  []*url.URL // of the catalogue
	lists  *site      // the repository whose tags are listed
	tagged bool       // it has its tags
}

// bufferSize makes a system call of what is read and written at once.
const bufferSize = 256 << 10

func newSite(t Target, o Options) *site {
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
		MaxIdleConnsPerHost: max(o.Clients*(o.Layers+1), o.Crowd), IdleConnTimeout: time.Minute,
		DisableCompression: true,
		WriteBufferSize:    64 << 10, ReadBufferSize: 16 << 10,
		TLSClientConfig: o.TLS.Clone(), ForceAttemptHTTP2: true,
		Proxy: http.ProxyFromEnvironment,
	}
	s := &site{target: t, repo: o.Repository, transport: transport, follow: &http.Client{Transport: transport}}
	s.auth = auth{site: s}
	s.buffers.New = func() any {
		b := make([]byte, bufferSize)
		return &b
	}
	return s
}

// url is that of a path below /v2/.
func (s *site) url(path string) *url.URL {
	u := *s.target.URL
	u.Path += "/v2/" + path
	return &u
}

// request is one to the registry.
type request struct {
	method string
	url    *url.URL
	header http.Header // may be nil
	body   func() io.Reader
	size   int64 // of the body
}

// do sends a request, with credentials once the registry has asked for them.
func (s *site) do(ctx context.Context, q request) (*http.Response, error) {
	for again := false; ; again = true {
		r, err := http.NewRequestWithContext(ctx, q.method, "", nil)
		if err != nil {
			return nil, err
		}
		r.URL, r.Host = q.url, q.url.Host
		for key, values := range q.header {
			r.Header[key] = values
		}
		r.Header.Set("User-Agent", "longshore-bench")
		if q.body != nil && q.size > 0 {
			r.Body, r.ContentLength = io.NopCloser(q.body()), q.size
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(q.body()), nil } // for a connection that was closed meanwhile
		}
		sent := s.auth.header()
		if sent != "" && q.url.Host == s.target.URL.Host { // a Location may be elsewhere
			r.Header.Set("Authorization", sent)
		}
		a, err := s.transport.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		if a.StatusCode != http.StatusUnauthorized || again {
			return a, nil
		}
		discard(a)
		if err := s.auth.answer(ctx, a, sent); err != nil {
			return nil, err
		}
	}
}

// discard reads a short body to its end, so that the connection can be used again.
func discard(a *http.Response) {
	_, _ = io.CopyN(io.Discard, a.Body, 64<<10) // a longer one costs its connection
	_ = a.Body.Close()                          // it was read
}

// expect sends a request whose answer's body does not matter, and returns the answer if it has one of the statuses.
func (s *site) expect(ctx context.Context, q request, statuses ...int) (*http.Response, error) {
	a, err := s.do(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, status := range statuses {
		if a.StatusCode == status {
			discard(a)
			return a, nil
		}
	}
	return nil, answered(q.method, q.url, a)
}

// answered is the error of an answer with another status than wanted.
func answered(method string, u *url.URL, a *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(a.Body, 300)) // what came of it is good enough
	_ = a.Body.Close()                                 // it was read
	return &statusError{method: method, path: u.Path, status: a.StatusCode, text: strings.Join(strings.Fields(string(text)), " ")}
}

type statusError struct {
	method, path string
	status       int
	text         string
}

// Error names the kind of request and not its name or digest, so that equal failures read the same.
func (e *statusError) Error() string {
	kind := "/v2/"
	for _, k := range []string{"/blobs/uploads/", "/blobs/", "/manifests/", "/tags/list", "/_catalog"} {
		if strings.Contains(e.path, k) {
			kind = "…" + k
			break
		}
	}
	text := fmt.Sprintf("%s %s answered %d", e.method, kind, e.status)
	if e.text != "" {
		text += ": " + e.text
	}
	return text
}

// hasStatus says whether err is an answer with that status.
func hasStatus(err error, statuses ...int) bool {
	var e *statusError
	if !errors.As(err, &e) {
		return false
	}
	for _, status := range statuses {
		if e.status == status {
			return true
		}
	}
	return false
}

// greet asks whether there is a registry.
func (s *site) greet(ctx context.Context) error {
	if s.target.Instead != "" {
		return nil
	}
	_, err := s.expect(ctx, request{method: http.MethodGet, url: s.url("")}, http.StatusOK)
	if hasStatus(err, http.StatusUnauthorized) {
		return fmt.Errorf("the registry refuses the user and password: %w", err)
	}
	return err
}

// got is what a fetch has brought.
type got struct {
	bytes int64
	first time.Duration // until the first byte of the body
}

// fetch gets what is at u and throws it away, following a redirect. want, if not negative, is the number of bytes. to, if not nil, gets the
// bytes too.
func (s *site) fetch(ctx context.Context, method string, u *url.URL, header http.Header, want int64, to io.Writer) (g got, err error) {
	began := time.Now()
	a, err := s.do(ctx, request{method: method, url: u, header: header})
	if err != nil {
		return g, err
	}
	if a.StatusCode >= 300 && a.StatusCode < 400 {
		at, err := a.Location()
		if err != nil {
			return g, err
		}
		discard(a)
		r, err := http.NewRequestWithContext(ctx, method, at.String(), nil)
		if err != nil {
			return g, err
		}
		if a, err = s.follow.Do(r); err != nil {
			return g, err
		}
	}
	if a.StatusCode != http.StatusOK {
		return g, answered(method, u, a)
	}
	defer func() { err = errors.Join(err, a.Body.Close()) }()
	if method == http.MethodHead {
		return got{first: time.Since(began)}, nil
	}
	buffer := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buffer)
	for err == nil {
		var n int
		n, err = a.Body.Read(*buffer)
		if g.bytes == 0 && n > 0 {
			g.first = time.Since(began)
		}
		g.bytes += int64(n)
		if to != nil {
			if _, err := to.Write((*buffer)[:n]); err != nil {
				return g, err
			}
		}
	}
	if err != io.EOF {
		return g, err
	}
	if want >= 0 && g.bytes != want {
		return g, fmt.Errorf("got %d bytes of %d", g.bytes, want)
	}
	return g, nil
}

// manifestTypes are those that clients take.
var manifestTypes = http.Header{"Accept": {v1.MediaTypeImageManifest + ", " + v1.MediaTypeImageIndex +
	", application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json"}}

// manifest gets a manifest by tag or digest.
func (s *site) manifest(ctx context.Context, method, reference string, want int64) (got, error) {
	u := s.url(s.repo + "/manifests/" + reference)
	if s.target.Instead != "" {
		var err error
		if u, err = url.Parse(s.target.Instead); err != nil {
			return got{}, err
		}
		want = -1
	}
	return s.fetch(ctx, method, u, manifestTypes, want, nil)
}

// blob gets a blob.
func (s *site) blob(ctx context.Context, b blob) (got, error) {
	u := s.url(s.repo + "/blobs/" + string(b.digest))
	if s.target.Instead != "" {
		var err error
		if u, err = url.Parse(s.target.Instead); err != nil {
			return got{}, err
		}
	}
	return s.fetch(ctx, http.MethodGet, u, nil, b.size, nil)
}

// verify gets a blob and looks whether it has its digest.
func (s *site) verify(ctx context.Context, b blob) error {
	v := b.digest.Verifier()
	if _, err := s.fetch(ctx, http.MethodGet, s.url(s.repo+"/blobs/"+string(b.digest)), nil, b.size, v); err != nil {
		return err
	}
	if !v.Verified() {
		return fmt.Errorf("what comes back as %s is something else", b.digest)
	}
	return nil
}

// pushed is what there is to be removed.
type pushed struct {
	mu        sync.Mutex
	manifests []digest.Digest
	blobs     []digest.Digest
}

func (p *pushed) add(manifests, blobs []digest.Digest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.manifests = append(p.manifests, manifests...)
	p.blobs = append(p.blobs, blobs...)
}
