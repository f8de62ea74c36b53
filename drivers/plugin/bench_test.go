package plugin

import (
	"context"
	"io"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/fs"
)

// BenchmarkBoundary moves 64 MiB, with the driver fs in the plugin and without one, side by side.
func BenchmarkBoundary(b *testing.B) {
	const size = 64 << 20
	body := make([]byte, size)
	direct := fs.Defaults()
	direct.Root, direct.Durability = b.TempDir(), "fast"
	within, err := fs.Open(b.Context(), direct)
	if err != nil {
		b.Fatal(err)
	}
	for name, d := range map[string]drivers.Driver{"plugin": open(b, onFolder(b, b.TempDir())), "direct": within} {
		b.Run("write/"+name, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				if err := write(b.Context(), d, body); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("read/"+name, func(b *testing.B) {
			b.SetBytes(size)
			if err := write(b.Context(), d, body); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				r, _, err := d.Reader(b.Context(), "b/o", 0, -1)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Fatal(err)
				}
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("stat/"+name, func(b *testing.B) {
			if err := d.Put(b.Context(), "b/s", nil); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := d.Stat(b.Context(), "b/s"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func write(ctx context.Context, d drivers.Driver, body []byte) error {
	w, err := d.Writer(ctx, "b/o", int64(len(body)))
	if err != nil {
		return err
	}
	if _, err := w.Write(body); err != nil {
		return err
	}
	return w.Commit(ctx)
}
