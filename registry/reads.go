package registry

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/longshore-registry/longshore/drivers"
)

// object is a small object as read, never changed afterwards.
type object struct {
	body []byte
	info drivers.Info
}

// reads shares equal reads of small objects: callers that arrive while one is under way wait
// for the next one, together. So no caller gets an answer that was read before it asked, and a
// thousand callers cost two requests.
type reads struct {
	driver drivers.Driver

	mu sync.Mutex
	// next has a key as long as a read of it is under way: the read that begins then, or nil if nobody waits for it.
	next map[string]*flight
}

// flight is a read for all who came while another was under way.
type flight struct {
	ctx     context.Context // ends when the last waiter has gone
	cancel  context.CancelFunc
	waiters int
	done    chan struct{}
	object  object
	err     error
}

func newReads(d drivers.Driver) *reads {
	return &reads{driver: d, next: map[string]*flight{}}
}

// get reads the whole object at key.
func (r *reads) get(ctx context.Context, key string) (object, error) {
	r.mu.Lock()
	f, busy := r.next[key]
	if !busy {
		r.next[key] = nil
		r.mu.Unlock()
		defer r.landed(key)
		return readObject(ctx, r.driver, key)
	}
	if f == nil {
		f = &flight{done: make(chan struct{})}
		f.ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
		r.next[key] = f
	}
	f.waiters++
	r.mu.Unlock()

	select {
	case <-f.done:
		return f.object, f.err
	case <-ctx.Done():
		r.leave(key, f)
		return object{}, ctx.Err()
	}
}

// landed begins the next read of key, if anybody waits for it.
func (r *reads) landed(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.next[key]
	if f == nil {
		delete(r.next, key)
		return
	}
	r.next[key] = nil
	go func() {
		defer f.cancel()
		f.object, f.err = readObject(f.ctx, r.driver, key)
		r.landed(key)
		close(f.done)
	}()
}

// leave ends a read for which nobody waits any more, also one that has not begun.
func (r *reads) leave(key string, f *flight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.waiters--; f.waiters > 0 {
		return
	}
	f.cancel()
	if r.next[key] == f {
		r.next[key] = nil
	}
}

// readObject reads a small object, again from the beginning when its body breaks off: it may have been replaced.
func readObject(ctx context.Context, d drivers.Driver, key string) (object, error) {
	for breaks := 0; ; breaks++ {
		o, broke, err := readOnce(ctx, d, key)
		if !broke || ctx.Err() != nil || breaks == mostBreaks {
			return o, err
		}
	}
}

// readOnce is one request. broke: its body broke off.
func readOnce(ctx context.Context, d drivers.Driver, key string) (o object, broke bool, err error) {
	body, info, err := d.Reader(ctx, key, 0, -1)
	if err != nil {
		return object{}, false, err
	}
	defer body.Close()
	b, err := readWhole(body, info.Size)
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return object{}, false, &drivers.Error{Op: "reader", Driver: "registry", Key: key, Kind: drivers.ErrCorrupt, Err: err}
	case err != nil:
		return object{}, errors.Is(err, drivers.ErrThrottled), err
	}
	return object{body: b, info: info}, false, nil
}

// readWhole reads size bytes. It takes memory for what comes, not for what a store says will come.
func readWhole(body io.Reader, size int64) ([]byte, error) {
	const believed = 8 << 20 // more than small objects have
	if size < 0 {
		return nil, io.ErrUnexpectedEOF
	}
	b := make([]byte, min(size, believed))
	_, err := io.ReadFull(body, b)
	if err != nil || size <= believed {
		return b, err
	}
	rest, err := io.ReadAll(io.LimitReader(body, size-believed))
	if err == nil && int64(len(rest)) < size-believed {
		err = io.ErrUnexpectedEOF
	}
	return append(b, rest...), err
}
