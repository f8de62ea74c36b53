package gcs

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// outgoing gives requests what the client library leaves out: the User-Agent, which it drops where it did not make the HTTP client itself; the key of
// a composed object, which would have the bucket's default else; and patience with bodies that break off, whose rest it asks for at once and
// for ever.
type outgoing struct {
	next http.RoundTripper
	c    Config
}

// bodyKey is under what a context has the number of requests for one body, an *atomic.Int64.
type bodyKey struct{}

// RoundTrip is part of http.RoundTripper.
func (o outgoing) RoundTrip(r *http.Request) (*http.Response, error) {
	if n, ok := r.Context().Value(bodyKey{}).(*atomic.Int64); ok {
		before := int(n.Add(1)) - 1
		if before >= o.c.Attempts {
			return nil, fmt.Errorf("the body broke off %d times", before)
		}
		if before > 0 {
			if err := wire.Pause(r.Context(), before); err != nil {
				return nil, err
			}
		}
	}
	r = r.Clone(r.Context())
	if o.c.UserAgent != "" {
		r.Header.Set("User-Agent", strings.TrimSpace(r.UserAgent()+" "+o.c.UserAgent))
	}
	if o.c.KMSKey != "" && r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/compose") {
		q := r.URL.Query()
		q.Set("kmsKeyName", o.c.KMSKey)
		r.URL.RawQuery = q.Encode()
	}
	return o.next.RoundTrip(r)
}
