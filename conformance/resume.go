package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

func resumeTests() []test {
	return []test{
		{name: "Resume/goes on in another process, many times, in pieces of odd sizes", run: func(t testing.TB, s *suite) {
			d := s.open()
			other := s.reopen(d)
			pieces := []int64{1, 4095, 0, 5<<20 - 1, 1, 5 << 20, 5<<20 + 1, 3, 0, 1 << 20, 1}
			var total int64
			for _, n := range pieces {
				total += n
			}
			body := pattern(1, total)
			w := begin(t, d, "u/o", -1)
			var at int64
			for i, n := range pieces {
				write(t, w, body[at:at+n])
				at += n
				size(t, w, at)
				state := suspend(t, w)
				w = resume(t, []drivers.Driver{other, d}[i%2], "u/o", state)
				size(t, w, at)
			}
			commit(t, w)
			holds(t, d, "u/o", body)
		}},
		{name: "Resume/goes on after many small pieces", run: func(t testing.TB, s *suite) {
			d := s.open()
			other := s.reopen(d)
			body := pattern(2, 40*333)
			w := begin(t, d, "u/o", int64(len(body)))
			for at := 0; at < len(body); at += 333 {
				write(t, w, body[at:at+333])
				w = resume(t, other, "u/o", suspend(t, w))
				size(t, w, int64(at+333))
			}
			commit(t, w)
			holds(t, d, "u/o", body)
		}},
		{name: "Resume/of a stream without bytes", run: func(t testing.TB, s *suite) {
			d := s.open()
			w := resume(t, s.reopen(d), "u/o", suspend(t, begin(t, d, "u/o", -1)))
			size(t, w, 0)
			commit(t, w)
			holds(t, d, "u/o", nil)
		}},
		{name: "Resume/and commit without another byte", run: func(t testing.TB, s *suite) {
			d := s.open()
			for _, n := range []int64{10, 5 << 20, 6 << 20} {
				w := begin(t, d, "u/o", -1)
				write(t, w, pattern(n, n))
				commit(t, resume(t, s.reopen(d), "u/o", suspend(t, w)))
				holds(t, d, "u/o", pattern(n, n))
			}
		}},
		{name: "Suspend/leaves the state's bytes to the caller", run: func(t testing.TB, s *suite) {
			d := s.open()
			w := begin(t, d, "u/o", -1)
			write(t, w, []byte("abc"))
			state := suspend(t, w)
			kept := bytes.Clone(state)
			w = resume(t, d, "u/o", state)
			clear(state)
			write(t, w, []byte("def"))
			commit(t, w)
			holds(t, d, "u/o", []byte("abcdef"))
			s.outdated(t, d, "u/o", kept, 3)
			holds(t, d, "u/o", []byte("abcdef"))
		}},
		{name: "Suspend/outdates the older state, and the newest is still good", run: func(t testing.TB, s *suite) {
			for _, n := range []int64{10, 5<<20 + 7} {
				d := s.open()
				other := s.reopen(d)
				body := pattern(1, 2*n)
				w := begin(t, d, "u/o", -1)
				write(t, w, body[:n])
				first := suspend(t, w)
				w = resume(t, other, "u/o", first)
				write(t, w, body[n:])
				newest := suspend(t, w)
				refused := s.outdated(t, d, "u/o", first, n)
				absent(t, d, "u/o")
				s.newest(t, other, "u/o", newest, nil, body, refused)
			}
		}},
		{name: "Suspend/outdates the older state even if no byte came", run: func(t testing.TB, s *suite) {
			d := s.open()
			w := begin(t, d, "u/o", -1)
			write(t, w, []byte("abc"))
			first := suspend(t, w)
			newest := suspend(t, resume(t, d, "u/o", first))
			refused := s.outdated(t, d, "u/o", first, 3)
			s.newest(t, d, "u/o", newest, []byte("def"), []byte("abcdef"), refused)
		}},
		{name: "Commit/outdates all states, and the key stays as it is", run: func(t testing.TB, s *suite) {
			for _, n := range []int64{10, 5<<20 + 7} {
				d := s.open()
				body := pattern(1, n)
				w := begin(t, d, "u/o", -1)
				write(t, w, body)
				first := suspend(t, w)
				second := suspend(t, resume(t, d, "u/o", first))
				commit(t, resume(t, d, "u/o", second))
				was := holds(t, d, "u/o", body)
				for _, state := range [][]byte{first, second} {
					s.outdated(t, s.reopen(d), "u/o", state, n)
					if now := holds(t, d, "u/o", body); now.ETag != was.ETag {
						t.Fatalf("the object was replaced: ETag %q, then %q", was.ETag, now.ETag)
					}
				}
			}
		}},
		{name: "Cancel/outdates all states and leaves nothing", run: func(t testing.TB, s *suite) {
			for _, n := range []int64{10, 5<<20 + 7} {
				d := s.open()
				w := begin(t, d, "u/o", -1)
				write(t, w, pattern(1, n))
				first := suspend(t, w)
				second := suspend(t, resume(t, d, "u/o", first))
				cancel(t, resume(t, s.reopen(d), "u/o", second))
				for _, state := range [][]byte{second, first} {
					s.outdated(t, d, "u/o", state, n)
				}
				absent(t, d, "u/o")
				if left := list(t, d, "", "", ""); len(left) > 0 {
					t.Errorf("left over: %q", names(left))
				}
			}
		}},
		{name: "Cancel/works for a resumed Writer whose context has ended", run: func(t testing.TB, s *suite) {
			for _, n := range []int64{10, 5<<20 + 7} {
				d := s.open()
				w := begin(t, d, "u/o", -1)
				write(t, w, pattern(1, n))
				state := suspend(t, w)
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				w, err := d.Resume(ctx, "u/o", state)
				if err != nil {
					t.Fatal(err)
				}
				write(t, w, pattern(2, n))
				stop()
				if err := w.Cancel(background(t)); err != nil {
					t.Errorf("Cancel: %v", err)
				}
				s.outdated(t, s.reopen(d), "u/o", state, n)
				absent(t, d, "u/o")
			}
		}},
		{name: "Resume/by two of one state, at most one of them wins and nothing mixes", run: func(t testing.TB, s *suite) {
			for _, n := range []int64{100, 5<<20 + 7} {
				for round := range s.Repeat {
					s.raceResume(t, n, round)
				}
			}
		}},
		{name: "Resume/of a state whose resumer died, which is still the newest", run: func(t testing.TB, s *suite) {
			for _, n := range []int64{100, 5<<20 + 7} {
				d := s.open()
				other := s.reopen(d)
				body := pattern(1, 2*n)
				w := begin(t, d, "u/o", -1)
				write(t, w, body[:n])
				state := suspend(t, w)
				for i := range int64(3) {
					// The end of its context is all that a driver gets to know of a Writer
					// that nobody uses any more.
					ctx, die := context.WithCancel(t.Context())
					var w drivers.Writer
					s.poll(t, "Resume", func() (ok bool) {
						var err error
						w, err = other.Resume(ctx, "u/o", state)
						if err != nil && !errors.Is(err, drivers.ErrPrecondition) {
							t.Fatal(err)
						}
						return err == nil
					})
					size(t, w, n)
					write(t, w, pattern(100+i, n/2+i*n/4))
					die()
				}
				s.poll(t, "Resume", func() bool {
					var err error
					w, err = d.Resume(t.Context(), "u/o", state)
					if err != nil && !errors.Is(err, drivers.ErrPrecondition) {
						t.Fatal(err)
					}
					return err == nil
				})
				size(t, w, n)
				write(t, w, body[n:])
				commit(t, w)
				holds(t, d, "u/o", body)
			}
		}},
		{name: "Resume/ErrInvalid for what is no state", run: func(t testing.TB, s *suite) {
			d := s.open()
			w := begin(t, d, "u/o", -1)
			write(t, w, []byte("abc"))
			state := suspend(t, w)
			for name, bad := range map[string][]byte{
				"nil": nil, "empty": {}, "a word": []byte("garbage"), "zeros": make([]byte, 100),
				"{}": []byte("{}"), "null": []byte("null"), "[]": []byte("[]"), "\"\"": []byte(`""`),
				"cut short": state[:len(state)/2], "all but a byte": state[:len(state)-1],
				"noise": pattern(1, 1000),
			} {
				w, err := d.Resume(t.Context(), "u/o", bad)
				if err == nil {
					_ = w.Cancel(t.Context()) // the case fails anyway
				}
				if !errors.Is(err, drivers.ErrInvalid) {
					t.Errorf("%s: %v, want ErrInvalid", name, err)
					continue
				}
				s.tells(t, err, "resume", "u/o")
			}
			commit(t, resume(t, d, "u/o", state))
			holds(t, d, "u/o", []byte("abc"))
		}},
		{name: "Resume/ErrInvalid for a state of another key", run: func(t testing.TB, s *suite) {
			d := s.open()
			w := begin(t, d, "u/one", -1)
			write(t, w, []byte("abc"))
			state := suspend(t, w)
			for _, key := range []string{"u/two", "u/on", "u/one2", "one"} {
				w, err := d.Resume(t.Context(), key, state)
				if err == nil {
					_ = w.Cancel(t.Context()) // the case fails anyway
				}
				s.is(t, err, drivers.ErrInvalid, "resume", key)
			}
			commit(t, resume(t, d, "u/one", state))
			holds(t, d, "u/one", []byte("abc"))
		}},
		{name: "Resume/streams of one key keep apart", run: func(t testing.TB, s *suite) {
			d := s.open()
			other := s.reopen(d)
			var states [2][]byte
			for i := range states {
				w := begin(t, d, "u/o", -1)
				write(t, w, fmt.Appendf(nil, "stream %d, ", i))
				states[i] = suspend(t, w)
			}
			for i := range states {
				w := resume(t, other, "u/o", states[i])
				write(t, w, fmt.Appendf(nil, "continued %d", i))
				states[i] = suspend(t, w)
			}
			for i := range states {
				commit(t, resume(t, d, "u/o", states[i]))
				holds(t, other, "u/o", fmt.Appendf(nil, "stream %d, continued %d", i, i))
			}
		}},
		{name: "Cancel/of a stream that another process brought forward does not mix or cut that one's bytes", run: func(t testing.TB, s *suite) {
			d := s.open()
			body := pattern(1, 5<<20+10)
			w := begin(t, d, "u/o", -1)
			write(t, w, body[:10])
			state := suspend(t, w)
			ctx, die := context.WithCancel(t.Context())
			defer die()
			late, err := d.Resume(ctx, "u/o", state)
			if err != nil {
				t.Fatal(err)
			}
			write(t, late, pattern(2, 5<<20))
			die()
			s.poll(t, "Resume", func() bool {
				w, err = s.reopen(d).Resume(t.Context(), "u/o", state)
				if err != nil && !errors.Is(err, drivers.ErrPrecondition) {
					t.Fatal(err)
				}
				return err == nil
			})
			write(t, w, body[10:])
			newest := suspend(t, w)
			if err := late.Cancel(background(t)); err != nil && !errors.Is(err, drivers.ErrPrecondition) {
				t.Errorf("Cancel: %v", err)
			}
			s.newest(t, d, "u/o", newest, nil, body, false)
		}},
	}
}

// outdated fails t unless an outdated state of n bytes is refused at Resume or, where the
// backend can't tell so early, at Suspend or Commit. It returns whether all was refused at Resume.
func (s *suite) outdated(t testing.TB, d drivers.Driver, key string, state []byte, n int64) (early bool) {
	t.Helper()
	early = true
	for _, last := range []string{"commit", "suspend"} {
		w, err := d.Resume(t.Context(), key, state)
		if err != nil {
			s.is(t, err, drivers.ErrPrecondition, "resume", key)
			continue
		}
		early = false
		size(t, w, n)
		_, err = w.Write(pattern(99, n))
		if err == nil && last == "commit" {
			err = w.Commit(t.Context())
		} else if err == nil {
			_, err = w.Suspend(t.Context())
		}
		if !errors.Is(err, drivers.ErrPrecondition) {
			t.Errorf("%s of a stream with an outdated state: %v, want ErrPrecondition", last, err)
		}
		if err := w.Cancel(t.Context()); err != nil && !errors.Is(err, drivers.ErrPrecondition) {
			t.Errorf("Cancel of it: %v", err)
		}
	}
	return early
}

// newest fails t unless the stream at state, with more written to it, can be committed and is
// want. Where it need not be undamaged, because an outdated Writer was let in beside it, it may be refused instead,
// and then the key is absent.
func (s *suite) newest(t testing.TB, d drivers.Driver, key string, state, more, want []byte, undamaged bool) {
	t.Helper()
	w, err := d.Resume(t.Context(), key, state)
	if err == nil {
		size(t, w, int64(len(want)-len(more)))
		_, err = w.Write(more)
		if err == nil {
			err = w.Commit(t.Context())
		}
		if err != nil {
			err = errors.Join(err, ignore(w.Cancel(t.Context()), drivers.ErrPrecondition))
		}
	}
	switch {
	case err == nil:
		holds(t, d, key, want)
	case undamaged || !errors.Is(err, drivers.ErrPrecondition):
		t.Fatalf("the newest state: %v", err)
	default:
		absent(t, d, key)
	}
}

// raceResume has two processes resume one state, write what differs, and commit.
func (s *suite) raceResume(t testing.TB, n int64, round int) {
	t.Helper()
	d := s.open()
	handles := []drivers.Driver{d, s.reopen(d)}
	head := pattern(1, n)
	w := begin(t, d, "u/o", -1)
	write(t, w, head)
	state := suspend(t, w)
	errs := together(2, func(i int) error {
		w, err := handles[i].Resume(t.Context(), "u/o", state)
		if err != nil {
			return err
		}
		_, err = w.Write(pattern(int64(10+i), n+int64(i)))
		if err == nil {
			err = w.Commit(t.Context())
		}
		if err != nil {
			return errors.Join(err, ignore(w.Cancel(t.Context()), drivers.ErrPrecondition))
		}
		return nil
	})
	if s.RacyCommit && errs[0] == nil && errs[1] == nil {
		got, _ := read(t, d, "u/o", 0, -1)
		for i := range errs {
			if bytes.Equal(got, append(slices.Clone(head), pattern(int64(10+i), n+int64(i))...)) {
				return
			}
		}
		t.Fatalf("round %d: the object's %d bytes are not those of one of the streams", round, len(got))
	}
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case err == nil:
			t.Fatalf("round %d: both committed", round)
		case !errors.Is(err, drivers.ErrPrecondition):
			t.Fatalf("round %d: %v, want ErrPrecondition", round, err)
		}
	}
	if winner < 0 {
		absent(t, d, "u/o")
		return
	}
	holds(t, d, "u/o", append(head, pattern(int64(10+winner), n+int64(winner))...))
}

// ignore returns err unless it is of kind.
func ignore(err, kind error) error {
	if errors.Is(err, kind) {
		return nil
	}
	return err
}
