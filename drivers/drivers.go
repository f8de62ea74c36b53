// Package drivers defines what a storage backend must do to hold a registry.
//
// A store is a flat space of keys such as "a/b/c". A key is made of the bytes
// [A-Za-z0-9/._-], does not begin or end with a slash, has no empty, "." or ".." element,
// no element longer than 255 bytes, is at most 1024 bytes long, and is never also the folder
// of another key ("a" and "a/b" never both exist). A key that breaks a rule is answered with
// ErrInvalid and nothing is asked of the backend; see [CheckKey].
//
// Reads follow writes: once Put, Commit or Delete has returned, every process that reads that key
// sees it. A method that returned an error may or may not have had its effect, except where its
// comment says otherwise.
//
// Every method stops soon after its context ends and then returns the context's error,
// findable by errors.Is. Retries of what the backend calls retryable happen inside the
// driver. Drivers are safe for concurrent use; a Writer is not.
package drivers

import (
	"context"
	"io"
	"iter"
	"os"
	"time"
)

// Driver is a storage backend. Nothing in it knows of registries.
type Driver interface {
	// Reader returns length bytes of key from offset (length < 0: to the end) together with
	// facts about the whole object, in one request to the backend. A range that reaches past
	// the end is cut at the end; an offset at or past the end gives an empty body. ErrNotFound
	// if key is absent, ErrInvalid if offset is negative. The body fails, and does not end
	// with io.EOF, if the backend breaks off before its last byte; the context covers the body
	// too, until it is closed.
	Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Info, error)

	// Put stores a small object (at most a few MiB), replacing what was there. Readers see the
	// old object or the new one, never a part.
	Put(ctx context.Context, key string, body []byte) error

	// Writer begins an object of any size at key. size is the number of bytes that will be
	// written if that is known, else -1; it is a hint for the sizes of parts and buffers.
	// Nothing appears at key before Commit. The context covers the whole life of the Writer.
	Writer(ctx context.Context, key string, size int64) (Writer, error)

	// Resume continues the Writer that was suspended with state, in this or any other process.
	// ErrPrecondition if state is not the newest one of its stream: it was resumed and
	// suspended again, committed or cancelled since, or another process works on it now. A
	// backend that can't tell so early may say it at Commit; in no case do bytes
	// of two streams mix. A state that was resumed but not suspended again (its
	// process died) is still the newest. ErrInvalid if state is not one of this driver's for key.
	Resume(ctx context.Context, key string, state []byte) (Writer, error)

	// Stat returns facts about the object. ErrNotFound if key is absent.
	Stat(ctx context.Context, key string) (Info, error)

	// List yields the entries whose key begins with prefix and sorts after after, in the order of
	// their bytes, fetching page by page as the caller goes on: the first hundred of ten
	// million cost one request. Callers who want few say so by WithListLimit. delimiter is "" or "/"; with "/", all keys that have a slash beyond
	// prefix are rolled up into one entry, IsPrefix, whose Key ends with that slash; it too
	// is left out unless it sorts after after. Objects that come or go during the listing may or may not be
	// in it. After an error nothing more is yielded.
	List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[Entry, error]

	// Delete removes keys, in batches where the backend can. A key that is absent is no error.
	// When some could not be removed the others are removed all the same, and the error joins
	// an *Error for each that was not.
	Delete(ctx context.Context, keys ...string) error
}

// Info is what a backend knows of an object.
type Info struct {
	Size    int64     // bytes
	ETag    string    // opaque; differs whenever the content differs; never empty
	ModTime time.Time // by the backend's clock; whole seconds on some
}

// Entry is one line of a listing.
type Entry struct {
	Key      string
	IsPrefix bool // Key stands for all keys below it; Info is zero
	Info
}

// Writer is a stream into a new object. It ends with exactly one of Suspend, Commit and
// Cancel; one that failed can still be cancelled. Write blocks while the backend or the pool of buffers is busy.
type Writer interface {
	io.Writer

	// Size is the number of bytes in the stream so far, those from before a Resume included.
	Size() int64

	// Suspend keeps all bytes written so far and returns the state from which Resume goes on.
	// The state holds whatever the backend can't keep itself, so it can be as large as a
	// part; it is valid for 24 hours at least. If the Writer was made by Resume, the older
	// state is outdated from now on.
	Suspend(ctx context.Context) (state []byte, err error)

	// Commit makes the object appear at the key, whole and at once, in a time that does not
	// depend on its size. ErrPrecondition if the stream was outdated (see Resume); then
	// the key is as it was before.
	Commit(ctx context.Context) error

	// Cancel drops the stream and all that the backend keeps of it. It works also when the Writer's
	// own context has ended.
	Cancel(ctx context.Context) error
}

// AbsentPutter is a driver that can create an object only where there is none.
type AbsentPutter interface {
	// PutIfAbsent is Put, but returns ErrExists and leaves the object as it is if there is one. Of
	// any number of concurrent calls for a key at most one returns nil.
	PutIfAbsent(ctx context.Context, key string, body []byte) error
}

// MatchPutter is a driver that can compare before it replaces.
type MatchPutter interface {
	// PutIfMatch is Put, but returns ErrPrecondition and changes nothing unless the object's
	// ETag is etag; an absent object matches nothing. Compare and replace are one step for all
	// processes.
	PutIfMatch(ctx context.Context, key string, body []byte, etag string) error
}

// Signer is a driver that can hand out URLs from which anyone may GET an object for a while.
type Signer interface {
	// SignURL returns a URL good for GET (ranges included) of key for ttl or, where the
	// backend's credentials end earlier, a shorter time. It does not look whether key exists.
	SignURL(ctx context.Context, key string, ttl time.Duration) (string, error)
}

// Filer is a driver whose objects are local files, for sendfile.
type Filer interface {
	// File opens the object for reading. The caller closes it.
	File(ctx context.Context, key string) (*os.File, Info, error)
}

// Sweeper is a driver whose backend keeps what streams have written until somebody drops it, also when
// the process that wrote has died and no state was kept.
type Sweeper interface {
	// Leftovers yields the streams that were begun and neither committed nor cancelled, of all
	// processes, and nothing that is not below the driver's own prefix. Those under way and those suspended are among them: the
	// caller tells by Began. After an error nothing more is yielded.
	Leftovers(ctx context.Context) iter.Seq2[Leftover, error]

	// Drop removes what Leftovers found, as Cancel would have; one that is gone is no error. The stream
	// can't be resumed or committed any more: that is ErrPrecondition.
	Drop(ctx context.Context, l Leftover) error
}

// Leftover is a stream that was begun and not ended.
type Leftover struct {
	Key   string    // where the object would have appeared; "" if the backend can't tell
	ID    string    // the backend's or the driver's name for the stream
	Size  int64     // bytes that the backend keeps for it; -1 if it can't tell
	Began time.Time // by the backend's clock; where it doesn't tell, when something was last written
}

// Extras is what a driver can do beyond Driver. A nil field means it can't.
type Extras struct {
	Absent AbsentPutter
	Match  MatchPutter
	Signer Signer
	Files  Filer
	Sweep  Sweeper
}

// ExtrasOf finds what d can do beyond Driver. A wrapper around another driver has a method
// Extras() Extras, from which it is taken instead.
func ExtrasOf(d Driver) Extras {
	if w, ok := d.(interface{ Extras() Extras }); ok {
		return w.Extras()
	}
	var e Extras
	e.Absent, _ = d.(AbsentPutter)
	e.Match, _ = d.(MatchPutter)
	e.Signer, _ = d.(Signer)
	e.Files, _ = d.(Filer)
	e.Sweep, _ = d.(Sweeper)
	return e
}
