package conformance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

func readerTests() []test {
	return []test{
		{name: "Reader/returns length bytes from offset, cut at the end", run: func(t testing.TB, s *suite) {
			d := s.open()
			body := pattern(1, 100)
			put(t, d, "r/o", body)
			for _, r := range []struct{ offset, length, from, to int64 }{
				{0, -1, 0, 100},
				{0, math.MinInt64, 0, 100},
				{0, 100, 0, 100},
				{0, 101, 0, 100},
				{0, math.MaxInt64, 0, 100},
				{0, 1, 0, 1},
				{0, 0, 0, 0},
				{50, 0, 50, 50},
				{50, -1, 50, 100},
				{50, 10, 50, 60},
				{50, 50, 50, 100},
				{50, 51, 50, 100},
				{50, math.MaxInt64, 50, 100},
				{99, 1, 99, 100},
				{99, -1, 99, 100},
				{99, 2, 99, 100},
				{100, -1, 100, 100},
				{100, 0, 100, 100},
				{100, 1, 100, 100},
				{101, -1, 100, 100},
				{101, 0, 100, 100},
				{math.MaxInt64, -1, 100, 100},
				{math.MaxInt64, 1, 100, 100},
				{math.MaxInt64, math.MaxInt64, 100, 100},
			} {
				got, info := read(t, d, "r/o", r.offset, r.length)
				if !bytes.Equal(got, body[r.from:r.to]) {
					t.Errorf("Reader(%d, %d): %d bytes, want those from %d to %d", r.offset, r.length, len(got), r.from, r.to)
				}
				if info.Size != 100 || info.ETag == "" {
					t.Errorf("Reader(%d, %d): info %+v is not that of the whole object", r.offset, r.length, info)
				}
			}
		}},
		{name: "Reader/reads ranges of a large object", run: func(t testing.TB, s *suite) {
			d := s.open()
			body := pattern(2, s.LargeObject)
			w := begin(t, d, "r/large", s.LargeObject)
			write(t, w, body)
			commit(t, w)
			holds(t, d, "r/large", body)
			n := s.LargeObject
			for _, r := range [][2]int64{{0, 10}, {n / 2, 1 << 20}, {n - 1, 1}, {5<<20 - 1, 2}, {n - 10, 100}} {
				got, info := read(t, d, "r/large", r[0], r[1])
				same(t, "range", got, body[r[0]:min(r[0]+r[1], n)])
				if info.Size != n {
					t.Errorf("Info.Size = %d, want %d", info.Size, n)
				}
			}
		}},
		{name: "Reader/reads an empty object", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "r/empty", nil)
			for _, r := range [][2]int64{{0, -1}, {0, 0}, {0, 1}, {1, -1}, {1, 0}, {7, 7}} {
				got, info := read(t, d, "r/empty", r[0], r[1])
				if len(got) != 0 || info.Size != 0 || info.ETag == "" {
					t.Errorf("Reader(%d, %d) = %d bytes, %+v", r[0], r[1], len(got), info)
				}
			}
		}},
		{name: "Reader/gives the facts that Stat and List give", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "r/small", pattern(3, 10))
			w := begin(t, d, "r/written", -1)
			write(t, w, pattern(4, 5000))
			commit(t, w)
			other := s.reopen(d)
			entries := list(t, other, "r/", "", "")
			if len(entries) != 2 {
				t.Fatalf("listed %q", names(entries))
			}
			for _, e := range entries {
				_, fromReader := read(t, d, e.Key, 1, 2)
				fromStat := stat(t, other, e.Key)
				for what, info := range map[string]drivers.Info{"Stat": fromStat, "List": e.Info} {
					// Some listings carry fractions of a second that headers don't.
					if info.Size != fromReader.Size || info.ETag != fromReader.ETag || info.ModTime.Unix() != fromReader.ModTime.Unix() {
						t.Errorf("%s: Reader says %+v, %s says %+v", e.Key, fromReader, what, info)
					}
				}
			}
		}},
		{name: "Reader/ErrNotFound if the key is absent", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "r/ab", nil)
			for _, key := range []string{"r/a", "r/abc", "r/ab/c", "r", "x/y/z"} {
				for _, r := range [][2]int64{{0, -1}, {0, 0}, {5, 5}} {
					_, _, err := d.Reader(t.Context(), key, r[0], r[1])
					s.is(t, err, drivers.ErrNotFound, "reader", key)
				}
			}
		}},
		{name: "Reader/ErrInvalid if the offset is negative", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "r/o", pattern(1, 10))
			for _, key := range []string{"r/o", "r/absent"} {
				for _, r := range [][2]int64{{-1, -1}, {-1, 5}, {math.MinInt64, 0}} {
					_, _, err := d.Reader(t.Context(), key, r[0], r[1])
					s.is(t, err, drivers.ErrInvalid, "reader", key)
				}
			}
		}},
		{name: "Reader/several read one object at once", run: func(t testing.TB, s *suite) {
			d := s.open()
			body := pattern(5, 300_000)
			put(t, d, "r/shared", body)
			for _, err := range together(8, func(i int) error {
				from := int64(i) * 1000
				b, _, err := d.Reader(t.Context(), "r/shared", from, -1)
				if err != nil {
					return err
				}
				got, err := io.ReadAll(b)
				if err == nil && !bytes.Equal(got, body[from:]) {
					err = errors.New("other bytes")
				}
				return errors.Join(err, b.Close())
			}) {
				if err != nil {
					t.Error(err)
				}
			}
		}},
		{name: "Reader/a body may be closed early", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "r/o", pattern(6, 1<<20))
			for _, n := range []int{0, 1, 70_000} {
				body, _, err := d.Reader(t.Context(), "r/o", 0, -1)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(body, make([]byte, n)); err != nil {
					t.Fatal(err)
				}
				if err := body.Close(); err != nil {
					t.Errorf("Close after %d bytes: %v", n, err)
				}
			}
			holds(t, d, "r/o", pattern(6, 1<<20))
		}},
		{name: "Reader/the context covers the body", run: func(t testing.TB, s *suite) {
			d := s.open()
			w := begin(t, d, "r/large", s.LargeObject)
			write(t, w, pattern(7, s.LargeObject))
			commit(t, w)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			body, _, err := d.Reader(ctx, "r/large", 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(body, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			stop()
			err = s.soon(t, "reading on", func() error {
				_, err := io.Copy(io.Discard, body)
				return err
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("reading after the end of the context: %v, want %v", err, context.Canceled)
			}
			_ = body.Close() // may tell of the cancel again
		}},
	}
}

func statTests() []test {
	return []test{
		{name: "Stat/returns facts about the object", run: func(t testing.TB, s *suite) {
			d := s.open()
			for _, n := range []int64{0, 1, 4096, 100_001} {
				key := numbered("s/", int(n))
				put(t, d, key, pattern(n, n))
				info := stat(t, d, key)
				if info.Size != n || info.ETag == "" || info.ModTime.IsZero() {
					t.Errorf("%d bytes: %+v", n, info)
				}
			}
		}},
		{name: "Stat/ErrNotFound if the key is absent", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "s/ab", nil)
			for _, key := range []string{"s/a", "s/abc", "s/ab/c", "s", "x/y/z"} {
				_, err := d.Stat(t.Context(), key)
				s.is(t, err, drivers.ErrNotFound, "stat", key)
			}
		}},
		{name: "Info/ETag differs whenever the content differs", run: func(t testing.TB, s *suite) {
			d := s.open()
			for _, n := range []int64{1, 5000} {
				seen := map[string]int{}
				for i := range 50 {
					put(t, d, "s/tag", pattern(int64(i), n))
					etag := stat(t, d, "s/tag").ETag
					if was, ok := seen[etag]; ok {
						if !bytes.Equal(pattern(int64(i), n), pattern(int64(was), n)) {
							t.Fatalf("contents %d and %d of %d bytes both have ETag %q", was, i, n, etag)
						}
					}
					seen[etag] = i
				}
			}
		}},
		{name: "Info/ETag stays while the object does", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "s/a", []byte("a"))
			was := stat(t, d, "s/a")
			put(t, d, "s/b", []byte("b"))
			read(t, d, "s/a", 0, -1)
			if err := d.Delete(t.Context(), "s/b"); err != nil {
				t.Fatal(err)
			}
			if now := stat(t, s.reopen(d), "s/a"); now.ETag != was.ETag || !now.ModTime.Equal(was.ModTime) {
				t.Errorf("was %+v, is %+v", was, now)
			}
		}},
		{name: "Info/ModTime goes by one clock, forward", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "s/first", []byte("1"))
			first := stat(t, d, "s/first").ModTime
			w := begin(t, d, "s/second", -1)
			write(t, w, []byte("2"))
			commit(t, w)
			put(t, d, "s/third", []byte("3"))
			for _, key := range []string{"s/second", "s/third"} {
				// Backends round differently for different requests, to a second at most.
				if ahead := stat(t, d, key).ModTime.Sub(first); ahead < -time.Second || ahead > s.Patience*10 {
					t.Errorf("%s was changed %v after the first", key, ahead)
				}
			}
			put(t, d, "s/first", []byte("4"))
			if again := stat(t, d, "s/first").ModTime; again.Before(first.Add(-time.Second)) {
				t.Errorf("replaced, ModTime went from %v to %v", first, again)
			}
		}},
	}
}
