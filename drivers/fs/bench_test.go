//go:build unix

package fs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// processor reports what b costs this process, which a busy machine changes less than the time.
func processor(b *testing.B) {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	b.Cleanup(func() { b.ReportMetric(float64((used()-before).Microseconds())/float64(b.N), "cpu-µs/op") })
}

func BenchmarkPut(b *testing.B) {
	body := []byte(strings.Repeat("x", 300))
	for _, durability := range []string{Full, Fast} {
		for _, c := range []struct {
			name string
			put  func(d *Driver, i int) error
		}{
			{"replaces", func(d *Driver, i int) error { return d.Put(b.Context(), fmt.Sprintf("repos/r/_tags/%d", i%100), body) }},
			{"new", func(d *Driver, i int) error { return d.Put(b.Context(), fmt.Sprintf("repos/r/_tags/%d", i), body) }},
			{"absent", func(d *Driver, i int) error {
				return d.PutIfAbsent(b.Context(), fmt.Sprintf("repos/r/_tags/%d", i), body)
			}},
		} {
			b.Run(durability+"/"+c.name, func(b *testing.B) {
				d := open(b, Config{Root: b.TempDir(), Durability: durability})
				processor(b)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if err := c.put(d, i); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkWriter(b *testing.B) {
	const size = 64 << 20
	piece := make([]byte, 32<<10)
	for _, durability := range []string{Full, Fast} {
		b.Run(durability, func(b *testing.B) {
			d := open(b, Config{Root: b.TempDir(), Durability: durability})
			processor(b)
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

// A hundred from the middle of one folder: when its names are not known yet, and when they are.
func BenchmarkList(b *testing.B) {
	for _, total := range []int{1000, 100_000} {
		d := open(b, Config{Root: b.TempDir(), Durability: Fast})
		folder := d.path("repos/r/_tags/")
		if err := os.MkdirAll(folder, folderMode); err != nil {
			b.Fatal(err)
		}
		for i := range total {
			if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("v%06d", i)), nil, fileMode); err != nil {
				b.Fatal(err)
			}
		}
		page := func() {
			n := 0
			for _, err := range d.List(b.Context(), "repos/r/_tags/", fmt.Sprintf("repos/r/_tags/v%06d", total/2), "") {
				if err != nil {
					b.Fatal(err)
				}
				if n++; n == 100 {
					return
				}
			}
			b.Fatal(n)
		}
		known := d.folders
		for _, c := range []struct {
			name    string
			folders *knownFolders
		}{{"unknown", nil}, {"known", known}} {
			b.Run(fmt.Sprintf("of %d, %s", total, c.name), func(b *testing.B) {
				d.folders = c.folders
				for c.folders != nil && !whole(d, "repos/r/_tags/") {
					page()
				}
				processor(b)
				for b.Loop() {
					page()
				}
			})
		}
	}
}
