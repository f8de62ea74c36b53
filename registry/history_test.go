package registry

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/counting"
	"github.com/longshore-registry/longshore/drivers/fs"
)

const month = 30 * 24 * time.Hour

// historyStores are the stores on which the history is tried: those that compare, and one that can't.
func historyStores(t *testing.T) map[string]drivers.Driver {
	folder, err := fs.Open(t.Context(), fs.Config{Root: t.TempDir(), Durability: fs.Fast})
	must(t, err)
	return map[string]drivers.Driver{"memory": newStore(t), "fs": folder, "no extras": withExtras{newStore(t), drivers.Extras{}}}
}

// variant is the n-th of many images of one config.
func variant(t *testing.T, r *Registry, repo string, n int) []byte {
	t.Helper()
	return imageOf(t, putBlob(t, r, repo, []byte("{}")), putBlob(t, r, repo, fmt.Append(nil, n)))
}

// past is a tag's history as text, the latest first.
func past(t *testing.T, r *Registry, repo, tag string) (list []string) {
	t.Helper()
	for last := ""; ; {
		some, next, err := r.TagHistory(t.Context(), repo, tag, last, 3)
		must(t, err)
		for _, p := range some {
			list = append(list, fmt.Sprintf("%s %s by %q, then %s by %q", p.Digest, p.How, p.By, p.Next, p.EndedBy))
		}
		if next == "" {
			return list
		}
		last = next
	}
}

func TestTagHistory(t *testing.T) {
	for name, store := range historyStores(t) {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			r := openWith(t, store, Options{HistoryKeep: month, Now: func() time.Time { now = now.Add(time.Second); return now }})
			var all []digest.Digest
			for i, by := range []string{"ann", "bob", "bob", ""} {
				p, err := r.PushManifest(t.Context(), Push{Repo: "r", Tags: []string{"v"}, Body: variant(t, r, "r", i), By: by})
				must(t, err)
				all = append(all, p.Digest)
				// A push of the same moves nothing.
				_, err = r.PushManifest(t.Context(), Push{Repo: "r", Tags: []string{"v"}, Body: variant(t, r, "r", i), By: by})
				must(t, err)
			}
			must(t, r.DeleteTag(t.Context(), "r", "v"))
			pushTag(t, r, "r", "v", variant(t, r, "r", 0))
			must(t, r.DeleteManifest(t.Context(), "r", all[0], false))
			want := []string{
				fmt.Sprintf("%s %s by %q, then %s by %q", all[0], ManifestDeleted, "", "", ""),
				fmt.Sprintf("%s %s by %q, then %s by %q", all[3], TagDeleted, "", "", ""),
				fmt.Sprintf("%s %s by %q, then %s by %q", all[2], TagMoved, "bob", all[3], ""),
				fmt.Sprintf("%s %s by %q, then %s by %q", all[1], TagMoved, "bob", all[2], "bob"),
				fmt.Sprintf("%s %s by %q, then %s by %q", all[0], TagMoved, "ann", all[1], "bob"),
			}
			if got := past(t, r, "r", "v"); !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			pushTag(t, r, "r", "w", variant(t, r, "r", 1))
			if tags, next, err := r.PastTags(t.Context(), "r", "", 10); err != nil || !slices.Equal(tags, []string{"v"}) || next != "" {
				t.Errorf("past tags %v, next %q, %v", tags, next, err)
			}
			list, _, err := r.TagHistory(t.Context(), "r", "w", "", 10)
			if err != nil || list == nil || len(list) > 0 {
				t.Errorf("a new tag has the history %v (%v)", list, err)
			}
		})
	}
}

// Many move a tag at once: each of their manifests was there at some time, and either still is or is in the history.
func TestTagHistoryHasEveryMove(t *testing.T) {
	folder, err := fs.Open(t.Context(), fs.Config{Root: t.TempDir(), Durability: fs.Fast})
	must(t, err)
	for name, store := range map[string]drivers.Driver{"memory": newStore(t), "fs": folder} {
		t.Run(name, func(t *testing.T) {
			const pushes = 8 // each at most as often disturbed as putTag compares
			r := openWith(t, store, Options{HistoryKeep: month})
			before := pushTag(t, r, "r", "v", variant(t, r, "r", -1))
			missing := map[digest.Digest]bool{before: true}
			var mu sync.Mutex
			var wg sync.WaitGroup
			for i := range pushes {
				body := variant(t, r, "r", i)
				other := openWith(t, store, Options{HistoryKeep: month})
				wg.Go(func() {
					p, err := other.PushManifest(t.Context(), Push{Repo: "r", Tags: []string{"v"}, Body: body})
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					missing[p.Digest] = true
				})
			}
			wg.Wait()
			list, _, err := r.TagHistory(t.Context(), "r", "v", "", 1000)
			must(t, err)
			if len(list) != pushes {
				t.Errorf("%d entries, want %d", len(list), pushes)
			}
			at, err := r.Resolve(t.Context(), "r", "v")
			must(t, err)
			delete(missing, at)
			for _, p := range list {
				delete(missing, p.Digest)
			}
			for d := range missing {
				t.Errorf("%s is forgotten", d)
			}
		})
	}
}

// The history costs nothing when a tag is new or stays, and little when it moves.
func TestTagHistoryCosts(t *testing.T) {
	store := newStore(t)
	var counts [2]map[string]int
	for i, keep := range []time.Duration{0, month} {
		counted := counting.New(store, counting.Options{})
		r := openWith(t, counted, Options{HistoryKeep: keep})
		repo := fmt.Sprint("r", i)
		counts[i] = map[string]int{}
		push := func(what, tag string, n int) {
			body := variant(t, r, repo, n)
			counted.Reset()
			pushTag(t, r, repo, tag, body)
			counts[i][what] = counted.Reset().Total()
		}
		push("new", "v", 1)
		push("again", "v", 1)
		push("moved, manifest new", "v", 2)
		push("moved, manifest there", "v", 1)
	}
	for what, more := range map[string]int{"new": 0, "again": 0, "moved, manifest new": 2, "moved, manifest there": 0} {
		if got := counts[1][what] - counts[0][what]; got != more {
			t.Errorf("%s: %d requests instead of %d, want %d more", what, counts[1][what], counts[0][what], more)
		}
	}
	t.Log(counts)
}

func TestHistoryEntries(t *testing.T) {
	d256, d512 := digest.FromString("x"), digest.SHA512.FromString("x")
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	for _, d := range []digest.Digest{d256, d512} {
		entry := historyEntry(at, d)
		moment, got, ok := parseHistoryEntry(entry)
		if !ok || got != d || moment != historyMoment(at) || len(entry) > maxHistoryEntry {
			t.Errorf("%s: got %s %s %v", entry, moment, got, ok)
		}
	}
	if historyMoment(at) <= historyMoment(at.Add(time.Millisecond)) {
		t.Error("a later entry does not sort first")
	}
	good := historyEntry(at, d256)
	for _, bad := range []string{"", "-", good[1:], good + "0", "x" + good[1:], good[:20], strings.Replace(good, "sha256", "md5", 1), strings.ToUpper(good)} {
		if _, _, ok := parseHistoryEntry(bad); ok {
			t.Errorf("%q is taken for an entry", bad)
		}
	}
}
