package conformance

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// A backend may keep nothing of a stream that was not suspended before its first part is full. So the streams under way
// that have to be found have LargeObject bytes.

// leftovers returns all that is left over, each stream once or, if the driver keeps several things of one, more often.
func leftovers(t testing.TB, d drivers.Driver) []drivers.Leftover {
	t.Helper()
	var all []drivers.Leftover
	for l, err := range drivers.ExtrasOf(d).Sweep.Leftovers(t.Context()) {
		if err != nil {
			t.Fatalf("Leftovers, after %d: %v", len(all), err)
		}
		all = append(all, l)
	}
	return all
}

// leftover fails t unless streams to these keys, and no others, are left over. It returns them.
func leftover(t testing.TB, d drivers.Driver, keys ...string) []drivers.Leftover {
	t.Helper()
	all := leftovers(t, d)
	missing := make(map[string]bool)
	for _, key := range keys {
		missing[key] = true
	}
	unknown := 0
	for _, l := range all {
		switch {
		case l.ID == "":
			t.Fatalf("a leftover of %q has no ID", l.Key)
		case l.Key == "":
			unknown++
		case !slices.Contains(keys, l.Key):
			t.Fatalf("a stream to %q is left over", l.Key)
		}
		delete(missing, l.Key)
	}
	if unknown < len(missing) || len(missing) == 0 && unknown > 0 {
		t.Fatalf("not found: %q", slices.Sorted(maps.Keys(missing)))
	}
	return all
}

// drop drops those of all that are streams to key, as far as the driver can tell.
func drop(t testing.TB, d drivers.Driver, all []drivers.Leftover, key string) {
	t.Helper()
	for _, l := range all {
		if l.Key != key && l.Key != "" {
			continue
		}
		if err := drivers.ExtrasOf(d).Sweep.Drop(t.Context(), l); err != nil {
			t.Fatalf("Drop(%+v): %v", l, err)
		}
	}
}

// suspended begins a stream, writes body and suspends it.
func suspended(t testing.TB, d drivers.Driver, key string, body []byte) []byte {
	t.Helper()
	w := begin(t, d, key, -1)
	write(t, w, body)
	return suspend(t, w)
}

// dropped fails t unless the stream can neither be resumed nor committed any more.
func dropped(t testing.TB, d drivers.Driver, key string, state []byte) {
	t.Helper()
	w, err := d.Resume(t.Context(), key, state)
	if err == nil {
		if err = w.Commit(t.Context()); err == nil {
			t.Fatalf("the dropped stream to %q was committed", key)
		}
		cancel(t, w)
	}
	if !errors.Is(err, drivers.ErrPrecondition) {
		t.Fatalf("Resume and Commit of what was dropped: %v, want ErrPrecondition", err)
	}
}

func sweepTests() []test {
	return []test{
		{name: "Sweep/streams under way and suspended ones are left over", run: func(t testing.TB, s *suite) {
			d := s.open()
			leftover(t, d)
			began := time.Now()
			large := pattern(1, s.LargeObject)
			under := begin(t, d, "z/under/way", -1)
			write(t, under, large)
			suspended(t, d, "z/small", []byte("a little"))
			state := suspended(t, d, "z/large", large)
			w := resume(t, d, "z/large", state) // and under way again
			for _, d := range []drivers.Driver{d, s.reopen(d)} {
				for _, l := range leftover(t, d, "z/under/way", "z/small", "z/large") {
					// Clocks differ. S3 takes a quarter of an hour.
					if l.Began.Before(began.Add(-15*time.Minute)) || l.Began.After(time.Now().Add(15*time.Minute)) {
						t.Errorf("%s began at %v, not at about %v", l.Key, l.Began, began)
					}
					// A store may keep some bytes of its own for a stream.
					if l.Size < -1 || l.Size > s.LargeObject+4096 {
						t.Errorf("%s has %d bytes", l.Key, l.Size)
					}
				}
			}
			cancel(t, under)
			cancel(t, w)
		}},
		{name: "Sweep/what was committed or cancelled is not left over", run: func(t testing.TB, s *suite) {
			d := s.open()
			large := pattern(1, s.LargeObject)
			put(t, d, "z/put", large)
			for _, body := range [][]byte{nil, []byte("a little"), large} {
				w := begin(t, d, "z/o", -1)
				write(t, w, body)
				commit(t, w)
				w = begin(t, d, "z/o", -1)
				write(t, w, body)
				cancel(t, w)
				w = resume(t, d, "z/o", suspended(t, d, "z/o", body))
				write(t, w, body)
				commit(t, w)
				cancel(t, resume(t, d, "z/o", suspended(t, d, "z/o", body)))
			}
			leftover(t, d)
		}},
		{name: "Sweep/Drop ends a suspended stream", run: func(t testing.TB, s *suite) {
			d := s.open()
			for _, body := range [][]byte{[]byte("a little"), pattern(1, s.LargeObject)} {
				put(t, d, "z/o", []byte("old"))
				state := suspended(t, d, "z/o", body)
				drop(t, s.reopen(d), leftover(t, d, "z/o"), "z/o")
				leftover(t, d)
				dropped(t, d, "z/o", state)
				holds(t, d, "z/o", []byte("old"))
				leftover(t, d)
			}
		}},
		{name: "Sweep/Drop ends a stream under way", run: func(t testing.TB, s *suite) {
			d := s.open()
			large := pattern(1, s.LargeObject)
			end := func(w drivers.Writer, last func() error) {
				t.Helper()
				drop(t, s.reopen(d), leftover(t, d, "z/o"), "z/o")
				leftover(t, d)
				if err := last(); !errors.Is(err, drivers.ErrPrecondition) {
					t.Fatalf("after a Drop: %v, want ErrPrecondition", err)
				}
				cancel(t, w)
				absent(t, d, "z/o")
				leftover(t, d)
			}
			w := begin(t, d, "z/o", -1)
			write(t, w, large)
			// A part that is being sent at the moment of a Drop may come after it.
			s.poll(t, "the first part", func() bool {
				return slices.ContainsFunc(leftovers(t, d), func(l drivers.Leftover) bool { return l.Size != 0 })
			})
			end(w, func() error { return w.Commit(t.Context()) })
			w = resume(t, d, "z/o", suspended(t, d, "z/o", large))
			end(w, func() error { return w.Commit(t.Context()) })
			w = resume(t, d, "z/o", suspended(t, d, "z/o", large))
			end(w, func() error { // Suspend may not notice
				state, err := w.Suspend(t.Context())
				if err == nil {
					dropped(t, d, "z/o", state)
					err = drivers.ErrPrecondition
				}
				return err
			})
		}},
		{name: "Sweep/Drop of what is gone is no error and changes nothing", run: func(t testing.TB, s *suite) {
			d := s.open()
			suspended(t, d, "z/twice", []byte("a little"))
			found := leftover(t, d, "z/twice")
			drop(t, d, found, "z/twice")
			drop(t, s.reopen(d), found, "z/twice")
			for _, body := range [][]byte{[]byte("a little"), pattern(1, s.LargeObject)} {
				state := suspended(t, d, "z/o", body)
				found = leftover(t, d, "z/o")
				commit(t, resume(t, d, "z/o", state))
				drop(t, d, found, "z/o")
				holds(t, d, "z/o", body)
			}
		}},
		{name: "Sweep/Drop leaves other streams alone, to the same key too", run: func(t testing.TB, s *suite) {
			d := s.open()
			suspended(t, d, "z/a", []byte("dropped"))
			found := leftover(t, d, "z/a")
			states := map[string][]byte{}
			for _, key := range []string{"z/a", "z/ab", "z/a-b", "z/b"} {
				states[key] = suspended(t, d, key, []byte(key))
			}
			drop(t, d, found, "z/a")
			for key, state := range states {
				commit(t, resume(t, d, key, state))
				holds(t, d, key, []byte(key))
			}
			leftover(t, d)
		}},
		{name: "Sweep/what another prefix has is neither listed nor dropped", run: func(t testing.TB, s *suite) {
			d := s.open()
			n := s.Neighbour(s.t, d)
			ours := suspended(t, d, "z/o", []byte("ours"))
			theirs := suspended(t, n, "z/o", []byte("theirs"))
			suspended(t, n, "z/p", []byte("theirs"))
			leftover(t, d, "z/o")
			found := leftover(t, n, "z/o", "z/p")
			// A leftover of another is none of ours: Drop may refuse it.
			for _, l := range found {
				_ = drivers.ExtrasOf(d).Sweep.Drop(t.Context(), l)
			}
			leftover(t, n, "z/o", "z/p")
			drop(t, d, leftover(t, d, "z/o"), "z/o")
			dropped(t, d, "z/o", ours)
			commit(t, resume(t, n, "z/o", theirs))
			holds(t, n, "z/o", []byte("theirs"))
			drop(t, n, found, "z/p")
			leftover(t, n)
		}, when: func(c Config) bool { return c.Neighbour != nil }},
		{name: "Sweep/what a process leaves that was killed is found", run: func(t testing.TB, s *suite) {
			d := s.open()
			p := s.start(t, d)
			body := pattern(1, s.LargeObject)
			p.must(t, order{Do: "writer", Key: "z/o"})
			p.must(t, order{Do: "write", Body: body})
			p.kill()
			s.poll(t, "the leftover", func() bool {
				return slices.ContainsFunc(leftovers(t, d), func(l drivers.Leftover) bool { return l.Key == "z/o" || l.Key == "" })
			})
			for _, l := range leftover(t, d, "z/o") {
				if err := drivers.ExtrasOf(d).Sweep.Drop(t.Context(), l); err != nil {
					t.Fatal(err)
				}
			}
			leftover(t, d)
			absent(t, d, "z/o")
		}, when: func(c Config) bool { return c.Where != nil }},
		{name: "Sweep/many are listed, each once, as far as the caller goes", run: func(t testing.TB, s *suite) {
			d := s.open()
			const many = 40
			var keys []string
			for i := range many {
				keys = append(keys, numbered("z/many/", i))
			}
			if err := errors.Join(together(many, func(i int) error {
				w, err := d.Writer(t.Context(), keys[i], -1)
				if err == nil {
					_, err = w.Write([]byte("a little"))
				}
				if err == nil {
					_, err = w.Suspend(t.Context())
				}
				return err
			})...); err != nil {
				t.Fatal(err)
			}
			all := leftover(t, d, keys...)
			slices.SortFunc(all, func(a, b drivers.Leftover) int { return bytes.Compare([]byte(a.Key+" "+a.ID), []byte(b.Key+" "+b.ID)) })
			if len(slices.CompactFunc(slices.Clone(all), func(a, b drivers.Leftover) bool { return a.Key == b.Key && a.ID == b.ID })) < len(all) {
				t.Error("one is listed twice")
			}
			seen := 0
			for _, err := range drivers.ExtrasOf(d).Sweep.Leftovers(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				if seen++; seen == 3 {
					break
				}
			}
			for _, l := range all {
				drop(t, d, []drivers.Leftover{l}, l.Key)
			}
			leftover(t, d)
		}},
		{name: "Sweep/a context that has ended is the error", run: func(t testing.TB, s *suite) {
			d := s.open()
			suspended(t, d, "z/o", []byte("a little"))
			found := leftover(t, d, "z/o")
			ctx, stop := context.WithCancel(t.Context())
			stop()
			n := 0
			for _, err := range drivers.ExtrasOf(d).Sweep.Leftovers(ctx) {
				if n++; !errors.Is(err, context.Canceled) || n > 1 {
					t.Fatalf("Leftovers yields %v", err)
				}
			}
			if n == 0 {
				t.Error("Leftovers ends without an error")
			}
			if err := drivers.ExtrasOf(d).Sweep.Drop(ctx, found[0]); !errors.Is(err, context.Canceled) {
				t.Errorf("Drop: %v", err)
			}
			leftover(t, d, "z/o")
		}},
		{name: "Sweep/a Drop that fails says so", run: func(t testing.TB, s *suite) {
			d := s.open()
			state := suspended(t, d, "z/o", []byte("a little"))
			found := leftover(t, d, "z/o")
			heal := s.Faults.FailWrites(s.t, d)
			err := drivers.ExtrasOf(d).Sweep.Drop(t.Context(), found[0])
			heal()
			if err == nil {
				t.Fatal("Drop succeeds")
			}
			s.tells(t, err, "drop", found[0].Key)
			commit(t, resume(t, d, "z/o", state))
		}, when: func(c Config) bool { return c.Faults.FailWrites != nil }},
	}
}
