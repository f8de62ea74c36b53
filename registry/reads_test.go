package registry

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/longshore-registry/longshore/drivers/memory"
)

// A thousand readers at once cost two requests: one that was under way, and one for all who came later.
func TestEqualReadsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var count atomic.Int32
		gate := make(chan struct{})
		d := memory.New(memory.Options{Hook: func(_ context.Context, op, _ string) memory.Outcome {
			if op == "reader" {
				count.Add(1)
				<-gate
			}
			return memory.Outcome{}
		}})
		must(t, d.Put(t.Context(), "k", []byte("old")))
		r := newReads(d)
		var wg sync.WaitGroup
		read := func(want string) {
			wg.Go(func() {
				if o, err := r.get(t.Context(), "k"); err != nil || string(o.body) != want {
					t.Errorf("got %q %v, want %q", o.body, err, want)
				}
			})
		}
		read("new") // reads after the gate opens, so the new value
		synctest.Wait()
		must(t, d.Put(t.Context(), "k", []byte("new")))
		for range 1000 {
			read("new")
		}
		synctest.Wait()
		close(gate)
		wg.Wait()
		if n := count.Load(); n != 2 {
			t.Errorf("%d requests to the store, want 2", n)
		}
	})
}

func TestReadEndsWithItsLastWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		d := memory.New(memory.Options{Hook: func(ctx context.Context, op, _ string) memory.Outcome {
			<-ctx.Done()
			ended <- ctx.Err()
			return memory.Outcome{Err: ctx.Err()}
		}})
		r := newReads(d)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := r.get(ctx, "k"); !errors.Is(err, context.Canceled) {
					t.Errorf("error %v", err)
				}
			})
		}
		synctest.Wait()
		cancel()
		wg.Wait()
		<-ended
		synctest.Wait()
		if len(r.next) != 0 {
			t.Errorf("%d reads are still noted", len(r.next))
		}
	})
}

// A read for which nobody waits any more is not made, and who comes after that gets one of its own.
func TestReadThatNobodyWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var count atomic.Int32
		gate := make(chan struct{})
		d := memory.New(memory.Options{Hook: func(_ context.Context, op, _ string) memory.Outcome {
			if op == "reader" {
				count.Add(1)
				<-gate
			}
			return memory.Outcome{}
		}})
		must(t, d.Put(t.Context(), "k", []byte("v")))
		r := newReads(d)
		var wg sync.WaitGroup
		read := func(ctx context.Context, want error) {
			wg.Go(func() {
				if o, err := r.get(ctx, "k"); !errors.Is(err, want) || err == nil && string(o.body) != "v" {
					t.Errorf("got %q %v", o.body, err)
				}
			})
			synctest.Wait()
		}
		impatient, leave := context.WithCancel(t.Context())
		read(t.Context(), nil)
		read(impatient, context.Canceled)
		leave()
		synctest.Wait()
		read(t.Context(), nil)
		close(gate)
		wg.Wait()
		synctest.Wait()
		if n := count.Load(); n != 2 || len(r.next) != 0 {
			t.Errorf("%d requests to the store, want 2; %d reads are still noted", n, len(r.next))
		}
	})
}
