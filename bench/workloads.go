package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Workload is a kind of work that can be measured.
type Workload struct {
	Name  string
	About string // for people
	Unit  string // what is counted, in the plural

	plain   bool // can be done at a target that is no registry
	prepare func(ctx context.Context, r *run, s *site) error
	once    func(ctx context.Context, r *run, s *site, n int64) (done, error) // one operation, the nth of the target
	round   func(ctx context.Context, r *run, s *site, m *meter) error        // in place of once: all of a round
}

// done is what an operation has moved.
type done struct {
	bytes int64
	first time.Duration // until the first byte of an answer's body, where that is of interest
}

// Workloads are all kinds of work.
func Workloads() []Workload {
	return []Workload{
		{Name: "push", Unit: "images", About: "push new images", once: pushImage},
		{Name: "push-blob", Unit: "blobs", About: "push new blobs of the size of a layer", once: pushBlob},
		{Name: "pull", Unit: "images", About: "pull images by their tags: manifest, configuration, layers", prepare: pushImages, once: pullImage},
		{Name: "pull-blob", Unit: "blobs", About: "GET of layers", plain: true, prepare: pushImages, once: pullBlob},
		{Name: "manifest-get", Unit: "requests", About: "GET of manifests by tag", plain: true, prepare: pushImages, once: manifest(http.MethodGet)},
		{Name: "manifest-head", Unit: "requests", About: "HEAD of manifests by tag", plain: true, prepare: pushImages, once: manifest(http.MethodHead)},
		{Name: "tags", Unit: "pages", About: "pages out of the middle of a repository's tags", prepare: pushTags, once: tagsPage},
		{Name: "catalog", Unit: "pages", About: "the first and the second page of the catalogue, by turns", prepare: firstPage, once: catalogPage},
		{Name: "mixed", Unit: "operations", About: "of ten operations: 1 push, 3 pulls, 5 HEADs of manifests, 1 page of tags", prepare: prepareMixed, once: mixed},
		{Name: "crowd", Unit: "images", About: "many clients, each on a new connection, pull one new tag at the same moment, as nodes of a cluster do; once a round", round: crowd},
	}
}

func workloadNames() (names []string) {
	for _, w := range Workloads() {
		names = append(names, w.Name)
	}
	return names
}

func find(name string) (Workload, bool) {
	for _, w := range Workloads() {
		if w.Name == name {
			return w, true
		}
	}
	return Workload{}, false
}

func pushImage(ctx context.Context, r *run, s *site, n int64) (done, error) {
	im, err := r.newImage()
	if err != nil {
		return done{}, err
	}
	return done{bytes: im.bytes()}, s.pushImage(ctx, im, tagOf("push", n), r.o.Direct)
}

func pushBlob(ctx context.Context, r *run, s *site, _ int64) (done, error) {
	b, err := r.layers.next()
	if err != nil {
		return done{}, err
	}
	return done{bytes: b.size}, s.pushBlob(ctx, b, r.o.Direct)
}

// pushImages pushes what is asked for later, and looks whether it comes back as it was.
func pushImages(ctx context.Context, r *run, s *site) error {
	if s.target.Instead != "" || len(s.images) > 0 {
		return nil
	}
	images := make([]image, r.o.Images)
	err := each(ctx, len(images), r.o.Clients, func(ctx context.Context, i int) (err error) {
		if images[i], err = r.newImage(); err != nil {
			return err
		}
		return s.pushImage(ctx, images[i], tagOf("image", int64(i)), r.o.Direct)
	})
	if err != nil {
		return err
	}
	if err := s.verify(ctx, images[0].layers[0]); err != nil {
		return err
	}
	s.images = images
	return nil
}

// nth is one of the images that pushImages has pushed, with its tag.
func (s *site) nth(r *run, n int64) (image, string) {
	if len(s.images) == 0 { // no registry
		return image{layers: []blob{{size: r.o.LayerSize}}}, ""
	}
	i := n % int64(len(s.images))
	return s.images[i], tagOf("image", i)
}

func pullImage(ctx context.Context, r *run, s *site, n int64) (done, error) {
	im, tag := s.nth(r, n)
	bytes, err := s.pullImage(ctx, im, tag)
	return done{bytes: bytes}, err
}

func pullBlob(ctx context.Context, r *run, s *site, n int64) (done, error) {
	im, _ := s.nth(r, n)
	g, err := s.blob(ctx, im.layers[0])
	return done(g), err
}

func manifest(method string) func(context.Context, *run, *site, int64) (done, error) {
	return func(ctx context.Context, r *run, s *site, n int64) (done, error) {
		im, tag := s.nth(r, n)
		g, err := s.manifest(ctx, method, tag, int64(len(im.manifest)))
		return done{bytes: g.bytes}, err
	}
}

// pushTags fills the repository whose tags are listed: one image that has many.
func pushTags(ctx context.Context, r *run, s *site) error {
	if s.tagged {
		return nil
	}
	im, err := r.newImage()
	if err != nil {
		return err
	}
	if err := s.lists.pushImage(ctx, im, tagOf("list", 0), r.o.Direct); err != nil {
		return err
	}
	err = each(ctx, r.o.Tags-1, r.o.Clients, func(ctx context.Context, i int) error {
		return s.lists.pushManifest(ctx, im, tagOf("list", int64(i+1)))
	})
	s.tagged = err == nil
	return err
}

func tagsPage(ctx context.Context, r *run, s *site, _ int64) (done, error) {
	u := s.lists.url(s.lists.repo + "/tags/list")
	u.RawQuery = fmt.Sprintf("n=%d&last=%s", r.o.Page, tagOf("list", rand.Int64N(int64(max(r.o.Tags-r.o.Page, 1)))))
	g, err := s.fetch(ctx, http.MethodGet, u, nil, -1, nil)
	return done{bytes: g.bytes}, err
}

// firstPage finds where the second page of the catalogue begins.
func firstPage(ctx context.Context, r *run, s *site) error {
	u := s.url("_catalog")
	u.RawQuery = fmt.Sprintf("n=%d", r.o.Page)
	a, err := s.expect(ctx, request{method: http.MethodGet, url: u}, http.StatusOK)
	if err != nil {
		return err
	}
	s.pages = append(s.pages[:0], u)
	second, ok, err := nextPage(u, a.Header)
	if err != nil {
		return err
	}
	if ok {
		s.pages = append(s.pages, second)
	}
	return nil
}

func catalogPage(ctx context.Context, _ *run, s *site, n int64) (done, error) {
	g, err := s.fetch(ctx, http.MethodGet, s.pages[n%int64(len(s.pages))], nil, -1, nil)
	return done{bytes: g.bytes}, err
}

func prepareMixed(ctx context.Context, r *run, s *site) error {
	if err := pushImages(ctx, r, s); err != nil {
		return err
	}
	return pushTags(ctx, r, s)
}

func mixed(ctx context.Context, r *run, s *site, n int64) (done, error) {
	switch n % 10 {
	case 0:
		im, err := r.newImage()
		if err != nil {
			return done{}, err
		}
		return done{bytes: im.bytes()}, s.pushImage(ctx, im, tagOf("mixed", n), r.o.Direct)
	case 1, 4, 7:
		return pullImage(ctx, r, s, n)
	case 5:
		return tagsPage(ctx, r, s, n)
	default:
		return manifest(http.MethodHead)(ctx, r, s, n)
	}
}

// crowd pushes an image and lets all clients pull it at once.
func crowd(ctx context.Context, r *run, s *site, m *meter) error {
	im, err := r.newImage()
	if err != nil {
		return err
	}
	tag := tagOf("crowd", r.count.Add(1))
	if err := s.pushImage(ctx, im, tag, r.o.Direct); err != nil {
		return err
	}
	s.transport.CloseIdleConnections()
	var all sync.WaitGroup
	var waiting atomic.Int64
	start := make(chan struct{})
	for range r.o.Crowd {
		all.Go(func() {
			if waiting.Add(1) == int64(r.o.Crowd) {
				m.begin()
				close(start)
			}
			<-start
			began := time.Now()
			bytes, err := s.pullImage(ctx, im, tag)
			m.add(done{bytes: bytes}, time.Since(began), err)
		})
	}
	all.Wait()
	return nil
}

func (im image) bytes() (n int64) {
	for _, l := range im.layers {
		n += l.size
	}
	return n + im.config.size
}
