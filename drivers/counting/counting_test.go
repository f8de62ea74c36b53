package counting_test

import (
	"maps"
	"sync"
	"testing"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/counting"
	"github.com/longshore-registry/longshore/drivers/fs"
	"github.com/longshore-registry/longshore/drivers/memory"
)

func TestConformanceOverMemory(t *testing.T) {
	var within sync.Map // of *counting.Driver to *memory.Driver
	wrap := func(m *memory.Driver) drivers.Driver {
		c := counting.New(m, counting.Options{Page: 7})
		within.Store(c, m)
		return c
	}
	conformance.Run(t, conformance.Config{
		Open: func(testing.TB) drivers.Driver { return wrap(memory.New(memory.Options{})) },
		Reopen: func(_ testing.TB, d drivers.Driver) drivers.Driver {
			m, _ := within.Load(d)
			return wrap(m.(*memory.Driver).Reopen(nil))
		},
		Extras: conformance.Extras{Absent: true, Match: true, Sweep: true},
	})
}

func TestConformanceOverFS(t *testing.T) {
	conformance.Run(t, conformance.Config{
		Open: func(t testing.TB) drivers.Driver {
			d, err := fs.Open(t.Context(), fs.Config{Root: t.TempDir(), Durability: fs.Fast})
			if err != nil {
				t.Fatal(err)
			}
			return counting.New(d, counting.Options{})
		},
		Extras: conformance.Extras{Absent: true, Match: true, Files: true, Sweep: true},
	})
}

func TestCounts(t *testing.T) {
	m := memory.New(memory.Options{})
	var traced []string
	c := counting.New(m, counting.Options{Page: 10, Trace: func(op, key string) { traced = append(traced, op+" "+key) }})
	ctx := t.Context()
	for i := range 25 {
		if err := m.Put(ctx, "k/"+string(rune('a'+i)), nil); err != nil {
			t.Fatal(err)
		}
	}
	list := func(n int) {
		for _, err := range c.List(ctx, "k/", "", "") {
			if err != nil {
				t.Fatal(err)
			}
			if n--; n == 0 {
				break
			}
		}
	}
	for _, step := range []struct {
		name  string
		do    func() error
		want  counting.Counts
		total int
	}{
		{"nothing", func() error { return nil }, counting.Counts{}, 0},
		{"delete of three", func() error { return c.Delete(ctx, "a", "b", "c") }, counting.Counts{"delete": 1}, 1},
		{"the first ten of a list", func() error { list(10); return nil }, counting.Counts{"list": 1}, 1},
		{"eleven", func() error { list(11); return nil }, counting.Counts{"list": 2}, 2},
		{"all", func() error { list(-1); return nil }, counting.Counts{"list": 3}, 3},
		{"put if absent", func() error {
			return drivers.ExtrasOf(c).Absent.PutIfAbsent(ctx, "x", nil)
		}, counting.Counts{"putifabsent": 1}, 1},
		{"a stream", func() error {
			w, err := c.Writer(ctx, "w", -1)
			if err != nil {
				return err
			}
			for range 5 {
				if _, err := w.Write([]byte("x")); err != nil {
					return err
				}
			}
			return w.Commit(ctx)
		}, counting.Counts{"writer": 1, "write": 5, "commit": 1}, 2},
	} {
		c.Reset()
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := c.Counts(); !maps.Equal(got, step.want) || got.Total() != step.total {
			t.Errorf("%s: %v, in all %d; want %v, %d", step.name, got, got.Total(), step.want, step.total)
		}
	}
	if traced[0] != "delete a" {
		t.Errorf("the first call was traced as %q", traced[0])
	}
}
