package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/counting"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// One process does such things at a time.
func TestRebuildBesideCollections(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	blob := digest.FromBytes(randomBytes(1, 100))
	pushOld(t, clk, d, "a", "t", randomBytes(1, 100))
	lose(t, d, recordKey(blob))
	r := clk.open(t, d)
	held, err := r.announce(t.Context(), leaseKey, "a collector", clk.now().Add(leaseTime))
	if must(t, err); !held {
		t.Fatal("no lease")
	}
	if _, err := r.Rebuild(t.Context(), RebuildOptions{}); !errors.Is(err, ErrCollecting) {
		t.Errorf("error %v while a collection runs", err)
	}
	clk.later(leaseTime + 2*clockLeeway)
	// A rebuild that is so slow that another has taken its lease puts no record.
	var slow atomic.Bool
	stalled := d.Reopen(func(_ context.Context, op, key string) memory.Outcome {
		if op == "reader" && strings.HasPrefix(key, dataPrefix) && slow.CompareAndSwap(false, true) {
			clk.later(leaseTime + 2*clockLeeway)
			if _, err := r.announce(t.Context(), leaseKey, "a collector", clk.now().Add(leaseTime)); err != nil {
				t.Error(err)
			}
		}
		return memory.Outcome{}
	})
	if _, err := clk.open(t, stalled).Rebuild(t.Context(), RebuildOptions{}); !errors.Is(err, ErrCollecting) || !slow.Load() {
		t.Errorf("error %v after the lease was lost", err)
	}
	if left := keys(t, d, "blobs/"); len(left) > 0 {
		t.Errorf("put: %v", left)
	}
	lose(t, d, leaseKey)
	// What a collection that was broken off is about to delete is not named again.
	data := keys(t, d, dataPrefix)[0]
	c := &collector{Registry: r}
	other := digest.SHA512.FromString("another")
	_, err = c.note(t.Context(), deletions{Until: clk.now(), Blobs: []blobDeletion{{other, data}}})
	must(t, err)
	if report, done := rebuild(t, clk.open(t, d), RebuildOptions{Offline: true}); len(done) > 0 || report.Whole() {
		t.Errorf("done %v, though the next collection deletes the data", done)
	}
	lose(t, d, keys(t, d, gcLogPrefix)...)
	_, err = c.note(t.Context(), deletions{Until: clk.now(), Blobs: []blobDeletion{{blob, data}}})
	must(t, err)
	if report, done := rebuild(t, clk.open(t, d), RebuildOptions{}); len(done) > 0 || report.Condemned != 1 || len(report.Notes) != 1 {
		t.Errorf("done %v, report %+v", done, report)
	}
	if report, _ := rebuild(t, clk.open(t, d), RebuildOptions{Offline: true}); !report.Whole() {
		t.Errorf("report %+v", report)
	}
	clk.later(leaseTime)
	collect(t, clk.open(t, d), CollectOptions{})
	wantBlob(t, clk.open(t, d), "a", randomBytes(1, 100), blob)
}

// A collector that was stopped until its lease had ended deletes no data: a rebuild may have named it meanwhile.
func TestCollectorWithoutLeaseDeletesNoData(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	b := randomBytes(1, 100)
	blob := digest.FromBytes(b)
	pushOld(t, clk, d, "a", "t", b)
	lose(t, d, recordKey(blob))
	stopped := false
	must(t, d.Put(t.Context(), newDataKey(clk.now().Add(-5*day)), b))
	clk.later(5 * day)
	bounded := 0
	_, err := clk.open(t, d.Reopen(func(ctx context.Context, op, key string) memory.Outcome {
		if deadline, ok := ctx.Deadline(); op == "delete" && strings.HasPrefix(key, dataPrefix) {
			if bounded++; !ok || time.Until(deadline) > leaseTime {
				t.Errorf("%s is deleted without a bound", key)
			}
			return memory.Outcome{Err: drivers.ErrDenied}
		}
		return memory.Outcome{}
	})).Collect(t.Context(), CollectOptions{})
	if !errors.Is(err, ErrRefused) || bounded != 2 {
		t.Errorf("error %v, %d deletions", err, bounded)
	}
	slow := d.Reopen(func(_ context.Context, op, key string) memory.Outcome {
		if op == "list" && strings.HasPrefix(key, dataPrefix) && key != dataPrefix && !stopped {
			stopped = true
			clk.later(leaseTime + 2*clockLeeway)
			if _, done := rebuild(t, clk.open(t, d), RebuildOptions{}); len(done) != 1 {
				t.Errorf("done %v", done)
			}
		}
		return memory.Outcome{}
	})
	if _, err := clk.open(t, slow).Collect(t.Context(), CollectOptions{}); !errors.Is(err, ErrCollecting) || !stopped {
		t.Errorf("error %v", err)
	}
	wantBlob(t, clk.open(t, d), "a", b, blob)
}

// TestRebuildRequests holds a rebuild to listings of 1,000 keys a request, one read for each manifest, each referrer and, if
// blobs are missing, each record, and what is done.
func TestRebuildRequests(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	const images = 300
	r := clk.open(t, d)
	var blobs []digest.Digest
	for i := range uint64(images) {
		b := randomBytes(i, 100+int(i))
		blobs = append(blobs, putBlob(t, r, "a", b))
		pushTag(t, r, "a", fmt.Sprint(i), sizedImage(t, b))
	}
	clk.later(5 * day)
	counted := counting.New(d, counting.Options{})
	r = clk.open(t, counted)
	count := func() (RebuildReport, int) {
		counted.Reset()
		report, _ := rebuild(t, r, RebuildOptions{})
		return report, counted.Reset().Total()
	}
	const lists, lease = 7, 3
	if _, n := count(); n > images+lists+lease {
		t.Errorf("%d requests for %d manifests where nothing is to be done", n, images)
	}
	lose(t, d, recordKey(blobs[7]))
	report, n := count()
	if n > images+images+lists+lease+5 || report.Objects != 1 || report.Hashed != 107 {
		t.Errorf("%d requests, %d objects, %d bytes for one record", n, report.Objects, report.Hashed)
	}
	for _, b := range blobs {
		lose(t, d, recordKey(b))
	}
	// The bytes, an announcement, the record.
	if report, n := count(); n > images+3*images+lists+lease || report.Objects != images || !report.Whole() {
		t.Errorf("%d requests, %d objects for %d records", n, report.Objects, images)
	}
	for _, b := range blobs {
		lose(t, d, linkKey("a", b))
	}
	// The link, an announcement, the record.
	if report, n := count(); n > images+3*images+lists+lease || !report.Whole() {
		t.Errorf("%d requests for %d links", n, images)
	}
}

// A dry run writes nothing, whatever is to be done.
func TestRebuildDryRun(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	b := randomBytes(1, 100)
	pushOld(t, clk, d, "a", "t", b)
	blob := digest.FromBytes(b)
	lose(t, d, recordKey(blob), linkKey("a", blob), catalogKey("a"))
	before := keys(t, d, "")
	var begun atomic.Bool
	r := clk.open(t, d.Reopen(func(_ context.Context, op, key string) memory.Outcome {
		if begun.Load() && !slices.Contains([]string{"reader", "read", "list", "stat"}, op) {
			t.Errorf("%s %s in a dry run", op, key)
		}
		return memory.Outcome{}
	}))
	begun.Store(true)
	report, done := rebuild(t, r, RebuildOptions{DryRun: true})
	if wantDone(t, done, "blob "+recordKey(blob), "link "+linkKey("a", blob), "repository "+catalogKey("a")); !report.Whole() || !report.DryRun {
		t.Errorf("report %+v", report)
	}
	if after := keys(t, d, ""); !slices.Equal(before, after) {
		t.Errorf("keys were %v, are %v", before, after)
	}
}

// TestRebuildBrokenOff fails each call to the store in turn, with and without effect. Whatever is left, the next rebuild does the rest.
func TestRebuildBrokenOff(t *testing.T) {
	b := [][]byte{randomBytes(1, 100), randomBytes(2, 200)}
	for _, stored := range []bool{false, true} {
		for n := int64(1); ; n++ {
			clk := &clock{}
			d := clk.store(t)
			m := pushOld(t, clk, d, "a", "t", b...)
			r := clk.open(t, d)
			signature := pushTag(t, r, "a", "s", fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"digest":%q,"size":100},"layers":[],"subject":{"digest":%q,"size":1}}`,
				v1.MediaTypeImageManifest, digest.FromBytes(b[0]), m))
			index := pushTag(t, r, "a", "i", indexOf(t, m))
			clk.later(5 * day)
			lost := []string{recordKey(digest.FromBytes(b[0])), recordKey(digest.FromBytes(b[1])), linkKey("a", digest.FromBytes(b[0])), catalogKey("a"), referrerKey("a", m, signature), parentKey("a", m, index)}
			before := keys(t, d, "")
			lose(t, d, lost...)
			must(t, d.Put(t.Context(), referrerKey("a", index, signature), nil)) // has to go
			clk.later(time.Hour)
			var calls atomic.Int64
			r = clk.open(t, d.Reopen(func(_ context.Context, op, _ string) memory.Outcome {
				if op != "read" && calls.Add(1) == n+2 { // two opened it
					return memory.Outcome{Err: errors.New("planted"), Stored: stored}
				}
				return memory.Outcome{}
			}))
			_, _ = r.Rebuild(t.Context(), RebuildOptions{}) // whatever it says
			clk.later(leaseTime + 2*clockLeeway)
			if report, _ := rebuild(t, clk.open(t, d), RebuildOptions{}); !report.Whole() {
				t.Errorf("call %d, stored %v: report %+v", n, stored, report)
			}
			after := slices.DeleteFunc(keys(t, d, ""), func(key string) bool {
				return key == repoCondemnedKey("a") || strings.HasPrefix(key, gcLogPrefix) // the next collection removes them
			})
			if !slices.Equal(before, after) {
				t.Errorf("call %d, stored %v: keys were\n%s\nare\n%s", n, stored, strings.Join(before, "\n"), strings.Join(after, "\n"))
			}
			wantBlob(t, clk.open(t, d), "a", b[0], digest.FromBytes(b[0]))
			wantBlob(t, clk.open(t, d), "a", b[1], digest.FromBytes(b[1]))
			if t.Failed() {
				return
			}
			if calls.Load() < n+2 {
				t.Logf("%d calls, stored %v", n, stored)
				break
			}
		}
	}
}
