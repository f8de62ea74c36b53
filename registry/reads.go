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

	mu      sync.Mutex
	flights map[string]*flight
}

type flight struct {
	done    chan struct{}
	object  object
	err     error
	waiters int
	cancel  context.CancelFunc
	next    *flight // waits for this one to end
}

func newReads(d drivers.Driver) *reads {
	return &reads{driver: d, flights: map[string]*flight{}}
}

// get reads the whole object at key.
func (r *reads) get(ctx context.Context, key string) (object, error) {
	r.mu.Lock()
	f := r.flights[key]
	switch {
	case f == nil:
		f = &flight{done: make(chan struct{})}
		r.flights[key] = f
		r.start(ctx, key, f)
	case f.next == nil:
		f.next = &flight{done: make(chan struct{})}
		f = f.next
	default:
		f = f.next
	}
	f.waiters++
	r.mu.Unlock()

	select {
	case <-f.done:
		return f.object, f.err
	case <-ctx.Done():
		r.mu.Lock()
		defer r.mu.Unlock()
		if f.waiters--; f.waiters == 0 && f.cancel != nil {
			f.cancel()
		}
		return object{}, ctx.Err()
	}
}

// start runs f on a context that ends when its last waiter has gone. r.mu is held.
func (r *reads) start(ctx context.Context, key string, f *flight) {
	var flightCtx context.Context
	flightCtx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		f.object, f.err = readObject(flightCtx, r.driver, key)
		f.cancel()
		r.mu.Lock()
		next := f.next
		if next != nil && next.waiters > 0 {
			r.flights[key] = next
			r.start(ctx, key, next)
		} else {
			delete(r.flights, key)
		}
		r.mu.Unlock()
		close(f.done)
	}()
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
	b := make([]byte, info.Size)
	switch _, err := io.ReadFull(body, b); {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return object{}, false, &drivers.Error{Op: "reader", Driver: "registry", Key: key, Kind: drivers.ErrCorrupt, Err: err}
	case err != nil:
		return object{}, errors.Is(err, drivers.ErrThrottled), err
	}
	return object{body: b, info: info}, false, nil
}
