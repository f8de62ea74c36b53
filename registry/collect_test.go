package registry

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// grace is the shortest grace period of a registry with default options.
var grace = LeftoverAge(24 * time.Hour)

// collect runs one collection and returns what it removed, kind and key.
func collect(t *testing.T, r *Registry, o CollectOptions) map[string]Removal {
	t.Helper()
	gone := map[string]Removal{}
	tell := o.Removed
	o.Removed = func(one Removal) {
		gone[string(one.Kind)+" "+one.Key] = one
		if tell != nil {
			tell(one)
		}
	}
	report, err := r.Collect(t.Context(), o)
	must(t, err)
	count := 0
	for _, tally := range report.Removed {
		count += tally.Count
	}
	if count != len(gone) {
		t.Errorf("reported %d removals and told of %d", count, len(gone))
	}
	return gone
}

// clock is time that a test moves on, without the timers of all that is open.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// later moves on.
func (c *clock) later(d time.Duration) { c.ahead.Add(int64(d)) }

// store is a store that fails the test when bytes of a blob change.
func (c *clock) store(t *testing.T) *memory.Driver {
	return memory.New(memory.Options{Immutable: []string{"data/"}, OnViolation: func(err error) { t.Error(err) }, Now: c.now})
}

// open is another replica on the store.
func (c *clock) open(t *testing.T, d drivers.Driver) *Registry {
	t.Helper()
	return openWith(t, d, Options{Now: c.now})
}

// noLeftovers fails if the store has anything but the collector's state and the format.
func noLeftovers(t *testing.T, d drivers.Driver) {
	t.Helper()
	for _, key := range keys(t, d, "") {
		if key != formatKey && key != gcStateKey && !strings.HasPrefix(key, gcRunsPrefix) {
			t.Errorf("left: %s", key)
		}
	}
}

func TestCollectNothingOfAnImage(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	r := clk.open(t, d)
	config, layer := putBlob(t, r, "a", randomBytes(1, 100)), putBlob(t, r, "a", randomBytes(2, 1000))
	pushTag(t, r, "a", "t", imageOf(t, config, layer))
	for range 3 {
		clk.later(2 * grace)
		if gone := collect(t, r, CollectOptions{Untagged: time.Hour}); len(gone) > 0 {
			t.Errorf("removed %v", gone)
		}
		wantBlob(t, r, "a", randomBytes(2, 1000), layer)
	}
}

func TestCollectWhatNobodyNeeds(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	r := clk.open(t, d)
	shared := putBlob(t, r, "a", randomBytes(1, 100))
	layer := putBlob(t, r, "a", randomBytes(2, 1000))
	ok, err := r.Mount(t.Context(), "b", "a", shared)
	if must(t, err); !ok {
		t.Fatal("not mounted")
	}
	m := pushTag(t, r, "a", "t", imageOf(t, shared, layer))
	n := pushTag(t, r, "b", "t", imageOf(t, shared))
	must(t, r.DeleteManifest(t.Context(), "a", m, false))
	if gone := collect(t, r, CollectOptions{}); len(gone) > 0 {
		t.Errorf("removed within the grace period: %v", gone)
	}
	clk.later(grace + time.Hour)
	dry := collect(t, r, CollectOptions{DryRun: true})
	gone := collect(t, r, CollectOptions{})
	for _, want := range []string{"link " + linkKey("a", shared), "link " + linkKey("a", layer), "blob " + recordKey(layer), "repository " + catalogKey("a")} {
		if _, ok := gone[want]; !ok {
			t.Errorf("not removed: %s", want)
		}
		if _, ok := dry[want]; !ok && !strings.HasPrefix(want, "repository") {
			t.Errorf("not in the dry run: %s", want)
		}
	}
	if one := gone["blob "+recordKey(layer)]; one.Bytes != 1000 {
		t.Errorf("freed %d bytes of 1000", one.Bytes)
	}
	wantBlob(t, r, "b", randomBytes(1, 100), shared)
	must(t, r.DeleteManifest(t.Context(), "b", n, false))
	collect(t, r, CollectOptions{})
	noLeftovers(t, d)
}

func TestCollectUploadsAndData(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	r := clk.open(t, d)
	kept := putBlob(t, r, "a", randomBytes(9, 100))
	pushTag(t, r, "a", "t", imageOf(t, kept))
	u, err := r.StartUpload("a", "")
	must(t, err)
	_, err = r.Append(t.Context(), "a", u.ID, u.Value, chunk(randomBytes(3, 5<<20)))
	must(t, err)
	u, err = r.StartUpload("a", "")
	must(t, err)
	_, err = r.Append(t.Context(), "a", u.ID, u.Value, chunk(randomBytes(4, 1000)))
	must(t, err)
	must(t, r.CancelUpload(t.Context(), "a", u.ID, u.Value))
	for range 3 {
		collect(t, r, CollectOptions{})
		clk.later(grace + 25*time.Hour)
	}
	if left := keys(t, d, uploadsPrefix); len(left) > 0 {
		t.Errorf("uploads left: %v", left)
	}
	if left := keys(t, d, dataPrefix); len(left) != 1 {
		t.Errorf("data left: %v", left)
	}
	for l, err := range d.Leftovers(t.Context()) {
		must(t, err)
		t.Errorf("leftover %v", l)
	}
	wantBlob(t, r, "a", randomBytes(9, 100), kept)
}

func TestOneCollectsAtATime(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	one, two := clk.open(t, d), clk.open(t, d)
	tried := false
	_, err := one.Collect(t.Context(), CollectOptions{Progress: func(CollectProgress) {
		if !tried {
			tried = true
			if _, err := two.Collect(t.Context(), CollectOptions{}); err != ErrCollecting {
				t.Errorf("a second collection: %v", err)
			}
		}
	}})
	must(t, err)
	collect(t, two, CollectOptions{})
}
