package minio

import (
	"context"
	"net/http"
)

// bound sends requests with the context of its maker: minio-go has none for some of them.
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
