//go:build integration

package s3

import (
	"fmt"
	"slices"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/internal/versitygwtest"
)

// TestLeftoversByPages has the store show one upload, and then two, at a time.
func TestLeftoversByPages(t *testing.T) {
	t.Run("minio", func(t *testing.T) { leftoversByPages(t, onMinIO(t)) })
	t.Run("versitygw", func(t *testing.T) {
		s := versitygwtest.Start(t)
		leftoversByPages(t, at(s.URL, s.AccessKey, s.SecretKey))
	})
}

// leftoversByPages begins streams at both sides of a prefix, two of them to one key.
func leftoversByPages(t *testing.T, c Config) {
	c.Bucket, c.Prefix = fmt.Sprintf("test-s3-%d", buckets.Add(1)), "m"
	d := open(t, c)
	c.Prefix = ""
	outside := open(t, c)
	begin := func(d *Driver, key string) {
		t.Helper()
		w, err := d.Writer(t.Context(), key, -1)
		if err == nil {
			_, err = w.Suspend(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"a", "m-1/x", "m0", "z/x"} {
		begin(outside, key)
	}
	want := []string{"a/1", "a/2", "b", "c/d/e", "twice"}
	for _, key := range want {
		begin(d, key)
	}
	begin(d, "twice")
	for _, page := range []int32{1, 2, 0} {
		d.uploadsPage = page
		var got []string
		for l, err := range d.Leftovers(t.Context()) {
			if err != nil {
				t.Fatalf("by %d: %v", page, err)
			}
			got = append(got, l.Key)
		}
		slices.Sort(got)
		// versitygw shows one of several to the key that a page ends with.
		if n := len(got); !slices.Equal(slices.Compact(got), want) || page == 0 && !c.AllParts && n != len(want)+1 {
			t.Errorf("by %d: found %q, want %q", page, got, want)
		}
	}
	for range 2 { // what a page hid comes up when the rest is gone
		for l, err := range d.Leftovers(t.Context()) {
			if err == nil {
				err = d.Drop(t.Context(), l)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for l, err := range d.Leftovers(t.Context()) {
		t.Errorf("%+v is left over, %v", l, err)
	}
	var others []drivers.Leftover
	for l, err := range outside.Leftovers(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, l)
	}
	if len(others) != 4 && !c.AllParts || len(others) < 4 {
		t.Errorf("%d streams of others are left, want 4: %+v", len(others), others)
	}
}
