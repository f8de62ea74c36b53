// Package s3suite is what drivers of stores with the S3 API have to pass beside the suite of all drivers: the number of
// their requests, and what they make of failures between them and the store.
package s3suite

import (
	"context"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/internal/faultproxy"
)

// minPart is S3's smallest part in bytes.
const minPart = 5 << 20

// Driver is what the suite needs of a driver.
type Driver interface {
	drivers.Driver
	drivers.AbsentPutter
	drivers.MatchPutter
	drivers.Signer
	drivers.Sweeper
}

// Settings are those that a case asks for; zero leaves the driver's default.
type Settings struct {
	PartSize int64 // bytes
	Attempts int
	Timeout  time.Duration
}

// Suite says how drivers are opened.
type Suite struct {
	// Open opens a driver on a new bucket through a proxy of its own. The requests for that are not among Calls.
	Open func(t testing.TB, s Settings) (Driver, *faultproxy.Proxy)

	// Other opens a second driver on the bucket of d, not through its proxy.
	Other func(t testing.TB, d Driver) Driver
}

// Run runs all cases.
func (s Suite) Run(t *testing.T) {
	t.Run("calls", s.calls)
	t.Run("callsOfPages", s.callsOfPages)
	t.Run("callsOfWriter", s.callsOfWriter)
	t.Run("faultsThatPass", s.faultsThatPass)
	t.Run("faultsThatStay", s.faultsThatStay)
	t.Run("conditionalPutKnowsItsOwn", s.conditionalPutKnowsItsOwn)
	t.Run("conditionalPutKnowsOthers", s.conditionalPutKnowsOthers)
	t.Run("completeKnowsItsOwn", s.completeKnowsItsOwn)
	t.Run("completeOfAnotherIsNotTaken", s.completeOfAnotherIsNotTaken)
	t.Run("truncatedBody", s.truncatedBody)
	t.Run("silentStore", s.silentStore)
	t.Run("staleUploadsAreNotAborted", s.staleUploadsAreNotAborted)
}

// wantCalls fails t unless exactly these requests were sent, whatever the order of parts.
func wantCalls(t *testing.T, p *faultproxy.Proxy, want ...string) {
	t.Helper()
	got := p.Calls()
	if !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
}

// readBack returns the object at key.
func readBack(t *testing.T, d Driver, key string) []byte {
	t.Helper()
	body, info, err := d.Reader(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	if err != nil || int64(len(got)) != info.Size {
		t.Fatalf("read %d of %d bytes: %v", len(got), info.Size, err)
	}
	return got
}

// soon is a context for what must end by itself.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// pattern is n bytes that differ from place to place and by seed.
func pattern(seed byte, n int) []byte {
	b := make([]byte, n)
	x := uint64(seed) + 1
	for i := range b {
		x = x*6364136223846793005 + 1442695040888963407
		b[i] = byte(x >> 56)
	}
	return b
}
