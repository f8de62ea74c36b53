package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// ErrCollecting is returned by Collect while another process collects.
var ErrCollecting = errors.New("another process collects garbage in this store now")

// ErrRefused is in the error of a Collect that went on to its end although the store failed to do something,
// such as a deletion. What it was is in the report.
var ErrRefused = errors.New("the store refused a part of the collection")

// ErrSole is returned by Collect on a store where CollectOptions.Sole has to be set.
var ErrSole = errors.New("this store has no put-if-absent and put-if-match, so collectors can't see each other: make sure that only one ever runs")

// CollectOptions are the settings of a collection. The zero value of each field means its default.
type CollectOptions struct {
	// Grace is how long what nothing refers to is kept. Default, and least: LeftoverAge of the uploads' life, so
	// that no upload under way can lose what it has written.
	Grace time.Duration

	// Untagged is how long ago a manifest has to have been pushed before it is removed if no tag leads to it, neither directly nor by an index
	// that names it nor by the subject that it refers to. 0: such manifests stay.
	Untagged time.Duration

	// Retention says which tags are removed; the first rule for a repository counts.
	Retention []RetentionRule

	// Lag is how long a listing may miss what was written, on stores where listings are not consistent (Swift); 50 minutes at most. The
	// collection waits that long between announcing and looking again, and adds it to Grace.
	Lag time.Duration

	// Sole says that no other collector runs, ever. It is needed on stores without put-if-absent and put-if-match,
	// where collectors can't see each other.
	Sole bool

	// DryRun removes nothing and writes nothing. Ages are then by this machine's clock.
	DryRun bool

	// Memory bounds the bytes that the digests of all linked blobs take, 8 for each; what does not fit
	// costs another listing of the links. Default 64 MiB, which are 8 million blobs.
	Memory int64

	// By is how announcements name this process, for people.
	By string

	// Removed is told of each thing that was removed, or would be in a dry run. It is called by one goroutine at a time.
	Removed func(Removal)

	// Progress is told how far the collection is, at each batch. It is called by one goroutine at a time.
	Progress func(CollectProgress)
}

// RemovalKind is what sort of thing was removed.
type RemovalKind string

// The kinds of things that a collection removes.
const (
	RemovedTag          RemovalKind = "tag"          // by a retention rule
	RemovedManifest     RemovalKind = "manifest"     // no tag leads to it
	RemovedEntry        RemovalKind = "entry"        // of a referrer or of an index that is not there
	RemovedRepository   RemovalKind = "repository"   // the line in the catalogue of one that is empty
	RemovedLink         RemovalKind = "link"         // a repository's to a blob
	RemovedBlob         RemovalKind = "blob"         // record and bytes
	RemovedData         RemovalKind = "data"         // bytes that no record names
	RemovedUpload       RemovalKind = "upload"       // a step of an abandoned session
	RemovedLeftover     RemovalKind = "leftover"     // a stream that was begun and not ended
	RemovedAnnouncement RemovalKind = "announcement" // of a collection that did not end
)

// Removal is one thing that was removed, or failed to be.
type Removal struct {
	Kind   RemovalKind `json:"kind"`
	Key    string      `json:"key"`
	Reason string      `json:"reason"`
	Bytes  int64       `json:"bytes"`           // freed, as the store measured them before; 0 where it is only a small object
	Err    error       `json:"error,omitempty"` // why it is still there
}

// CollectProgress is how far a collection is.
type CollectProgress struct {
	Phase   string // what is done now, for people
	Seen    int64  // keys listed in this phase
	Removed int    // things so far, of all kinds
	Bytes   int64  // freed so far
}

// Tally counts removals of one kind.
type Tally struct {
	Count int   `json:"count"`
	Bytes int64 `json:"bytes"`
}

// CollectReport is the outcome of a collection.
type CollectReport struct {
	Began   time.Time             `json:"began"` // by the store's clock
	DryRun  bool                  `json:"dryRun"`
	Removed map[RemovalKind]Tally `json:"removed"`
	Failed  int                   `json:"failed"` // removals that the store refused, and other failures
	Bytes   int64                 `json:"bytes"`  // freed
	Listed  int64                 `json:"listed"` // keys that were listed
	Notes   []string              `json:"notes,omitempty"`
}

// collector is a collection under way.
type collector struct {
	*Registry
	o     CollectOptions
	began time.Time // the store's clock when the collection began
	lease *lease    // nil in a dry run

	relist    time.Duration   // how long it took to list all links, the last time
	bounds    bounds          // of the listing of repos/
	reposRuns []string        // see settledRepos
	would     map[string]bool // links that a dry run would have removed
	unread    []string        // notes of earlier collections that can't be read

	mu     sync.Mutex // guards what follows
	report CollectReport
	errs   []error
	phase  string
	seen   int64
}

// Collect removes what nothing refers to any more, while any number of processes push; docs/design.md has the protocol. One process
// collects at a time: ErrCollecting if another does. A collection that is broken off by ctx or a crash leaves nothing wrong; the
// next one goes on. What the store refuses is counted in the report and, when all else is done, in an error that has ErrRefused.
func (r *Registry) Collect(ctx context.Context, o CollectOptions) (CollectReport, error) {
	least := LeftoverAge(r.uploadLife)
	o.Grace = cmp.Or(o.Grace, least)
	o.Memory = cmp.Or(o.Memory, 64<<20)
	o.By = strings.TrimSpace(o.By + " " + nonce()) // so that nobody else has the same
	if o.Grace < least {
		return CollectReport{}, fmt.Errorf("the grace period has to be %v at least: uploads live for %v, and what began in their last minute may go on", least, r.uploadLife)
	}
	if o.Lag > longestLag {
		return CollectReport{}, fmt.Errorf("listings that lag by %v can't be waited for: %v is the most, since pushes wait with the collection", o.Lag, longestLag)
	}
	if !o.Sole && (r.extras.Absent == nil || r.extras.Match == nil) {
		return CollectReport{}, ErrSole
	}
	o.Grace += o.Lag
	c := &collector{Registry: r, o: o, would: map[string]bool{}, report: CollectReport{DryRun: o.DryRun, Removed: map[RemovalKind]Tally{}}}
	if o.Lag > 0 {
		c.report.Notes = append(c.report.Notes, fmt.Sprintf("listings of this store may lag: what nothing refers to is kept for %v, and each step waits %v", o.Grace, o.Lag))
	}
	if err := c.begin(ctx); err != nil {
		return c.report, err
	}
	err := c.run(ctx)
	c.end(ctx)
	if err == nil && c.report.Failed > 0 {
		err = fmt.Errorf("%w: %w", ErrRefused, errors.Join(c.errs...))
	}
	return c.report, err
}

// run does the parts one after the other: what refers to something goes before that.
func (c *collector) run(ctx context.Context) error {
	for _, part := range []struct {
		phase string
		do    func(context.Context) error
	}{
		{"finishing what an earlier collection left", c.recover},
		{"removing abandoned uploads", c.collectUploads},
		{"looking through repositories", c.collectRepositories},
		{"looking for blobs that no repository has", c.collectBlobs},
		{"looking for data that no blob has", c.collectData},
	} {
		c.enter(part.phase)
		if err := part.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.phase, err)
		}
	}
	return nil
}

// mostErrors is how many failures a collection goes on after; more mean that the store does not work.
const mostErrors = 100

func (c *collector) enter(phase string) {
	c.mu.Lock()
	c.phase, c.seen = phase, 0
	c.mu.Unlock()
	c.tell()
}

// tell calls Progress.
func (c *collector) tell() {
	if c.o.Progress == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p := CollectProgress{Phase: c.phase, Seen: c.seen, Bytes: c.report.Bytes}
	for _, t := range c.report.Removed {
		p.Removed += t.Count
	}
	c.o.Progress(p)
}

// saw counts listed keys, and keeps the lease.
func (c *collector) saw(ctx context.Context, n int64) error {
	const tellEach = 10_000
	c.mu.Lock()
	before := c.seen
	c.seen += n
	c.report.Listed += n
	after := c.seen
	c.mu.Unlock()
	if before/tellEach != after/tellEach {
		c.tell()
	}
	return c.lease.keep(ctx)
}

// removed reports things that are gone, or would be, or that failed with Err.
func (c *collector) removed(all ...Removal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range all {
		if r.Err != nil {
			c.failed(r.Err)
			r.Bytes = 0
		} else {
			t := c.report.Removed[r.Kind]
			t.Count++
			t.Bytes += r.Bytes
			c.report.Removed[r.Kind] = t
			c.report.Bytes += r.Bytes
		}
		if c.o.Removed != nil {
			c.o.Removed(r)
		}
	}
}

// fail notes a failure after which the collection goes on.
func (c *collector) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed(err)
}

// failed is fail where c.mu is held.
func (c *collector) failed(err error) {
	const shown = 10
	if c.report.Failed++; len(c.errs) < shown {
		c.errs = append(c.errs, err)
	}
}

// failures counts what has failed.
func (c *collector) failures() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.report.Failed
}

// remark adds to the report what is no failure.
func (c *collector) remark(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Notes = append(c.report.Notes, fmt.Sprintf(format, args...))
}

// broken is an error once so much has failed that it makes no sense to go on.
func (c *collector) broken() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.report.Failed < mostErrors {
		return nil
	}
	return fmt.Errorf("%d things failed: %w", c.report.Failed, errors.Join(c.errs...))
}

// old reports whether something of that time has outlived the grace period.
func (c *collector) old(t time.Time) bool { return t.Before(c.began.Add(-c.o.Grace)) }

// errNoTime is why a deletion was not tried: the announcement would have ended before it.
var errNoTime = errors.New("the time to delete it ran out")

// surelyThere reports whether a deletion that failed so can't have its effect later.
func surelyThere(err error) bool {
	if one := (*drivers.Error)(nil); asError(err, &one) {
		return one.Kind == drivers.ErrDenied || one.Kind == drivers.ErrReadOnly
	}
	return errors.Is(err, errNoTime)
}

// deleteKeys deletes in batches, some side by side. It returns why each key that was not surely deleted was not. What can't be done before the
// context's deadline is not begun.
func (c *collector) deleteKeys(ctx context.Context, keys []string) map[string]error {
	const batch, sideBySide = 1000, 4
	const least = 5 * time.Second // for one batch
	failed := map[string]error{}
	var mu sync.Mutex
	fail := func(keys []string, err error) {
		mu.Lock()
		defer mu.Unlock()
		for _, key := range keys {
			failed[key] = err
		}
	}
	var g errgroup.Group
	g.SetLimit(sideBySide)
	for some := range slices.Chunk(keys, batch) {
		g.Go(func() error {
			if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < least {
				fail(some, errNoTime)
				return nil
			}
			err := c.driver.Delete(ctx, some...)
			named := map[string]error{}
			switch {
			case err == nil:
			case ctx.Err() != nil || !nameFailures(err, named):
				fail(some, fmt.Errorf("one of %d deletions: %w", len(some), err))
			default:
				mu.Lock()
				defer mu.Unlock()
				maps.Copy(failed, named)
			}
			return nil
		})
	}
	_ = g.Wait() // what failed is in failed
	return failed
}

// nameFailures collects the errors that Delete joined by their keys. It reports false if one has no key.
func nameFailures(err error, named map[string]error) bool {
	if one := (*drivers.Error)(nil); asError(err, &one) {
		if one.Key == "" {
			return false
		}
		named[one.Key] = one
		return true
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			if !nameFailures(e, named) {
				return false
			}
		}
		return true
	}
	if e := errors.Unwrap(err); e != nil {
		return nameFailures(e, named)
	}
	return false
}

// asError is errors.As without a look at what err joins.
func asError(err error, target **drivers.Error) bool {
	e, ok := err.(*drivers.Error)
	*target = e
	return ok
}
