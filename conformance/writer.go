package conformance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
)

func writerTests() []test {
	return []test{
		{name: "Writer/stores an object of any size, the hint right, absent or wrong", run: func(t testing.TB, s *suite) {
			d := s.open()
			for _, n := range []int64{0, 1, 4095, 1 << 20, 5<<20 - 1, 5 << 20, 5<<20 + 1} {
				for _, hint := range []int64{n, -1, n + 1, n / 2} {
					body := pattern(n+hint, n)
					w := begin(t, d, "w/o", hint)
					size(t, w, 0)
					write(t, w, body)
					size(t, w, n)
					commit(t, w)
					holds(t, s.reopen(d), "w/o", body)
				}
			}
		}},
		{name: "Writer/stores an object of several parts", run: func(t testing.TB, s *suite) {
			d := s.open()
			body := pattern(1, s.LargeObject)
			for _, hint := range []int64{s.LargeObject, -1} {
				w := begin(t, d, "w/large", hint)
				// A reader without WriterTo, so that the Writer gets io.Copy's own pieces.
				n, err := io.Copy(w, struct{ io.Reader }{bytes.NewReader(body)})
				if err != nil || n != s.LargeObject {
					t.Fatalf("Copy = %d, %v", n, err)
				}
				size(t, w, s.LargeObject)
				commit(t, w)
				holds(t, d, "w/large", body)
			}
		}},
		{name: "Writer/takes pieces of odd sizes", run: func(t testing.TB, s *suite) {
			d := s.open()
			body := pattern(2, 300_000)
			w := begin(t, d, "w/o", -1)
			var at int64
			for i := int64(0); at < int64(len(body)); i++ {
				n := min([]int64{1, 0, 4095, 7, 32_768, 513}[i%6], int64(len(body))-at)
				write(t, w, body[at:at+n])
				at += n
				size(t, w, at)
			}
			commit(t, w)
			holds(t, d, "w/o", body)
		}},
		{name: "Writer/an object of no bytes", run: func(t testing.TB, s *suite) {
			d := s.open()
			for _, hint := range []int64{0, -1, 100} {
				w := begin(t, d, "w/empty", hint)
				commit(t, w)
				holds(t, d, "w/empty", nil)
			}
		}},
		{name: "Writer/does not keep the caller's buffer", run: func(t testing.TB, s *suite) {
			d := s.open()
			w := begin(t, d, "w/o", -1)
			buf := make([]byte, 1000)
			for i := range 10 {
				copy(buf, bytes.Repeat([]byte{byte(i)}, 1000))
				write(t, w, buf)
			}
			clear(buf)
			commit(t, w)
			var want []byte
			for i := range 10 {
				want = append(want, bytes.Repeat([]byte{byte(i)}, 1000)...)
			}
			holds(t, d, "w/o", want)
		}},
		{name: "Writer/nothing appears at the key before Commit", run: func(t testing.TB, s *suite) {
			d := s.open()
			other := s.reopen(d)
			put(t, d, "w/old", []byte("old"))
			for _, key := range []string{"w/old", "w/new"} {
				unchanged := func() {
					t.Helper()
					if key == "w/new" {
						absent(t, other, key)
					} else {
						holds(t, other, key, []byte("old"))
					}
				}
				w := begin(t, d, key, -1)
				unchanged()
				write(t, w, pattern(3, 6<<20))
				unchanged()
				state := suspend(t, w)
				unchanged()
				w = resume(t, d, key, state)
				write(t, w, pattern(4, 6<<20))
				unchanged()
				if got := names(list(t, other, "", "", "")); len(got) > 2 {
					t.Errorf("listed before Commit: %q", got)
				}
				commit(t, w)
				holds(t, other, key, append(pattern(3, 6<<20), pattern(4, 6<<20)...))
			}
		}},
		{name: "Writer/keeps its place when others write neighbours", run: func(t testing.TB, s *suite) {
			d := s.open()
			errs := together(6, func(i int) error {
				key := numbered("w/n", i)
				w, err := d.Writer(t.Context(), key, -1)
				if err != nil {
					return err
				}
				body := pattern(int64(i), 100_000)
				for at := 0; at < len(body); at += 9999 {
					if _, err := w.Write(body[at:min(at+9999, len(body))]); err != nil {
						return errors.Join(err, w.Cancel(t.Context()))
					}
				}
				return w.Commit(t.Context())
			})
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
			for i := range 6 {
				holds(t, d, numbered("w/n", i), pattern(int64(i), 100_000))
			}
		}},
		{name: "Writer/two on one key do not mix", run: func(t testing.TB, s *suite) {
			d := s.open()
			other := s.reopen(d)
			one, two := pattern(1, 6<<20), pattern(2, 5<<20+3)
			a := begin(t, d, "w/o", -1)
			b := begin(t, other, "w/o", -1)
			half := len(two) / 2
			write(t, a, one[:half])
			write(t, b, two[:half])
			write(t, a, one[half:])
			write(t, b, two[half:])
			commit(t, a)
			holds(t, other, "w/o", one)
			commit(t, b)
			holds(t, d, "w/o", two)
		}},
		{name: "Writer/one that is cancelled does not disturb another on its key", run: func(t testing.TB, s *suite) {
			d := s.open()
			a := begin(t, d, "w/o", -1)
			b := begin(t, s.reopen(d), "w/o", -1)
			write(t, a, pattern(1, 6<<20))
			write(t, b, pattern(2, 6<<20))
			cancel(t, a)
			commit(t, b)
			holds(t, d, "w/o", pattern(2, 6<<20))
		}},
		{name: "Writer/cancelled leaves nothing", run: func(t testing.TB, s *suite) {
			d := s.open()
			for _, n := range []int64{0, 10, 6 << 20, s.LargeObject} {
				w := begin(t, d, "w/gone", -1)
				write(t, w, pattern(1, n))
				cancel(t, w)
				absent(t, s.reopen(d), "w/gone")
				if left := list(t, d, "", "", ""); len(left) > 0 {
					t.Fatalf("left over of %d bytes: %q", n, names(left))
				}
			}
		}},
		{name: "Writer/cancelled leaves the old object", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "w/o", []byte("old"))
			was := stat(t, d, "w/o")
			w := begin(t, d, "w/o", -1)
			write(t, w, pattern(1, 6<<20))
			cancel(t, w)
			if now := holds(t, d, "w/o", []byte("old")); now.ETag != was.ETag {
				t.Errorf("ETag was %q, is %q", was.ETag, now.ETag)
			}
		}},
		{name: "Writer/the context covers its whole life", run: func(t testing.TB, s *suite) {
			for _, n := range []int64{0, 10, 6 << 20} {
				d := s.open()
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				w, err := d.Writer(ctx, "w/o", -1)
				if err != nil {
					t.Fatal(err)
				}
				write(t, w, pattern(1, n))
				stop()
				err = s.soon(t, "Write", func() error {
					_, err := w.Write([]byte("x"))
					return err
				})
				if !errors.Is(err, context.Canceled) {
					t.Errorf("Write after the end of the context: %v", err)
				}
				if err := w.Commit(t.Context()); !errors.Is(err, context.Canceled) {
					t.Errorf("Commit after the end of the Writer's context: %v", err)
				}
				absent(t, d, "w/o")
				if err := w.Cancel(background(t)); err != nil {
					t.Errorf("Cancel after the end of the Writer's context: %v", err)
				}
				absent(t, d, "w/o")
				if left := list(t, d, "", "", ""); len(left) > 0 {
					t.Errorf("left over: %q", names(left))
				}
			}
		}},
		{name: "Writer/cancelled in the middle of writing", run: func(t testing.TB, s *suite) {
			d := s.open()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			w, err := d.Writer(ctx, "w/o", -1)
			if err != nil {
				t.Fatal(err)
			}
			piece := pattern(1, 1<<20)
			if err := s.soon(t, "Write", func() error {
				for i := 0; ; i++ {
					if i == 3 {
						go stop()
					}
					if _, err := w.Write(piece); err != nil {
						return err
					}
				}
			}); !errors.Is(err, context.Canceled) {
				t.Errorf("Write: %v", err)
			}
			if err := w.Cancel(background(t)); err != nil {
				t.Errorf("Cancel: %v", err)
			}
			absent(t, d, "w/o")
		}},
		{name: "Writer/whose body breaks half way leaves nothing", run: func(t testing.TB, s *suite) {
			d := s.open()
			broken := errors.New("connection reset")
			for _, n := range []int64{1, 5000, 6 << 20} {
				w := begin(t, d, "w/o", 8<<20)
				body := io.MultiReader(bytes.NewReader(pattern(1, n)), failing{broken})
				if _, err := io.Copy(w, body); !errors.Is(err, broken) {
					t.Fatalf("Copy: %v", err)
				}
				size(t, w, n)
				cancel(t, w)
				absent(t, d, "w/o")
			}
		}},
		{name: "Writer/whose body breaks half way keeps what came, and goes on", run: func(t testing.TB, s *suite) {
			d := s.open()
			broken := errors.New("connection reset")
			body := pattern(1, 7<<20)
			w := begin(t, d, "w/o", 7<<20)
			if _, err := io.Copy(w, io.MultiReader(bytes.NewReader(body[:6<<20]), failing{broken})); !errors.Is(err, broken) {
				t.Fatalf("Copy: %v", err)
			}
			w = resume(t, s.reopen(d), "w/o", suspend(t, w))
			size(t, w, 6<<20)
			write(t, w, body[6<<20:])
			commit(t, w)
			holds(t, d, "w/o", body)
		}},
		{name: "Commit/replaces what was there, whole and at once", run: func(t testing.TB, s *suite) {
			d := s.open()
			other := s.reopen(d)
			old, fresh := pattern(1, 3000), pattern(2, 6<<20)
			put(t, d, "w/o", old)
			w := begin(t, d, "w/o", -1)
			write(t, w, fresh)
			done := make(chan struct{})
			ready := make(chan struct{}, 2) // a reader is at work
			errs := together(3, func(who int) error {
				if who == 0 {
					defer close(done)
					<-ready
					<-ready
					return w.Commit(t.Context())
				}
				for n := 0; ; n++ {
					got, err := readAll(t.Context(), other, "w/o")
					if n == 0 {
						ready <- struct{}{}
					}
					if err != nil {
						return err
					}
					if !bytes.Equal(got, old) && !bytes.Equal(got, fresh) {
						return errors.New("a reader saw something between old and new")
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
			holds(t, other, "w/o", fresh)
		}},
		{name: "Commit/is seen in listings and by all processes", run: func(t testing.TB, s *suite) {
			d := s.open()
			w := begin(t, d, "w/folder/o", -1)
			write(t, w, []byte("x"))
			commit(t, w)
			entries := list(t, s.reopen(d), "w/", "", "")
			if len(entries) != 1 || entries[0].Key != "w/folder/o" || entries[0].Size != 1 {
				t.Errorf("listed %+v", entries)
			}
		}},
	}
}

// failing is a connection that breaks.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
