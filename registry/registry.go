// Package registry is what a container registry does: repositories, blobs, uploads, manifests,
// tags and referrers, kept in any drivers.Driver. It knows nothing of HTTP and nothing of any
// backend.
//
// Any number of processes may serve one store at once; docs/design.md has the protocols that
// keep them from losing anything, docs/storage-format.md the objects in the store.
package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/semaphore"

	"github.com/longshore-registry/longshore/drivers"
)

// formatVersion is the version of the storage format that this package reads and writes.
const formatVersion = 1

// Registry serves one store. It is safe for concurrent use.
type Registry struct {
	driver drivers.Driver
	extras drivers.Extras
	log    *slog.Logger
	now    func() time.Time

	maxManifest int64
	sparse      func(string) bool
	historyKeep time.Duration
	immutable   []ImmutableRule

	secret     []byte // of the cluster: signs upload sessions
	madeFormat bool   // the store had no format record
	reads      *reads
	shared     *sharedBlobs

	// What is cached can't become wrong, only unused: see the types.
	records   *otter.Cache[blobKey, knownBlob]
	manifests *otter.Cache[manifestID, *Manifest]
	holders   *otter.Cache[string, []string] // digest: repositories that had it; a hint for mounts
	tags      *otter.Cache[string, knownTag] // by key

	uploadLife   time.Duration
	uploadMemory *semaphore.Weighted
	pullMemory   shared
	buffers      sync.Pool // of *page
	pieces       pieces
	sessions     *otter.Cache[string, *liveUpload]
	steps        *otter.Cache[string, []byte] // objects under uploads/ that this process wrote just now

	trackPulls func(string) bool
	pulls      *otter.Cache[string, struct{}] // keys that this process wrote lately
	pullSlots  *semaphore.Weighted
	background sync.WaitGroup
}

type format struct {
	Version int    `json:"version"`
	Secret  []byte `json:"secret"`
}

// Open makes the store's format record if the store is new, and reads it. It costs two requests, whatever the
// store holds. A store written by a newer version is an error.
func Open(ctx context.Context, d drivers.Driver, o Options) (*Registry, error) {
	r := &Registry{
		driver:      d,
		extras:      drivers.ExtrasOf(d),
		log:         o.Log,
		now:         o.Now,
		maxManifest: cmp.Or(o.MaxManifest, 4<<20),
		sparse:      o.SparseIndexes,
		historyKeep: o.HistoryKeep,
		immutable:   o.Immutable,
		reads:       newReads(d),
		uploadLife:  cmp.Or(o.UploadLife, 24*time.Hour),
		trackPulls:  o.TrackPulls,
		pullSlots:   semaphore.NewWeighted(parallel),
	}
	r.buffers.New = func() any { return new(page) }
	if r.log == nil {
		r.log = slog.Default()
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.sparse == nil {
		r.sparse = func(string) bool { return false }
	}
	if r.trackPulls == nil {
		r.trackPulls = func(string) bool { return false }
	}
	r.uploadMemory = semaphore.NewWeighted(cmp.Or(o.UploadMemory, 64<<20))
	r.pullMemory.limit = cmp.Or(o.PullMemory, 64<<20)
	if err := r.makeCaches(uint64(cmp.Or(o.CacheMemory, 64<<20))); err != nil {
		return nil, err
	}
	if err := r.readFormat(ctx); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// quietClock tells caches the time, and does not wake them each second: what has expired is not returned, and makes room when something is put. Their
// size is bounded in any case.
type quietClock struct{ began time.Time }

func (c quietClock) NowNano() int64 { return int64(time.Since(c.began)) }

func (quietClock) Tick(time.Duration) <-chan time.Time { return nil }

func (r *Registry) makeCaches(memory uint64) error {
	const perRecord = 512 // bytes that an entry of the smaller caches takes, roughly
	var errs [8]error
	clock := quietClock{time.Now()}
	r.shared = &sharedBlobs{driver: r.driver, held: semaphore.NewWeighted(int64(max(memory/8, smallBlob))), under: map[string]*sharedRead{}}
	r.records, errs[0] = otter.New(&otter.Options[blobKey, knownBlob]{
		MaximumSize:      int(max(memory/8/perRecord, 64)),
		ExpiryCalculator: otter.ExpiryWriting[blobKey, knownBlob](time.Hour),
		Clock:            clock,
	})
	r.manifests, errs[1] = otter.New(&otter.Options[manifestID, *Manifest]{
		MaximumWeight: max(memory/4, 1<<20),
		Weigher:       func(_ manifestID, m *Manifest) uint32 { return uint32(len(m.raw) + perRecord) },
	})
	r.holders, errs[2] = otter.New(&otter.Options[string, []string]{MaximumSize: int(max(memory/16/perRecord, 64))})
	r.tags, errs[3] = otter.New(&otter.Options[string, knownTag]{
		MaximumWeight: max(memory/8, 64*perRecord),
		Weigher:       func(_ string, k knownTag) uint32 { return uint32(len(k.body) + perRecord) },
	})
	r.sessions, errs[4] = otter.New(&otter.Options[string, *liveUpload]{
		MaximumSize:      int(max(memory/8/(4*perRecord), 64)),
		ExpiryCalculator: otter.ExpiryWriting[string, *liveUpload](r.uploadLife),
		Clock:            clock,
	})
	r.steps, errs[5] = otter.New(&otter.Options[string, []byte]{
		MaximumWeight:    max(memory/8, 1<<20),
		Weigher:          func(_ string, b []byte) uint32 { return uint32(len(b) + perRecord) },
		ExpiryCalculator: otter.ExpiryWriting[string, []byte](time.Minute),
		Clock:            clock,
	})
	r.pulls, errs[6] = otter.New(&otter.Options[string, struct{}]{
		MaximumSize:      int(max(memory/16/perRecord, 64)),
		ExpiryCalculator: otter.ExpiryWriting[string, struct{}](pullTime),
		Clock:            clock,
	})
	r.shared.kept, errs[7] = otter.New(&otter.Options[string, *sharedRead]{
		MaximumWeight: max(memory/8, smallBlob),
		Weigher:       func(_ string, s *sharedRead) uint32 { return uint32(s.blob.Size + perRecord) },
	})
	return errors.Join(errs[:]...)
}

func (r *Registry) readFormat(ctx context.Context) error {
	o, err := r.reads.get(ctx, formatKey)
	if errors.Is(err, drivers.ErrNotFound) {
		body, err := newFormat()
		if err != nil {
			return err
		}
		err = r.putIfAbsent(ctx, formatKey, body)
		if err != nil && !errors.Is(err, drivers.ErrExists) {
			return fmt.Errorf("cannot begin a new store: %w", err)
		}
		r.madeFormat = err == nil
		o, err = r.reads.get(ctx, formatKey)
		if err != nil {
			return fmt.Errorf("cannot read back the new store's format: %w", err)
		}
	} else if err != nil {
		return fmt.Errorf("cannot read the store's format: %w", err)
	}
	f, err := decodeFormat(o.body)
	if err != nil {
		return err
	}
	r.secret = f.Secret
	return r.probeAbsent(ctx, o.body)
}

// newFormat is a format record with a secret of its own.
func newFormat() ([]byte, error) {
	return json.Marshal(format{Version: formatVersion, Secret: []byte(nonce())})
}

// leastSecret is the length in bytes below which a secret is none.
const leastSecret = 16

func decodeFormat(body []byte) (format, error) {
	var f format
	if err := json.Unmarshal(body, &f); err != nil || f.Version < 1 || f.Version == formatVersion && len(f.Secret) < leastSecret {
		return format{}, fmt.Errorf("the object %q in the store is not one of longshore's: is this the right bucket, folder or prefix? (%w)", formatKey, cmp.Or(err, drivers.ErrCorrupt))
	}
	if f.Version > formatVersion {
		return format{}, fmt.Errorf("the store has format %d, this version of longshore knows %d: use a newer one", f.Version, formatVersion)
	}
	return f, nil
}

// probeAbsent finds out whether the store heeds put-if-absent, by offering it the format record
// once more: a store that ignores the condition writes the same bytes again.
func (r *Registry) probeAbsent(ctx context.Context, body []byte) error {
	if r.extras.Absent == nil {
		r.warnOfRules()
		r.log.Warn("the store has no put-if-absent: run one collector only, see docs/design.md")
		return nil
	}
	err := r.extras.Absent.PutIfAbsent(ctx, formatKey, body)
	switch {
	case errors.Is(err, drivers.ErrExists):
		return nil
	case err == nil:
		r.extras.Absent = nil
		r.warnOfRules()
		r.log.Warn("the store ignores put-if-absent: run one collector only, see docs/design.md")
		return nil
	case errors.Is(err, drivers.ErrReadOnly), errors.Is(err, drivers.ErrDenied):
		r.log.Warn("the store takes no writes: pulls work, pushes will be refused", "err", err)
		return nil
	}
	return fmt.Errorf("cannot write to the store: %w", err)
}

// Close ends what Open started in the background. The driver stays open.
func (r *Registry) Close() {
	r.background.Wait()
	r.pulls.StopAllGoroutines()
	r.records.StopAllGoroutines()
	r.manifests.StopAllGoroutines()
	r.holders.StopAllGoroutines()
	r.tags.StopAllGoroutines()
	r.sessions.StopAllGoroutines()
	r.steps.StopAllGoroutines()
	r.shared.kept.StopAllGoroutines()
}

// Ready reads one object, to see that the store answers.
func (r *Registry) Ready(ctx context.Context) error {
	_, err := r.reads.get(ctx, formatKey)
	return err
}

// putIfAbsent is atomic where the store can; elsewhere it looks before it writes.
func (r *Registry) putIfAbsent(ctx context.Context, key string, body []byte) error {
	if r.extras.Absent != nil {
		return r.extras.Absent.PutIfAbsent(ctx, key, body)
	}
	if _, err := r.driver.Stat(ctx, key); err == nil {
		return &drivers.Error{Op: "put if absent", Driver: "registry", Key: key, Kind: drivers.ErrExists}
	} else if !errors.Is(err, drivers.ErrNotFound) {
		return err
	}
	return r.driver.Put(ctx, key, body)
}

// putIfMatch is atomic where the store can; elsewhere it looks before it writes.
func (r *Registry) putIfMatch(ctx context.Context, key string, body []byte, etag string) error {
	if r.extras.Match != nil {
		return r.extras.Match.PutIfMatch(ctx, key, body, etag)
	}
	info, err := r.driver.Stat(ctx, key)
	if errors.Is(err, drivers.ErrNotFound) || err == nil && info.ETag != etag {
		return &drivers.Error{Op: "put if match", Driver: "registry", Key: key, Kind: drivers.ErrPrecondition}
	} else if err != nil {
		return err
	}
	return r.driver.Put(ctx, key, body)
}

// MaxManifest is the size in bytes up to which a manifest is taken.
func (r *Registry) MaxManifest() int64 { return r.maxManifest }
