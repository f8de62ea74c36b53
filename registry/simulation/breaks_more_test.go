package simulation

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

func isHistory(key string) bool { return has(key, "/_history/") }

// seeNoAnnouncement lets a push look for announcements of a repository only before, or only after, it has put its tag.
func seeNoAnnouncement(tagged bool) func(drivers.Driver) drivers.Driver {
	return func(d drivers.Driver) drivers.Driver {
		b := breaking(d)
		b.wasPut = func(ctx context.Context, _, key string, _ []byte, _ error) {
			if a, _ := ctx.Value(actorKey{}).(*actor); isTag(key) && a != nil {
				a.mu.Lock()
				defer a.mu.Unlock()
				a.tagged = true
			}
		}
		b.onRead = func(ctx context.Context, key string) ([]byte, error, bool) {
			if !isDoing(pushing)(ctx) || !isRepoAnnouncement(key) {
				return nil, nil, false
			}
			a := ctx.Value(actorKey{}).(*actor)
			a.mu.Lock()
			defer a.mu.Unlock()
			return nil, &drivers.Error{Op: "reader", Driver: "broken", Key: key, Kind: drivers.ErrNotFound}, a.tagged == tagged
		}
		return b
	}
}

// seen is a store on which a collector sees other times and ETags than there are.
type seen struct {
	*broken
	info func(ctx context.Context, key string, i drivers.Info) drivers.Info
}

func (s seen) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	r, i, err := s.broken.Reader(ctx, key, offset, length)
	if err == nil && isCollector(ctx) {
		i = s.info(ctx, key, i)
	}
	return r, i, err
}

func (s seen) Stat(ctx context.Context, key string) (drivers.Info, error) {
	i, err := s.broken.Stat(ctx, key)
	if err == nil && isCollector(ctx) {
		i = s.info(ctx, key, i)
	}
	return i, err
}

func (s seen) List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
	return func(yield func(drivers.Entry, error) bool) {
		for e, err := range s.broken.List(ctx, prefix, after, delimiter) {
			if err == nil && !e.IsPrefix && isCollector(ctx) {
				e.Info = s.info(ctx, e.Key, e.Info)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// recordNotCompared lets a collector take whatever record is there for the one that it has listed.
func recordNotCompared(d drivers.Driver) drivers.Driver {
	b := breaking(d)
	var mu sync.Mutex
	listed := map[string]drivers.Info{}
	b.listed = func(ctx context.Context, prefix string, all []drivers.Entry) {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range all {
			if isCollector(ctx) && isRecord(e.Key) {
				listed[e.Key] = e.Info
			}
		}
	}
	return recordAsListed{b, &mu, listed}
}

type recordAsListed struct {
	*broken
	mu     *sync.Mutex
	listed map[string]drivers.Info
}

func (r recordAsListed) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	body, i, err := r.broken.Reader(ctx, key, offset, length)
	if err == nil && isCollector(ctx) && isRecord(key) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if was, ok := r.listed[key]; ok {
			i.ETag, i.ModTime = was.ETag, was.ModTime
		}
	}
	return body, i, err
}

// youngData shows a collector data that is older than all else.
func youngData(d drivers.Driver) drivers.Driver {
	return seen{breaking(d), func(_ context.Context, key string, i drivers.Info) drivers.Info {
		if !isData(key) {
			i.ModTime = i.ModTime.Add(4 * grace)
		}
		return i
	}}
}

// historyLate writes the history of a tag when that has been changed.
func historyLate(d drivers.Driver) drivers.Driver {
	b := breaking(d)
	var mu sync.Mutex
	late := map[string]map[string][]byte{} // by tag's key
	tagOf := func(key string) string {
		repo, rest, _ := strings.Cut(key, "/_history/")
		tag, _, _ := strings.Cut(rest, "/")
		return repo + "/_tags/" + tag
	}
	b.onPut = func(ctx context.Context, _, key string, body []byte) (error, bool) {
		if !isHistory(key) || !isClient(ctx) {
			return nil, false
		}
		mu.Lock()
		defer mu.Unlock()
		if late[tagOf(key)] == nil {
			late[tagOf(key)] = map[string][]byte{}
		}
		late[tagOf(key)][key] = slices.Clone(body)
		return nil, true
	}
	b.wasPut = func(ctx context.Context, _, key string, _ []byte, _ error) { flushLate(ctx, d, &mu, late, key) }
	return afterDelete{b, func(ctx context.Context, key string) { flushLate(ctx, d, &mu, late, key) }}
}

func flushLate(ctx context.Context, d drivers.Driver, mu *sync.Mutex, late map[string]map[string][]byte, tag string) {
	mu.Lock()
	held := late[tag]
	delete(late, tag)
	mu.Unlock()
	for key, body := range held {
		_ = d.Put(ctx, key, body)
	}
}

// afterDelete is told of each key that was deleted.
type afterDelete struct {
	*broken
	was func(ctx context.Context, key string)
}

func (a afterDelete) Delete(ctx context.Context, keys ...string) error {
	err := a.broken.Delete(ctx, keys...)
	for _, key := range keys {
		a.was(ctx, key)
	}
	return err
}

// identityKept lets a collector believe that it has given manifests another identity.
func identityKept(d drivers.Driver) drivers.Driver {
	b := breaking(d)
	var mu sync.Mutex
	renewed := map[string][]byte{}
	b.onPut = func(ctx context.Context, op, key string, body []byte) (error, bool) {
		if op != "putifmatch" || !isManifest(key) || !isCollector(ctx) {
			return nil, false
		}
		mu.Lock()
		defer mu.Unlock()
		renewed[key] = slices.Clone(body)
		return nil, true
	}
	b.onRead = func(ctx context.Context, key string) ([]byte, error, bool) {
		mu.Lock()
		defer mu.Unlock()
		body, ok := renewed[key]
		return body, nil, ok && isCollector(ctx)
	}
	return seen{b, func(_ context.Context, key string, i drivers.Info) drivers.Info {
		mu.Lock()
		defer mu.Unlock()
		if renewed[key] != nil {
			i.ETag = "made up"
		}
		return i
	}}
}

// stateChanged changes what a collection leaves for the next one.
func stateChanged(change func(state map[string]any)) func(drivers.Driver) drivers.Driver {
	return func(d drivers.Driver) drivers.Driver { return changing{breaking(d), change} }
}

type changing struct {
	*broken
	change func(map[string]any)
}

func (c changing) Extras() drivers.Extras { return drivers.Extras{Absent: c, Match: c, Sweep: c.sweep} }

func (c changing) changed(key string, body []byte) []byte {
	state := map[string]any{}
	if key != "gc/state" || json.Unmarshal(body, &state) != nil {
		return body
	}
	c.change(state)
	now, err := json.Marshal(state)
	if err != nil {
		return body
	}
	return now
}

func (c changing) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	return c.broken.PutIfAbsent(ctx, key, c.changed(key, body))
}

func (c changing) PutIfMatch(ctx context.Context, key string, body []byte, etag string) error {
	return c.broken.PutIfMatch(ctx, key, c.changed(key, body), etag)
}

// matchIgnored is a store that does not compare tags.
func matchIgnored(d drivers.Driver) drivers.Driver { return comparing{breaking(d)} }

type comparing struct{ *broken }

func (c comparing) Extras() drivers.Extras {
	return drivers.Extras{Absent: c.broken, Match: c, Sweep: c.sweep}
}

func (c comparing) PutIfMatch(ctx context.Context, key string, body []byte, etag string) error {
	if isTag(key) {
		return c.Put(ctx, key, body)
	}
	return c.broken.PutIfMatch(ctx, key, body, etag)
}

// unbounded lets deletions of a collector go on after its announcement.
func unbounded(d drivers.Driver) drivers.Driver { return patient{breaking(d)} }

type patient struct{ *broken }

func (p patient) Delete(ctx context.Context, keys ...string) error {
	if isCollector(ctx) {
		ctx = context.WithoutCancel(ctx)
	}
	return p.broken.Delete(ctx, keys...)
}

// blind shows a collector nothing of what matches.
func blind(which func(prefix string) bool) func(drivers.Driver) drivers.Driver {
	return func(d drivers.Driver) drivers.Driver {
		b := breaking(d)
		b.onList = func(ctx context.Context, prefix string) ([]drivers.Entry, bool) {
			return nil, isCollector(ctx) && which(prefix)
		}
		return b
	}
}

// farApart are clocks that differ by more than they may.
var farApart = []time.Duration{0, 5 * time.Minute, -5 * time.Minute}
