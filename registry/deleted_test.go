package registry

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers/memory"
)

// A push begins at any request of the deletion of its repository, and goes on from any of its own when that has ended. Either it is refused, or
// what it was answered for is whole, or gone with the repository.
func TestPushBesideDeleteRepository(t *testing.T) {
	for at := 1; ; at++ {
		for until := 1; ; until++ {
			begun, held, err := pushBesideDeletion(t, at, until)
			if err != nil {
				t.Errorf("a push begins at request %d of the deletion, and is held up at its own request %d: %v", at, until, err)
			}
			if !begun {
				t.Logf("%d requests of a deletion", at-1)
				return
			}
			if !held {
				break
			}
		}
		if t.Failed() {
			return
		}
	}
}

func pushBesideDeletion(t *testing.T, at, until int) (begun, held bool, err error) {
	store := newStore(t)
	first := open(t, store)
	layer, config := []byte("layer"), []byte("config")
	pushTag(t, first, "r", "old", variant(t, first, "r", 1))
	blobs := []digest.Digest{putBlob(t, first, "r", config), putBlob(t, first, "r", layer)}
	image := imageOf(t, blobs[0], blobs[1])

	// counted calls then at the n-th request after it was armed.
	counted := func(armed *atomic.Bool, n int, then func()) memory.Hook {
		var count atomic.Int64
		return func(context.Context, string, string) memory.Outcome {
			if armed.Load() && count.Add(1) == int64(n) {
				then()
			}
			return memory.Outcome{}
		}
	}
	var pushing, deleting atomic.Bool
	reached, release, pushed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	pusher := open(t, store.Reopen(counted(&pushing, until, func() {
		close(reached)
		<-release
	})))
	deleter := openWith(t, store.Reopen(counted(&deleting, at, func() {
		begun = true
		pushing.Store(true)
		go func() {
			_, err := pusher.PushManifest(context.WithoutCancel(t.Context()), Push{Repo: "r", Tags: []string{"new"}, Body: image})
			pushed <- err
		}()
		select {
		case <-reached:
			held = true
		case err := <-pushed:
			pushed <- err
		}
	})), Options{HistoryKeep: month})
	deleting.Store(true)
	must(t, deleter.DeleteRepository(t.Context(), "r"))
	close(release)
	if !begun {
		return false, false, nil
	}
	if err := <-pushed; err != nil {
		return begun, held, nil
	}
	after := open(t, store)
	_, err = after.ManifestByTag(t.Context(), "r", "new")
	if HasCode(err, ManifestUnknown) || HasCode(err, NameUnknown) {
		return begun, held, nil
	}
	if err != nil {
		return begun, held, err
	}
	for _, d := range blobs {
		if _, blobErr := after.Blob(t.Context(), "r", d); blobErr != nil {
			err = errors.Join(err, fmt.Errorf("the push was answered 201, and the image lacks %s: %w", d, blobErr))
		}
	}
	return begun, held, err
}
