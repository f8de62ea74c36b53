package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
)

// upload pushes one blob of equal bytes as docker does, telling sent how many have gone, and returns how long the closing PUT took.
func upload(ctx context.Context, s server, repo string, size int64, sent *atomic.Int64) (commit time.Duration, err error) {
	at, err := s.URL.Parse("/v2/" + repo + "/blobs/uploads/")
	if err != nil {
		return 0, err
	}
	if at, err = follow(ctx, http.MethodPost, at, nil, 0, http.StatusAccepted); err != nil {
		return 0, err
	}
	h := sha256.New()
	body := io.TeeReader(io.LimitReader(same{}, size), io.MultiWriter(h, counter{sent}))
	if at, err = follow(ctx, http.MethodPatch, at, body, size, http.StatusAccepted); err != nil {
		return 0, err
	}
	q := at.Query()
	q.Set("digest", digest.NewDigest(digest.SHA256, h).String())
	at.RawQuery = q.Encode()
	began := time.Now()
	_, err = follow(ctx, http.MethodPut, at, nil, 0, http.StatusCreated)
	return time.Since(began), err
}

// follow sends a request of an upload, and returns its Location.
func follow(ctx context.Context, method string, at *url.URL, body io.Reader, size int64, status int) (*url.URL, error) {
	r, err := http.NewRequestWithContext(ctx, method, at.String(), body)
	if err != nil {
		return nil, err
	}
	r.ContentLength = size
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	text, _ := io.ReadAll(io.LimitReader(a.Body, 300)) // it is for the error alone
	_ = a.Body.Close()                                 // it was read
	if a.StatusCode != status {
		return nil, fmt.Errorf("%s of an upload answered %d: %s", method, a.StatusCode, text)
	}
	return at.Parse(a.Header.Get("Location"))
}

// same is a reader of equal bytes without an end.
type same struct{}

func (same) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// counter counts what is written.
type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}
