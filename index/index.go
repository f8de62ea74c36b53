// Package index is what a registry knows of its repositories for people: what was pushed last, by whom, how large it is, its description, labels
// and annotations, and how often the repository was pulled. Search is answered from memory.
//
//	ix := index.New(r, store, index.Options{})
//	go ix.Run(ctx)
//	ix.Pushed(index.Push{Repo: "team/app", Tag: "v1", Digest: d})
//	found := ix.Search(ctx, index.Query{Text: "team", Limit: 25})
//
// It is never in the path of a push or pull. These are noted in memory; every few seconds the objects of the repositories that have changed are
// written, with one object that carries them to the other replicas. What gets lost on the way, and what was pushed by another program, is
// found by comparing catalogue and index once an hour. docs/storage-format.md has the objects.
package index

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/registry"
)

// How often things are done. What was pushed to one replica is found on another after flushEvery and lookEvery at most.
const (
	flushEvery   = 5 * time.Second  // pushes are written
	pullsEvery   = 30 * time.Second // numbers of pulls are written; a crash loses those
	lookEvery    = 5 * time.Second  // a search looks for what other replicas wrote
	idleEvery    = 5 * time.Minute  // that is looked for without a search
	compareEvery = time.Hour        // index and catalogue are compared
	changesKept  = 15 * time.Minute // what was written is there for other replicas
	skew         = 2 * time.Minute  // by which the clocks of replicas may differ
	parallel     = 8                // requests to the store at once
	batch        = 200              // repositories that are written, and told of, together
	mostPending  = 100_000          // repositories whose changes wait for a store that is down
)

// Options are the settings of an Index. The zero value works.
type Options struct {
	Memory int64            // bytes of what is known of all repositories; default 64 MiB. What does not fit is not found
	Now    func() time.Time // default time.Now
	Log    *slog.Logger     // default slog.Default()
}

// Index is the index of one registry. It is safe for concurrent use.
type Index struct {
	registry *registry.Registry
	store    drivers.Driver
	extras   drivers.Extras
	now      func() time.Time
	log      *slog.Logger
	memory   int64

	pendingMu sync.Mutex
	pending   map[string]change

	mu         sync.RWMutex // for what follows; not held during requests to the store
	entries    map[string]*entry
	used       int64 // bytes of entries, about
	left       bool  // something did not fit
	complete   bool  // all of the index has been read once
	generation int   // of the comparison under way, or the last one

	looking sync.Mutex           // held while changes are looked for
	tried   time.Time            // the last time
	looked  time.Time            // the last time that it worked
	newest  time.Time            // of the changes that were read
	seen    map[string]time.Time // changes that were read, of the last while
	behind  chan struct{}        // changes may have been missed

	swept time.Time // when old changes were removed; for flush alone
}

// Push is a tag that was pushed.
type Push struct {
	Repo   string
	Tag    string
	Digest digest.Digest
	By     string // "" if unknown
}

// change is what happened to a repository and was not written yet.
type change struct {
	gone  bool // it was deleted, before what follows
	push  *Push
	at    time.Time // of the push
	pulls int64
	since time.Time
	anew  bool // all is to be found out again
}

// then is the change that c and a later one make together.
func (c change) then(later change) change {
	if later.gone {
		return later
	}
	if later.push != nil {
		c.push, c.at = later.push, later.at
	}
	c.pulls += later.pulls
	c.anew = c.anew || later.anew
	if c.since.IsZero() {
		c.since = later.since
	}
	return c
}

// New makes the index of the registry in a store. It asks nothing of the store; Run does.
func New(r *registry.Registry, store drivers.Driver, o Options) *Index {
	ix := &Index{
		registry: r, store: store, extras: drivers.ExtrasOf(store), now: o.Now, log: o.Log, memory: cmp.Or(o.Memory, 64<<20),
		pending: map[string]change{}, entries: map[string]*entry{}, seen: map[string]time.Time{}, behind: make(chan struct{}, 1),
	}
	if ix.now == nil {
		ix.now = time.Now
	}
	if ix.log == nil {
		ix.log = slog.Default()
	}
	ix.looked = ix.now()
	ix.newest = ix.looked
	ix.tried = ix.looked
	return ix
}

// Pushed notes a push. Tags that belong to another image are not told of. A nil Index notes nothing.
func (ix *Index) Pushed(p Push) {
	if ix == nil || registry.Attached(p.Tag) {
		return
	}
	now := ix.now().UTC()
	ix.note(p.Repo, change{push: &p, at: now})
	ix.sketch(p.Repo, now, p.By)
}

// Pulled notes that an image of a repository was pulled.
func (ix *Index) Pulled(repo string) {
	if ix != nil {
		ix.note(repo, change{pulls: 1})
	}
}

// Deleted notes that a repository was deleted as a whole.
func (ix *Index) Deleted(repo string) {
	if ix != nil {
		ix.note(repo, change{gone: true})
		ix.forget(repo, ix.now().UnixMilli())
	}
}

// Changed notes that tags of a repository, or all of it, were deleted or restored, so that another image may be the one that was pushed last.
func (ix *Index) Changed(repo string) {
	if ix != nil {
		ix.note(repo, change{anew: true})
	}
}

func (ix *Index) note(repo string, c change) {
	c.since = ix.now()
	ix.pendingMu.Lock()
	defer ix.pendingMu.Unlock()
	before, there := ix.pending[repo]
	if there || len(ix.pending) < mostPending {
		ix.pending[repo] = before.then(c)
	}
}

// takeDue takes the changes whose time has come, or all of them.
func (ix *Index) takeDue(all bool) map[string]change {
	now := ix.now()
	due := map[string]change{}
	ix.pendingMu.Lock()
	defer ix.pendingMu.Unlock()
	for repo, c := range ix.pending {
		if all || c.push != nil || c.gone || c.anew || now.Sub(c.since) >= pullsEvery {
			due[repo] = c
			delete(ix.pending, repo)
		}
	}
	return due
}

// putBack keeps a change for the next attempt.
func (ix *Index) putBack(repo string, c change) {
	ix.pendingMu.Lock()
	defer ix.pendingMu.Unlock()
	if later, there := ix.pending[repo]; there || len(ix.pending) < mostPending {
		ix.pending[repo] = c.then(later)
	}
}

// Run keeps the index until ctx ends; then it writes what is left, for ten seconds at most.
func (ix *Index) Run(ctx context.Context) {
	var comparing sync.WaitGroup
	comparing.Go(func() { ix.keepComparing(ctx) })
	flush, idle := time.NewTicker(flushEvery), time.NewTicker(idleEvery)
	defer flush.Stop()
	defer idle.Stop()
	for ctx.Err() == nil {
		select {
		case <-flush.C:
			ix.report("the index could not be written; it will be tried again", ix.flush(ctx, false))
		case <-idle.C:
			ix.report("the index could not be read", ix.look(ctx))
		case <-ctx.Done():
		}
	}
	comparing.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	ix.report("the index could not be written for the last time", ix.flush(last, true))
}

// keepComparing compares index and catalogue at once, every hour, and when changes may have been missed.
func (ix *Index) keepComparing(ctx context.Context) {
	tick := time.NewTicker(compareEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		_, err := ix.compare(ctx, false)
		ix.report("index and catalogue could not be compared", err)
		select {
		case <-tick.C:
		case <-ix.behind:
		case <-ctx.Done():
		}
	}
}

// Rebuild makes the index anew from tags, manifests and configs, beside processes that serve, which learn of it. Numbers of pulls are kept. It
// returns how many repositories it went through. A ctx that ends breaks it off; what was written stays.
func (ix *Index) Rebuild(ctx context.Context) (int, error) { return ix.compare(ctx, true) }

// report logs an error; that of a context that has ended, and of a store that takes no writes, is none.
func (ix *Index) report(what string, err error) {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, drivers.ErrReadOnly) {
		return
	}
	ix.log.Warn(what, "err", err)
}
