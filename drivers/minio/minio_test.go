//go:build integration

package minio

import (
	"context"
	"encoding/json"
	"os"
	"testing"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/drivers"
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
		"plain":        func(*Config) {},
		"prefix":       func(c *Config) { c.Prefix = "/some/folder/" },
		"small memory": func(c *Config) { c.PartSize, c.Memory = minPart, minPart },
		"sha256":       func(c *Config) { c.Checksums = "sha256" },
	} {
		t.Run(name, func(t *testing.T) { conform(t, change) })
	}
}

func conform(t *testing.T, change func(*Config)) {
	configs := make(map[drivers.Driver]Config)
	reopen := func(t *testing.T, c Config) drivers.Driver {
		t.Helper()
		d := open(t, c)
		configs[d] = c
		return d
	}
	base := newConfig(t)
	change(&base)
	conformance.Run(t, conformance.Config{
		Open: func(t *testing.T) drivers.Driver {
			c := base
			c.Bucket = server.Get(t).Bucket(t)
			return reopen(t, c)
		},
		Reopen: func(t *testing.T, d drivers.Driver) drivers.Driver { return reopen(t, configs[d]) },
		Where: func(t *testing.T, d drivers.Driver) string {
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
		},
		Extras: conformance.Extras{Absent: true, Match: true, Signer: true},
		Name:   name,
		MaxKey: drivers.MaxKey - len(base.folder()),
	})
}
