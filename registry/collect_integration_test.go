//go:build integration

package registry

import (
	"cmp"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/minio"
	"github.com/longshore-registry/longshore/internal/miniotest"
)

// openMinIO opens a new bucket.
func openMinIO(t testing.TB) drivers.Driver {
	s := miniotest.Start(t)
	c := minio.Defaults()
	c.Endpoint, c.Bucket, c.AccessKey, c.SecretKey = s.Addr, s.Bucket(t), s.User, drivers.Secret(s.Password)
	d, err := minio.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// BenchmarkCollectMinIO collects 80,000 of 100,000 blobs: go test -tags integration ./registry -run - -bench CollectMinIO -benchtime 1x -timeout 1h.
func BenchmarkCollectMinIO(b *testing.B) {
	benchmarkCollect(b, openMinIO(b), cmp.Or(*benchBlobs, 100_000))
}

// TestCollectOnMinIO collects a small store as the benchmark does a large one.
func TestCollectOnMinIO(t *testing.T) {
	result := testing.Benchmark(func(b *testing.B) { benchmarkCollect(b, openMinIO(b), 500) })
	if result.N == 0 {
		t.Error("the collection failed")
	}
}
