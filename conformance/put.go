package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

func putTests() []test {
	return []test{
		{name: "Put/stores an object of any small size", run: func(t testing.TB, s *suite) {
			d := s.open()
			for _, n := range []int64{0, 1, 2, 511, 512, 4095, 4096, 4097, 65_536, 1<<20 + 1, 4 << 20} {
				key := numbered("p/", int(n))
				put(t, d, key, pattern(n, n))
				holds(t, s.reopen(d), key, pattern(n, n))
			}
		}},
		{name: "Put/replaces what was there, with a longer or a shorter one", run: func(t testing.TB, s *suite) {
			d := s.open()
			other := s.reopen(d)
			for i, n := range []int64{10, 1000, 0, 5, 5, 100_000, 1} {
				put(t, d, "p/o", pattern(int64(i), n))
				holds(t, other, "p/o", pattern(int64(i), n))
			}
		}},
		{name: "Put/keeps the caller's bytes as they were at the call", run: func(t testing.TB, s *suite) {
			d := s.open()
			body := pattern(1, 1000)
			put(t, d, "p/o", body)
			clear(body)
			holds(t, d, "p/o", pattern(1, 1000))
		}},
		{name: "Put/is seen by every process once it has returned", run: func(t testing.TB, s *suite) {
			d := s.open()
			other := s.reopen(d)
			absent(t, other, "p/o")
			for i := range 20 {
				body := pattern(int64(i), 100)
				put(t, d, "p/o", body)
				was := holds(t, other, "p/o", body)
				if now := stat(t, other, "p/o"); now.ETag != was.ETag {
					t.Fatalf("Reader and Stat disagree: %+v, %+v", was, now)
				}
			}
		}},
		{name: "Put/readers see the old object or the new one, never a part", run: func(t testing.TB, s *suite) {
			d := s.open()
			other := s.reopen(d)
			// Each body is one byte repeated, of its own length.
			bodyOf := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 1000+i*777) }
			put(t, d, "p/o", bodyOf(0))
			const rounds, readers = 40, 3
			done := make(chan struct{})
			ready := make(chan struct{}, readers) // each reader is at work
			errs := together(1+readers, func(who int) error {
				if who == 0 {
					defer close(done)
					for range readers {
						<-ready
					}
					for i := range rounds {
						if err := d.Put(t.Context(), "p/o", bodyOf(i)); err != nil {
							return err
						}
					}
					return nil
				}
				from := other
				if who == 1 {
					from = d
				}
				for n := 0; ; n++ {
					got, err := readAll(t.Context(), from, "p/o")
					if n == 0 {
						ready <- struct{}{}
					}
					if err != nil {
						return err
					}
					if len(got) == 0 || !bytes.Equal(got, bodyOf(int(got[0]))) {
						return fmt.Errorf("a reader saw %d bytes that nobody put", len(got))
					}
					select {
					case <-done:
						return nil
					default:
					}
				}
			})
			if err := errors.Join(errs...); err != nil {
				t.Error(err)
			}
			holds(t, other, "p/o", bodyOf(rounds-1))
		}},
		{name: "Put/of 16 at once for one key, one stays whole", run: func(t testing.TB, s *suite) {
			d := s.open()
			other := s.reopen(d)
			for range s.Repeat {
				errs := together(16, func(i int) error {
					return []drivers.Driver{d, other}[i%2].Put(t.Context(), "p/new/folder/o", bytes.Repeat([]byte{byte(i)}, 5000+i))
				})
				if err := errors.Join(errs...); err != nil {
					t.Fatal(err)
				}
				got, _ := read(t, d, "p/new/folder/o", 0, -1)
				if len(got) < 5000 || !bytes.Equal(got, bytes.Repeat(got[:1], 5000+int(got[0]))) {
					t.Fatalf("%d mixed bytes", len(got))
				}
				if err := d.Delete(t.Context(), "p/new/folder/o"); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{name: "Put/goes on while neighbours come and go", run: func(t testing.TB, s *suite) {
			d := s.open()
			other := s.reopen(d)
			errs := together(8, func(i int) error {
				key := fmt.Sprintf("p/shared/folder/%d", i)
				h := []drivers.Driver{d, other}[i%2]
				for range 25 {
					if err := h.Put(t.Context(), key, []byte(key)); err != nil {
						return err
					}
					if _, err := h.Stat(t.Context(), key); err != nil {
						return err
					}
					if err := h.Delete(t.Context(), key); err != nil {
						return err
					}
				}
				return nil
			})
			if err := errors.Join(errs...); err != nil {
				t.Error(err)
			}
			if left := names(list(t, d, "", "", "")); len(left) > 0 {
				t.Errorf("left over: %q", left)
			}
		}},
	}
}
