//go:build integration

package gcs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/internal/daemon"
	"github.com/longshore-registry/longshore/internal/faultproxy"
	"github.com/longshore-registry/longshore/internal/gcstest"
)

// shared is the server of all tests, started by the first that needs it.
var shared = daemon.Shared[*gcstest.Server]{Launch: gcstest.Launch}

func TestMain(m *testing.M) {
	code := conformance.Main(m, func(ctx context.Context, where string) (drivers.Driver, error) {
		c := Defaults()
		if err := json.Unmarshal([]byte(where), &c); err != nil {
			return nil, err
		}
		return Open(ctx, c)
	})
	shared.Stop()
	os.Exit(code)
}

// buckets counts those that were made.
var buckets atomic.Int64

// at is a configuration for a new bucket.
func at(t testing.TB) Config {
	t.Helper()
	s := shared.Get(t)
	c := Defaults()
	c.Endpoint, c.Anonymous = s.URL, true
	c.Bucket = fmt.Sprintf("test-gcs-%d", buckets.Add(1))
	s.Bucket(t, c.Bucket)
	return c
}

// open opens a driver and closes its connections after the test.
func open(t testing.TB, c Config) *Driver {
	t.Helper()
	d, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func TestConformance(t *testing.T) {
	t.Run("fake-gcs-server", func(t *testing.T) { conform(t, conformance.Config{}, Config{}) })
	t.Run("fake-gcs-server, with a prefix and little memory", func(t *testing.T) {
		// Three buffers: one Writer of a test may wait for another of the same goroutine.
		conform(t, conformance.Config{ListKeys: 1100, Repeat: 2}, Config{Prefix: "/some/folder/", PartSize: parts.MinPart, Memory: 3 * parts.MinPart})
	})
}

// conform runs suite over proxied drivers on new buckets, with the settings of base.
func conform(t *testing.T, suite conformance.Config, base Config) {
	shared.Get(t) // its goroutines outlive the suite
	proxies := make(map[drivers.Driver]*faultproxy.Proxy)
	direct := make(map[drivers.Driver]Config)
	reopen := func(t testing.TB, c Config) drivers.Driver {
		t.Helper()
		p := faultproxy.NewNamed(t, shared.Get(t).URL, gcstest.CallOf)
		proxied := c
		proxied.Endpoint = p.URL
		d := open(t, proxied)
		proxies[d], direct[d] = p, c
		return d
	}
	fail := func(kinds func(call string) bool, what faultproxy.Fault) func(t testing.TB, d drivers.Driver) func() {
		return func(_ testing.TB, d drivers.Driver) func() {
			p := proxies[d]
			p.Set(func(call string) faultproxy.Fault {
				if kinds(call) {
					return what
				}
				return faultproxy.Pass
			})
			return func() { p.Set(nil) }
		}
	}
	suite.Open = func(t testing.TB) drivers.Driver {
		c := at(t)
		c.Prefix, c.PartSize, c.Memory = base.Prefix, cmp.Or(base.PartSize, c.PartSize), cmp.Or(base.Memory, c.Memory)
		c.Attempts = 4 // or lost replies would take minutes
		return reopen(t, c)
	}
	suite.Reopen = func(t testing.TB, d drivers.Driver) drivers.Driver { return reopen(t, direct[d]) }
	suite.Where = func(t testing.TB, d drivers.Driver) string {
		where, err := json.Marshal(direct[d])
		if err != nil {
			t.Fatal(err)
		}
		return string(where)
	}
	suite.Faults = conformance.Faults{
		BreakReads: func(_ testing.TB, d drivers.Driver) func() {
			// The client library asks for the rest when a body breaks off; that is refused, too.
			again := false
			proxies[d].Set(func(call string) faultproxy.Fault {
				if call != "GET" {
					return faultproxy.Pass
				}
				again = !again
				if again {
					return faultproxy.Truncate
				}
				return faultproxy.Denied
			})
			return func() { proxies[d].Set(nil) }
		},
		FailWrites:  fail(faultproxy.Changes, faultproxy.Denied),
		LoseReplies: fail(faultproxy.Changes, faultproxy.LoseReply),
		Hang:        fail(func(string) bool { return true }, faultproxy.Hang),
	}
	suite.Extras = conformance.Extras{Absent: true, Match: true, Sweep: true}
	suite.Name = name
	suite.MaxKey = drivers.MaxKey - len(base.folder())
	conformance.Run(t, suite)
}
