//go:build integration

package minio

import (
	"cmp"
	"errors"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/internal/faultproxy"
	"github.com/longshore-registry/longshore/internal/s3suite"
)

// TestWire counts requests and makes them fail.
func TestWire(t *testing.T) {
	s3suite.Suite{
		Open: func(t testing.TB, s s3suite.Settings) (s3suite.Driver, *faultproxy.Proxy) {
			return openProxied(t, func(c *Config) {
				c.PartSize, c.Attempts, c.Timeout = cmp.Or(s.PartSize, c.PartSize), cmp.Or(s.Attempts, c.Attempts), cmp.Or(s.Timeout, c.Timeout)
			})
		},
		Other: func(t testing.TB, d s3suite.Driver) s3suite.Driver {
			c := newConfig(t)
			c.Bucket = d.(*Driver).bucket
			return open(t, c)
		},
	}.Run(t)
}

// TestCancelLeavesNothing looks at the store's own list of uploads.
func TestCancelLeavesNothing(t *testing.T) {
	c := newConfig(t)
	c.PartSize = parts.MinPart
	d := open(t, c)
	w, err := d.Writer(t.Context(), "f/o", -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(pattern(1, 5*parts.MinPart)); err != nil {
		t.Fatal(err)
	}
	uploads := func() int {
		t.Helper()
		list, err := server.Get(t).Client(t).ListMultipartUploads(t.Context(), c.Bucket, "f/o", "", "", "", 100)
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Uploads)
	}
	if uploads() != 1 {
		t.Fatalf("%d uploads, want 1", uploads())
	}
	if err := w.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	if uploads() != 0 {
		t.Errorf("%d uploads are left", uploads())
	}
	if used, _ := d.streams.Pool.Used(); used != 0 {
		t.Errorf("%d bytes of buffers are left", used)
	}
}

// TestLostBucket keeps a bucket that is gone apart from an object that is.
func TestLostBucket(t *testing.T) {
	c := newConfig(t)
	d := open(t, c)
	if err := server.Get(t).Client(t).RemoveBucketWithOptions(t.Context(), c.Bucket, minio.RemoveBucketOptions{ForceDelete: true}); err != nil {
		t.Fatal(err)
	}
	_, _, readErr := d.Reader(t.Context(), "f/o", 0, -1)
	_, statErr := d.Stat(t.Context(), "f/o")
	for _, err := range []error{readErr, statErr, d.Put(t.Context(), "f/o", nil), d.Delete(t.Context(), "f/o")} {
		if err == nil || errors.Is(err, drivers.ErrNotFound) || !strings.Contains(err.Error(), "bucket") {
			t.Errorf("%v, want an error that speaks of the bucket and is not ErrNotFound", err)
		}
	}
}
