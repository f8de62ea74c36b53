//go:build integration

package minio

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/internal/cephtest"
	"github.com/longshore-registry/longshore/internal/miniotest"
	"github.com/longshore-registry/longshore/internal/s3suite"
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
	t.Run("plain", func(t *testing.T) { conform(t, conformance.Config{}, newConfig(t)) })
	t.Run("with other settings", func(t *testing.T) {
		c := newConfig(t)
		c.Prefix, c.Checksums, c.ListVersion, c.BatchDelete, c.EqualParts = "/some/folder/", "sha256", "v1", false, true
		// Three buffers: one Writer of a test may wait for another of the same goroutine.
		c.PartSize, c.Memory = parts.MinPart, 3*parts.MinPart
		conform(t, conformance.Config{ListKeys: 1100, Repeat: 2}, c) // the rest is the same
	})
}

// TestCeph runs the suite on another store than MinIO, Ceph's RADOS Gateway; see package s3 for the settings.
func TestCeph(t *testing.T) {
	s := cephtest.Start(t)
	c := Defaults()
	c.Endpoint, c.AccessKey, c.SecretKey, c.CreateBucket = s.URL, s.AccessKey, drivers.Secret(s.SecretKey), true
	c.AllParts, c.IfMatch = true, "off"
	conform(t, conformance.Config{ListKeys: 1100, Repeat: 1, MaxKey: 900}, c)
}

// buckets counts those that Open makes.
var buckets atomic.Int64

// conform runs suite over proxied drivers on new buckets, with the settings of base.
func conform(t *testing.T, suite conformance.Config, base Config) {
	base.Attempts = max(4, base.Attempts-6) // or lost replies would take minutes
	base.CreateBucket = true
	suite.Extras = conformance.Extras{Absent: true, Match: base.IfMatch != "off", Signer: true, Sweep: true}
	suite.Name = name
	s3suite.Kind[Config]{
		Open:     func(t testing.TB, c Config) drivers.Driver { return open(t, c) },
		Endpoint: func(c *Config) *string { return &c.Endpoint },
		Prefix:   func(c *Config) *string { return &c.Prefix },
		Bucket:   func(_ testing.TB, c *Config) { c.Bucket = fmt.Sprintf("test-minio-%d", buckets.Add(1)) },
		Where: func(c Config) map[string]any {
			return map[string]any{
				"Endpoint": c.Endpoint, "Bucket": c.Bucket, "Prefix": c.Prefix, "AccessKey": c.AccessKey, "SecretKey": string(c.SecretKey),
				"PartSize": c.PartSize, "Memory": c.Memory, "Checksums": c.Checksums, "EqualParts": c.EqualParts,
				"AllParts": c.AllParts, "IfMatch": c.IfMatch, "ListVersion": c.ListVersion, "BatchDelete": c.BatchDelete,
			}
		},
	}.Conform(t, suite, base)
}
