package budget

import (
	"maps"
	"net/http"
	"sync"
)

// WirePart is the kind under which Wire counts the parts of a large object.
const WirePart = "PUT part"

// Wire counts the HTTP requests that a driver sends to a store with the S3 API. The zero value counts from zero.
type Wire struct {
	mu     sync.Mutex
	counts Counts
}

// Requests returns the requests so far, by method; parts have a kind of their own.
func (w *Wire) Requests() Counts {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.counts)
}

// Transport returns next, counted.
func (w *Wire) Transport(next http.RoundTripper) http.RoundTripper {
	return wireTransport{w, next}
}

type wireTransport struct {
	wire *Wire
	next http.RoundTripper
}

// RoundTrip is part of http.RoundTripper.
func (t wireTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	kind := r.Method
	if query := r.URL.Query(); r.Method == http.MethodPut && query.Has("partNumber") {
		kind = WirePart
	}
	t.wire.mu.Lock()
	if t.wire.counts == nil {
		t.wire.counts = Counts{}
	}
	t.wire.counts[kind]++
	t.wire.mu.Unlock()
	return t.next.RoundTrip(r)
}
