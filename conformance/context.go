package conformance

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

func contextTests() []test {
	return []test{
		{name: "Context/one that has ended is the error of every method", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "c/o", []byte("old"))
			canceled, stop := context.WithCancel(t.Context())
			stop()
			late, stop := context.WithDeadline(t.Context(), time.Unix(1, 0))
			defer stop()
			for want, ctx := range map[error]context.Context{context.Canceled: canceled, context.DeadlineExceeded: late} {
				for op, call := range keyedCalls(d) {
					if op == "resume" {
						continue // below, with a state
					}
					if err := call(ctx, "c/o"); !errors.Is(err, want) {
						t.Errorf("%s: %v, want %v", op, err, want)
					}
				}
				n := 0
				for _, err := range d.List(ctx, "", "", "") {
					if n++; n > 1 || !errors.Is(err, want) {
						t.Errorf("list: %v, want %v and no more", err, want)
					}
				}
				if n == 0 {
					t.Errorf("list: nothing, want %v", want)
				}
			}
			holds(t, d, "c/o", []byte("old"))
		}},
		{name: "Context/one that has ended is the error of a Writer's methods", run: func(t testing.TB, s *suite) {
			d := s.open()
			ended, stop := context.WithCancel(t.Context())
			stop()
			w := begin(t, d, "c/o", -1)
			write(t, w, pattern(1, 1000))
			state := suspend(t, w)
			if _, err := d.Resume(ended, "c/o", state); !errors.Is(err, context.Canceled) {
				t.Errorf("resume: %v", err)
			}
			w = resume(t, d, "c/o", state)
			if _, err := w.Suspend(ended); !errors.Is(err, context.Canceled) {
				t.Errorf("suspend: %v", err)
			}
			cancel(t, w)
			w = begin(t, d, "c/o", -1)
			write(t, w, pattern(1, 1000))
			if err := w.Commit(ended); !errors.Is(err, context.Canceled) {
				t.Errorf("commit: %v", err)
			}
			cancel(t, w)
			absent(t, d, "c/o")
		}},
		{name: "Context/its values and its life beyond the call do not matter", run: func(t testing.TB, s *suite) {
			d := s.open()
			ctx, stop := context.WithTimeout(t.Context(), time.Hour)
			if err := d.Put(ctx, "c/o", []byte("x")); err != nil {
				t.Fatal(err)
			}
			stop()
			holds(t, d, "c/o", []byte("x"))
		}},
	}
}

func errorTests() []test {
	return []test{
		{name: "Error/names the driver, the method and the key", run: func(t testing.TB, s *suite) {
			d := s.open()
			_, err := d.Stat(t.Context(), "e/some/key")
			s.is(t, err, drivers.ErrNotFound, "stat", "e/some/key")
			_, _, err = d.Reader(t.Context(), "e/some/key", 0, -1)
			s.is(t, err, drivers.ErrNotFound, "reader", "e/some/key")
			_, err = d.Resume(t.Context(), "e/some/key", []byte("garbage"))
			s.is(t, err, drivers.ErrInvalid, "resume", "e/some/key")
		}},
	}
}
