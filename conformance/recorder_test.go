package conformance

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// try runs a case on c and returns what it complained of; ok if it did not fail.
func try(t *testing.T, c Config, name string) (ok bool, messages []string) {
	t.Helper()
	for _, test := range tests() {
		if test.name != name {
			continue
		}
		c = c.withDefaults()
		in := &standIn{ctx: t.Context(), name: name, patience: c.Patience}
		in.run(func(r testing.TB) { test.run(r, &suite{Config: c, t: t, many: &manyKeys{t: t}}) })
		got := in.result()
		return !got.Failed, got.Messages
	}
	t.Fatalf("no case %q", name)
	return false, nil
}

// over is a Config for memory stores with all extras and all faults of the backend. breaks
// may put a fault into each handle.
func over(breaks func(*broken)) Config {
	type handle struct {
		m *memory.Driver
		h *switchable
	}
	var handles sync.Map // of *broken to handle
	keep := func(t testing.TB, m *memory.Driver, h *switchable) drivers.Driver {
		b := &broken{Driver: m, signer: newSigner(t, m), filer: &filer{d: m, folder: t.TempDir()}}
		breaks(b)
		handles.Store(b, handle{m, h})
		return b
	}
	of := func(d drivers.Driver) handle {
		h, _ := handles.Load(d)
		return h.(handle)
	}
	return Config{
		Open: func(t testing.TB) drivers.Driver {
			h := &switchable{}
			return keep(t, memory.New(memory.Options{Hook: h.ask}), h)
		},
		Reopen: func(t testing.TB, d drivers.Driver) drivers.Driver {
			h := &switchable{}
			return keep(t, of(d).m.Reopen(h.ask), h)
		},
		Extras: Extras{Absent: true, Match: true, Signer: true, Files: true, Sweep: true},
		Name:   "memory",
		Faults: faultsOf(func(d drivers.Driver) *switchable { return of(d).h }),
	}
}

// A fault counts as caught only if the case passes without it.
func TestAGoodDriverPasses(t *testing.T) {
	c := over(func(*broken) {})
	for _, test := range tests() {
		if test.when != nil && !test.when(c) {
			continue
		}
		if ok, messages := try(t, c, test.name); !ok {
			t.Errorf("%s: %q", test.name, messages)
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, test := range tests() {
		if seen[test.name] {
			t.Errorf("two cases are called %q", test.name)
		}
		seen[test.name] = true
	}
}

func TestGoroutinesThatAreLeftBehindAreCaught(t *testing.T) {
	r := &standIn{ctx: t.Context()}
	stop := make(chan struct{})
	before := runtime.NumGoroutine()
	for range 50 { // more than earlier tests may still have, which end meanwhile
		go func() { <-stop }()
	}
	settled(r, before, 100*time.Millisecond)
	if !r.Failed() {
		t.Error("50 more goroutines were not noticed")
	}
	close(stop)
	r = &standIn{ctx: t.Context()}
	settled(r, before, time.Minute)
	if r.Failed() {
		t.Errorf("they ended, and still: %q", r.messages)
	}
}
