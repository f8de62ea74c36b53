//go:build integration

package minio

import (
	"bytes"
	"io"
	"syscall"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/longshore-registry/longshore/internal/miniotest"
)

// BenchmarkWriter compares streams of 100 MiB with minio-go's own PutObject. The time is mostly the
// server's; cpu-ms/op is what this process took.
func BenchmarkWriter(b *testing.B) {
	body := pattern(1, 100<<20)
	s := server.Get(b)
	for _, sums := range []string{"crc32c", "md5", "sha256", "none"} {
		for name, size := range map[string]int64{"known": int64(len(body)), "unknown": -1} {
			b.Run("driver/"+sums+"/"+name, func(b *testing.B) {
				c := configFor(b, s)
				c.Checksums = sums
				d, err := Open(b.Context(), c)
				if err != nil {
					b.Fatal(err)
				}
				defer d.Close()
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				defer reportCPU(b)()
				for b.Loop() {
					w, err := d.Writer(b.Context(), "b/o", size)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := io.Copy(w, struct{ io.Reader }{bytes.NewReader(body)}); err != nil {
						b.Fatal(err)
					}
					if err := w.Commit(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	for name, opts := range map[string]minio.PutObjectOptions{
		"default":  {},
		"unsigned": {DisableContentSha256: true, PartSize: 8 << 20, NumThreads: 12},
		"parallel": {ConcurrentStreamParts: true, NumThreads: 12, PartSize: 8 << 20, DisableContentSha256: true},
	} {
		b.Run("minio-go/"+name, func(b *testing.B) { benchmarkClient(b, s, body, opts) })
	}
}

func benchmarkClient(b *testing.B, s *miniotest.Server, body []byte, opts minio.PutObjectOptions) {
	client, err := minio.New(s.Addr, &minio.Options{Creds: credentials.NewStaticV4(s.User, s.Password, ""), Region: miniotest.Region})
	if err != nil {
		b.Fatal(err)
	}
	bucket := s.Bucket(b)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	defer reportCPU(b)()
	for b.Loop() {
		if _, err := client.PutObject(b.Context(), bucket, "b/o", struct{ io.Reader }{bytes.NewReader(body)}, int64(len(body)), opts); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReader reads 100 MiB in pieces of 32 KiB, as io.Copy does.
func BenchmarkReader(b *testing.B) {
	d, err := Open(b.Context(), newConfig(b))
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	const size = 100 << 20
	w, err := d.Writer(b.Context(), "b/o", size)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := w.Write(pattern(1, size)); err != nil {
		b.Fatal(err)
	}
	if err := w.Commit(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	b.ReportAllocs()
	defer reportCPU(b)()
	for b.Loop() {
		body, _, err := d.Reader(b.Context(), "b/o", 0, -1)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(struct{ io.Writer }{io.Discard}, body); err != nil {
			b.Fatal(err)
		}
		if err := body.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// reportCPU reports the processor time between its call and that of what it returns.
func reportCPU(b *testing.B) func() {
	used := func() int64 {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return r.Utime.Nano() + r.Stime.Nano()
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/1e6/float64(b.N), "cpu-ms/op") }
}
