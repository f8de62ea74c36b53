package conformance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

func faultTests() []test {
	var all []test
	for _, group := range []struct {
		when  func(Config) bool
		tests []test
	}{
		{func(c Config) bool { return c.Faults.BreakReads != nil }, breakTests()},
		{func(c Config) bool { return c.Faults.FailWrites != nil }, failTests()},
		{func(c Config) bool { return c.Faults.LoseReplies != nil }, loseTests()},
		{func(c Config) bool { return c.Faults.Hang != nil }, hangTests()},
	} {
		for _, test := range group.tests {
			test.when = group.when
			all = append(all, test)
		}
	}
	return all
}

func breakTests() []test {
	return []test{
		{name: "Reader/the body fails if the backend breaks off before its last byte", run: func(t testing.TB, s *suite) {
			d := s.open()
			body := pattern(1, 1<<20)
			put(t, d, "f/o", body)
			heal := s.Faults.BreakReads(s.t, d)
			for _, length := range []int64{-1, 1 << 20, 1 << 19} {
				r, info, err := d.Reader(t.Context(), "f/o", 0, length)
				if err != nil {
					s.tells(t, err, "reader", "f/o")
					continue
				}
				if info.Size != 1<<20 {
					t.Errorf("Info.Size = %d", info.Size)
				}
				got, err := io.ReadAll(r)
				if err == nil || errors.Is(err, io.EOF) {
					t.Errorf("the body ended after %d bytes with error %v", len(got), err)
				}
				if !bytes.HasPrefix(body, got) {
					t.Errorf("the %d bytes that came are others", len(got))
				}
				_ = r.Close() // may tell of the break again
			}
			heal()
			holds(t, d, "f/o", body)
		}},
	}
}

func failTests() []test {
	return []test{
		{name: "Faults/a write that fails is an *Error and leaves the key as it is", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "f/old", []byte("old"))
			was := stat(t, d, "f/old")
			for op, call := range keyedCalls(d) {
				if op != "put" && op != "delete" && op != "putifabsent" && op != "putifmatch" {
					continue
				}
				for _, key := range []string{"f/old", "f/new"} {
					heal := s.Faults.FailWrites(s.t, d)
					err := call(t.Context(), key)
					heal()
					switch {
					case err != nil:
						s.tells(t, err, op, key)
					case op != "delete" || key != "f/new": // that an absent key is absent may be found out by reading
						t.Errorf("%s of %q: no error", op, key)
						continue
					}
					absent(t, d, "f/new")
					if now := holds(t, d, "f/old", []byte("old")); now.ETag != was.ETag {
						t.Errorf("%s: ETag was %q, is %q", op, was.ETag, now.ETag)
					}
				}
			}
			put(t, d, "f/new", []byte("healed"))
			holds(t, d, "f/new", []byte("healed"))
		}},
		{name: "Faults/a Writer that failed can be cancelled and leaves nothing", run: func(t testing.TB, s *suite) {
			d := s.open()
			for _, n := range []int64{10, s.LargeObject} {
				w := begin(t, d, "f/o", -1)
				write(t, w, pattern(1, n/2))
				heal := s.Faults.FailWrites(s.t, d)
				_, err := w.Write(pattern(2, n/2))
				if err == nil {
					err = w.Commit(t.Context())
				}
				heal()
				if err == nil {
					t.Fatalf("%d bytes: neither Write nor Commit failed", n)
				}
				cancel(t, w)
				absent(t, d, "f/o")
				if left := list(t, d, "", "", ""); len(left) > 0 {
					t.Errorf("left over: %q", names(left))
				}
			}
		}},
		{name: "Faults/Delete tells of each key that is still there", run: func(t testing.TB, s *suite) {
			d := s.open()
			keys := []string{"f/a", "f/b", "f/c"}
			for _, key := range keys {
				put(t, d, key, nil)
			}
			heal := s.Faults.FailWrites(s.t, d)
			err := d.Delete(t.Context(), keys...)
			heal()
			for _, e := range list(t, d, "f/", "", "") {
				if !tellsOf(err, e.Key) {
					t.Errorf("%q is still there and the error does not say so: %v", e.Key, err)
				}
			}
			if err := d.Delete(t.Context(), keys...); err != nil {
				t.Errorf("healed: %v", err)
			}
		}},
	}
}

func loseTests() []test {
	return []test{
		{name: "Faults/after a lost reply the object is the old or the new one", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "f/o", []byte("old"))
			heal := s.Faults.LoseReplies(s.t, d)
			err := d.Put(t.Context(), "f/o", []byte("new"))
			heal()
			s.either(t, d, "f/o", []byte("old"), []byte("new"), err)
			x := drivers.ExtrasOf(d)
			if x.Match != nil {
				put(t, d, "f/o", []byte("old"))
				etag := stat(t, d, "f/o").ETag
				heal := s.Faults.LoseReplies(s.t, d)
				err := x.Match.PutIfMatch(t.Context(), "f/o", []byte("new"), etag)
				heal()
				s.either(t, d, "f/o", []byte("old"), []byte("new"), err)
			}
			if x.Absent != nil {
				heal := s.Faults.LoseReplies(s.t, d)
				err := x.Absent.PutIfAbsent(t.Context(), "f/absent", []byte("new"))
				heal()
				s.either(t, d, "f/absent", nil, []byte("new"), err)
			}
		}},
		{name: "Faults/after the lost reply of a Commit the key has all of it or is as before", run: func(t testing.TB, s *suite) {
			d := s.open()
			for _, n := range []int64{10, s.LargeObject} {
				put(t, d, "f/o", []byte("old"))
				w := begin(t, d, "f/o", -1)
				write(t, w, pattern(1, n))
				heal := s.Faults.LoseReplies(s.t, d)
				err := w.Commit(t.Context())
				heal()
				s.either(t, d, "f/o", []byte("old"), pattern(1, n), err)
				if err != nil {
					cancel(t, w)
					s.either(t, d, "f/o", []byte("old"), pattern(1, n), err)
				}
			}
		}},
		{name: "Faults/after the lost reply of a Suspend nothing mixes", run: func(t testing.TB, s *suite) {
			d := s.open()
			body := pattern(1, 12<<20)
			w := begin(t, d, "f/o", -1)
			write(t, w, body[:6<<20])
			state := suspend(t, w)
			w = resume(t, d, "f/o", state)
			write(t, w, pattern(2, 6<<20))
			heal := s.Faults.LoseReplies(s.t, d)
			_, err := w.Suspend(t.Context())
			heal()
			if err == nil {
				return // the driver needs no request for it, or asked again
			}
			if err := w.Cancel(t.Context()); err != nil {
				t.Logf("Cancel: %v", err)
			}
			w, err = d.Resume(t.Context(), "f/o", state)
			if err == nil {
				_, err = w.Write(body[6<<20:])
			}
			if err == nil {
				err = w.Commit(t.Context())
			}
			switch {
			case err == nil:
				holds(t, d, "f/o", body)
			case errors.Is(err, drivers.ErrPrecondition):
				absent(t, d, "f/o")
			default:
				t.Error(err)
			}
		}},
	}
}

// either fails t unless the object is old (nil: absent) or fresh, and fresh if err is nil.
func (s *suite) either(t testing.TB, d drivers.Driver, key string, old, fresh []byte, err error) {
	t.Helper()
	got, missing := readAll(t.Context(), d, key)
	if errors.Is(missing, drivers.ErrNotFound) && old == nil && err != nil {
		return
	}
	if missing != nil {
		t.Fatal(missing)
	}
	if bytes.Equal(got, fresh) || err != nil && old != nil && bytes.Equal(got, old) {
		return
	}
	t.Errorf("%q has %d bytes that are neither old nor new (or old, and the error was %v)", key, len(got), err)
}

func hangTests() []test {
	return []test{
		{name: "Keys/for bad ones nothing is asked of the backend", run: func(t testing.TB, s *suite) {
			d := s.open()
			calls := keyedCalls(d)
			heal := s.Faults.Hang(s.t, d)
			defer heal()
			for op, call := range calls {
				for _, key := range []string{"", "a//b", "../a"} {
					// Who asks waits for ever; who does not has no need of a context.
					err := s.soon(t, op, func() error { return call(t.Context(), key) })
					s.is(t, err, drivers.ErrInvalid, op, key)
				}
			}
		}},
		{name: "Context/every method stops soon after its end, though the backend is silent", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "f/o", pattern(1, 1000))
			w := begin(t, d, "f/o", -1)
			write(t, w, pattern(1, 6<<20))
			state := suspend(t, w)
			there := stat(t, d, "f/o")
			heal := s.Faults.Hang(s.t, d)
			defer heal()
			calls := keyedCalls(d)
			delete(calls, "signurl")                      // which needs no request
			if x := drivers.ExtrasOf(d); x.Match != nil { // to an ETag that no object can have a driver may say so at once
				calls["putifmatch"] = func(ctx context.Context, key string) error {
					return x.Match.PutIfMatch(ctx, key, []byte("x"), there.ETag)
				}
			}
			calls["resume"] = func(ctx context.Context, key string) error {
				w, err := d.Resume(ctx, key, state)
				if err != nil {
					return err
				}
				_, err = w.Write(pattern(1, s.LargeObject))
				if err == nil {
					err = w.Commit(ctx)
				}
				return err
			}
			calls["writer"] = func(ctx context.Context, key string) error {
				w, err := d.Writer(ctx, key, -1)
				if err != nil {
					return err
				}
				_, err = w.Write(pattern(1, s.LargeObject))
				if err == nil {
					err = w.Commit(ctx)
				}
				return err
			}
			calls["list"] = func(ctx context.Context, _ string) error {
				for _, err := range d.List(ctx, "", "", "") {
					return err
				}
				return nil
			}
			for op, call := range calls {
				ctx, stop := context.WithTimeout(t.Context(), 30*time.Millisecond)
				err := s.soon(t, op, func() error { return call(ctx, "f/o") })
				stop()
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: %v, want %v", op, err, context.DeadlineExceeded)
				}
			}
		}},
	}
}
