package registry

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/longshore-registry/longshore/drivers"
)

// markSize is the size in bytes of one mark.
const markSize = 20

// mark is what a collection remembers of one object, in the order of a listing.
type mark [markSize]byte

const (
	marksInMemory = 100_000
	marksPerRead  = 3_200 // 64,000 bytes
)

// marks is a sorted set too large for memory: sorted runs in the store, and some that are not there yet.
type marks struct {
	driver drivers.Driver
	runs   []string // keys of what is in the store
	fresh  []mark
	keep   bool // all in memory, for a dry run
}

// add puts m into the set. It reports whether a run went into the store.
func (s *marks) add(ctx context.Context, m mark) (spilled bool, err error) {
	s.fresh = append(s.fresh, m)
	if len(s.fresh) < marksInMemory || s.keep {
		return false, nil
	}
	return true, s.spill(ctx)
}

// spill writes what is in memory as one run.
func (s *marks) spill(ctx context.Context) error {
	if len(s.fresh) == 0 || s.keep {
		return nil
	}
	s.sort()
	body := make([]byte, 0, len(s.fresh)*markSize)
	for _, m := range s.fresh {
		body = append(body, m[:]...)
	}
	key := gcRunsPrefix + nonce()
	if err := s.driver.Put(ctx, key, body); err != nil {
		return err
	}
	s.runs = append(s.runs, key)
	s.fresh = s.fresh[:0]
	return nil
}

func (s *marks) sort() {
	slices.SortFunc(s.fresh, func(a, b mark) int { return bytes.Compare(a[:], b[:]) })
	s.fresh = slices.Compact(s.fresh)
}

// all yields the marks in order, some of them twice perhaps. After an error nothing more is yielded.
func (s *marks) all(ctx context.Context) iter.Seq2[mark, error] {
	return func(yield func(mark, error) bool) {
		s.sort()
		merged := runHeap{{rest: slices.Clone(s.fresh), ended: true}}
		for _, key := range s.runs {
			merged = append(merged, &run{driver: s.driver, key: key})
		}
		for i := 0; i < len(merged); {
			if err := merged[i].fill(ctx); err != nil {
				yield(mark{}, err)
				return
			}
			if len(merged[i].rest) == 0 {
				merged = slices.Delete(merged, i, i+1)
				continue
			}
			i++
		}
		heap.Init(&merged)
		for len(merged) > 0 {
			first := merged[0]
			if !yield(first.rest[0], nil) {
				return
			}
			first.rest = first.rest[1:]
			if err := first.fill(ctx); err != nil {
				yield(mark{}, err)
				return
			}
			if len(first.rest) == 0 {
				heap.Pop(&merged)
			} else {
				heap.Fix(&merged, 0)
			}
		}
	}
}

// run reads one sorted run piece by piece.
type run struct {
	driver drivers.Driver
	key    string
	offset int64
	rest   []mark
	ended  bool
}

// fill sees to it that rest has something, unless the run has ended.
func (r *run) fill(ctx context.Context) error {
	if len(r.rest) > 0 || r.ended {
		return nil
	}
	body, info, err := r.driver.Reader(ctx, r.key, r.offset, marksPerRead*markSize)
	if errors.Is(err, drivers.ErrNotFound) { // it was there when the collection began
		return fmt.Errorf("%w: %w", errLeaseLost, err)
	} else if err != nil {
		return err
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if len(b)%markSize != 0 || r.offset+int64(len(b)) > info.Size {
		return &drivers.Error{Op: "read marks", Driver: "registry", Key: r.key, Kind: drivers.ErrCorrupt, Err: errors.New("a mark is cut")}
	}
	r.offset += int64(len(b))
	r.ended = r.offset >= info.Size
	r.rest = make([]mark, len(b)/markSize)
	for i := range r.rest {
		copy(r.rest[i][:], b[i*markSize:])
	}
	return nil
}

// runHeap has the run with the first mark on top.
type runHeap []*run

func (h runHeap) Len() int           { return len(h) }
func (h runHeap) Less(i, j int) bool { return bytes.Compare(h[i].rest[0][:], h[j].rest[0][:]) < 0 }
func (h runHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)        { *h = append(*h, x.(*run)) }
func (h *runHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// cursor asks a sorted sequence of marks for one after the other, in order.
type cursor struct {
	next func() (mark, error, bool)
	now  mark
	have bool
}

// has reports whether m is in the sequence. Calls have to come in order.
func (c *cursor) has(m mark) (bool, error) {
	for {
		if c.have {
			switch bytes.Compare(c.now[:], m[:]) {
			case 0:
				return true, nil
			case 1:
				return false, nil
			}
		}
		now, err, more := c.next()
		if err != nil {
			return false, err
		}
		if !more {
			return false, nil
		}
		c.now, c.have = now, true
	}
}
