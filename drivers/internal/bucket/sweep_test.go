package bucket

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

// uploads is a store that lists uploads, two on a page.
type uploads struct {
	Requests
	all     []Upload
	ended   string // the ID of one that ends after it was listed
	endless bool
	aborted []string
}

var errEnded = errors.New("ended")

func (u *uploads) Uploads(_ context.Context, after Upload) (page []Upload, next Upload, err error) {
	at := slices.IndexFunc(u.all, func(one Upload) bool { return one == after }) + 1
	page = u.all[at:min(at+2, len(u.all))]
	if at+2 < len(u.all) || u.endless {
		next = page[len(page)-1]
	}
	if u.endless && after != (Upload{}) {
		return page, after, nil
	}
	return page, next, nil
}

func (u *uploads) UploadSize(_ context.Context, _, id string) (int64, error) {
	if id == u.ended {
		return 0, errEnded
	}
	return int64(len(id)), nil
}

func (u *uploads) Abort(_ context.Context, full, id string) error {
	u.aborted = append(u.aborted, full+" "+id)
	if id == u.ended {
		return errEnded
	}
	return nil
}

func (u *uploads) Kind(err error) error {
	if errors.Is(err, errEnded) {
		return drivers.ErrPrecondition
	}
	return nil
}

func (u *uploads) Fail(_ context.Context, _, _ string, err error) error { return err }

func of(all ...string) (uploads []Upload) {
	for _, one := range all {
		full, id, _ := strings.Cut(one, " ")
		uploads = append(uploads, Upload{Full: full, ID: id})
	}
	return uploads
}

func TestLeftovers(t *testing.T) {
	u := &uploads{all: of("a/b 1", "reg-1/x 2", "reg/a 3", "reg/a 44", "reg/bad//key 5", "reg/c 6", "reg/d 7", "reg/ 8", "reg0 9"), ended: "6"}
	b := &Bucket{Requests: u, Driver: "s3", Prefix: "reg/"}
	var got []string
	for l, err := range b.Leftovers(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if l.Size != int64(len(l.ID)) {
			t.Errorf("%+v has the wrong size", l)
		}
		got = append(got, l.Key+" "+l.ID)
	}
	if want := []string{"a 3", "a 44", "d 7"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

func TestLeftoversOfAnEndlessListing(t *testing.T) {
	b := &Bucket{Requests: &uploads{all: of("a 1", "b 2", "c 3", "d 4"), endless: true}, Driver: "s3"}
	n := 0
	var last error
	for _, last = range b.Leftovers(t.Context()) {
		if n++; n > 100 {
			t.Fatal("it goes on for ever")
		}
	}
	if !errors.Is(last, drivers.ErrCorrupt) {
		t.Errorf("it ends with %v, want ErrCorrupt", last)
	}
}

func TestDrop(t *testing.T) {
	u := &uploads{ended: "6"}
	b := &Bucket{Requests: u, Driver: "s3", Prefix: "reg/"}
	for _, c := range []struct {
		l    drivers.Leftover
		want error
	}{
		{drivers.Leftover{Key: "a", ID: "1"}, nil},
		{drivers.Leftover{Key: "a", ID: "6"}, nil},
		{drivers.Leftover{Key: "../a", ID: "1"}, drivers.ErrInvalid},
		{drivers.Leftover{Key: "", ID: "1"}, drivers.ErrInvalid},
		{drivers.Leftover{Key: "a"}, drivers.ErrInvalid},
	} {
		if err := b.Drop(t.Context(), c.l); !errors.Is(err, c.want) {
			t.Errorf("Drop(%+v): %v, want %v", c.l, err, c.want)
		}
	}
	if want := []string{"reg/a 1", "reg/a 6"}; !slices.Equal(u.aborted, want) {
		t.Errorf("aborted %q, want %q", u.aborted, want)
	}
}
