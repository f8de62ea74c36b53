// Package counting counts what is asked of a storage driver, so that a test can hold a budget
// of requests and a benchmark can print one.
package counting

import (
	"context"
	"io"
	"iter"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// Options of a counting Driver. The zero value works.
type Options struct {
	// Page is how many entries of a List come with one request. Default 1000, as on S3.
	Page int

	// Trace is told of each call, before it is made, with the method in lower case and the key.
	// It may be called from several goroutines at once. Nil: nobody is told.
	Trace func(op, key string)
}

// Counts says how often each method was called, by its name in lower case: reader, put, writer,
// resume, stat, list (once for each page that was begun), delete, putifabsent, putifmatch, signurl, file, leftovers (once for each
// page that was begun), drop, and of Writers write, suspend, commit, cancel.
type Counts map[string]int

// Total is how many calls there were that cost a request to a typical backend. A write is none of its own,
// since many make one part, nor is a signurl, which is arithmetic.
func (c Counts) Total() int {
	n := 0
	for op, times := range c {
		if op != "write" && op != "signurl" {
			n += times
		}
	}
	return n
}

// Driver is a driver that counts.
type Driver struct {
	d drivers.Driver
	o Options

	mu     sync.Mutex
	counts Counts
}

// New returns a driver that does what d does and counts.
func New(d drivers.Driver, o Options) *Driver {
	if o.Page == 0 {
		o.Page = 1000
	}
	if o.Trace == nil {
		o.Trace = func(string, string) {}
	}
	return &Driver{d: d, o: o, counts: Counts{}}
}

// Counts returns a copy of the counts since New or Reset.
func (c *Driver) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}

// Reset begins to count from zero, and returns what was counted until now.
func (c *Driver) Reset() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.counts
	c.counts = Counts{}
	return old
}

func (c *Driver) count(op, key string) {
	c.mu.Lock()
	c.counts[op]++
	c.mu.Unlock()
	c.o.Trace(op, key)
}

// Reader is described at drivers.Driver.
func (c *Driver) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	c.count("reader", key)
	return c.d.Reader(ctx, key, offset, length)
}

// Put is described at drivers.Driver.
func (c *Driver) Put(ctx context.Context, key string, body []byte) error {
	c.count("put", key)
	return c.d.Put(ctx, key, body)
}

// Writer is described at drivers.Driver.
func (c *Driver) Writer(ctx context.Context, key string, size int64) (drivers.Writer, error) {
	c.count("writer", key)
	w, err := c.d.Writer(ctx, key, size)
	if err != nil {
		return nil, err
	}
	return &writer{Writer: w, c: c, key: key}, nil
}

// Resume is described at drivers.Driver.
func (c *Driver) Resume(ctx context.Context, key string, state []byte) (drivers.Writer, error) {
	c.count("resume", key)
	w, err := c.d.Resume(ctx, key, state)
	if err != nil {
		return nil, err
	}
	return &writer{Writer: w, c: c, key: key}, nil
}

// Stat is described at drivers.Driver.
func (c *Driver) Stat(ctx context.Context, key string) (drivers.Info, error) {
	c.count("stat", key)
	return c.d.Stat(ctx, key)
}

// List is described at drivers.Driver.
func (c *Driver) List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
	return pages(c, "list", prefix, c.d.List(ctx, prefix, after, delimiter))
}

// pages counts a page for each so many of all.
func pages[T any](c *Driver, op, key string, all iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		c.count(op, key)
		n := 0
		for one, err := range all {
			if n > 0 && n%c.o.Page == 0 && err == nil {
				c.count(op, key)
			}
			n++
			if !yield(one, err) {
				return
			}
		}
	}
}

// Delete is described at drivers.Driver.
func (c *Driver) Delete(ctx context.Context, keys ...string) error {
	first := ""
	if len(keys) > 0 {
		first = keys[0]
	}
	c.count("delete", first)
	return c.d.Delete(ctx, keys...)
}

// Extras are those of the driver within, counted.
func (c *Driver) Extras() drivers.Extras {
	within := drivers.ExtrasOf(c.d)
	all := extras{c: c, within: within}
	var x drivers.Extras
	if within.Absent != nil {
		x.Absent = all
	}
	if within.Match != nil {
		x.Match = all
	}
	if within.Signer != nil {
		x.Signer = all
	}
	if within.Files != nil {
		x.Files = all
	}
	if within.Sweep != nil {
		x.Sweep = all
	}
	return x
}

// extras has all methods; Driver.Extras hands out those that the driver within has.
type extras struct {
	c      *Driver
	within drivers.Extras
}

func (x extras) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	x.c.count("putifabsent", key)
	return x.within.Absent.PutIfAbsent(ctx, key, body)
}

func (x extras) PutIfMatch(ctx context.Context, key string, body []byte, etag string) error {
	x.c.count("putifmatch", key)
	return x.within.Match.PutIfMatch(ctx, key, body, etag)
}

func (x extras) SignURL(ctx context.Context, key string, ttl time.Duration) (string, error) {
	x.c.count("signurl", key)
	return x.within.Signer.SignURL(ctx, key, ttl)
}

func (x extras) File(ctx context.Context, key string) (*os.File, drivers.Info, error) {
	x.c.count("file", key)
	return x.within.Files.File(ctx, key)
}

func (x extras) Leftovers(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
	return pages(x.c, "leftovers", "", x.within.Sweep.Leftovers(ctx))
}

func (x extras) Drop(ctx context.Context, l drivers.Leftover) error {
	x.c.count("drop", l.Key)
	return x.within.Sweep.Drop(ctx, l)
}

// writer counts what is asked of a Writer.
type writer struct {
	drivers.Writer
	c   *Driver
	key string
}

func (w *writer) Write(p []byte) (int, error) {
	w.c.count("write", w.key)
	return w.Writer.Write(p)
}

func (w *writer) Suspend(ctx context.Context) ([]byte, error) {
	w.c.count("suspend", w.key)
	return w.Writer.Suspend(ctx)
}

func (w *writer) Commit(ctx context.Context) error {
	w.c.count("commit", w.key)
	return w.Writer.Commit(ctx)
}

func (w *writer) Cancel(ctx context.Context) error {
	w.c.count("cancel", w.key)
	return w.Writer.Cancel(ctx)
}
