package prefix_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/fs"
	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/drivers/prefix"
)

const within = "shared/registry-1"

func wrap(t testing.TB, d drivers.Driver) drivers.Driver {
	p, err := prefix.New(d, within)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestConformanceOverMemory(t *testing.T) {
	var stores sync.Map // of the prefixed driver to *memory.Driver
	open := func(t testing.TB, m *memory.Driver) drivers.Driver {
		// Neighbours that must not be seen.
		for _, key := range []string{"shared/registry-1-2/x", "shared/registry-1.x", "shared/registry-0/x", "shared/registry-10", "a", "z"} {
			if err := m.Put(t.Context(), key, []byte(key)); err != nil {
				t.Fatal(err)
			}
		}
		p := wrap(t, m)
		stores.Store(p, m)
		return p
	}
	conformance.Run(t, conformance.Config{
		Open: func(t testing.TB) drivers.Driver { return open(t, memory.New(memory.Options{})) },
		Reopen: func(t testing.TB, d drivers.Driver) drivers.Driver {
			m, _ := stores.Load(d)
			return open(t, m.(*memory.Driver).Reopen(nil))
		},
		Neighbour: func(t testing.TB, d drivers.Driver) drivers.Driver {
			m, _ := stores.Load(d)
			n, err := prefix.New(m.(*memory.Driver), within+"-2")
			if err != nil {
				t.Fatal(err)
			}
			return n
		},
		Extras: conformance.Extras{Absent: true, Match: true, Sweep: true},
		Name:   "memory",
		MaxKey: drivers.MaxKey - len(within+"/"),
	})
}

func TestConformanceOverFS(t *testing.T) {
	folders := map[drivers.Driver]*fs.Driver{}
	conformance.Run(t, conformance.Config{
		Open: func(t testing.TB) drivers.Driver {
			d, err := fs.Open(t.Context(), fs.Config{Root: t.TempDir(), Durability: fs.Fast})
			if err != nil {
				t.Fatal(err)
			}
			p := wrap(t, d)
			folders[p] = d
			return p
		},
		Neighbour: func(t testing.TB, d drivers.Driver) drivers.Driver {
			n, err := prefix.New(folders[d], within+"-2")
			if err != nil {
				t.Fatal(err)
			}
			return n
		},
		Extras: conformance.Extras{Absent: true, Match: true, Files: true, Sweep: true},
		Name:   "fs",
		MaxKey: drivers.MaxKey - len(within+"/"),
	})
}

func TestKeysAreBelowThePrefix(t *testing.T) {
	m := memory.New(memory.Options{})
	p := wrap(t, m)
	if err := p.Put(t.Context(), "a/b", nil); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for e, err := range m.List(t.Context(), "", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, e.Key)
	}
	if want := []string{within + "/a/b"}; !slices.Equal(keys, want) {
		t.Errorf("the store has %q, want %q", keys, want)
	}
}

func TestNew(t *testing.T) {
	m := memory.New(memory.Options{})
	if d, err := prefix.New(m, ""); err != nil || d != drivers.Driver(m) {
		t.Errorf("no prefix: %v, %v; want the driver itself", d, err)
	}
	for _, bad := range []string{"/", "/a", "a/", "a//b", "..", "a b"} {
		if _, err := prefix.New(m, bad); !errors.Is(err, drivers.ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", bad, err)
		}
	}
}
