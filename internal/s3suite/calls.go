package s3suite

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// calls counts the requests of every method on the wire.
func (s Suite) calls(t *testing.T) {
	d, p := s.Open(t, Settings{})
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(d.Put(ctx, "a/o", []byte("0123456789")))
	wantCalls(t, p, "PUT")
	for _, r := range []struct{ offset, length int64 }{{0, -1}, {0, 4}, {3, 4}, {3, -1}, {3, 100}, {9, 1}, {0, 1}} {
		body, info, err := d.Reader(ctx, "a/o", r.offset, r.length)
		must(err)
		_, err = io.Copy(io.Discard, body)
		must(errors.Join(err, body.Close()))
		if info.Size != 10 {
			t.Errorf("range %v: size %d, want 10", r, info.Size)
		}
		wantCalls(t, p, "GET")
	}
	for _, offset := range []int64{10, 11} {
		body, _, err := d.Reader(ctx, "a/o", offset, -1)
		must(err)
		must(body.Close())
		wantCalls(t, p, "GET", "HEAD")
	}
	_, _, err := d.Reader(ctx, "a/o", 3, 0)
	must(err)
	wantCalls(t, p, "HEAD")
	if _, _, err := d.Reader(ctx, "a/absent", 0, -1); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("absent: %v", err)
	}
	wantCalls(t, p, "GET")
	_, err = d.Stat(ctx, "a/o")
	must(err)
	wantCalls(t, p, "HEAD")
	must(d.PutIfAbsent(ctx, "a/x", nil))
	wantCalls(t, p, "PUT")
	if err := d.PutIfAbsent(ctx, "a/x", nil); !errors.Is(err, drivers.ErrExists) {
		t.Errorf("PutIfAbsent of what is there: %v", err)
	}
	wantCalls(t, p, "PUT")
	if err := d.PutIfMatch(ctx, "a/x", nil, "0123"); !errors.Is(err, drivers.ErrPrecondition) {
		t.Errorf("PutIfMatch of another: %v", err)
	}
	wantCalls(t, p, "PUT")
	for range d.List(ctx, "a/", "", "/") {
		break
	}
	wantCalls(t, p, "List")
	must(d.Delete(ctx, "a/o"))
	wantCalls(t, p, "DELETE")
	must(d.Delete(ctx, "a/o", "a/x"))
	wantCalls(t, p, "DeleteMany")
	must(d.Delete(ctx))
	wantCalls(t, p)
	_, err = d.SignURL(ctx, "a/o", time.Hour)
	must(err)
	wantCalls(t, p)
	if err := d.Put(ctx, "bad//key", nil); !errors.Is(err, drivers.ErrInvalid) {
		t.Errorf("a bad key: %v", err)
	}
	wantCalls(t, p)
}

// callsOfPages lists and deletes more than fits into one request.
func (s Suite) callsOfPages(t *testing.T) {
	d, p := s.Open(t, Settings{})
	var keys []string
	for i := range 1500 {
		keys = append(keys, fmt.Sprintf("l/%04d", i))
		if err := d.Put(t.Context(), keys[i], nil); err != nil {
			t.Fatal(err)
		}
	}
	p.Calls()
	var got []string
	for e, err := range d.List(t.Context(), "l/", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, e.Key); len(got) == 1000 && len(p.Calls()) != 1 {
			t.Error("the first 1,000 took more than one request")
		}
	}
	wantCalls(t, p, "List")
	if !slices.Equal(got, keys) {
		t.Errorf("listed %d keys, want %d", len(got), len(keys))
	}
	if err := d.Delete(t.Context(), keys...); err != nil {
		t.Fatal(err)
	}
	wantCalls(t, p, "DeleteMany", "DeleteMany")
}

// callsOfWriter counts the requests of streams of all kinds.
func (s Suite) callsOfWriter(t *testing.T) {
	const part = minPart
	d, p := s.Open(t, Settings{PartSize: minPart})
	ctx := t.Context()
	for _, test := range []struct {
		name        string
		size, bytes int
		want        []string
	}{
		{"nothing", -1, 0, []string{"PUT"}},
		{"one byte", -1, 1, []string{"PUT"}},
		{"one part", -1, part, []string{"PUT"}},
		{"one part, known", part, part, []string{"PUT"}},
		{"a byte more", -1, part + 1, []string{"Create", "Part", "Part", "Complete"}},
		{"a byte more, known", part + 1, part + 1, []string{"Create", "Part", "Part", "Complete"}},
		{"three parts", -1, 3 * part, []string{"Create", "Part", "Part", "Part", "Complete"}},
		{"a hint too low", 100, 3000, []string{"PUT"}},
		{"a hint far too low", 100_000, 2 * part, []string{"Create", "Part", "Part", "Complete"}},
		{"a hint too high", 10 * part, 5, []string{"PUT"}},
	} {
		w, err := d.Writer(ctx, "w/o", int64(test.size))
		if err != nil {
			t.Fatal(err)
		}
		body := pattern(1, test.bytes)
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		if got := p.Calls(); !slices.Equal(got, test.want) {
			t.Errorf("%s: requests %q, want %q", test.name, got, test.want)
		}
		if got := readBack(t, d, "w/o"); !slices.Equal(got, body) {
			t.Errorf("%s: other bytes", test.name)
		}
		p.Calls()
	}
	w, err := d.Writer(ctx, "w/s", -1)
	if err != nil {
		t.Fatal(err)
	}
	step := func(what string, n int, end func() error, want ...string) {
		t.Helper()
		if _, err := w.Write(pattern(2, n)); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if err := end(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		// Parts go up beside the rest, so only the number of each kind is sure.
		got := p.Calls()
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: requests %q, want %q", what, got, want)
		}
	}
	suspend := func() error {
		state, err := w.Suspend(ctx)
		if err != nil {
			return err
		}
		w, err = d.Resume(ctx, "w/s", state)
		return err
	}
	step("first, small", 10, suspend, "Create")
	step("second, small", 10, suspend, "ListParts", "Part")
	step("third, two parts and a little", 2*part, suspend, "ListParts", "Part", "Part", "ListParts", "Part")
	for l, err := range drivers.ExtrasOf(d).Sweep.Leftovers(ctx) {
		if err != nil || l.Key != "w/s" || l.Size < 2*part {
			t.Errorf("left over is %+v, %v", l, err)
		}
	}
	wantCalls(t, p, "ListUploads", "ListParts")
	step("last", 5, func() error { return w.Commit(ctx) }, "ListParts", "Part", "Complete")
	if got, err := d.Stat(ctx, "w/s"); err != nil || got.Size != 2*part+25 {
		t.Errorf("Stat = %+v, %v", got, err)
	}
	p.Calls()
	w, err = d.Writer(ctx, "w/c", -1)
	if err != nil {
		t.Fatal(err)
	}
	step("cancelled, small", 10, func() error { return w.Cancel(ctx) })
	w, err = d.Writer(ctx, "w/c", -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(pattern(1, part+1)); err != nil {
		t.Fatal(err)
	}
	if err := w.Cancel(ctx); err != nil {
		t.Fatal(err)
	}
	if got := p.Calls(); got[0] != "Create" || got[len(got)-1] != "Abort" {
		t.Errorf("cancelled: requests %q, want Create first and Abort last", got)
	}
	if err := drivers.ExtrasOf(d).Sweep.Drop(ctx, drivers.Leftover{Key: "w/c", ID: "gone"}); err != nil {
		t.Error(err)
	}
	wantCalls(t, p, "Abort")
}
