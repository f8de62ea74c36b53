//go:build integration

package s3

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
	base.Attempts = max(4, base.Attempts-6) // or lost replies would take minutes
	suite.Extras = conformance.Extras{Absent: true, Match: base.IfMatch != "off", Signer: true, Sweep: true}
	suite.Name = name
	s3suite.Kind[Config]{
		Open:     func(t testing.TB, c Config) drivers.Driver { return open(t, c) },
		Endpoint: func(c *Config) *string { return &c.Endpoint },
		Prefix:   func(c *Config) *string { return &c.Prefix },
		Bucket:   func(_ testing.TB, c *Config) { c.Bucket = fmt.Sprintf("test-s3-%d", buckets.Add(1)) },
		Where: func(c Config) map[string]any {
			return map[string]any{
				"Endpoint": c.Endpoint, "Bucket": c.Bucket, "Prefix": c.Prefix, "AccessKey": c.AccessKey, "SecretKey": string(c.SecretKey),
				"PartSize": c.PartSize, "Memory": c.Memory, "Checksums": c.Checksums, "EqualParts": c.EqualParts,
				"AllParts": c.AllParts, "IfMatch": c.IfMatch, "ListVersion": c.ListVersion, "BatchDelete": c.BatchDelete,
			}
		},
	}.Conform(t, suite, base)
}
