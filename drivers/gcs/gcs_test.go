//go:build integration

package gcs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
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

// at is a configuration for a new bucket of the shared server.
func at(t testing.TB) Config {
	t.Helper()
	return on(t, shared.Get(t))
}

// on is a configuration for a new bucket of s.
func on(t testing.TB, s *gcstest.Server) Config {
	t.Helper()
	c := Defaults()
	c.Endpoint, c.CredentialsJSON = s.URL, drivers.Secret(s.Credentials)
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

// short is for a run beside a full one: the rest is the same.
var short = conformance.Config{ListKeys: 1100, Repeat: 2}

func TestConformance(t *testing.T) {
	t.Run("fake-gcs-server", func(t *testing.T) { conform(t, conformance.Config{}, shared.Get(t), Config{}) })
	t.Run("fake-gcs-server, with a prefix and little memory", func(t *testing.T) {
		tight := short
		tight.LargeObject = 9 << 20 // one full part: a second that is sent during a Drop would be a leftover, as the case says
		// Three buffers: one Writer of a test may wait for another of the same goroutine.
		conform(t, tight, shared.Get(t), Config{Prefix: "/some/folder/", PartSize: parts.MinPart, Memory: 3 * parts.MinPart, Anonymous: true})
	})
}

// conform runs suite over proxied drivers on new buckets of s, with the settings of base.
func conform(t *testing.T, suite conformance.Config, s *gcstest.Server, base Config) {
	proxies := make(map[drivers.Driver]*faultproxy.Proxy)
	direct := make(map[drivers.Driver]Config)
	reopen := func(t testing.TB, c Config) drivers.Driver {
		t.Helper()
		p := faultproxy.NewNamed(t, s.URL, gcstest.CallOf)
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
		c := on(t, s)
		c.Prefix, c.PartSize, c.Memory = base.Prefix, cmp.Or(base.PartSize, c.PartSize), cmp.Or(base.Memory, c.Memory)
		if base.Anonymous {
			c.Anonymous, c.CredentialsJSON = true, ""
		}
		c.Attempts = 4 // or lost replies would take minutes
		return reopen(t, c)
	}
	suite.Reopen = func(t testing.TB, d drivers.Driver) drivers.Driver { return reopen(t, direct[d]) }
	suite.Where = func(t testing.TB, d drivers.Driver) string {
		c := direct[d]
		where, err := json.Marshal(map[string]any{ // a secret's own form hides it
			"Endpoint": c.Endpoint, "Bucket": c.Bucket, "Prefix": c.Prefix, "Anonymous": c.Anonymous, "CredentialsJSON": string(c.CredentialsJSON),
			"PartSize": c.PartSize, "Memory": c.Memory,
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(where)
	}
	if folder := base.folder(); folder != "" {
		suite.Neighbour = func(t testing.TB, d drivers.Driver) drivers.Driver {
			c := direct[d]
			c.Prefix = strings.TrimSuffix(folder, "/") + "-2"
			return reopen(t, c)
		}
	}
	suite.Faults = conformance.Faults{
		BreakReads:  fail(func(call string) bool { return call == "GET" }, faultproxy.Truncate),
		FailWrites:  fail(faultproxy.Changes, faultproxy.Denied),
		LoseReplies: fail(faultproxy.Changes, faultproxy.LoseReply),
		Hang:        fail(func(string) bool { return true }, faultproxy.Hang),
	}
	suite.Extras = conformance.Extras{Absent: true, Match: true, Signer: !base.Anonymous, Sweep: true}
	suite.Name = name
	suite.MaxKey = drivers.MaxKey - len(base.folder())
	conformance.Run(t, suite)
}
