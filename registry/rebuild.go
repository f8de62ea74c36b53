package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
)

// RebuildOptions are the settings of a Rebuild. The zero value of each field means its default.
type RebuildOptions struct {
	// Offline says that nothing else uses the store: neither a registry nor a collector, and no upload that was begun before goes on after.
	// Without it, data so young that an upload may be about to name it is left alone, and so is what a collection that was broken off
	// is about to delete.
	Offline bool

	// AllData hashes all data that no record names, not only what has the size of a blob that is missing. It finds blobs whose size the
	// manifests have wrong, and those that no manifest names but a link.
	AllData bool

	// DryRun writes nothing, and hashes all the same.
	DryRun bool

	// Sole says that no collection begins meanwhile. It is needed on stores without put-if-absent and put-if-match.
	Sole bool

	// Lag is how long a listing may miss what was written; see CollectOptions.
	Lag time.Duration

	// By is how the lease names this process, for people.
	By string

	// Rebuilt is told of each thing that was put back or removed, or would be in a dry run. It is called by one goroutine at a time.
	Rebuilt func(Rebuilt)

	// Incomplete is told at the end of each image that still lacks something. It is called by one goroutine at a time.
	Incomplete func(IncompleteImage)

	// Progress is told how far it is, at each batch. It is called by one goroutine at a time.
	Progress func(RebuildProgress)
}

// RebuiltKind is what sort of thing was put back.
type RebuiltKind string

// The kinds of things that a Rebuild puts back.
const (
	RebuiltFormat     RebuiltKind = "format"     // the store's format record
	RebuiltRepository RebuiltKind = "repository" // the line in the catalogue
	RebuiltReferrer   RebuiltKind = "referrer"   // an entry among the referrers of a manifest
	RebuiltParent     RebuiltKind = "parent"     // an entry that says that an index names a manifest
	RebuiltLink       RebuiltKind = "link"       // a repository's to a blob
	RebuiltBlob       RebuiltKind = "blob"       // the record that names a blob's bytes
	RebuiltStale      RebuiltKind = "stale"      // an entry of what is not there, which was removed
)

// Rebuilt is one thing that was put back or removed, or failed to be.
type Rebuilt struct {
	Kind   RebuiltKind `json:"kind"`
	Key    string      `json:"key"`
	Reason string      `json:"reason"`
	Bytes  int64       `json:"bytes"` // of the blob whose record it is
	Err    error       `json:"-"`     // why it is not done
}

// IncompleteImage is a manifest that can't be pulled whole.
type IncompleteImage struct {
	Repository string          `json:"repository"`
	Manifest   digest.Digest   `json:"manifest"`
	Tags       []string        `json:"tags"`                // that point at it, or at an index that names it
	Blobs      []digest.Digest `json:"blobs,omitempty"`     // that are missing
	Children   []digest.Digest `json:"manifests,omitempty"` // of an index, that are missing
}

// RebuildProgress is how far a Rebuild is.
type RebuildProgress struct {
	Phase  string // what is done now, for people
	Seen   int64  // keys listed in this phase
	Done   int    // things put back or removed so far
	Hashed int64  // bytes read so far to learn their digests
}

// RebuildReport is the outcome of a Rebuild.
type RebuildReport struct {
	Began      time.Time           `json:"began"` // by the store's clock
	DryRun     bool                `json:"dryRun"`
	Done       map[RebuiltKind]int `json:"done"`
	Failed     int                 `json:"failed"`     // what the store refused, and what can't be read
	Missing    int                 `json:"missing"`    // blobs that manifests name and that are not found
	Incomplete int                 `json:"incomplete"` // manifests that lack something
	Listed     int64               `json:"listed"`     // keys
	Hashed     int64               `json:"hashed"`     // bytes that were read to learn their digests
	Objects    int                 `json:"objects"`    // how many objects those were
	Young      int                 `json:"young"`      // objects that could be what is missing, and are left since an upload may name them
	Condemned  int                 `json:"condemned"`  // likewise, since a collection that was broken off is about to delete them
	Notes      []string            `json:"notes,omitempty"`
}

// Whole reports whether all images are complete and nothing failed.
func (r RebuildReport) Whole() bool { return r.Failed == 0 && r.Incomplete == 0 }

// rebuilder is a Rebuild under way. Of a collector it has the lease, the counting of keys and failures, and the announcements.
type rebuilder struct {
	*collector
	o RebuildOptions

	recorded  *numberSet // the blobs that have a record
	catalogue *nameSet   // the repositories that have a line

	mu      sync.Mutex // guards what follows; never held while the collector's is taken
	report  RebuildReport
	missing map[digest.Digest]*missingBlob
	sizes   map[int64]int // how many missing blobs have each size
	wanted  int           // missing blobs that are not found, those of unknown size included
	want512 int           // those of them whose digest is a sha512
	lacking []*lackingManifest
	lines   []string // repositories whose lines were put back

	ending sync.Mutex // held while upload sessions are ended
	ended  bool
}

// Rebuild puts back what can be learnt from manifests and data: the lines of the catalogue, the entries of referrers and of indexes, the records and
// the links of blobs that manifests name. docs/rebuild.md says what it trusts. Clients may push and pull meanwhile; ErrCollecting while
// a collection runs. It can be broken off and run again at any time, and then does what is left. What the store refuses is counted in the report and, when all else
// is done, in an error that has ErrRefused. That something is still missing is no error: see RebuildReport.Whole.
//
// It holds in memory 8 bytes for each record, about 400 for each blob that is missing and each manifest that lacks one, and what the
// keys of four repositories take.
func (r *Registry) Rebuild(ctx context.Context, o RebuildOptions) (RebuildReport, error) {
	if !o.Sole && !o.Offline && (r.extras.Absent == nil || r.extras.Match == nil) {
		return RebuildReport{}, ErrSole
	}
	o.By = strings.TrimSpace(o.By + " " + nonce()) // so that nobody else has the same
	b := &rebuilder{o: o, missing: map[digest.Digest]*missingBlob{}, sizes: map[int64]int{}, recorded: allNumbers(), catalogue: newNameSet()}
	b.report.Done = map[RebuiltKind]int{}
	b.collector = &collector{
		Registry: r, would: map[string]bool{}, report: CollectReport{Removed: map[RemovalKind]Tally{}},
		o: CollectOptions{Grace: LeftoverAge(r.uploadLife) + o.Lag, Lag: o.Lag, By: o.By, DryRun: o.DryRun, Progress: b.progress},
	}
	if err := b.begin(ctx); err != nil {
		return b.summary(), err
	}
	err := b.run(ctx)
	b.end(ctx)
	report := b.summary()
	if err == nil && report.Failed > 0 {
		err = fmt.Errorf("%w: %w", ErrRefused, errors.Join(b.errs...))
	}
	return report, err
}

// run does the parts one after the other: what is needed to judge a repository before the repositories.
func (b *rebuilder) run(ctx context.Context) error {
	if b.madeFormat {
		b.rebuilt(Rebuilt{Kind: RebuiltFormat, Key: formatKey, Reason: "it was not there when the store was opened; uploads that were under way can't go on"})
	}
	if err := b.wait(ctx, b.o.Lag); err != nil {
		return err
	}
	for _, part := range []struct {
		phase string
		do    func(context.Context) error
	}{
		{"listing the records of blobs", b.listRecords},
		{"listing the catalogue", b.listCatalogue},
		{"looking through repositories", b.repositories},
		{"looking for the data of missing blobs", b.findData},
		{"linking what was found", b.linkFound},
		{"looking at what is missing still", b.judge},
	} {
		b.enter(part.phase)
		if err := part.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.phase, err)
		}
	}
	return nil
}

// summary is the report, with what the collector has counted.
func (b *rebuilder) summary() RebuildReport {
	b.collector.mu.Lock()
	defer b.collector.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	r, c := b.report, b.collector.report
	r.Began, r.DryRun, r.Failed, r.Listed = c.Began, b.o.DryRun, c.Failed, c.Listed
	r.Notes = append(r.Notes, c.Notes...)
	return r
}

// progress passes on what the collector tells.
func (b *rebuilder) progress(p CollectProgress) {
	if b.o.Progress == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	all := 0
	for _, n := range b.report.Done {
		all += n
	}
	b.o.Progress(RebuildProgress{Phase: p.Phase, Seen: p.Seen, Done: all, Hashed: b.report.Hashed})
}

// rebuilt reports a thing that is done, or would be, or that failed with Err.
func (b *rebuilder) rebuilt(one Rebuilt) {
	if one.Err != nil {
		b.fail(fmt.Errorf("%s %s: %w", one.Kind, one.Key, one.Err))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if one.Err == nil {
		b.report.Done[one.Kind]++
	}
	if b.o.Rebuilt != nil {
		b.o.Rebuilt(one)
	}
}

// put does one thing and reports it, unless act finds that somebody else was faster. What the store refuses is no error until there is too
// much of it.
func (b *rebuilder) put(ctx context.Context, one Rebuilt, act func(context.Context) error) error {
	if !b.o.DryRun {
		one.Err = act(ctx)
		if errors.Is(one.Err, drivers.ErrExists) || errors.Is(one.Err, drivers.ErrPrecondition) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if errors.Is(one.Err, ErrCollecting) {
			return one.Err
		}
	}
	b.rebuilt(one)
	return b.broken()
}

// listRecords learns which blobs have a record.
func (b *rebuilder) listRecords(ctx context.Context) error {
	for entry, err := range b.driver.List(ctx, "blobs/", "", "") {
		if err != nil {
			return err
		}
		if err := b.saw(ctx, 1); err != nil {
			return err
		}
		if d, ok := recordDigest(entry.Key); ok {
			b.recorded.add(digestNumber(d))
		}
	}
	b.recorded.sort()
	return nil
}

// listCatalogue learns which repositories have a line.
func (b *rebuilder) listCatalogue(ctx context.Context) error {
	for entry, err := range b.driver.List(ctx, catalogPrefix, "", "") {
		if err != nil {
			return err
		}
		if err := b.saw(ctx, 1); err != nil {
			return err
		}
		b.catalogue.add(catalogName(entry.Key))
	}
	return nil
}
