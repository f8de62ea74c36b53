package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// parallelLayers is how many layers of an image docker pushes, and gets, at once by default.
const (
	parallelPushes = 5
	parallelPulls  = 3
)

// each does f for the numbers below n, some at once.
func each(ctx context.Context, n, atOnce int, f func(ctx context.Context, i int) error) error {
	if n == 1 {
		return f(ctx, 0)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i := range n {
		g.Go(func() error { return f(ctx, i) })
	}
	return g.Wait()
}

// pushBlob pushes a blob as docker does, or directly.
func (s *site) pushBlob(ctx context.Context, b blob, direct bool) error {
	s.pushed.add(nil, []digest.Digest{b.digest})
	if !direct {
		if _, err := s.expect(ctx, request{method: http.MethodHead, url: s.url(s.repo + "/blobs/" + string(b.digest))}, http.StatusNotFound); err != nil {
			return err
		}
	}
	at, err := s.step(ctx, request{method: http.MethodPost, url: s.url(s.repo + "/blobs/uploads/")}, http.StatusAccepted)
	if err != nil {
		return err
	}
	bytes := http.Header{"Content-Type": {"application/octet-stream"}}
	if direct {
		_, err := s.expect(ctx, request{method: http.MethodPut, url: withDigest(at, b.digest), header: bytes, body: b.open, size: b.size}, http.StatusCreated)
		return err
	}
	if at, err = s.step(ctx, request{method: http.MethodPatch, url: at, header: bytes, body: b.open, size: b.size}, http.StatusAccepted); err != nil {
		return err
	}
	_, err = s.expect(ctx, request{method: http.MethodPut, url: withDigest(at, b.digest)}, http.StatusCreated)
	return err
}

// step is a request of an upload whose answer says where the next one goes.
func (s *site) step(ctx context.Context, q request, status int) (*url.URL, error) {
	a, err := s.expect(ctx, q, status)
	if err != nil {
		return nil, err
	}
	location := a.Header.Get("Location")
	if location == "" {
		return nil, fmt.Errorf("%s of an upload was answered without a Location", q.method)
	}
	return q.url.Parse(location)
}

func withDigest(u *url.URL, d digest.Digest) *url.URL {
	to := *u
	if to.RawQuery != "" {
		to.RawQuery += "&"
	}
	to.RawQuery += "digest=" + url.QueryEscape(string(d))
	return &to
}

// pushManifest pushes an image's manifest under a tag.
func (s *site) pushManifest(ctx context.Context, im image, tag string) error {
	s.pushed.add([]digest.Digest{im.digest}, nil)
	_, err := s.expect(ctx, request{
		method: http.MethodPut, url: s.url(s.repo + "/manifests/" + tag), header: http.Header{"Content-Type": {v1.MediaTypeImageManifest}},
		body: func() io.Reader { return &filler{tail: im.manifest} }, size: int64(len(im.manifest)),
	}, http.StatusCreated)
	return err
}

// pushImage pushes an image as docker does: layers, some at once, the configuration, the manifest.
func (s *site) pushImage(ctx context.Context, im image, tag string, direct bool) error {
	err := each(ctx, len(im.layers), parallelPushes, func(ctx context.Context, i int) error { return s.pushBlob(ctx, im.layers[i], direct) })
	if err != nil {
		return err
	}
	if err := s.pushBlob(ctx, im.config, direct); err != nil {
		return err
	}
	return s.pushManifest(ctx, im, tag)
}

// pullImage pulls an image by its tag, and returns the bytes of its blobs.
func (s *site) pullImage(ctx context.Context, im image, tag string) (bytes int64, err error) {
	if _, err := s.manifest(ctx, http.MethodGet, tag, int64(len(im.manifest))); err != nil {
		return 0, err
	}
	if _, err := s.blob(ctx, im.config); err != nil {
		return 0, err
	}
	err = each(ctx, len(im.layers), parallelPulls, func(ctx context.Context, i int) error {
		_, err := s.blob(ctx, im.layers[i])
		return err
	})
	for _, l := range im.layers {
		bytes += l.size
	}
	return bytes + im.config.size, err
}
