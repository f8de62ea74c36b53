package registry

import (
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
)

// TestLeftovers of an upload are known for the registry's own, and are not old while it may be under way.
func TestLeftovers(t *testing.T) {
	store := newStore(t)
	r := openWith(t, store, Options{UploadMemory: 100 << 10})
	up, err := r.StartUpload("a/b", digest.SHA256)
	must(t, err)
	_, err = r.Append(t.Context(), "a/b", up.ID, up.Value, chunk(randomBytes(1, 6<<20)))
	must(t, err)
	found := 0
	for l, err := range store.Leftovers(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if !OwnsLeftover(l) {
			t.Errorf("%+v is not taken for the registry's", l)
		}
		found++
	}
	if found != 1 {
		t.Errorf("found %d leftovers, want 1", found)
	}
	for _, key := range []string{"databases/x", "a/data/x", "check/x", "x"} {
		if OwnsLeftover(drivers.Leftover{Key: key}) {
			t.Errorf("%s is taken for the registry's", key)
		}
	}
	if got := LeftoverAge(24 * time.Hour); got < 25*time.Hour {
		t.Errorf("an upload that lives for a day is a leftover after %v", got)
	}
}
