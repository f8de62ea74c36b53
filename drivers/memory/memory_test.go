package memory_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

func TestConformance(t *testing.T) {
	var hooks sync.Map // of *memory.Driver to *switchable
	use := func(hook memory.Hook) func(testing.TB, drivers.Driver) func() {
		return func(_ testing.TB, d drivers.Driver) func() {
			h, _ := hooks.Load(d)
			return h.(*switchable).use(hook)
		}
	}
	conformance.Run(t, conformance.Config{
		Open: func(t testing.TB) drivers.Driver {
			h := &switchable{}
			d := memory.New(memory.Options{Hook: h.ask, OnViolation: func(err error) { t.Error(err) }, Page: 100})
			hooks.Store(d, h)
			return d
		},
		Reopen: func(_ testing.TB, d drivers.Driver) drivers.Driver {
			return d.(*memory.Driver).Reopen(nil)
		},
		Extras: conformance.Extras{Absent: true, Match: true, Sweep: true},
		Name:   "memory",
		Faults: conformance.Faults{
			BreakReads: func(_ testing.TB, d drivers.Driver) func() {
				h, _ := hooks.Load(d)
				reads := 0
				return h.(*switchable).use(func(_ context.Context, op, _ string) memory.Outcome {
					if op == "read" {
						if reads++; reads > 3 {
							reads = 0
							return memory.Outcome{Err: errBroken}
						}
					}
					return memory.Outcome{}
				})
			},
			FailWrites:  use(onWrites(memory.Outcome{Err: errBroken})),
			LoseReplies: use(onWrites(memory.Outcome{Err: errBroken, Stored: true})),
			Hang: use(func(ctx context.Context, _, _ string) memory.Outcome {
				<-ctx.Done()
				return memory.Outcome{}
			}),
		},
	})
}

var errBroken = errors.New("broken by the test")

// switchable is a hook that can be replaced while the store is in use.
type switchable struct {
	mu   sync.Mutex
	hook memory.Hook
}

func (s *switchable) ask(ctx context.Context, op, key string) memory.Outcome {
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	if hook == nil {
		return memory.Outcome{}
	}
	return hook(ctx, op, key)
}

func (s *switchable) use(hook memory.Hook) (heal func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hook = nil
	}
}

// onWrites answers requests that change something with out.
func onWrites(out memory.Outcome) memory.Hook {
	writes := []string{"put", "delete", "putifabsent", "putifmatch", "write", "suspend", "commit", "drop"}
	return func(_ context.Context, op, _ string) memory.Outcome {
		if slices.Contains(writes, op) {
			return out
		}
		return memory.Outcome{}
	}
}

func TestAChangeOfAnImmutableObjectIsReported(t *testing.T) {
	var reported []error
	d := memory.New(memory.Options{
		Immutable:   []string{"data/", "blobs/"},
		OnViolation: func(err error) { reported = append(reported, err) },
	})
	write := func(key, body string) {
		t.Helper()
		w, err := d.Writer(t.Context(), key, -1)
		if err == nil {
			_, err = io.WriteString(w, body)
		}
		if err == nil {
			err = w.Commit(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put := func(key, body string) {
		t.Helper()
		if err := d.Put(t.Context(), key, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	match := func(key, body string) {
		t.Helper()
		info, err := d.Stat(t.Context(), key)
		if err == nil {
			err = d.PutIfMatch(t.Context(), key, []byte(body), info.ETag)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name     string
		do       func()
		violates bool
	}{
		{"made by Put", func() { put("data/a", "1") }, false},
		{"made by a Writer", func() { write("data/b", "1") }, false},
		{"the same bytes again", func() { put("data/a", "1"); write("data/b", "1"); match("data/a", "1") }, false},
		{"mutable", func() { put("tags/a", "1"); put("tags/a", "2"); write("tags/a", "3") }, false},
		{"begins alike", func() { put("database", "1"); put("database", "2") }, false},
		{"other bytes by Put", func() { put("data/a", "2") }, true},
		{"other bytes by a Writer", func() { write("data/b", "2") }, true},
		{"other bytes by PutIfMatch", func() { match("data/b", "3") }, true},
		{"deleted and made anew", func() {
			if err := d.Delete(t.Context(), "data/a"); err != nil {
				t.Fatal(err)
			}
			put("data/a", "4")
		}, false},
	} {
		reported = nil
		step.do()
		if got := len(reported) > 0; got != step.violates {
			t.Errorf("%s: reported %v, want a report: %v", step.name, reported, step.violates)
		}
		for _, err := range reported {
			if !strings.Contains(err.Error(), `"data/`) {
				t.Errorf("%s: %v does not name the key", step.name, err)
			}
		}
	}
}

func TestTheHookSeesEveryOperation(t *testing.T) {
	var seen []string
	d := memory.New(memory.Options{Page: 2, Hook: func(_ context.Context, op, key string) memory.Outcome {
		seen = append(seen, op+" "+key)
		return memory.Outcome{}
	}})
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(d.Put(ctx, "a", nil))
	must(d.PutIfAbsent(ctx, "b", nil))
	info, err := d.Stat(ctx, "b")
	must(err)
	must(d.PutIfMatch(ctx, "b", nil, info.ETag))
	must(d.Put(ctx, "c", nil))
	for _, err := range d.List(ctx, "", "", "") {
		must(err)
	}
	w, err := d.Writer(ctx, "d", 1)
	must(err)
	_, err = w.Write([]byte("x"))
	must(err)
	state, err := w.Suspend(ctx)
	must(err)
	w, err = d.Resume(ctx, "d", state)
	must(err)
	must(w.Commit(ctx))
	w, err = d.Writer(ctx, "e", 1)
	must(err)
	must(w.Cancel(ctx))
	must(d.Delete(ctx, "a", "b"))
	want := []string{
		"put a", "putifabsent b", "stat b", "putifmatch b", "put c", "list ", "list ",
		"writer d", "write d", "suspend d", "resume d", "commit d", "writer e", "cancel e", "delete a", "delete b",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("saw %q\nwant %q", seen, want)
	}
}

func TestOutcomes(t *testing.T) {
	var out memory.Outcome
	d := memory.New(memory.Options{Hook: func(_ context.Context, op, _ string) memory.Outcome {
		if op == "put" {
			return out
		}
		return memory.Outcome{}
	}})
	for _, c := range []struct {
		out    memory.Outcome
		err    error
		stored bool
	}{
		{memory.Outcome{}, nil, true},
		{memory.Outcome{Err: drivers.ErrThrottled}, drivers.ErrThrottled, false},
		{memory.Outcome{Err: drivers.ErrThrottled, Stored: true}, drivers.ErrThrottled, true},
	} {
		out = c.out
		err := d.Put(t.Context(), "k", []byte("x"))
		if !errors.Is(err, c.err) || (c.err == nil) != (err == nil) {
			t.Errorf("%+v: error %v", c.out, err)
		}
		_, err = d.Stat(t.Context(), "k")
		if stored := err == nil; stored != c.stored {
			t.Errorf("%+v: stored %v, want %v", c.out, stored, c.stored)
		}
		if err := d.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAKeyIsNeverAFolder(t *testing.T) {
	d := memory.New(memory.Options{})
	for _, c := range []struct {
		key string
		ok  bool
	}{{"a/b/c", true}, {"a/b", false}, {"a", false}, {"a/b/c/d", false}, {"a/b/cd", true}, {"a/b/c", true}, {"ab", true}} {
		err := d.Put(t.Context(), c.key, nil)
		if c.ok != (err == nil) || !c.ok && !errors.Is(err, drivers.ErrInvalid) {
			t.Errorf("%q: %v", c.key, err)
		}
	}
}

func TestTheSameTwiceIsTheSame(t *testing.T) {
	run := func() (all []drivers.Entry) {
		now := time.Unix(1_700_000_000, 0)
		s := memory.New(memory.Options{Now: func() time.Time { now = now.Add(time.Second); return now }})
		for _, key := range []string{"b", "a", "c", "a"} {
			if err := s.Put(t.Context(), key, []byte(key)); err != nil {
				t.Fatal(err)
			}
		}
		for e, err := range s.List(t.Context(), "", "", "") {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
		return all
	}
	if one, two := run(), run(); !slices.Equal(one, two) {
		t.Errorf("%+v, then %+v", one, two)
	}
}
