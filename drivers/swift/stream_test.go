//go:build integration

package swift

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/internal/faultproxy"
)

// TestLateRivals lets one Writer end a stream while another, resumed from the same state, is in the middle of its Commit, before each of the
// requests that this makes. One of them at most succeeds, and the object is that one's.
func TestLateRivals(t *testing.T) { lateRivals(t, at(t)) }

func lateRivals(t *testing.T, base Config) {
	for _, before := range []string{"PUT segment", "PUT mark", "PUT closed", "Manifest"} {
		for _, end := range []string{"commit", "cancel", "suspend"} {
			t.Run(before+", "+end, func(t *testing.T) { rivals(t, base, before, end) })
		}
	}
}

func rivals(t *testing.T, base Config, before, end string) {
	ctx := t.Context()
	late, p := proxied(t, base)
	direct := late.c
	direct.StorageURL = ""
	d := open(t, direct)
	first := bytes.Repeat([]byte("first"), parts.MinPart/4)
	ours, theirs := []byte(" and ours"), []byte(" and theirs")
	state := suspended(t, d, "r/o", first)
	rival := resumed(t, d, "r/o", state, ours)
	w := resumed(t, late, "r/o", state, theirs)
	var rivalErr error
	once := false
	p.Set(func(call string) faultproxy.Fault {
		if call == before && !once {
			once = true
			switch end {
			case "commit":
				rivalErr = rival.Commit(ctx)
			case "cancel":
				rivalErr = rival.Cancel(ctx)
			case "suspend":
				_, rivalErr = rival.Suspend(ctx)
			}
		}
		return faultproxy.Pass
	})
	err := w.Commit(ctx)
	p.Set(nil)
	if !once {
		t.Fatal("nothing was between")
	}
	for _, err := range []error{err, rivalErr} {
		if err != nil && !errors.Is(err, drivers.ErrPrecondition) {
			t.Error(err)
		}
	}
	for _, w := range []drivers.Writer{w, rival} {
		if err := w.Cancel(ctx); err != nil {
			t.Error(err)
		}
	}
	switch {
	case err == nil && rivalErr == nil && end == "commit":
		t.Fatal("both were committed")
	case err == nil:
		holds(t, d, "r/o", append(first, theirs...))
	case rivalErr == nil && end == "commit":
		holds(t, d, "r/o", append(first, ours...))
	default:
		if _, err := d.Stat(ctx, "r/o"); !errors.Is(err, drivers.ErrNotFound) {
			t.Errorf("nobody has committed the object: %v", err)
		}
	}
	for l, err := range d.Leftovers(ctx) {
		if err == nil {
			err = d.Drop(ctx, l)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	onlyHas(t, d, "r/o")
}

// TestCancelAfterCommit cancels Writers whose Commit has failed: one whose object is not there leaves nothing, one whose object is there, since
// only the answer was lost, leaves that.
func TestCancelAfterCommit(t *testing.T) { cancelAfterCommit(t, at(t)) }

func cancelAfterCommit(t *testing.T, base Config) {
	body := bytes.Repeat([]byte("0123456789abcdef"), parts.MinPart/8)
	for _, again := range []bool{false, true} {
		for _, fault := range []faultproxy.Fault{faultproxy.Denied, faultproxy.LoseReply} {
			t.Run(fmt.Sprintf("resumed %v, fault %d", again, fault), func(t *testing.T) {
				c := base
				c.Attempts = 2
				d, p := proxied(t, c)
				w := begun(t, d, "c/o", body[:parts.MinPart+10])
				if again {
					state, err := w.Suspend(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					w = resumed(t, d, "c/o", state, nil)
				}
				if _, err := w.Write(body[parts.MinPart+10:]); err != nil {
					t.Fatal(err)
				}
				p.Set(func(call string) faultproxy.Fault {
					if call == "Manifest" {
						return fault
					}
					return faultproxy.Pass
				})
				if err := w.Commit(t.Context()); err == nil || errors.Is(err, drivers.ErrPrecondition) {
					t.Fatalf("Commit: %v", err)
				}
				p.Set(nil)
				if err := w.Cancel(t.Context()); err != nil {
					t.Fatal(err)
				}
				for l := range d.Leftovers(t.Context()) {
					t.Errorf("left over: %+v", l)
				}
				if fault == faultproxy.LoseReply {
					holds(t, d, "c/o", body)
				}
				onlyHas(t, d, "c/o")
			})
		}
	}
}

// TestManifestsInManifests writes objects of more segments than one manifest of a small cluster has, in one go and in two.
func TestManifestsInManifests(t *testing.T) {
	c := at(t)
	c.Container, c.PartSize = "test-swift-nested", parts.MinPart
	d := open(t, c)
	if !d.info.nested || d.info.segments() != 9000 {
		t.Fatalf("the cluster can do %+v", d.info)
	}
	d.info.most = 3
	body := make([]byte, 7*parts.MinPart+100)
	for i := range body {
		body[i] = byte(i >> 12)
	}
	write(t, d, "n/o", body)
	holds(t, d, "n/o", body)
	state := suspended(t, d, "n/p", body[:3*parts.MinPart+7])
	ctx, die := context.WithCancel(t.Context())
	dead, err := d.Resume(ctx, "n/p", state) // leaves a segment
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dead.Write(body[:2*parts.MinPart]); err != nil {
		t.Fatal(err)
	}
	die()
	if err := resumed(t, d, "n/p", state, body[3*parts.MinPart+7:]).Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = dead.Cancel(t.Context()) // waits until nothing of it is under way
	holds(t, d, "n/p", body)
	header, err := d.head(t.Context(), "n/p")
	if err != nil || header.Get("X-Static-Large-Object") == "" {
		t.Errorf("%v, %v", header, err)
	}
	onlyHas(t, d, "n/o", "n/p")
}

// TestFewSegments: Swift takes a manifest of as many segments as it says, and no more.
func TestFewSegments(t *testing.T) {
	c := at(t)
	d := open(t, c)
	m := manifest{full: "m/o"}
	etag, err := d.put(t.Context(), "s", []byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range d.info.most + 1 {
		m.list = append(m.list, segmentOf{Path: "/" + c.Container + "/s", ETag: etag, Size: 1})
	}
	if err := d.putManifest(t.Context(), m, nil); statusOf(err) != http.StatusRequestEntityTooLarge {
		t.Errorf("one too many: %v", err)
	}
	m.list = m.list[1:]
	if err := d.putManifest(t.Context(), m, nil); err != nil {
		t.Error(err)
	}
}
