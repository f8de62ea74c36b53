package conformance

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// fresh is a Config for memory stores without a second process and without faults.
func fresh(d func() drivers.Driver) Config {
	return Config{
		Open:   func(testing.TB) drivers.Driver { return d() },
		Extras: Extras{Absent: true, Match: true, Sweep: true},
	}
}

// executed runs the cases that match and returns their results.
func executed(ctx context.Context, c Config, prefix string, limit time.Duration) (all []Result) {
	Execute(ctx, c, Watch{
		Choose: func(name string) bool { return strings.HasPrefix(name, prefix) }, Limit: limit,
		End: func(_, _ int, r Result) { all = append(all, r) },
	})
	return all
}

func TestExecuteRunsTheSuite(t *testing.T) {
	var begun []string
	var results []Result
	c := fresh(func() drivers.Driver { return memory.New(memory.Options{}) })
	c.Repeat = 1
	Execute(t.Context(), c, Watch{
		Begin: func(n, of int, name string) {
			if begun = append(begun, name); n != len(begun) || of != len(tests()) {
				t.Errorf("%s: %d of %d", name, n, of)
			}
		},
		End: func(n, _ int, r Result) {
			if results = append(results, r); n != len(begun) || r.Name != begun[n-1] {
				t.Errorf("%d: %s after %q", n, r.Name, begun)
			}
		},
	})
	reasons := map[string]int{}
	for _, r := range results {
		if r.Failed {
			t.Errorf("%s: %q", r.Name, r.Messages)
		}
		reasons[r.NotRun]++
	}
	for reason, least := range map[string]int{
		"": 100, "the driver has no such ability": 3, "needs a second process on the store": 7,
		"needs a proxy that makes the store fail; the driver's own tests have one": 10, "needs another store beside it": 1,
	} {
		if reasons[reason] < least {
			t.Errorf("%d are not run for %q, want %d or more", reasons[reason], reason, least)
		}
		delete(reasons, reason)
	}
	if len(reasons) > 0 {
		t.Errorf("other reasons: %v", reasons)
	}
}

func TestExecuteMakesAFailureOfAPanic(t *testing.T) {
	c := fresh(func() drivers.Driver {
		return &broken{Driver: memory.New(memory.Options{}), put: func(context.Context, string, []byte) error { panic("no disk") }}
	})
	results := executed(t.Context(), c, "Put/", 0)
	if len(results) == 0 {
		t.Fatal("no case was run")
	}
	r := results[0]
	if !r.Failed || !strings.Contains(strings.Join(r.Messages, "\n"), "panic: no disk\n") || !strings.Contains(r.Messages[0], "execute_test.go") {
		t.Errorf("%s: %q", r.Name, r.Messages)
	}
}

// A driver that hears no context is left behind, and the next case is run.
func TestExecuteLeavesWhatHangs(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	c := fresh(func() drivers.Driver {
		return &broken{Driver: memory.New(memory.Options{}), stat: func(context.Context, string) (drivers.Info, error) {
			<-release
			return drivers.Info{}, nil
		}}
	})
	c.Patience = 10 * time.Millisecond
	results := executed(t.Context(), c, "Stat/", 20*time.Millisecond)
	if len(results) < 2 {
		t.Fatalf("%+v", results)
	}
	for _, r := range results {
		said := strings.Join(r.Messages, "\n")
		if !r.Failed || !strings.Contains(said, "it does not stop, though its context has ended") || !strings.Contains(said, "it had 20ms") {
			t.Errorf("%s: %.300q", r.Name, said)
		}
	}
}

func TestExecuteIsInterrupted(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	c := fresh(func() drivers.Driver {
		return &broken{Driver: memory.New(memory.Options{}), put: func(ctx context.Context, _ string, _ []byte) error {
			stop()
			return ctx.Err()
		}}
	})
	var cleaned int
	c.Open = func(open func(testing.TB) drivers.Driver) func(t testing.TB) drivers.Driver {
		return func(t testing.TB) drivers.Driver {
			t.Cleanup(func() { cleaned++ })
			return open(t)
		}
	}(c.Open)
	results := executed(ctx, c, "Put/", 0)
	if len(results) < 2 || cleaned != 1 {
		t.Fatalf("%d results, %d cleanups", len(results), cleaned)
	}
	for _, r := range results {
		if r.Failed || r.NotRun != Interrupted {
			t.Errorf("%+v", r)
		}
	}
}

func TestStandInCleansUp(t *testing.T) {
	var order []string
	in := &standIn{ctx: t.Context(), name: "case", limit: time.Second}
	hung := make(chan struct{})
	defer close(hung)
	in.run(func(t testing.TB) {
		dir := t.TempDir()
		t.Cleanup(func() { order = append(order, "first") })
		t.Cleanup(func() { panic("in between") })
		t.Cleanup(func() { t.FailNow() })
		t.Cleanup(func() { order = append(order, "last") })
		if t.Name() != "case" || dir == "" || t.Context().Err() != nil {
			t.Error("it is no test")
		}
		t.Fatal("enough")
	})
	if !slices.Equal(order, []string{"last", "first"}) || !in.Failed() {
		t.Errorf("%q", order)
	}
	r := in.result()
	if r.Messages[0] != "enough" || !strings.HasPrefix(r.Messages[1], "panic in a cleanup: in between\n") {
		t.Errorf("%q", r.Messages)
	}
	in = &standIn{ctx: t.Context(), limit: time.Millisecond}
	in.run(func(t testing.TB) { t.Cleanup(func() { <-hung }) })
	if r := in.result(); !r.Failed || !strings.HasPrefix(r.Messages[0], "a cleanup does not end") {
		t.Errorf("%+v", r)
	}
}
