//go:build integration

package minio

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/internal/faultproxy"
	"github.com/longshore-registry/longshore/internal/miniotest"
)

// server is the MinIO of all tests that don't need one of their own.
var server miniotest.Shared

func TestMain(m *testing.M) {
	code := conformance.Main(m, func(ctx context.Context, where string) (drivers.Driver, error) {
		c := Defaults()
		if err := json.Unmarshal([]byte(where), &c); err != nil {
			return nil, err
		}
		return Open(ctx, c)
	})
	server.Stop()
	os.Exit(code)
}

// newConfig is a configuration for a new bucket.
func newConfig(t testing.TB) Config {
	t.Helper()
	return configFor(t, server.Get(t))
}

func configFor(t testing.TB, s *miniotest.Server) Config {
	t.Helper()
	c := Defaults()
	c.Endpoint, c.Bucket = s.URL, s.Bucket(t)
	c.AccessKey, c.SecretKey = s.User, drivers.Secret(s.Password)
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
	for name, change := range map[string]func(*Config){
		"plain": func(*Config) {},
		"with a prefix, little memory and signed bodies": func(c *Config) {
			c.Prefix, c.Checksums = "/some/folder/", "sha256"
			// Three buffers: one Writer of a test may wait for another of the same goroutine.
			c.PartSize, c.Memory = parts.MinPart, 3*parts.MinPart
		},
	} {
		suite := conformance.Config{}
		if name != "plain" {
			suite.ListKeys, suite.Repeat = 1100, 2 // the rest is the same
		}
		t.Run(name, func(t *testing.T) { conform(t, suite, change) })
	}
}

// conform runs suite over proxied drivers on new buckets; change sets what is special of them.
func conform(t *testing.T, suite conformance.Config, change func(*Config)) {
	configs := make(map[drivers.Driver]Config)
	proxies := make(map[drivers.Driver]*faultproxy.Proxy)
	reopen := func(t testing.TB, c Config) drivers.Driver {
		t.Helper()
		p := faultproxy.New(t, server.Get(t).URL)
		direct := c.Endpoint
		c.Endpoint = p.URL
		d := open(t, c)
		c.Endpoint = direct
		configs[d], proxies[d] = c, p
		return d
	}
	base := newConfig(t)
	base.Attempts = 4 // or lost replies would take minutes
	change(&base)
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
		c := base
		c.Bucket = server.Get(t).Bucket(t)
		return reopen(t, c)
	}
	suite.Reopen = func(t testing.TB, d drivers.Driver) drivers.Driver { return reopen(t, configs[d]) }
	suite.Where = func(t testing.TB, d drivers.Driver) string {
		c := configs[d]
		where, err := json.Marshal(map[string]any{
			"Endpoint": c.Endpoint, "Bucket": c.Bucket, "Prefix": c.Prefix, "AccessKey": c.AccessKey,
			"SecretKey": string(c.SecretKey), // Config's own form hides it
			"PartSize":  c.PartSize, "Memory": c.Memory, "Checksums": c.Checksums,
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(where)
	}
	if base.folder() != "" {
		suite.Neighbour = func(t testing.TB, d drivers.Driver) drivers.Driver {
			c := configs[d]
			c.Prefix = strings.Trim(c.Prefix, "/") + "-2"
			return reopen(t, c)
		}
	}
	suite.Faults = conformance.Faults{
		BreakReads:  fail(func(call string) bool { return call == "GET" }, faultproxy.Truncate),
		FailWrites:  fail(faultproxy.Changes, faultproxy.Denied),
		LoseReplies: fail(faultproxy.Changes, faultproxy.LoseReply),
		Hang:        fail(func(string) bool { return true }, faultproxy.Hang),
	}
	suite.Extras = conformance.Extras{Absent: true, Match: true, Signer: true, Sweep: true}
	suite.Name = name
	suite.MaxKey = drivers.MaxKey - len(base.folder())
	conformance.Run(t, suite)
}
