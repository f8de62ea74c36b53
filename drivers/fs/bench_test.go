//go:build unix

package fs

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func BenchmarkPut(b *testing.B) {
	for _, durability := range []string{Full, Fast} {
		b.Run(durability, func(b *testing.B) {
			d := open(b, Config{Root: b.TempDir(), Durability: durability})
			body := []byte(strings.Repeat("x", 300))
			for i := 0; b.Loop(); i++ {
				if err := d.Put(b.Context(), fmt.Sprintf("repos/r/_tags/%d", i%1000), body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWriter(b *testing.B) {
	const size = 64 << 20
	piece := make([]byte, 32<<10)
	for _, durability := range []string{Full, Fast} {
		b.Run(durability, func(b *testing.B) {
			d := open(b, Config{Root: b.TempDir(), Durability: durability})
			b.SetBytes(size)
			for b.Loop() {
				w, err := d.Writer(b.Context(), "data/x", size)
				if err != nil {
					b.Fatal(err)
				}
				for range size / len(piece) {
					if _, err := w.Write(piece); err != nil {
						b.Fatal(err)
					}
				}
				if err := w.Commit(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReader(b *testing.B) {
	const size = 64 << 20
	d := open(b, Config{Root: b.TempDir(), Durability: Fast})
	put(b, d, "data/x", strings.Repeat("x", size))
	b.SetBytes(size)
	for b.Loop() {
		r, _, err := d.Reader(b.Context(), "data/x", 0, -1)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		if err := errors.Join(err, r.Close()); err != nil || n != size {
			b.Fatal(n, err)
		}
	}
}

// The first hundred of many, and of one folder.
func BenchmarkList(b *testing.B) {
	d := open(b, Config{Root: b.TempDir(), Durability: Fast})
	for i := range 20_000 {
		put(b, d, fmt.Sprintf("repos/r/_tags/%05d", i), "")
	}
	for b.Loop() {
		n := 0
		for _, err := range d.List(b.Context(), "repos/r/_tags/", "repos/r/_tags/1", "/") {
			if err != nil {
				b.Fatal(err)
			}
			if n++; n == 100 {
				break
			}
		}
	}
}
