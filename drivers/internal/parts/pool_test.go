package parts

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

func TestPoolStaysBelowItsLimit(t *testing.T) {
	const limit = 1 << 20
	p := NewPool(limit)
	sizes := []int64{1, 100_000, 64 << 10, 200_000, 700_000, limit, 64<<10 + 1}
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for j := range 20 {
				size := sizes[(i+j)%len(sizes)]
				buf, err := p.Get(t.Context(), size)
				if err != nil {
					t.Error(err)
					return
				}
				if int64(len(buf)) < size {
					t.Errorf("asked for %d bytes, got %d", size, len(buf))
				}
				buf[0], buf[len(buf)-1] = 1, 1
				p.Put(buf)
			}
		})
	}
	all.Wait()
	if p.peak > limit || p.used != 0 || p.kept > limit {
		t.Errorf("peak %d, used %d, kept %d bytes; the limit is %d", p.peak, p.used, p.kept, limit)
	}
}

func TestPoolServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(1 << 20)
		held, err := p.Get(t.Context(), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		var order []int64
		var mu sync.Mutex
		// No two neighbours fit beside each other; the last would fit beside the second.
		want := []int64{1 << 20, 512 << 10, 1 << 20, 64 << 10}
		for _, size := range want {
			go func() {
				buf, err := p.Get(t.Context(), size)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, size)
				mu.Unlock()
				p.Put(buf)
			}()
			synctest.Wait()
		}
		p.Put(held)
		synctest.Wait()
		if !slices.Equal(order, want) {
			t.Errorf("served %v, want %v", order, want)
		}
	})
}

func TestPoolStopsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(1 << 20)
		held, err := p.Get(t.Context(), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := p.Get(ctx, 1)
			done <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		p.Put(held)
	})
}

func TestPoolGivesWhatIsLargerThanItself(t *testing.T) {
	p := NewPool(1 << 20)
	buf, err := p.Get(t.Context(), 3<<20)
	if err != nil || len(buf) != 3<<20 {
		t.Fatalf("got %d bytes, %v", len(buf), err)
	}
	p.Put(buf)
	if p.used != 0 || p.kept != 0 {
		t.Errorf("used %d, kept %d bytes", p.used, p.kept)
	}
}

func TestClass(t *testing.T) {
	for _, size := range []int64{0, 1, smallest, smallest + 1, 5 << 20, 5<<20 + 1, 6 << 20, 8<<20 - 1, 8 << 20, 10 << 20, 100 << 20} {
		got := class(size)
		if got < size || got > smallest && got-size > got/5+1 {
			t.Errorf("class(%d) = %d", size, got)
		}
	}
	for _, size := range []int64{5 << 20, 8 << 20, 10 << 20, 16 << 20, 64 << 20} {
		if got := class(size); got != size {
			t.Errorf("class(%d) = %d, want the same", size, got)
		}
	}
}
