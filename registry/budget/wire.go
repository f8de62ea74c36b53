package budget

import (
	"maps"
	"net/http"
	"sync"
)

// WirePart is the kind under which Wire counts the parts of a large object.
const WirePart = "PUT part"

// Wire counts the HTTP requests that a driver sends to a store. The zero value counts from zero.
type Wire struct {
	// IsPart tells the requests that move or remove a part of a large object. Nil: as the S3 API has them.
	IsPart func(*http.Request) bool

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
	isPart := t.wire.IsPart
	if isPart == nil {
		isPart = func(r *http.Request) bool { return r.Method == http.MethodPut && r.URL.Query().Has("partNumber") }
	}
	if isPart(r) {
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
