// Package budget counts what the registry's work costs the store, in requests, and compares it with
// what docs/design.md allows.
package budget

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Counts are requests to the store by kind, such as "put" or "GET".
type Counts map[string]int

// Total is the number of all requests.
func (c Counts) Total() int {
	n := 0
	for _, k := range c {
		n += k
	}
	return n
}

func (c Counts) minus(before Counts) Counts {
	d := Counts{}
	for kind, n := range c {
		if n -= before[kind]; n != 0 {
			d[kind] = n
		}
	}
	return d
}

// Store is a store that counts.
type Store struct {
	// Requests returns how many requests the store got so far.
	Requests func() Counts

	// Part is the kind of request in Requests that uploads one part of a large object; "" if the
	// store takes objects of any size in one stream.
	Part string
}

// Result is one kind of work, counted.
type Result struct {
	Work     string `json:"work"`
	Requests Counts `json:"requests"`
	Total    int    `json:"total"`
	Limit    int    `json:"limit"`
}

// Met reports whether the work stayed within its budget.
func (r Result) Met() bool { return r.Total <= r.Limit }

// Options say how large the work is. The zero value is what the budgets were written for, but for the tags.
type Options struct {
	Large int64 // bytes of the large layer; default 100 MiB
	Tags  int   // tags in the repository whose pages are listed; default 1,200
}

// Measure does each kind of work that has a budget through handler, which serves a registry on
// store that nobody else uses meanwhile, in repositories whose names begin with prefix. It leaves them there. An
// answer other than the one expected is an error.
func Measure(ctx context.Context, handler http.Handler, store Store, prefix string, o Options) ([]Result, error) {
	if o.Large == 0 {
		o.Large = 100 << 20
	}
	if o.Tags == 0 {
		o.Tags = 1200
	}
	const leastRange = 4 << 20 // of those that the registry fetches ahead of a client
	m := &measuring{ctx: ctx, handler: handler, store: store}
	small, err := m.newImage(1 << 20)
	if err != nil {
		return nil, err
	}
	// The process is warm when it has done each thing once.
	m.pushDocker(prefix+"/warm", small)
	m.pull(prefix+"/warm", small)

	for _, work := range []struct {
		name  string
		limit int
		do    func()
	}{
		{"push a one-layer image the way docker does, new repository", 12, m.fresh(1<<20, func(i *image) { m.pushDocker(prefix+"/docker", i) })},
		{"the same, HEAD of each blob after its upload", 12, m.fresh(1<<20, func(i *image) { m.pushMoby(prefix+"/moby", i) })},
		{"the same, digest known up front (POST, PUT)", 12, m.fresh(1<<20, func(i *image) { m.pushKnown(prefix+"/known", i); m.known = i })},
		{"push again what is there", 5, func() { m.pushAgain(prefix+"/known", m.known) }},
		{fmt.Sprintf("push an image with a layer of %d MiB", o.Large>>20), 15, m.fresh(o.Large, func(i *image) { m.pushDocker(prefix+"/large", i); m.large = i })},
		{fmt.Sprintf("pull a layer of %d MiB through the registry", o.Large>>20), 2 + int(o.Large/leastRange), func() { m.pullBlob(prefix+"/large", m.large.blobs[1]) }},
		{"pull by tag, second time", 3 + 2, func() { m.pull(prefix+"/warm", small) }},
		{"HEAD of a manifest by digest", 1, func() { m.manifest("HEAD", prefix+"/warm", small) }},
		{"GET of a manifest by digest", 1, func() { m.manifest("GET", prefix+"/warm", small) }},
		{"mount a blob from another repository", 4, func() { m.mount(prefix+"/mounted", prefix+"/warm", small) }},
	} {
		m.count(work.name, work.limit, work.do)
	}
	for i := 0; i < o.Tags && m.err == nil; i += 100 {
		m.tag(prefix+"/known", m.known, i, min(100, o.Tags-i))
	}
	m.count(fmt.Sprintf("a page of 100 tags out of %d", o.Tags), 1, func() {
		m.do("GET", "/v2/"+prefix+"/known/tags/list?n=100&last=t000500", nil, nil, http.StatusOK)
	})
	m.count("a page of 100 repositories", 1, func() { m.do("GET", "/v2/_catalog?n=100", nil, nil, http.StatusOK) })
	return m.results, m.err
}

type measuring struct {
	ctx     context.Context
	handler http.Handler
	store   Store
	results []Result
	known   *image
	large   *image
	err     error
}

func (m *measuring) count(work string, limit int, do func()) {
	if m.err != nil {
		return
	}
	before := m.store.Requests()
	do()
	if m.err != nil {
		m.err = fmt.Errorf("%s: %w", work, m.err)
		return
	}
	counts := m.store.Requests().minus(before)
	if parts := counts[m.store.Part]; m.store.Part != "" {
		limit += parts
	}
	m.results = append(m.results, Result{work, counts, counts.Total(), limit})
}

// fresh makes an image that no store has seen before the work is counted.
func (m *measuring) fresh(size int64, do func(*image)) func() {
	i, err := m.newImage(size)
	if err != nil {
		m.err = errors.Join(m.err, err)
	}
	return func() { do(i) }
}

type image struct {
	blobs    [][]byte // config and layer
	manifest []byte
}

func (m *measuring) newImage(size int64) (*image, error) {
	layer := make([]byte, size)
	rand.Read(layer)
	config := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[%q]}}`, digest.FromBytes(layer))
	doc := v1.Manifest{
		MediaType: v1.MediaTypeImageManifest,
		Config:    v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: digest.FromBytes(config), Size: int64(len(config))},
		Layers:    []v1.Descriptor{{MediaType: v1.MediaTypeImageLayer, Digest: digest.FromBytes(layer), Size: size}},
	}
	doc.SchemaVersion = 2
	manifest, err := json.Marshal(doc)
	return &image{[][]byte{config, layer}, manifest}, err
}

// stream hides the length of a body, as docker's chunked PATCH does.
type stream struct{ io.Reader }

func (m *measuring) do(method, path string, body io.Reader, header http.Header, want int) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	if m.err != nil {
		return w
	}
	r := httptest.NewRequestWithContext(m.ctx, method, path, body)
	for name, values := range header {
		r.Header[name] = values
	}
	m.handler.ServeHTTP(w, r)
	if w.Code != want {
		m.err = fmt.Errorf("%s %s: status %d instead of %d: %s", method, path, w.Code, want, strings.TrimSpace(w.Body.String()))
	}
	return w
}

func location(w *httptest.ResponseRecorder, d digest.Digest) string {
	l := w.Header().Get("Location")
	if d == "" {
		return l
	}
	return l + "&digest=" + d.String()
}

func (m *measuring) head(repo string, d digest.Digest, want int) {
	m.do("HEAD", "/v2/"+repo+"/blobs/"+d.String(), nil, nil, want)
}

func (m *measuring) upload(repo string, b []byte) {
	w := m.do("POST", "/v2/"+repo+"/blobs/uploads/", nil, nil, http.StatusAccepted)
	w = m.do("PATCH", location(w, ""), stream{bytes.NewReader(b)}, nil, http.StatusAccepted)
	m.do("PUT", location(w, digest.FromBytes(b)), nil, nil, http.StatusCreated)
}

func (m *measuring) putManifest(repo, reference string, i *image) {
	m.do("PUT", "/v2/"+repo+"/manifests/"+reference, bytes.NewReader(i.manifest), http.Header{"Content-Type": {v1.MediaTypeImageManifest}}, http.StatusCreated)
}

func (m *measuring) pushDocker(repo string, i *image) {
	for _, b := range i.blobs {
		m.head(repo, digest.FromBytes(b), http.StatusNotFound)
		m.upload(repo, b)
	}
	m.putManifest(repo, "latest", i)
}

func (m *measuring) pushMoby(repo string, i *image) {
	for _, b := range i.blobs {
		m.upload(repo, b)
		m.head(repo, digest.FromBytes(b), http.StatusOK)
	}
	m.putManifest(repo, "latest", i)
}

func (m *measuring) pushKnown(repo string, i *image) {
	for _, b := range i.blobs {
		d := digest.FromBytes(b)
		m.head(repo, d, http.StatusNotFound)
		w := m.do("POST", "/v2/"+repo+"/blobs/uploads/", nil, nil, http.StatusAccepted)
		m.do("PUT", location(w, d), bytes.NewReader(b), nil, http.StatusCreated)
	}
	m.putManifest(repo, "latest", i)
}

func (m *measuring) pushAgain(repo string, i *image) {
	for _, b := range i.blobs {
		m.head(repo, digest.FromBytes(b), http.StatusOK)
	}
	m.putManifest(repo, "latest", i)
}

func (m *measuring) pull(repo string, i *image) {
	m.do("GET", "/v2/"+repo+"/manifests/latest", nil, nil, http.StatusOK)
	for _, b := range i.blobs {
		m.pullBlob(repo, b)
	}
}

func (m *measuring) pullBlob(repo string, b []byte) {
	w := m.do("GET", "/v2/"+repo+"/blobs/"+digest.FromBytes(b).String(), nil, nil, http.StatusOK)
	if m.err == nil && !bytes.Equal(w.Body.Bytes(), b) {
		m.err = errors.New("a blob came back with other bytes")
	}
}

func (m *measuring) manifest(method, repo string, i *image) {
	m.do(method, "/v2/"+repo+"/manifests/"+digest.FromBytes(i.manifest).String(), nil, nil, http.StatusOK)
}

func (m *measuring) mount(repo, from string, i *image) {
	m.do("POST", "/v2/"+repo+"/blobs/uploads/?from="+from+"&mount="+digest.FromBytes(i.blobs[1]).String(), nil, nil, http.StatusCreated)
}

// tag sets n tags from the number first on.
func (m *measuring) tag(repo string, i *image, first, n int) {
	query := ""
	for k := range n {
		query += fmt.Sprintf("&tag=t%06d", first+k)
	}
	m.putManifest(repo, digest.FromBytes(i.manifest).String()+"?"+query[1:], i)
}
