// Package abilities finds out what a store with the S3 API makes of requests in which such stores differ. It sends them without an SDK,
// which would write a header in another way than was meant, or refuse before anything is sent.
package abilities

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// Names of the operations that Store.Headers is asked about, as S3's API reference has them.
const (
	opPut      = "PutObject"
	opCreate   = "CreateMultipartUpload"
	opPart     = "UploadPart"
	opComplete = "CompleteMultipartUpload"
	opGet      = "GetObject"
	opHead     = "HeadObject"
)

// Store says how a driver's store is asked.
type Store struct {
	Bucket string // its name

	// URL is that of the object full or, for "", of the bucket. Its query is ignored.
	URL func(ctx context.Context, full string) (*url.URL, error)

	// Sign signs a request, whose header X-Amz-Content-Sha256 is set.
	Sign func(ctx context.Context, r *http.Request) error

	// Transport sends requests.
	Transport http.RoundTripper

	// Headers are what the driver's configuration adds to an operation: without them a bucket with a strict policy refuses it. May be nil.
	Headers func(operation string) map[string]string
}

// one is a question to the store. ask puts an answer into a.
type one struct {
	name string
	ask  func(ctx context.Context, p *probe, full string, a *drivers.Ability)
}

// limit is how long one question may take: its largest body has 6 MiB.
const limit = 2 * time.Minute

// Find asks all, with objects whose names begin with folder, and removes what that has made. The settings of the bucket are neither asked for nor changed. When
// ctx ends the answers that are missing are "unknown".
func (s Store) Find(ctx context.Context, folder string) []drivers.Ability {
	p := &probe{Store: s, client: &http.Client{
		Transport: s.Transport,
		// A signature is good for one host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	defer p.removeAll(context.WithoutCancel(ctx))
	var all []drivers.Ability
	for _, group := range [][]one{conditions(), multipart(), checksums(), others()} {
		for _, q := range group {
			a := drivers.Ability{Name: q.name}
			asking, stop := context.WithTimeout(ctx, limit)
			q.ask(asking, p, folder+keyOf(q.name), &a)
			stop()
			all = append(all, a)
		}
	}
	return all
}

// keyOf is a part of a key for a name.
func keyOf(name string) string {
	key := []byte(name)
	for i, c := range key {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			key[i] = '-'
		}
	}
	return string(key)
}

// offered is yes if the store did what it was asked for, no if it refused.
func offered(a *drivers.Ability, got answer) bool {
	switch {
	case got.unclear():
		a.State = "unknown"
	case got.good():
		a.State = "yes"
		return true
	default:
		a.State = "no"
	}
	a.Detail = got.String()
	return false
}

// refused is yes if the store refused with status what it had to refuse, and ignored if it did it all the same.
func refused(a *drivers.Ability, got answer, status int, otherwise string) {
	switch {
	case got.status == status:
		a.State = "yes"
	case got.unclear():
		a.State, a.Detail = "unknown", got.String()
	case got.good():
		a.State, a.Detail = "ignored", otherwise
	default:
		a.State, a.Detail = "no", got.String()
	}
}
