package registry

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers/memory"
)

// wantTag fails the test unless the tag gives that very manifest, and all its blobs are there.
func wantTag(t *testing.T, r *Registry, repo, tag string, d digest.Digest) {
	t.Helper()
	m, err := r.ManifestByTag(t.Context(), repo, tag)
	if err != nil || m.Digest != d {
		t.Errorf("%s:%s is at %v (%v), want %s", repo, tag, m, err, d)
		return
	}
	wantWhole(t, r, repo, m)
}

// wantWhole fails the test unless all is there that the manifest names.
func wantWhole(t *testing.T, r *Registry, repo string, m *Manifest) {
	t.Helper()
	c, err := parseManifest(m.MediaType, m.Body)
	must(t, err)
	for _, d := range c.needed() {
		b, err := r.Blob(t.Context(), repo, d)
		if err != nil {
			t.Errorf("%s: blob %s: %v", repo, d, err)
			continue
		}
		body, err := r.OpenBlob(t.Context(), b, 0, -1)
		must(t, err)
		if got, err := d.Algorithm().FromReader(body); err != nil || got != d {
			t.Errorf("%s: blob %s has the bytes of %s (%v)", repo, d, got, err)
		}
		must(t, body.Close())
	}
	for _, d := range c.children() {
		child, err := r.Manifest(t.Context(), repo, d)
		if err != nil {
			t.Errorf("%s: child %s: %v", repo, d, err)
			continue
		}
		wantWhole(t, r, repo, child)
	}
}

func restore(t *testing.T, r *Registry, repo, tag string, d digest.Digest) digest.Digest {
	t.Helper()
	got, err := r.RestoreTag(t.Context(), repo, tag, d, "ann")
	must(t, err)
	wantTag(t, r, repo, tag, got)
	return got
}

func TestRestoreTag(t *testing.T) {
	for name, store := range historyStores(t) {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			r := openWith(t, store, Options{HistoryKeep: month, Now: func() time.Time { now = now.Add(time.Second); return now }})
			one := pushTag(t, r, "r", "v", variant(t, r, "r", 1))
			two := pushTag(t, r, "r", "v", variant(t, r, "r", 2))
			three := pushTag(t, r, "r", "v", variant(t, r, "r", 3))
			if got := restore(t, r, "r", "v", ""); got != two {
				t.Errorf("restored %s, want the one before, %s", got, two)
			}
			if got := restore(t, r, "r", "v", one); got != one {
				t.Errorf("restored %s, want %s", got, one)
			}
			restore(t, r, "r", "v", three) // which the first restoration replaced
			must(t, r.DeleteTag(t.Context(), "r", "v"))
			if got := restore(t, r, "r", "v", ""); got != three {
				t.Errorf("restored %s, want the deleted one, %s", got, three)
			}
			if now, err := r.Tag(t.Context(), "r", "v"); err != nil || now.By != "ann" {
				t.Errorf("the tag is %v (%v), want one of ann's", now, err)
			}
			must(t, r.DeleteManifest(t.Context(), "r", three, false))
			if _, err := r.Manifest(t.Context(), "r", three); !HasCode(err, ManifestUnknown) {
				t.Errorf("a deleted manifest is served: %v", err)
			}
			restore(t, r, "r", "v", "")
			if left := keys(t, store, repoPrefix("r")+"deleted/"); len(left) > 0 {
				t.Errorf("left aside: %v", left)
			}

			for _, d := range []digest.Digest{"", one} {
				_, err := r.RestoreTag(t.Context(), "r", "new", d, "")
				wantCode(t, err, ManifestUnknown)
			}
			_, err := r.RestoreTag(t.Context(), "r", "v", digest.FromString("never"), "")
			wantCode(t, err, ManifestUnknown)
			_, err = r.RestoreTag(t.Context(), "R", "v", "", "")
			wantCode(t, err, NameInvalid)
			_, err = r.RestoreTag(t.Context(), "r", "-", "", "")
			wantCode(t, err, TagInvalid)
		})
	}
}

// fillAll makes a repository of all sorts of things and returns its tags and the digests of manifests without one.
func fillAll(t *testing.T, r *Registry, repo string) (tags map[string]digest.Digest, others []digest.Digest) {
	t.Helper()
	tags = map[string]digest.Digest{}
	a, b := variant(t, r, repo, 1), variant(t, r, repo, 2)
	tags["a"], tags["a2"] = pushTag(t, r, repo, "a", a), pushTag(t, r, repo, "a2", a)
	child, err := r.PushManifest(t.Context(), Push{Repo: repo, Body: b})
	must(t, err)
	tags["inner"] = pushTag(t, r, repo, "inner", indexOf(t, child.Digest, tags["a"]))
	tags["outer"] = pushTag(t, r, repo, "outer", strings2index(t, tags["inner"]))
	config := putBlob(t, r, repo, []byte("{}"))
	signature := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/x","digest":%q,"size":2},"layers":[],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":3}}`, config, tags["a"])
	s, err := r.PushManifest(t.Context(), Push{Repo: repo, Body: signature})
	must(t, err)
	return tags, []digest.Digest{child.Digest, s.Digest}
}

// strings2index is an index of one index.
func strings2index(t *testing.T, d digest.Digest) []byte {
	return []byte(strings.Replace(string(indexOf(t, d)), "image.manifest.v1", "image.index.v1", 1))
}

// wantFilled fails the test unless the repository is as fillAll made it.
func wantFilled(t *testing.T, r *Registry, repo string, tags map[string]digest.Digest, others []digest.Digest) {
	t.Helper()
	for tag, d := range tags {
		wantTag(t, r, repo, tag, d)
	}
	for _, d := range others {
		m, err := r.Manifest(t.Context(), repo, d)
		must(t, err)
		wantWhole(t, r, repo, m)
	}
	list, _, err := r.Referrers(t.Context(), repo, tags["a"], nil, "", 10)
	if err != nil || len(list) != 1 {
		t.Errorf("referrers %v (%v), want one", list, err)
	}
	repos, _, err := r.Catalog(t.Context(), "", 10)
	if err != nil || !slices.Contains(repos, repo) {
		t.Errorf("repositories %v (%v), want %s among them", repos, err, repo)
	}
	if err := r.DeleteManifest(t.Context(), repo, others[0], false); !HasCode(err, Unsupported) {
		t.Errorf("the child of an index could be deleted: %v", err)
	}
}

// wantDeleted fails the test if anything of the repository is served.
func wantDeleted(t *testing.T, r *Registry, repo string, tags map[string]digest.Digest, others []digest.Digest) {
	t.Helper()
	for tag, d := range tags {
		if _, err := r.ManifestByTag(t.Context(), repo, tag); !HasCode(err, ManifestUnknown) {
			t.Errorf("tag %s: %v", tag, err)
		}
		others = append(others, d)
	}
	for _, d := range others {
		if _, err := r.Manifest(t.Context(), repo, d); !HasCode(err, ManifestUnknown) {
			t.Errorf("manifest %s: %v", d, err)
		}
	}
	if _, err := r.Blob(t.Context(), repo, digest.FromString("{}")); !HasCode(err, BlobUnknown) {
		t.Errorf("a blob: %v", err)
	}
	_, _, err := r.Tags(t.Context(), repo, "", 10)
	wantCode(t, err, NameUnknown)
}

func TestRestoreRepository(t *testing.T) {
	for name, store := range historyStores(t) {
		t.Run(name, func(t *testing.T) {
			r := openWith(t, store, Options{HistoryKeep: month})
			_, err := r.RestoreRepository(t.Context(), "r", "")
			wantCode(t, err, NameUnknown)
			tags, others := fillAll(t, r, "r")
			for range 2 {
				must(t, r.DeleteRepository(t.Context(), "r"))
				wantDeleted(t, r, "r", tags, others)
				wantCode(t, r.DeleteRepository(t.Context(), "r"), NameUnknown)
				restored, err := r.RestoreRepository(t.Context(), "r", "ann")
				must(t, err)
				if !slices.Equal(restored.Tags, []string{"a", "a2", "inner", "outer"}) || len(restored.Kept) > 0 || restored.Manifests != 5 || restored.Blobs != 3 {
					t.Errorf("restored %+v", restored)
				}
				wantFilled(t, r, "r", tags, others)
				if left := keys(t, store, repoPrefix("r")+"deleted/"); len(left) > 0 {
					t.Errorf("left aside: %v", left)
				}
			}

			// What was pushed since stays; one tag can be had back by itself.
			must(t, r.DeleteRepository(t.Context(), "r"))
			fresh := pushTag(t, r, "r", "a", variant(t, r, "r", 7))
			restore(t, r, "r", "outer", "")
			restored, err := r.RestoreRepository(t.Context(), "r", "")
			must(t, err)
			if !slices.Equal(restored.Tags, []string{"a2", "inner"}) || len(restored.Kept) != 2 {
				t.Errorf("restored %+v", restored)
			}
			wantTag(t, r, "r", "a", fresh)
			tags["a"] = fresh
			for tag, d := range tags {
				wantTag(t, r, "r", tag, d)
			}
		})
	}
}

// A collection leaves what can be had back, and takes it when the time has passed.
func TestCollectWhatWasDeleted(t *testing.T) {
	clk := &clock{}
	store := clk.store(t)
	r := openWith(t, store, Options{HistoryKeep: month, Now: clk.now})
	gc := func() map[string]Removal { return collect(t, r, CollectOptions{Untagged: time.Hour}) }
	tags, others := fillAll(t, r, "r")
	moved := pushTag(t, r, "r2", "v", variant(t, r, "r2", 1))
	pushTag(t, r, "r2", "v", variant(t, r, "r2", 2))
	gone := pushTag(t, r, "r2", "w", variant(t, r, "r2", 3))
	kept := pushTag(t, r, "r2", "keep", indexOf(t, gone))
	must(t, r.DeleteManifest(t.Context(), "r2", kept, false))
	must(t, r.DeleteManifest(t.Context(), "r2", gone, false))
	for range 3 {
		clk.later(grace + 25*time.Hour)
		if removed := gc(); len(removed) > 0 {
			t.Errorf("removed %v", removed)
		}
	}
	must(t, r.DeleteRepository(t.Context(), "r"))
	for range 5 {
		clk.later(grace + 25*time.Hour)
		for key := range gc() {
			if !strings.HasPrefix(key, "repository") {
				t.Errorf("removed %s", key)
			}
		}
	}
	wantDeleted(t, r, "r", tags, others)
	_, err := r.RestoreRepository(t.Context(), "r", "")
	must(t, err)
	wantFilled(t, r, "r", tags, others)
	restore(t, r, "r2", "v", moved)
	restore(t, r, "r2", "keep", "") // with its child
	restore(t, r, "r2", "w", "")

	must(t, r.DeleteRepository(t.Context(), "r"))
	must(t, r.DeleteRepository(t.Context(), "r2"))
	clk.later(month + time.Hour)
	dry := collect(t, r, CollectOptions{DryRun: true, Untagged: time.Hour})
	removed := gc()
	for key := range removed {
		if _, ok := dry[key]; !ok && !strings.HasPrefix(key, "repository") {
			t.Errorf("a dry run did not tell of %s", key)
		}
	}
	_, err = r.RestoreRepository(t.Context(), "r", "")
	wantCode(t, err, NameUnknown)
	gc()
	noLeftovers(t, store)
}

// A deletion that is broken off at any request can be gone on with, and undone.
func TestDeleteRepositoryBrokenOff(t *testing.T) {
	const most = 500
	for at := range most {
		store := newStore(t)
		tags, others := fillAll(t, openWith(t, store, Options{HistoryKeep: month}), "r")
		var armed, broken atomic.Bool
		var count atomic.Int64
		r := openWith(t, store.Reopen(func(context.Context, string, string) memory.Outcome {
			if armed.Load() && (broken.Load() || count.Add(1) > int64(at)) {
				broken.Store(true)
				return memory.Outcome{Err: errors.New("broken off"), Stored: at%2 == 0}
			}
			return memory.Outcome{}
		}), Options{HistoryKeep: month})
		armed.Store(true)
		err := r.DeleteRepository(t.Context(), "r")
		if !broken.Load() {
			must(t, err)
			t.Logf("%d requests", at)
			return
		}
		r = openWith(t, store, Options{HistoryKeep: month})
		if err := r.DeleteRepository(t.Context(), "r"); err != nil && !HasCode(err, NameUnknown) { // the last step was done
			t.Fatalf("broken off at %d: %v", at, err)
		}
		wantDeleted(t, r, "r", tags, others)
		if _, err := r.RestoreRepository(t.Context(), "r", ""); err != nil {
			t.Fatalf("broken off at %d: %v", at, err)
		}
		wantFilled(t, r, "r", tags, others)
		if t.Failed() {
			t.Fatalf("broken off at %d", at)
		}
	}
	t.Error("the deletion had no end")
}

func TestImmutableTags(t *testing.T) {
	for name, store := range historyStores(t) {
		t.Run(name, func(t *testing.T) {
			rules := []ImmutableRule{{Repositories: named("r"), Tags: regexp.MustCompile(`^v[0-9]`)}}
			r := openWith(t, store, Options{HistoryKeep: month, Immutable: rules})
			one, two := variant(t, r, "r", 1), variant(t, r, "r", 2)
			d := pushTag(t, r, "r", "v1", one)
			push := func(tags []string, body []byte) error {
				_, err := openWith(t, store, Options{Immutable: rules}).PushManifest(t.Context(), Push{Repo: "r", Tags: tags, Body: body})
				return err
			}
			wantCode(t, push([]string{"v1"}, two), Denied)
			wantCode(t, push([]string{"other", "v1"}, two), Denied)
			if _, err := r.Resolve(t.Context(), "r", "other"); !HasCode(err, ManifestUnknown) {
				t.Errorf("another tag of a push that was refused: %v", err)
			}
			must(t, push([]string{"v1"}, one))
			must(t, push([]string{"v2", "latest"}, one))
			must(t, push([]string{"latest"}, two))
			wantCode(t, r.DeleteTag(t.Context(), "r", "v1"), Denied)
			wantCode(t, r.DeleteManifest(t.Context(), "r", d, false), Denied)
			wantCode(t, r.DeleteRepository(t.Context(), "r"), Denied)
			must(t, r.DeleteTag(t.Context(), "r", "latest"))
			wantTag(t, r, "r", "v1", d)
			wantTag(t, r, "r", "v2", d)
			pushTag(t, r, "free", "v1", variant(t, r, "free", 1))
			pushTag(t, r, "free", "v1", variant(t, r, "free", 2))

			// Without the rule the tag is deleted; with it again, what was there can be restored.
			must(t, openWith(t, store, Options{HistoryKeep: month}).DeleteTag(t.Context(), "r", "v1"))
			restore(t, r, "r", "v1", "")
		})
	}
}

// Of many pushes of different images to one immutable tag exactly one is taken.
func TestImmutableTagRaced(t *testing.T) {
	store := newStore(t)
	rules := []ImmutableRule{{}}
	r := openWith(t, store, Options{Immutable: rules})
	const pushes = 16
	errs := make(chan error, pushes)
	for i := range pushes {
		body := variant(t, r, "r", i)
		other := openWith(t, store, Options{Immutable: rules, HistoryKeep: month})
		go func() {
			_, err := other.PushManifest(t.Context(), Push{Repo: "r", Tags: []string{"v"}, Body: body})
			errs <- err
		}()
	}
	won := 0
	for range pushes {
		if err := <-errs; err == nil {
			won++
		} else if !HasCode(err, Denied) {
			t.Error(err)
		}
	}
	if won != 1 || len(keys(t, store, repoPrefix("r")+"history/")) > 0 {
		t.Errorf("%d pushes were taken, want one and no history", won)
	}
}
