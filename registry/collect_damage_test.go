package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// putNote leaves what a collector that died an hour ago was about to delete.
func putNote(t *testing.T, clk *clock, r *Registry, d deletions) (key string) {
	t.Helper()
	d.Until = clk.now().Add(-time.Hour)
	d, err := r.signNote(d)
	must(t, err)
	body, err := json.Marshal(d)
	must(t, err)
	key = gcLogPrefix + nonce()
	must(t, r.driver.Put(t.Context(), key, body))
	return key
}

// TestANoteOfManyBlobsIsFinished finishes a note of 10,000 blobs. The record of one of them is still there; another names other data by now.
func TestANoteOfManyBlobsIsFinished(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	r := clk.open(t, d)
	kept, again := putBlob(t, r, "a", randomBytes(1, 100)), putBlob(t, r, "a", randomBytes(2, 100))
	pushTag(t, r, "a", "t", imageOf(t, kept, again))
	record, err := r.readRecord(t.Context(), kept)
	must(t, err)
	left := deletions{Blobs: []blobDeletion{{kept, record.Data}}}
	for i := range 9999 {
		key, of := newDataKey(clk.now()), digest.FromString(fmt.Sprint(i))
		if i == 5000 {
			of = again
		}
		must(t, d.Put(t.Context(), key, []byte("left")))
		left.Blobs = append(left.Blobs, blobDeletion{of, key})
	}
	key := putNote(t, clk, r, left)
	if body, err := readObject(t.Context(), d, key); err != nil || len(body.body) > mostNote/blobBatch*len(left.Blobs) {
		t.Errorf("%d blobs take %d bytes (%v), so that a note of %d can be too large to be read", len(left.Blobs), len(body.body), err, blobBatch)
	}
	clk.later(2 * time.Minute)
	if gone := collect(t, r, CollectOptions{}); len(gone) != 9999 {
		t.Errorf("removed %d things", len(gone))
	}
	if data := keys(t, d, dataPrefix); len(data) != 2 {
		t.Errorf("%d objects of data are left, want 2", len(data))
	}
	wantBlob(t, r, "a", randomBytes(1, 100), kept)
	wantBlob(t, r, "a", randomBytes(2, 100), again)
	noNotes(t, d)
}

func noNotes(t *testing.T, d drivers.Driver) {
	t.Helper()
	if left := keys(t, d, gcLogPrefix); len(left) > 0 {
		t.Errorf("notes left: %v", left)
	}
}

// TestNotesThatNoCollectorWrote: nothing is deleted because of what they say, and what a collector that died may have left is found without
// them, also among days that were settled.
func TestNotesThatNoCollectorWrote(t *testing.T) {
	signed := func(r *Registry, d deletions) []byte {
		d, err := r.signNote(d)
		must(t, err)
		body, err := json.Marshal(d)
		must(t, err)
		return body
	}
	absent := digest.FromString("a blob that is not there")
	for _, c := range []struct {
		name string
		body func(r *Registry, record string) []byte // record: the key of data that a record names
	}{
		{"not JSON", func(*Registry, string) []byte { return []byte("\x00\x01") }},
		{"empty", func(*Registry, string) []byte { return nil }},
		{"without a MAC", func(_ *Registry, data string) []byte {
			return fmt.Appendf(nil, `{"until":"2001-01-01T00:00:00Z","blobs":[{"digest":%q,"data":%q}]}`, absent, data)
		}},
		{"of another cluster", func(r *Registry, data string) []byte {
			return signed(&Registry{secret: []byte("another secret of a cluster")}, deletions{Blobs: []blobDeletion{{absent, data}}})
		}},
		{"changed", func(r *Registry, data string) []byte {
			b := string(signed(r, deletions{Blobs: []blobDeletion{{absent, dataPrefix + "00/2001-01-01/" + strings.Repeat("0", 32)}}}))
			return []byte(strings.Replace(b, dataPrefix+"00/2001-01-01/"+strings.Repeat("0", 32), data, 1))
		}},
		{"cut", func(r *Registry, data string) []byte {
			b := signed(r, deletions{Blobs: []blobDeletion{{absent, data}}})
			return b[:len(b)-1]
		}},
		{"too large", func(r *Registry, data string) []byte {
			return append(signed(r, deletions{Blobs: []blobDeletion{{absent, data}}}), make([]byte, mostNote)...)
		}},
		{"of no data", func(r *Registry, _ string) []byte {
			return signed(r, deletions{Blobs: []blobDeletion{{absent, tagKey("a", "t")}}})
		}},
		{"of no digest", func(r *Registry, data string) []byte {
			return signed(r, deletions{Blobs: []blobDeletion{{"x", data}}})
		}},
		{"of no repository", func(r *Registry, _ string) []byte {
			return signed(r, deletions{Repositories: []string{"../x"}})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			clk := &clock{}
			d := clk.store(t)
			r := clk.open(t, d)
			kept := putBlob(t, r, "a", randomBytes(1, 100))
			pushTag(t, r, "a", "t", imageOf(t, kept))
			record, err := r.readRecord(t.Context(), kept)
			must(t, err)
			clk.later(10 * day)
			collect(t, r, CollectOptions{})
			lost := newDataKey(clk.now().Add(-9 * day))
			must(t, d.Put(t.Context(), lost, []byte("left")))
			clk.later(5 * day)
			if gone := collect(t, r, CollectOptions{}); len(gone) > 0 {
				t.Fatalf("the day is not settled: removed %v", gone)
			}
			must(t, d.Put(t.Context(), gcLogPrefix+"x", c.body(r, record.Data)))
			clk.later(time.Hour)
			var notes []string
			report, err := r.Collect(t.Context(), CollectOptions{DryRun: true})
			must(t, err)
			notes = append(notes, report.Notes...)
			if gone := collect(t, r, CollectOptions{}); len(gone) != 1 || gone[string(RemovedData)+" "+lost].Key == "" {
				t.Errorf("removed %v, want %s", gone, lost)
			}
			if len(notes) != 1 || !strings.Contains(notes[0], gcLogPrefix+"x") {
				t.Errorf("told %q, want a word on the note", notes)
			}
			noNotes(t, d)
			wantBlob(t, clk.open(t, d), "a", randomBytes(1, 100), kept)
			wantTag(t, clk.open(t, d), "a", "t", mustResolve(t, r, "a", "t"))
		})
	}
}

// TestAnnouncementsEnd: whatever an announcement says, clients are told that the store is busy after a while, and it is void two hours after it was
// put; a collector removes it then.
func TestAnnouncementsEnd(t *testing.T) {
	loose := digest.FromBytes(randomBytes(9, 100))
	far, err := json.Marshal(announcement{By: "x", Until: time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)})
	must(t, err)
	for name, body := range map[string]string{"far in the future": string(far), "not JSON": "\x00", "empty": "", "without a deadline": "{}"} {
		for _, key := range []string{condemnedKey(loose), repoCondemnedKey("a")} {
			t.Run(name+" "+key[:5], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					clk := &clock{}
					d := clk.store(t)
					r := clk.open(t, d)
					putBlob(t, r, "a", randomBytes(9, 100))
					push := func() error { return clk.open(t, d).PutBlob(t.Context(), "a", chunk(randomBytes(9, 100)), loose) }
					must(t, d.Put(t.Context(), key, []byte(body)))
					began := time.Now()
					if err := push(); !errors.Is(err, drivers.ErrThrottled) {
						t.Errorf("while it is in force: %v", err)
					}
					if waited := time.Since(began); waited < longestWait || waited > longestWait+time.Minute {
						t.Errorf("waited %v", waited)
					}
					collect(t, r, CollectOptions{})
					if _, err := d.Stat(t.Context(), key); err != nil {
						t.Errorf("a collector at work may have put it, and it was removed: %v", err)
					}
					clk.later(longestLife + clockLeeway)
					began = time.Now()
					must(t, push())
					if waited := time.Since(began); waited > 0 {
						t.Errorf("waited %v for one that is void", waited)
					}
					collect(t, r, CollectOptions{})
					if left := keys(t, d, key); len(left) > 0 {
						t.Errorf("left: %v", left)
					}
				})
			})
		}
	}
}

func TestListingsThatLagTooMuch(t *testing.T) {
	clk := &clock{}
	_, err := clk.open(t, clk.store(t)).Collect(t.Context(), CollectOptions{Sole: true, Lag: longestLag + time.Second})
	if err == nil || !strings.Contains(err.Error(), "50m") {
		t.Errorf("error %v", err)
	}
}

// TestHistoryThatCannotBeRead: nothing is removed from a repository as long as something is kept there of which it is not known what it leads to,
// and all that is not needed after that. Other repositories are collected meanwhile.
func TestHistoryThatCannotBeRead(t *testing.T) {
	name := digestPath(digest.FromString("x"))
	for _, key := range []string{
		historyPrefix("a", "t") + "x",
		historyPrefix("a", "t") + "9999999999999-sha256-xyz-01234567",
		repoPrefix("a") + deletedOne + name,
		repoPrefix("a") + deletedOne + "x",
		deletedPrefix("a") + deletedManifests + name,
		deletedPrefix("a") + deletedManifests + "sha256/x",
	} {
		t.Run(key, func(t *testing.T) {
			clk := &clock{}
			d := clk.store(t)
			r := openWith(t, d, Options{Now: clk.now, HistoryKeep: month})
			loose := map[string]digest.Digest{}
			for i, repo := range []string{"a", "b"} {
				loose[repo] = putBlob(t, r, repo, randomBytes(uint64(i), 100))
				pushTag(t, r, repo, "t", imageOf(t, putBlob(t, r, repo, randomBytes(uint64(10+i), 100))))
			}
			must(t, d.Put(t.Context(), key, []byte("\x00")))
			clk.later(5 * day)
			_, err := r.Collect(t.Context(), CollectOptions{})
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), key) {
				t.Errorf("error %v, want one that names the key", err)
			}
			wantBlob(t, r, "a", randomBytes(0, 100), loose["a"])
			if _, err := r.Blob(t.Context(), "b", loose["b"]); !HasCode(err, BlobUnknown) {
				t.Errorf("another repository was not collected: %v", err)
			}
			clk.later(month)
			for range 2 {
				collect(t, r, CollectOptions{})
			}
			if left := append(keys(t, d, key), keys(t, d, linkKey("a", loose["a"]))...); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			wantTag(t, r, "a", "t", mustResolve(t, r, "a", "t"))
		})
	}
}

// TestDeletedThingsThatNobodyNeeds are not read any more.
func TestDeletedThingsThatNobodyNeeds(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	r := openWith(t, d, Options{Now: clk.now, HistoryKeep: day})
	m := imageOf(t, putBlob(t, r, "a", randomBytes(1, 100)))
	must(t, r.DeleteManifest(t.Context(), "a", pushTag(t, r, "a", "t", m), false))
	clk.later(3 * day)
	var seen []string
	counting := openWith(t, d.Reopen(func(_ context.Context, op, key string) memory.Outcome {
		if strings.Contains(key, "/_deleted/") && op == "reader" {
			seen = append(seen, key)
		}
		return memory.Outcome{}
	}), Options{Now: clk.now, HistoryKeep: day})
	collect(t, counting, CollectOptions{})
	if len(seen) > 0 {
		t.Errorf("read %v", slices.Compact(seen))
	}
}
