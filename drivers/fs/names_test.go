//go:build unix

package fs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// whole says whether the names in folder are known.
func whole(d *Driver, folder string) bool {
	d.folders.mu.Lock()
	defer d.folders.mu.Unlock()
	e := d.folders.byName[folder]
	return e != nil && e.Value.(*knownFolder).whole
}

// filled is a store with n objects in the folder f/.
func filled(t testing.TB, root string, n int) (*Driver, map[string]bool) {
	t.Helper()
	d := open(t, Config{Root: root, Durability: Fast})
	d.folders = newKnownFolders() // on whatever file system the tests run
	all := map[string]bool{}
	for i := range n {
		key := fmt.Sprintf("f/%04d", i)
		put(t, d, key, "")
		all[key] = true
	}
	return d, all
}

// lists fails t unless exactly the keys in all are below f/.
func lists(t *testing.T, d *Driver, all map[string]bool) {
	t.Helper()
	want := slices.Sorted(maps.Keys(all))
	if got := keys(t, d, "f/", ""); !slices.Equal(got, want) {
		t.Fatalf("listed %d keys, want %d; the first that differs is %s", len(got), len(want), firstDifference(got, want))
	}
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return got[i] + " instead of " + want[i]
		}
	}
	return "the last one"
}

// Two processes change a large folder, and both list it after each change.
func TestListingsHaveTheNewestNames(t *testing.T) {
	root := t.TempDir()
	a, all := filled(t, root, leastNames+50)
	b := open(t, Config{Root: root, Durability: Fast})
	b.folders = newKnownFolders()
	for _, d := range []*Driver{a, b} {
		d.folders.settle = 2 * longestStep
	}
	random := rand.New(rand.NewPCG(1, 2))
	change := func(i int) {
		d := []*Driver{a, b}[random.IntN(2)]
		key := fmt.Sprintf("f/%04d", random.IntN(2*leastNames))
		switch i % 4 {
		case 0:
			put(t, d, key, "new")
			all[key] = true
		case 1:
			if err := begun(t, d, key, "x").Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			all[key] = true
		case 2:
			if err := d.PutIfAbsent(t.Context(), key, nil); (err == nil) == all[key] {
				t.Fatal(err)
			}
			all[key] = true
		case 3:
			if err := d.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			delete(all, key)
		}
	}
	for i := range 60 {
		change(i)
		lists(t, a, all)
		lists(t, b, all)
	}
	for i := range 4 {
		for !whole(a, "f/") || !whole(b, "f/") {
			lists(t, a, all)
			lists(t, b, all)
		}
		change(i)
		lists(t, b, all)
		lists(t, a, all)
	}
	// The folder goes and comes again.
	if err := b.Delete(t.Context(), slices.Collect(maps.Keys(all))...); err != nil {
		t.Fatal(err)
	}
	clear(all)
	lists(t, a, all)
	put(t, b, "f/x", "")
	all["f/x"] = true
	lists(t, a, all)
}

func TestNamesReadBeforeTheFolderSettledAreNotKept(t *testing.T) {
	d, all := filled(t, t.TempDir(), leastNames)
	d.folders.settle = time.Hour
	for range 3 {
		lists(t, d, all)
	}
	if whole(d, "f/") || !d.folders.knows("f/") {
		t.Error("names are kept, or it is not known since when the folder is as it is")
	}
	d.folders.settle = 0
	lists(t, d, all)
	if !whole(d, "f/") {
		t.Error("names are not kept though the folder has settled")
	}
	lists(t, d, all)
}

// A folder whose times have large steps, as changes and listings come in any order: names that are known are the newest.
func TestAClockWithSteps(t *testing.T) {
	const step = 10 * time.Millisecond
	random := rand.New(rand.NewPCG(3, 4))
	k := newKnownFolders()
	k.settle = step
	now := time.Unix(1_000_000, 0)
	version, changed := 0, now.Truncate(step)
	hits := 0
	for range 100_000 {
		now = now.Add(time.Duration(random.Int64N(int64(step / 2))))
		if random.IntN(8) == 0 {
			version++
			changed = now.Truncate(step)
			continue
		}
		s := stamp{modified: changed.UnixNano()}
		n, known, settled := k.look("f/", s, now)
		if known {
			hits++
			if n.at(0) != fmt.Sprint(version) {
				t.Fatalf("version %s of the folder is known, the newest is %d", n.at(0), version)
			}
			continue
		}
		if random.IntN(8) == 0 { // while it is read
			version++
			changed = now.Truncate(step)
		}
		k.keep("f/", s, now, packNames(slices.Repeat([]string{fmt.Sprint(version)}, leastNames)), settled)
	}
	if hits < 1000 {
		t.Errorf("names were known only %d times", hits)
	}
}

func TestSmallFoldersAreNotKept(t *testing.T) {
	d, all := filled(t, t.TempDir(), leastNames-1)
	d.folders.settle = 0
	lists(t, d, all)
	if d.folders.knows("f/") {
		t.Error("a small folder is kept")
	}
	put(t, d, "f/one-more", "")
	all["f/one-more"] = true
	lists(t, d, all)
	if !d.folders.knows("f/") {
		t.Error("a large folder is not kept")
	}
	if err := d.Delete(t.Context(), "f/one-more"); err != nil {
		t.Fatal(err)
	}
	delete(all, "f/one-more")
	lists(t, d, all)
	if d.folders.knows("f/") || d.folders.memory != 0 {
		t.Errorf("a folder that became small is kept, %d bytes", d.folders.memory)
	}
}

func TestNamesInMemoryAreBounded(t *testing.T) {
	n := packNames(slices.Repeat([]string{strings.Repeat("x", 20)}, leastNames))
	k := newKnownFolders()
	k.limit = 4 * n.size()
	now := time.Now()
	for i := range 10 {
		folder := fmt.Sprintf("%d/", i)
		k.keep(folder, stamp{inode: uint64(i)}, now, n, true)
		k.look("0/", stamp{}, now) // which keeps it
		if k.memory > k.limit || k.memory != int64(len(k.byName))*n.size() || k.order.Len() != len(k.byName) {
			t.Errorf("%d bytes for %d folders", k.memory, len(k.byName))
		}
	}
	for i := range 10 {
		if want := i == 0 || i > 6; k.knows(fmt.Sprintf("%d/", i)) != want {
			t.Errorf("folder %d is known: %t, want %t", i, !want, want)
		}
	}
	huge := packNames(slices.Repeat([]string{"x"}, int(k.limit)))
	k.keep("9/", stamp{}, now, huge, true)
	if k.knows("9/") {
		t.Error("a folder too large is kept")
	}
}

func TestPagesFromAnyPosition(t *testing.T) {
	d, all := filled(t, t.TempDir(), leastNames)
	for _, key := range []string{"f/0100-/x", "f/0100a/x", "f/0100a/y", "f/0100a.b/x", "g/1"} {
		put(t, d, key, "")
		all[key] = true
	}
	d.folders.settle = 0
	sorted := slices.Sorted(maps.Keys(all))
	afters := append(slices.Clone(sorted), "", "f", "f/", "f/0100a/", "f/0100a", "f/0100a/xx", "f/0100a/y0", "f/9", "g", "h")
	for _, prefix := range []string{"", "f/", "f/010", "f/0100a", "f/0100a/", "g"} {
		for _, after := range afters {
			want := slices.DeleteFunc(slices.Clone(sorted), func(key string) bool { return !strings.HasPrefix(key, prefix) || key <= after })
			want = want[:min(3, len(want))]
			var got []string
			for e, err := range d.List(t.Context(), prefix, after, "") {
				if err != nil {
					t.Fatal(err)
				}
				if got = append(got, e.Key); len(got) == 3 {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("of %q after %q: got %q, want %q", prefix, after, got, want)
			}
		}
	}
	if !whole(d, "f/") {
		t.Error("names are not kept")
	}
}
