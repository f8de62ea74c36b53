//go:build integration

package gcs

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/internal/faultproxy"
	"github.com/longshore-registry/longshore/internal/gcstest"
)

// proxied opens a driver on a new bucket of the shared server through a proxy of its own, with parts of the smallest size.
func proxied(t *testing.T) (*Driver, *faultproxy.Proxy) {
	t.Helper()
	return proxiedOn(t, shared.Get(t))
}

func proxiedOn(t *testing.T, s *gcstest.Server) (*Driver, *faultproxy.Proxy) {
	t.Helper()
	c := on(t, s)
	p := faultproxy.NewNamed(t, s.URL, gcstest.CallOf)
	c.Endpoint, c.PartSize, c.Attempts = p.URL, parts.MinPart, 4
	d := open(t, c)
	p.Calls()
	return d, p
}

// other opens another handle on d's bucket.
func other(t *testing.T, d *Driver) *Driver {
	t.Helper()
	c := d.c
	c.Endpoint = shared.Get(t).URL
	return open(t, c)
}

// count is how often each kind of request was made since the last call.
func count(p *faultproxy.Proxy) map[string]int {
	n := make(map[string]int)
	for _, call := range p.Calls() {
		n[call]++
	}
	return n
}

func pattern(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(b) // never fails
	return b
}

func holds(t *testing.T, d *Driver, key string, want []byte) {
	t.Helper()
	r, _, err := d.Reader(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, want %d, error %v", key, len(got), len(want), err)
	}
}

// leftovers is what lies below the folder of streams.
func leftovers(t *testing.T, d *Driver) (all []drivers.Leftover) {
	t.Helper()
	for l, err := range d.Leftovers(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// TestFolding writes more parts than one compose takes. What Commit has to do does not grow with their number. Of the emulator that
// keeps files this is all that is tried, with TestCalls: it can't store keys with long elements, and keeps folders that were emptied.
func TestFolding(t *testing.T) {
	t.Run("memory", func(t *testing.T) { folding(t, shared.Get(t), 64, 3) })
	t.Run("files", func(t *testing.T) { folding(t, gcstest.StartFolder(t), 33, 2) })
}

// folding writes n parts and a little, for which as many requests as composes are needed.
func folding(t *testing.T, s *gcstest.Server, n, composes int) {
	d, p := proxiedOn(t, s)
	body := pattern(1, n*parts.MinPart+17)
	w, err := d.Writer(t.Context(), "large/o", -1)
	if err != nil {
		t.Fatal(err)
	}
	half := len(body)/2 + 3
	if _, err := w.Write(body[:half]); err != nil {
		t.Fatal(err)
	}
	state, err := w.Suspend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(state) > parts.MinPart+8000 {
		t.Errorf("a state of %d bytes", len(state))
	}
	if w, err = d.Resume(t.Context(), "large/o", state); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body[half:]); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := count(p)
	holds(t, d, "large/o", body)
	if got["Upload"] > n+4 || got["Compose"] != composes || got["DELETE"] > n+4 {
		t.Errorf("requests %v", got)
	}
	if left := leftovers(t, d); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// TestFoldingKeepsTheState folds parts of a state in a stream that then is given up: another goes on from that state.
func TestFoldingKeepsTheState(t *testing.T) {
	d, _ := proxied(t)
	body := pattern(2, 34*parts.MinPart)
	w, err := d.Writer(t.Context(), "large/o", 30*parts.MinPart)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body[:30*parts.MinPart]); err != nil {
		t.Fatal(err)
	}
	state, err := w.Suspend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dead, err := d.Resume(t.Context(), "large/o", state) // never ended, as by a crash
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dead.Write(pattern(3, 4*parts.MinPart)); err != nil {
		t.Fatal(err)
	}
	if w, err = d.Resume(t.Context(), "large/o", state); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body[30*parts.MinPart:]); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	holds(t, d, "large/o", body)
	if left := leftovers(t, d); len(left) > 0 {
		t.Errorf("left over, of the dead one too: %v", left)
	}
	if err := dead.Commit(t.Context()); !errors.Is(err, drivers.ErrPrecondition) {
		t.Errorf("the other's Commit: %v", err)
	}
	holds(t, d, "large/o", body)
}

// twoResumed are two Writers that go on from one state of head.
func twoResumed(t *testing.T, d *Driver, head []byte) (state []byte, all [2]drivers.Writer) {
	t.Helper()
	w, err := d.Writer(t.Context(), "two/o", -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(head); err != nil {
		t.Fatal(err)
	}
	if state, err = w.Suspend(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, d := range []*Driver{d, other(t, d)} {
		if all[i], err = d.Resume(t.Context(), "two/o", state); err != nil {
			t.Fatal(err)
		}
		if _, err := all[i].Write(pattern(uint64(10+i), 100)); err != nil {
			t.Fatal(err)
		}
	}
	return state, all
}

// TestCommitThatFails: neither a process that dies in its last request nor one that gives up makes the state worse.
func TestCommitThatFails(t *testing.T) {
	for _, what := range []faultproxy.Fault{faultproxy.Denied, faultproxy.SlowDown, faultproxy.Reset} {
		d, p := proxied(t)
		head := pattern(1, parts.MinPart+10)
		_, all := twoResumed(t, d, head)
		p.Times(100, "Compose", what)
		if err := all[0].Commit(t.Context()); err == nil || errors.Is(err, drivers.ErrPrecondition) {
			t.Errorf("fault %d: %v", what, err)
		}
		if err := all[1].Commit(t.Context()); err != nil {
			t.Errorf("after fault %d: %v", what, err)
		}
		p.Set(nil)
		holds(t, d, "two/o", append(head, pattern(11, 100)...))
		if left := leftovers(t, d); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
	}
}

// TestCommitWhoseAnswerIsLost is repeated, and finds its object.
func TestCommitWhoseAnswerIsLost(t *testing.T) {
	d, p := proxied(t)
	head := pattern(1, parts.MinPart+10)
	_, all := twoResumed(t, d, head)
	p.Times(1, "Compose", faultproxy.LoseReply)
	if err := all[0].Commit(t.Context()); err != nil {
		t.Error(err)
	}
	holds(t, d, "two/o", append(head, pattern(10, 100)...))
	if left := leftovers(t, d); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// TestSuspendThatIsLate is refused, and leaves nothing from which the committed object could be replaced.
func TestSuspendThatIsLate(t *testing.T) {
	d, _ := proxied(t)
	state, all := twoResumed(t, d, []byte("head"))
	if err := all[0].Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What its look at the mark found before the Commit:
	from, err := (store{d}).Mark(t.Context(), "two/o", uploadOf(t, state), "")
	if !errors.Is(err, errNoUpload) {
		t.Errorf("a mark after the Commit: %q, %v", from, err)
	}
	if _, err := all[1].Suspend(t.Context()); !errors.Is(err, drivers.ErrPrecondition) {
		t.Errorf("Suspend: %v", err)
	}
	if left := leftovers(t, d); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	holds(t, d, "two/o", append([]byte("head"), pattern(10, 100)...))
}

// uploadOf is the id of the stream in a state.
func uploadOf(t *testing.T, state []byte) string {
	t.Helper()
	found := regexp.MustCompile(`[A-Z2-7]{26}\.[0-9]+`).Find(state)
	if found == nil {
		t.Fatalf("no id in %q", state)
	}
	return string(found)
}

// TestCalls counts the requests of each method.
func TestCalls(t *testing.T) {
	t.Run("memory", func(t *testing.T) { calls(t, shared.Get(t)) })
	t.Run("files", func(t *testing.T) { calls(t, gcstest.StartFolder(t)) })
}

func calls(t *testing.T, s *gcstest.Server) {
	d, p := proxiedOn(t, s)
	ctx := t.Context()
	write := func(key string, size int) func() error {
		return func() error {
			w, err := d.Writer(ctx, key, -1)
			if err != nil {
				return err
			}
			if _, err := w.Write(make([]byte, size)); err != nil {
				return err
			}
			return w.Commit(ctx)
		}
	}
	var state []byte
	suspend := func(from *[]byte, size int) func() error {
		return func() (err error) {
			var w drivers.Writer
			if from == nil {
				w, err = d.Writer(ctx, "w/s", -1)
			} else {
				w, err = d.Resume(ctx, "w/s", *from)
			}
			if err != nil {
				return err
			}
			if _, err := w.Write(make([]byte, size)); err != nil {
				return err
			}
			state, err = w.Suspend(ctx)
			return err
		}
	}
	read := func(offset, length int64) func() error {
		return func() error {
			r, _, err := d.Reader(ctx, "a/o", offset, length)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, r)
			return errors.Join(err, r.Close())
		}
	}
	for _, test := range []struct {
		name string
		call func() error
		want []string
	}{
		{"Put", func() error { return d.Put(ctx, "a/o", []byte("0123456789")) }, []string{"Upload"}},
		{"PutIfAbsent", func() error { return d.PutIfAbsent(ctx, "a/x", nil) }, []string{"Upload"}},
		{"Reader", read(0, -1), []string{"GET"}},
		{"Reader of a range", read(3, 4), []string{"GET"}},
		{"Reader past the end", read(10, -1), []string{"GET", "HEAD"}},
		{"Reader of nothing", read(3, 0), []string{"HEAD"}},
		{"Stat", func() error { _, err := d.Stat(ctx, "a/o"); return err }, []string{"HEAD"}},
		{"SignURL", func() error { _, err := d.SignURL(ctx, "a/o", time.Hour); return err }, nil},
		{"List", func() error {
			for range d.List(ctx, "a/", "", "/") {
				break
			}
			return nil
		}, []string{"List"}},
		{"Writer of one part", write("w/one", parts.MinPart), []string{"Upload"}},
		{"Writer of two parts", write("w/two", parts.MinPart+1), []string{"Compose", "DELETE", "HEAD", "List", "Upload", "Upload", "Upload"}},
		{"Writer in place of another", write("w/two", parts.MinPart+1), []string{"Compose", "Compose", "DELETE", "HEAD", "HEAD", "List", "Upload", "Upload", "Upload"}},
		{"Writer of a part, suspended", suspend(nil, parts.MinPart), []string{"Upload", "Upload"}},
		{"resumed without another byte, suspended", suspend(&state, 0), []string{"HEAD", "Upload"}},
		{"resumed, committed", func() error {
			w, err := d.Resume(ctx, "w/s", state)
			if err != nil {
				return err
			}
			if _, err := w.Write([]byte("the rest")); err != nil {
				return err
			}
			return w.Commit(ctx)
		}, []string{"Compose", "DELETE", "HEAD", "HEAD", "List", "Upload"}},
		{"Delete", func() error { return d.Delete(ctx, "a/o", "a/x") }, []string{"DELETE", "DELETE"}},
	} {
		if err := test.call(); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		got := p.Calls()
		if len(got) > 5 { // parts go up beside the rest
			slices.Sort(got)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: requests %q, want %q", test.name, got, test.want)
		}
	}
}

// TestLeftovers finds a stream that was given up, says whose it is, and drops it.
func TestLeftovers(t *testing.T) {
	d, _ := proxied(t)
	w, err := d.Writer(t.Context(), "left/o", -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(pattern(1, parts.MinPart+10)); err != nil {
		t.Fatal(err)
	}
	state, err := w.Suspend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := leftovers(t, d)
	if len(all) != 1 || all[0].Key != "left/o" || all[0].Size != parts.MinPart || all[0].Began.IsZero() {
		t.Fatalf("leftovers %+v", all)
	}
	for range 2 {
		if err := d.Drop(t.Context(), all[0]); err != nil {
			t.Fatal(err)
		}
	}
	if all := leftovers(t, d); len(all) > 0 {
		t.Errorf("leftovers %+v", all)
	}
	w, err = d.Resume(t.Context(), "left/o", state)
	if err == nil {
		err = w.Commit(t.Context())
	}
	if !errors.Is(err, drivers.ErrPrecondition) {
		t.Errorf("a stream that was dropped: %v", err)
	}
}
