package simulation

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/longshore-registry/longshore/drivers"
)

// broken is a store through which a process breaks the protocol: calls are answered without having been made, or made in
// another order. A nil field leaves its calls as they are.
type broken struct {
	drivers.Driver
	absent drivers.AbsentPutter
	match  drivers.MatchPutter
	sweep  drivers.Sweeper

	onRead   func(ctx context.Context, key string) (answer []byte, err error, answered bool)
	onPut    func(ctx context.Context, op, key string, body []byte) (err error, answered bool)
	onStat   func(ctx context.Context, key string) (drivers.Info, bool)
	onDelete func(ctx context.Context, keys []string) (left []string, err error)
	onList   func(ctx context.Context, prefix string) ([]drivers.Entry, bool)
	listed   func(ctx context.Context, prefix string, all []drivers.Entry) // after a whole listing
	wasRead  func(ctx context.Context, key string, body []byte, err error)
	wasPut   func(ctx context.Context, op, key string, body []byte, err error)
}

func breaking(d drivers.Driver) *broken {
	e := drivers.ExtrasOf(d)
	return &broken{Driver: d, absent: e.Absent, match: e.Match, sweep: e.Sweep}
}

// Extras are those of the store, through this.
func (b *broken) Extras() drivers.Extras { return drivers.Extras{Absent: b, Match: b, Sweep: b.sweep} }

func (b *broken) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	if b.onRead != nil {
		if body, err, answered := b.onRead(ctx, key); answered {
			return io.NopCloser(strings.NewReader(string(body))), drivers.Info{Size: int64(len(body)), ETag: "made up"}, err
		}
	}
	r, info, err := b.Driver.Reader(ctx, key, offset, length)
	if b.wasRead != nil && (err == nil || errors.Is(err, drivers.ErrNotFound)) {
		var body []byte
		if err == nil {
			body, err = io.ReadAll(r)
			r = io.NopCloser(strings.NewReader(string(body)))
		}
		b.wasRead(ctx, key, body, err)
	}
	return r, info, err
}

func (b *broken) put(ctx context.Context, op, key string, body []byte, do func() error) error {
	if b.onPut != nil {
		if err, answered := b.onPut(ctx, op, key, body); answered || err != nil {
			return err
		}
	}
	err := do()
	if b.wasPut != nil {
		b.wasPut(ctx, op, key, body, err)
	}
	return err
}

func (b *broken) Put(ctx context.Context, key string, body []byte) error {
	return b.put(ctx, "put", key, body, func() error { return b.Driver.Put(ctx, key, body) })
}

func (b *broken) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	return b.put(ctx, "putifabsent", key, body, func() error { return b.absent.PutIfAbsent(ctx, key, body) })
}

func (b *broken) PutIfMatch(ctx context.Context, key string, body []byte, etag string) error {
	return b.put(ctx, "putifmatch", key, body, func() error { return b.match.PutIfMatch(ctx, key, body, etag) })
}

func (b *broken) Stat(ctx context.Context, key string) (drivers.Info, error) {
	if b.onStat != nil {
		if info, answered := b.onStat(ctx, key); answered {
			return info, nil
		}
	}
	return b.Driver.Stat(ctx, key)
}

func (b *broken) Delete(ctx context.Context, keys ...string) error {
	if b.onDelete != nil {
		left, err := b.onDelete(ctx, keys)
		if err != nil || len(left) == 0 {
			return err
		}
		keys = left
	}
	return b.Driver.Delete(ctx, keys...)
}

func (b *broken) List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
	if b.onList != nil {
		if all, answered := b.onList(ctx, prefix); answered {
			return func(yield func(drivers.Entry, error) bool) {
				for _, e := range all {
					if e.Key > after && !yield(e, nil) {
						return
					}
				}
			}
		}
	}
	if b.listed == nil {
		return b.Driver.List(ctx, prefix, after, delimiter)
	}
	return func(yield func(drivers.Entry, error) bool) {
		var all []drivers.Entry
		for e, err := range b.Driver.List(ctx, prefix, after, delimiter) {
			if err == nil {
				all = append(all, e)
			}
			if !yield(e, err) {
				return
			}
		}
		b.listed(ctx, prefix, all)
	}
}

func isCollector(ctx context.Context) bool { return isDoing(collecting)(ctx) }

func isClient(ctx context.Context) bool {
	a, _ := ctx.Value(actorKey{}).(*actor)
	return a != nil && !isCollector(ctx)
}

// isDoing reports whether a call belongs to such a request.
func isDoing(one ...string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		a, _ := ctx.Value(actorKey{}).(*actor)
		if a == nil {
			return false
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		return slices.Contains(one, a.doing)
	}
}

func has(key string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(key, p) })
}

func isRepoAnnouncement(key string) bool { return strings.HasSuffix(key, "/_condemned") }
func isBlobAnnouncement(key string) bool { return strings.HasPrefix(key, "condemned/") }
func isRecord(key string) bool           { return strings.HasPrefix(key, "blobs/") }
func isData(key string) bool             { return strings.HasPrefix(key, "data/") }
func isManifest(key string) bool         { return has(key, "/_manifests/") }
func isLink(key string) bool             { return has(key, "/_blobs/") }
func isTag(key string) bool              { return has(key, "/_tags/") }

// skipPut answers what a process puts without putting it.
func skipPut(who func(context.Context) bool, which func(op, key string) bool) func(drivers.Driver) drivers.Driver {
	return func(d drivers.Driver) drivers.Driver {
		b := breaking(d)
		b.onPut = func(ctx context.Context, op, key string, _ []byte) (error, bool) {
			return nil, who(ctx) && which(op, key)
		}
		return b
	}
}

// seeNothing answers reads of an object as if it were not there.
func seeNothing(who func(context.Context) bool, which func(key string) bool) func(drivers.Driver) drivers.Driver {
	return func(d drivers.Driver) drivers.Driver {
		b := breaking(d)
		b.onRead = func(ctx context.Context, key string) ([]byte, error, bool) {
			if !who(ctx) || !which(key) {
				return nil, nil, false
			}
			return nil, &drivers.Error{Op: "reader", Driver: "broken", Key: key, Kind: drivers.ErrNotFound}, true
		}
		return b
	}
}

const ownLeases = "gc/lease-of/"

// ownLease gives each collector a lease of its own: nothing may depend on that there is one. That breaks no protocol.
func ownLease(d drivers.Driver) drivers.Driver { return leasing{breaking(d)} }

type leasing struct{ *broken }

func (l leasing) key(ctx context.Context, key string) string {
	if a, _ := ctx.Value(actorKey{}).(*actor); key == "gc/lease" && a != nil {
		return ownLeases + strings.ReplaceAll(a.name, " ", "-")
	}
	return key
}

func (l leasing) Extras() drivers.Extras {
	return drivers.Extras{Absent: l, Match: l, Sweep: l.sweep}
}

func (l leasing) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	return l.broken.Reader(ctx, l.key(ctx, key), offset, length)
}

func (l leasing) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	return l.broken.PutIfAbsent(ctx, l.key(ctx, key), body)
}

func (l leasing) PutIfMatch(ctx context.Context, key string, body []byte, etag string) error {
	return l.broken.PutIfMatch(ctx, l.key(ctx, key), body, etag)
}

func (l leasing) Stat(ctx context.Context, key string) (drivers.Info, error) {
	return l.broken.Stat(ctx, l.key(ctx, key))
}

func (l leasing) Delete(ctx context.Context, keys ...string) error {
	own := slices.Clone(keys)
	for i := range own {
		own[i] = l.key(ctx, own[i])
	}
	return l.broken.Delete(ctx, own...)
}
