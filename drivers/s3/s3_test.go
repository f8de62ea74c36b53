//go:build integration

package s3

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
	"github.com/longshore-registry/longshore/internal/faultproxy"
	"github.com/longshore-registry/longshore/internal/miniotest"
	"github.com/longshore-registry/longshore/internal/s3suite"
	"github.com/longshore-registry/longshore/internal/versitygwtest"
)

// server is the MinIO of all tests that use one.
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

// buckets counts those that were made, on all servers.
var buckets atomic.Int64

// at is a configuration for a new bucket, which Open makes.
func at(url, accessKey, secretKey string) Config {
	c := Defaults()
	c.Endpoint, c.AccessKey, c.SecretKey = url, accessKey, drivers.Secret(secretKey)
	c.Bucket, c.CreateBucket = fmt.Sprintf("test-s3-%d", buckets.Add(1)), true
	return c
}

// onMinIO is at the shared MinIO.
func onMinIO(t testing.TB) Config {
	t.Helper()
	s := server.Get(t)
	return at(s.URL, s.User, s.Password)
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

// openProxied opens a driver on a new bucket of MinIO through a proxy of its own. change may be nil.
func openProxied(t testing.TB, change func(*Config)) (*Driver, *faultproxy.Proxy) {
	t.Helper()
	p := faultproxy.New(t, server.Get(t).URL)
	c := onMinIO(t)
	c.Endpoint = p.URL
	if change != nil {
		change(&c)
	}
	d := open(t, c)
	p.Calls()
	return d, p
}

// TestWire counts requests and makes them fail.
func TestWire(t *testing.T) {
	s3suite.Suite{
		Open: func(t testing.TB, s s3suite.Settings) (s3suite.Driver, *faultproxy.Proxy) {
			return openProxied(t, func(c *Config) {
				c.PartSize, c.Attempts, c.Timeout = cmp.Or(s.PartSize, c.PartSize), cmp.Or(s.Attempts, c.Attempts), cmp.Or(s.Timeout, c.Timeout)
			})
		},
		Other: func(t testing.TB, d s3suite.Driver) s3suite.Driver {
			c := d.(*Driver).c
			c.Endpoint = server.Get(t).URL
			return open(t, c)
		},
	}.Run(t)
}

// short is for a run beside a full one: the rest is the same.
var short = conformance.Config{ListKeys: 1100, Repeat: 2}

func TestConformance(t *testing.T) {
	t.Run("minio", func(t *testing.T) { conform(t, conformance.Config{}, onMinIO(t)) })
	t.Run("minio, with other settings", func(t *testing.T) {
		c := onMinIO(t)
		c.Prefix, c.Checksums, c.ListVersion, c.IfMatch, c.BatchDelete, c.EqualParts = "/some/folder/", "sha256", "v1", "quoted", false, true
		// Three buffers: one Writer of a test may wait for another of the same goroutine.
		c.PartSize, c.Memory = parts.MinPart, 3*parts.MinPart
		conform(t, short, c)
	})
	t.Run("versitygw", func(t *testing.T) {
		s := versitygwtest.Start(t)
		folder := short
		folder.RacyCommit = true
		c := at(s.URL, s.AccessKey, s.SecretKey)
		c.Prefix = "shared/registry"
		conform(t, folder, c)
	})
}

// conform runs suite over proxied drivers on new buckets, with the settings of base.
func conform(t *testing.T, suite conformance.Config, base Config) {
	proxies := make(map[drivers.Driver]*faultproxy.Proxy)
	direct := make(map[drivers.Driver]Config)
	base.Attempts = max(4, base.Attempts-6) // or lost replies would take minutes
	reopen := func(t testing.TB, c Config) drivers.Driver {
		t.Helper()
		p := faultproxy.New(t, c.Endpoint)
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
		c := base
		c.Bucket = fmt.Sprintf("test-s3-%d", buckets.Add(1))
		return reopen(t, c)
	}
	suite.Reopen = func(t testing.TB, d drivers.Driver) drivers.Driver { return reopen(t, direct[d]) }
	suite.Where = func(t testing.TB, d drivers.Driver) string {
		c := direct[d]
		where, err := json.Marshal(map[string]any{
			"Endpoint": c.Endpoint, "Bucket": c.Bucket, "Prefix": c.Prefix, "AccessKey": c.AccessKey,
			"SecretKey": string(c.SecretKey), // Config's own form hides it
			"PartSize":  c.PartSize, "Memory": c.Memory, "Checksums": c.Checksums, "EqualParts": c.EqualParts,
			"AllParts": c.AllParts, "IfMatch": c.IfMatch, "ListVersion": c.ListVersion, "BatchDelete": c.BatchDelete,
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(where)
	}
	if base.folder() != "" {
		suite.Neighbour = func(t testing.TB, d drivers.Driver) drivers.Driver {
			c := direct[d]
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
	suite.Extras = conformance.Extras{Absent: true, Match: base.IfMatch != "off", Signer: true, Sweep: true}
	suite.Name = name
	suite.MaxKey = cmp.Or(suite.MaxKey, drivers.MaxKey) - len(base.folder())
	conformance.Run(t, suite)
}
