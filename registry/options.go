package registry

import (
	"log/slog"
	"time"
)

// Options are the settings of a Registry. The zero value of each field means its default.
type Options struct {
	// UploadLife is how long an upload session can be continued after its POST. Default 24 h.
	// It has to be shorter than the grace period of garbage collection.
	UploadLife time.Duration

	// UploadMemory bounds the bytes of all small uploads that are held in memory at once.
	// An upload that finds it used up is streamed to the driver. Default 64 MiB.
	UploadMemory int64

	// PullMemory bounds the bytes that are fetched ahead of clients who read a large blob faster than one connection to
	// the store brings it. Less than 4 MiB, which is a piece: nothing is. Default 64 MiB, of which one client
	// has up to about a half.
	PullMemory int64

	// CacheMemory bounds the bytes of manifests and records kept in memory. Default 64 MiB.
	CacheMemory int64

	// MaxManifest is the size in bytes up to which a manifest is taken. Default 4 MiB, which
	// is what the OCI distribution spec asks registries to take at least.
	MaxManifest int64

	// SparseIndexes says for which repositories an index may name manifests that the
	// repository does not have. Nil means none.
	SparseIndexes func(repository string) bool

	// TrackPulls says in which repositories it is written down, about once a day for each tag that is pulled, that it was: for
	// rules of a collection that ask for it. Nil means none.
	TrackPulls func(repository string) bool

	// HistoryKeep is how long is kept what tags pointed at before, and what was deleted, so that it can be had back. Default 0: nothing
	// is kept.
	HistoryKeep time.Duration

	// Immutable says which tags may neither be pointed elsewhere nor deleted, once they are there. On a store without
	// put-if-absent two pushes at the same moment can both be answered 201; the later one counts.
	Immutable []ImmutableRule

	// Now is the clock. Default time.Now.
	Now func() time.Time

	// Log gets what an operator should know. Default slog.Default().
	Log *slog.Logger
}
