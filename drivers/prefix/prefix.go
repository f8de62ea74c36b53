// Package prefix puts a whole store below one prefix of another, so that a bucket can be shared.
package prefix

import (
	"context"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// New returns a driver whose key "a" is the key prefix + "/a" of d. The keys in errors are those of d.
// With an empty prefix it returns d. The error, of kind drivers.ErrInvalid, says why prefix can't begin a key.
func New(d drivers.Driver, prefix string) (drivers.Driver, error) {
	if prefix == "" {
		return d, nil
	}
	if err := drivers.CheckKey("prefix", "new", prefix); err != nil {
		return nil, err
	}
	return &driver{d: d, prefix: prefix + "/"}, nil
}

type driver struct {
	d      drivers.Driver
	prefix string // with the slash
}

// A bad key stays bad with the prefix before it, so d refuses it.

func (p *driver) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	return p.d.Reader(ctx, p.prefix+key, offset, length)
}

func (p *driver) Put(ctx context.Context, key string, body []byte) error {
	return p.d.Put(ctx, p.prefix+key, body)
}

func (p *driver) Writer(ctx context.Context, key string, size int64) (drivers.Writer, error) {
	return p.d.Writer(ctx, p.prefix+key, size)
}

func (p *driver) Resume(ctx context.Context, key string, state []byte) (drivers.Writer, error) {
	return p.d.Resume(ctx, p.prefix+key, state)
}

func (p *driver) Stat(ctx context.Context, key string) (drivers.Info, error) {
	return p.d.Stat(ctx, p.prefix+key)
}

func (p *driver) List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
	if after != "" {
		after = p.prefix + after
	}
	return func(yield func(drivers.Entry, error) bool) {
		for e, err := range p.d.List(ctx, p.prefix+prefix, after, delimiter) {
			e.Key = strings.TrimPrefix(e.Key, p.prefix)
			if !yield(e, err) {
				return
			}
		}
	}
}

func (p *driver) Delete(ctx context.Context, keys ...string) error {
	full := make([]string, len(keys))
	for i, key := range keys {
		full[i] = p.prefix + key
	}
	return p.d.Delete(ctx, full...)
}

// Extras are those of the driver within.
func (p *driver) Extras() drivers.Extras {
	within := drivers.ExtrasOf(p.d)
	all := extras{prefix: p.prefix, within: within}
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

// extras has all methods; driver.Extras hands out those that the driver within has.
type extras struct {
	prefix string
	within drivers.Extras
}

func (x extras) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	return x.within.Absent.PutIfAbsent(ctx, x.prefix+key, body)
}

func (x extras) PutIfMatch(ctx context.Context, key string, body []byte, etag string) error {
	return x.within.Match.PutIfMatch(ctx, x.prefix+key, body, etag)
}

func (x extras) SignURL(ctx context.Context, key string, ttl time.Duration) (string, error) {
	return x.within.Signer.SignURL(ctx, x.prefix+key, ttl)
}

func (x extras) File(ctx context.Context, key string) (*os.File, drivers.Info, error) {
	return x.within.Files.File(ctx, x.prefix+key)
}

// Leftovers leaves out those whose key the driver within can't tell: they may be another prefix's.
func (x extras) Leftovers(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
	return func(yield func(drivers.Leftover, error) bool) {
		for l, err := range x.within.Sweep.Leftovers(ctx) {
			var ours bool
			if l.Key, ours = strings.CutPrefix(l.Key, x.prefix); !ours && err == nil {
				continue
			}
			if !yield(l, err) {
				return
			}
		}
	}
}

func (x extras) Drop(ctx context.Context, l drivers.Leftover) error {
	l.Key = x.prefix + l.Key
	return x.within.Sweep.Drop(ctx, l)
}
