package parts

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// smallest is the size of the smallest buffers: less would save nothing beside a connection's own.
const smallest = 64 << 10

// Pool hands out the buffers in which bodies wait to be sent. All that it has handed out and all
// that it keeps for the next together never exceed its limit. Who comes first is served first,
// so a large wish is not starved by small ones.
type Pool struct {
	limit int64
	turn  *semaphore.Weighted

	mu   sync.Mutex
	used int64            // handed out
	kept int64            // waiting in free
	free map[int][][]byte // by length
	peak int64            // the highest used + kept there was
}

// NewPool returns a pool of at most limit bytes.
func NewPool(limit int64) *Pool {
	return &Pool{limit: limit, turn: semaphore.NewWeighted(limit), free: make(map[int][][]byte)}
}

// Get returns a buffer of at least size bytes as soon as there is room, or the error of ctx. A buffer
// larger than the whole pool is handed out once all others are back: only the parts of objects beyond
// 100 GB are that large.
func (p *Pool) Get(ctx context.Context, size int64) ([]byte, error) {
	n := class(size)
	if n > p.limit {
		n = max(size, p.limit)
	}
	if err := p.turn.Acquire(ctx, min(n, p.limit)); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used += n
	if free := p.free[int(n)]; len(free) > 0 {
		buf := free[len(free)-1]
		free[len(free)-1] = nil
		p.free[int(n)] = free[:len(free)-1]
		p.kept -= n
		return buf, nil
	}
	for length, free := range p.free {
		for len(free) > 0 && p.used+p.kept > p.limit {
			free[len(free)-1] = nil
			free = free[:len(free)-1]
			p.kept -= int64(length)
		}
		p.free[length] = free
	}
	p.peak = max(p.peak, p.used+p.kept)
	return make([]byte, n), nil
}

// Put takes back a buffer that Get returned.
func (p *Pool) Put(buf []byte) {
	n := int64(len(buf))
	p.mu.Lock()
	p.used -= n
	if n <= p.limit {
		p.kept += n
		p.free[len(buf)] = append(p.free[len(buf)], buf)
	}
	p.mu.Unlock()
	p.turn.Release(min(n, p.limit))
}

// Used is how many bytes are handed out now; peak is the most that the pool ever took, with those it kept.
func (p *Pool) Used() (now, peak int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used, p.peak
}

// class is the length of the buffer for size bytes: few different lengths, so that buffers are used
// again, and at most a fifth of it wasted.
func class(size int64) int64 {
	n := int64(smallest)
	for n < size {
		n *= 2
	}
	if n == smallest {
		return n
	}
	// n/2 < size <= n
	for _, eighths := range []int64{5, 6, 7} {
		if size <= n/8*eighths {
			return n / 8 * eighths
		}
	}
	return n
}
