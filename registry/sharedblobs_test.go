package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// slowStore is a store whose reads of blobs' bytes wait for gate, or for the end of their context, and are counted. err, if there
// is one, is what they end with.
type slowStore struct {
	*memory.Driver
	gate  chan struct{}
	reads atomic.Int32
	err   error
}

func newSlowStore() *slowStore {
	s := &slowStore{gate: make(chan struct{})}
	s.Driver = memory.New(memory.Options{Hook: func(ctx context.Context, op, key string) memory.Outcome {
		if op != "reader" || !strings.HasPrefix(key, dataPrefix) {
			return memory.Outcome{}
		}
		s.reads.Add(1)
		select {
		case <-s.gate:
			return memory.Outcome{Err: s.err}
		case <-ctx.Done():
			return memory.Outcome{Err: ctx.Err()}
		}
	}})
	return s
}

// pushed is a registry on a slow store with one blob.
func pushed(t *testing.T, o Options, body []byte) (*slowStore, *Registry, Blob) {
	t.Helper()
	store := newSlowStore()
	r := openWith(t, store, o)
	b, err := r.Blob(t.Context(), "r", putBlob(t, r, "r", body))
	must(t, err)
	return store, r, b
}

func TestRangesOfASharedBlob(t *testing.T) {
	body := randomBytes(1, 100_000)
	store, r, b := pushed(t, Options{}, body)
	close(store.gate)
	for _, test := range []struct{ offset, length, from, to int64 }{
		{0, -1, 0, 100_000}, {0, 0, 0, 0}, {5, 10, 5, 15}, {99_990, -1, 99_990, 100_000}, {99_990, 50, 99_990, 100_000}, {100_000, 1, 100_000, 100_000},
		{200_000, -1, 100_000, 100_000},
	} {
		got, err := r.OpenBlob(t.Context(), b, test.offset, test.length)
		must(t, err)
		all, err := io.ReadAll(got)
		if err != nil || !bytes.Equal(all, body[test.from:test.to]) {
			t.Errorf("from %d, %d: got %d bytes, %v", test.offset, test.length, len(all), err)
		}
		must(t, got.Close())
		must(t, got.Close())
	}
	if n := store.reads.Load(); n != 1 {
		t.Errorf("%d reads, want 1", n)
	}
}

// A read ends with the last of those who want it, and who comes after that begins another.
func TestSharedReadEndsWithItsLastReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := randomBytes(2, 1000)
		store, r, b := pushed(t, Options{}, body)
		defer r.Close()
		open := func(ctx context.Context) chan error {
			ended := make(chan error, 1)
			go func() {
				got, err := r.OpenBlob(ctx, b, 0, -1)
				if err == nil {
					var all []byte
					if all, err = io.ReadAll(got); err == nil && !bytes.Equal(all, body) {
						err = errors.New("other bytes")
					}
					_ = got.Close()
				}
				ended <- err
			}()
			synctest.Wait()
			return ended
		}
		ctx, leave := context.WithCancel(t.Context())
		one, two := open(ctx), open(ctx)
		leave()
		for _, ended := range []chan error{one, two} {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
		}
		synctest.Wait()
		three := open(t.Context())
		close(store.gate)
		must(t, <-three)
		if n := store.reads.Load(); n != 2 {
			t.Errorf("%d reads, want 2", n)
		}
		if len(r.shared.under) != 0 || !r.shared.held.TryAcquire(8<<20) {
			t.Error("something is held still")
		}
	})
}

// All who wait for a read get its error, and nothing is kept of it.
func TestSharedReadThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, r, b := pushed(t, Options{}, randomBytes(3, 1000))
		defer r.Close()
		store.err = &drivers.Error{Op: "reader", Kind: drivers.ErrThrottled}
		const readers = 5
		ended := make(chan error, readers)
		for range readers {
			go func() {
				_, err := r.OpenBlob(t.Context(), b, 0, -1)
				ended <- err
			}()
		}
		synctest.Wait()
		close(store.gate)
		for range readers {
			if err := <-ended; !errors.Is(err, drivers.ErrThrottled) {
				t.Errorf("error %v", err)
			}
		}
		synctest.Wait()
		store.err = nil
		got, err := r.OpenBlob(t.Context(), b, 0, -1)
		must(t, err)
		must(t, got.Close())
	})
}

// Readers of more bytes than may be held get a body of their own.
func TestSharedReadsAreBounded(t *testing.T) {
	store, r, b := pushed(t, Options{CacheMemory: 1 << 20}, randomBytes(4, 1000))
	close(store.gate)
	if !r.shared.held.TryAcquire(smallBlob - 999) {
		t.Fatal("too little may be held")
	}
	for range 2 {
		got, err := r.OpenBlob(t.Context(), b, 0, -1)
		must(t, err)
		all, err := io.ReadAll(got)
		if err != nil || len(all) != 1000 {
			t.Errorf("got %d bytes, %v", len(all), err)
		}
		must(t, got.Close())
	}
	if n := store.reads.Load(); n != 2 {
		t.Errorf("%d reads, want 2", n)
	}
}
