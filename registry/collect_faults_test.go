package registry

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// countCalls counts the calls to a store.
func countCalls(counts map[string]int) memory.Hook {
	var mu sync.Mutex
	return func(_ context.Context, op, key string) memory.Outcome {
		mu.Lock()
		defer mu.Unlock()
		counts[op+" "+key]++
		return memory.Outcome{}
	}
}

// garbageStore has one image, and garbage of every kind. It returns what the image's layer holds.
func garbageStore(t *testing.T, clk *clock) (d *memory.Driver, layer []byte, digestOf digest.Digest) {
	t.Helper()
	d = clk.store(t)
	r := clk.open(t, d)
	layer = randomBytes(1, 100)
	kept := putBlob(t, r, "a", layer)
	pushTag(t, r, "a", "t", imageOf(t, kept))
	for i := range 3 {
		putBlob(t, r, "a", randomBytes(uint64(10+i), 100))
	}
	child := pushUntagged(t, r, "a", imageOf(t, kept, putBlob(t, r, "a", randomBytes(2, 100))))
	index := pushUntagged(t, r, "a", indexOf(t, child))
	pushUntagged(t, r, "a", referrerOf(t, kept, index))
	other := putBlob(t, r, "b", randomBytes(3, 100))
	must(t, r.DeleteManifest(t.Context(), "b", pushTag(t, r, "b", "t", imageOf(t, other)), false))
	stream, err := d.Writer(t.Context(), newDataKey(clk.now()), -1)
	must(t, err)
	_, err = stream.Write([]byte("never ended"))
	must(t, err)
	must(t, d.Put(t.Context(), newDataKey(clk.now()), []byte("given up")))
	u, err := r.StartUpload("a", "")
	must(t, err)
	must(t, r.CancelUpload(t.Context(), "a", u.ID, u.Value))
	return d, layer, kept
}

// TestCollectionsBrokenAtEveryCall lets each call of a collection fail, with its effect and without it, or the process die there. Two
// collections later all garbage is gone, and the image was there all the time.
func TestCollectionsBrokenAtEveryCall(t *testing.T) {
	o := CollectOptions{Untagged: day}
	for _, kind := range []string{"not done", "reply lost", "process gone", "process gone, done"} {
		t.Run(kind, func(t *testing.T) {
			calls := 0
			for at := 0; ; at++ {
				broke := false
				clk := &clock{}
				d, layer, kept := garbageStore(t, clk)
				clk.later(4 * day)
				n, gone, armed := 0, false, false
				var mu sync.Mutex
				broken := clk.open(t, d.Reopen(func(_ context.Context, _, _ string) memory.Outcome {
					mu.Lock()
					defer mu.Unlock()
					if gone {
						return memory.Outcome{Err: drivers.ErrThrottled}
					} else if n++; !armed || n-1 != at {
						return memory.Outcome{}
					}
					broke, gone = true, strings.HasPrefix(kind, "process")
					return memory.Outcome{Err: drivers.ErrThrottled, Stored: kind == "reply lost" || kind == "process gone, done"}
				}))
				mu.Lock()
				n, armed = 0, true
				mu.Unlock()
				_, _ = broken.Collect(t.Context(), o)
				wantBlob(t, clk.open(t, d), "a", layer, kept)
				clk.later(2*day + 2*leaseTime)
				for range 2 {
					collect(t, clk.open(t, d), o)
					clk.later(3 * day)
				}
				r := clk.open(t, d)
				wantBlob(t, r, "a", layer, kept)
				_, err := r.ManifestByTag(t.Context(), "a", "t")
				must(t, err)
				must(t, r.DeleteManifest(t.Context(), "a", mustResolve(t, r, "a", "t"), false))
				collect(t, r, o)
				collect(t, r, o)
				noLeftovers(t, d)
				if t.Failed() {
					t.Fatalf("broken at call %d", at)
				}
				if !broke {
					break
				}
				calls++
			}
			t.Logf("%d calls", calls)
			if calls < 50 {
				t.Errorf("only %d calls were broken", calls)
			}
		})
	}
}

func mustResolve(t *testing.T, r *Registry, repo, tag string) digest.Digest {
	t.Helper()
	d, err := r.Resolve(t.Context(), repo, tag)
	must(t, err)
	return d
}

func TestARefusedDeletionIsReported(t *testing.T) {
	for _, prefix := range []string{dataPrefix, "blobs/", reposPrefix, uploadsPrefix, catalogPrefix} {
		t.Run(prefix, func(t *testing.T) {
			clk := &clock{}
			d, layer, kept := garbageStore(t, clk)
			clk.later(4 * day)
			r := clk.open(t, d.Reopen(func(_ context.Context, op, key string) memory.Outcome {
				if op == "delete" && strings.HasPrefix(key, prefix) && !strings.HasSuffix(key, "condemned") {
					return memory.Outcome{Err: drivers.ErrDenied}
				}
				return memory.Outcome{}
			}))
			var told []Removal
			o := CollectOptions{Untagged: day, Removed: func(one Removal) {
				if one.Err != nil {
					told = append(told, one)
				}
			}}
			report, err := r.Collect(t.Context(), o)
			if !errors.Is(err, ErrRefused) || !errors.Is(err, drivers.ErrDenied) || report.Failed == 0 || len(told) == 0 {
				t.Errorf("error %v, %d failed, told of %d", err, report.Failed, len(told))
			}
			for _, one := range told {
				if one.Bytes != 0 {
					t.Errorf("%s was not removed and freed %d bytes", one.Key, one.Bytes)
				}
			}
			for range 2 { // what was refused goes later
				clk.later(3 * day)
				collect(t, clk.open(t, d), CollectOptions{Untagged: day})
			}
			wantBlob(t, clk.open(t, d), "a", layer, kept)
			if data := keys(t, d, dataPrefix); len(data) != 1 {
				t.Errorf("data left: %v", data)
			}
		})
	}
}

// liar says that it deletes data, and does not.
type liar struct{ *memory.Driver }

func (l liar) Delete(ctx context.Context, keys ...string) error {
	return l.Driver.Delete(ctx, slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return strings.HasPrefix(key, dataPrefix) })...)
}

func TestAStoreThatDoesNotDeleteIsFoundOut(t *testing.T) {
	clk := &clock{}
	d, _, _ := garbageStore(t, clk)
	clk.later(4 * day)
	_, err := clk.open(t, liar{d}).Collect(t.Context(), CollectOptions{Untagged: day})
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "still there") {
		t.Errorf("error %v", err)
	}
}

// plain has nothing beyond the seven methods.
type plain struct{ drivers.Driver }

func TestStoresWithoutConditions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk := &clock{}
		d, layer, kept := garbageStore(t, clk)
		clk.later(4 * day)
		r := clk.open(t, plain{d})
		if _, err := r.Collect(t.Context(), CollectOptions{}); err == nil || !strings.Contains(err.Error(), "only one") {
			t.Errorf("collected without being told that it is the only one: %v", err)
		}
		began := time.Now()
		o := CollectOptions{Untagged: day, Sole: true, Lag: 2 * time.Minute}
		report, err := r.Collect(t.Context(), o)
		must(t, err)
		if time.Since(began) < 2*o.Lag || len(report.Notes) == 0 {
			t.Errorf("did not wait for listings (%v), or did not say so (%v)", time.Since(began), report.Notes)
		}
		wantBlob(t, r, "a", layer, kept)
		if report.Removed[RemovedBlob].Count == 0 {
			t.Error("removed no blob")
		}
	})
}

func TestCollectInPasses(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	r := clk.open(t, d)
	config := putBlob(t, r, "a", randomBytes(0, 10))
	var layers []digest.Digest
	for i := range 40 {
		layers = append(layers, putBlob(t, r, "a", randomBytes(uint64(i+1), 10)))
	}
	m := imageOf(t, config, layers[:20]...)
	pushTag(t, r, "a", "t", m)
	clk.later(4 * day)
	gone := collect(t, r, CollectOptions{Memory: 64}) // 8 digests at a time
	if n := len(kinds(gone, "a", RemovedBlob)); n != 20 {
		t.Errorf("%d of 20 blobs were removed", n)
	}
	for i, l := range layers[:20] {
		wantBlob(t, r, "a", randomBytes(uint64(i+1), 10), l)
	}
}

func TestCollectionIsBrokenOff(t *testing.T) {
	clk := &clock{}
	d, layer, kept := garbageStore(t, clk)
	clk.later(4 * day)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := clk.open(t, d).Collect(ctx, CollectOptions{Untagged: day, Progress: func(p CollectProgress) {
		if strings.Contains(p.Phase, "blobs") {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	collect(t, clk.open(t, d), CollectOptions{Untagged: day}) // at once: the lease was given back
	wantBlob(t, clk.open(t, d), "a", layer, kept)
}

// TestPushesBetweenLookAndDelete lets a client work between the second look of a collector and its deletion.
func TestPushesBetweenLookAndDelete(t *testing.T) {
	for _, c := range []struct {
		name string
		at   func(*world) string // the key whose deletion waits
		do   func(*world) error
		want func(*world) error
	}{
		{"upload of the blob again", func(w *world) string { return linkKey("a", w.loose) }, func(w *world) error {
			return w.r.PutBlob(w.t.Context(), "a", chunk(randomBytes(9, 100)), w.loose)
		}, func(w *world) error { _, err := w.r.Blob(w.t.Context(), "a", w.loose); return err }},
		{"upload, as the record goes", func(w *world) string { return recordKey(w.loose) }, func(w *world) error {
			return w.r.PutBlob(w.t.Context(), "a", chunk(randomBytes(9, 100)), w.loose)
		}, func(w *world) error { _, err := w.r.Blob(w.t.Context(), "a", w.loose); return err }},
		{"push of the manifest again", func(w *world) string { return manifestKey("a", w.untagged) }, func(w *world) error {
			_, err := w.r.PushManifest(w.t.Context(), Push{Repo: "a", Tags: []string{"u"}, Body: w.image})
			return err
		}, func(w *world) error { _, err := w.r.ManifestByTag(w.t.Context(), "a", "u"); return err }},
		{"move of the tag", func(w *world) string { return tagKey("a", "old") }, func(w *world) error {
			_, err := w.r.PushManifest(w.t.Context(), Push{Repo: "a", Tags: []string{"old"}, Body: w.image})
			return err
		}, func(w *world) error { _, err := w.r.ManifestByTag(w.t.Context(), "a", "old"); return err }},
		{"push of the tag again", func(w *world) string { return tagKey("a", "old") }, func(w *world) error {
			_, err := w.r.PushManifest(w.t.Context(), Push{Repo: "a", Tags: []string{"old"}, Body: w.old})
			if HasCode(err, ManifestBlobUnknown) { // its layer went with it: clients upload that then
				putBlob(w.t, w.r, "a", randomBytes(2, 10))
				_, err = w.r.PushManifest(w.t.Context(), Push{Repo: "a", Tags: []string{"old"}, Body: w.old})
			}
			return err
		}, func(w *world) error { _, err := w.r.ManifestByTag(w.t.Context(), "a", "old"); return err }},
		{"DELETE and upload", func(w *world) string { return linkKey("a", w.loose) }, func(w *world) error {
			if err := w.r.DeleteBlob(w.t.Context(), "a", w.loose); err != nil && !HasCode(err, BlobUnknown) {
				return err
			}
			return w.r.PutBlob(w.t.Context(), "a", chunk(randomBytes(9, 100)), w.loose)
		}, func(w *world) error { _, err := w.r.Blob(w.t.Context(), "a", w.loose); return err }},
		{"first push into an empty repository", func(w *world) string { return catalogKey("empty") }, func(w *world) error {
			layer := putBlob(w.t, w.r, "empty", randomBytes(20, 10))
			_, err := w.r.PushManifest(w.t.Context(), Push{Repo: "empty", Tags: []string{"t"}, Body: imageOf(w.t, layer)})
			return err
		}, func(w *world) error { _, err := w.r.driver.Stat(w.t.Context(), catalogKey("empty")); return err }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clk := &clock{}
				w := newWorld(t, clk)
				key, did := c.at(w), make(chan error, 1)
				began := false
				collector := clk.open(t, w.d.Reopen(func(_ context.Context, op, k string) memory.Outcome {
					if op == "delete" && k == key && !began {
						began = true
						go func() { did <- c.do(w) }()
						synctest.Wait() // the client has done what it can without the collector
					}
					return memory.Outcome{}
				}))
				_, err := collector.Collect(t.Context(), w.options)
				must(t, err)
				if !began {
					t.Fatalf("%s was not deleted", key)
				}
				must(t, <-did)
				must(t, c.want(w))
			})
		})
	}
}

// world is a store in which a collection removes a bit of everything.
type world struct {
	t               *testing.T
	d               *memory.Driver
	r               *Registry
	loose, untagged digest.Digest
	image, old      []byte
	options         CollectOptions
}

func newWorld(t *testing.T, clk *clock) *world {
	w := &world{t: t, d: clk.store(t), options: CollectOptions{Untagged: day, Retention: []RetentionRule{{Last: 1}}}}
	w.r = clk.open(t, w.d)
	w.loose = putBlob(t, w.r, "a", randomBytes(9, 100))
	config := putBlob(t, w.r, "a", randomBytes(1, 10))
	w.image, w.old = imageOf(t, config), imageOf(t, config, putBlob(t, w.r, "a", randomBytes(2, 10)))
	w.untagged = pushUntagged(t, w.r, "a", w.image)
	pushTag(t, w.r, "a", "old", w.old)
	clk.later(time.Minute)
	pushTag(t, w.r, "a", "new", imageOf(t, config, putBlob(t, w.r, "a", randomBytes(3, 10))))
	must(t, w.r.DeleteManifest(t.Context(), "empty", pushTag(t, w.r, "empty", "t", imageOf(t, putBlob(t, w.r, "empty", randomBytes(4, 10)))), false))
	must(t, w.r.DeleteBlob(t.Context(), "empty", digest.FromBytes(randomBytes(4, 10))))
	clk.later(4 * day)
	w.r = clk.open(t, w.d) // one that remembers nothing
	return w
}

func TestCollectEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clk := &clock{}
		d, _, _ := garbageStore(t, clk)
		clk.later(4 * day)
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		told := 0
		var done sync.WaitGroup
		for range 3 {
			r := clk.open(t, d)
			done.Go(func() {
				r.CollectEvery(ctx, time.Hour, CollectOptions{Untagged: day}, func(_ CollectReport, err error) {
					mu.Lock()
					defer mu.Unlock()
					told++
					if err != nil {
						t.Error(err)
					}
				})
			})
		}
		time.Sleep(10*time.Hour + 30*time.Minute)
		cancel()
		done.Wait()
		if told < 8 || told > 11 {
			t.Errorf("%d collections in ten hours", told)
		}
		if left := keys(t, d, dataPrefix); len(left) != 1 {
			t.Errorf("left: %v", left)
		}
	})
}

// TestTimeThatRunsOut lets the second listing of links take longer than the announcements last, once: nothing is deleted then, and
// the collection tries again.
func TestTimeThatRunsOut(t *testing.T) {
	clk := &clock{}
	d, layer, kept := garbageStore(t, clk)
	clk.later(4 * day)
	var mu sync.Mutex
	slow, deleted := 0, false
	r := clk.open(t, d.Reopen(func(_ context.Context, op, key string) memory.Outcome {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case op == "putifabsent" && strings.HasPrefix(key, condemnedPrefix) && slow == 0:
			slow = 1
		case op == "list" && key == reposPrefix && slow == 1:
			slow = 2
			clk.later(announceTime + time.Second)
		case op == "delete" && strings.HasPrefix(key, "blobs/") && slow < 3:
			deleted = true
		case op == "putifmatch" && strings.HasPrefix(key, condemnedPrefix):
			slow = 3 // its own announcement again
		}
		return memory.Outcome{}
	}))
	report, err := r.Collect(t.Context(), CollectOptions{Untagged: day})
	must(t, err)
	if slow != 3 || deleted || report.Removed[RemovedBlob].Count == 0 {
		t.Errorf("step %d, deleted after the deadline: %v, removed %v", slow, deleted, report.Removed)
	}
	wantBlob(t, r, "a", layer, kept)
	if left := keys(t, d, condemnedPrefix); len(left) > 0 {
		t.Errorf("announcements left: %v", left)
	}
}

// TestAnUnsureDeletionKeepsItsAnnouncement: a request whose answer never came may be carried out later, so nobody may put what it
// deletes before that.
func TestAnUnsureDeletionKeepsItsAnnouncement(t *testing.T) {
	for _, c := range []struct {
		name, prefix string
		err          error
		stays        bool
	}{
		{"record, no answer", "blobs/", drivers.ErrThrottled, true},
		{"record, refused", "blobs/", drivers.ErrDenied, false},
		{"link, no answer", repoPrefix("a") + "blobs/", drivers.ErrThrottled, true},
		{"link, refused", repoPrefix("a") + "blobs/", drivers.ErrDenied, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			clk := &clock{}
			d, _, _ := garbageStore(t, clk)
			clk.later(4 * day)
			r := clk.open(t, d.Reopen(func(_ context.Context, op, key string) memory.Outcome {
				if op == "delete" && strings.HasPrefix(key, c.prefix) {
					return memory.Outcome{Err: &drivers.Error{Op: op, Driver: "memory", Key: key, Kind: c.err}}
				}
				return memory.Outcome{}
			}))
			if _, err := r.Collect(t.Context(), CollectOptions{Untagged: day}); !errors.Is(err, ErrRefused) {
				t.Errorf("error %v", err)
			}
			left := append(keys(t, d, condemnedPrefix), keys(t, d, repoCondemnedKey("a"))...)
			if (len(left) > 0) != c.stays {
				t.Errorf("announcements left: %v", left)
			}
		})
	}
}
