// Package parts is what drivers of stores that make an object of parts have in common: the Writer, the state
// of a suspended one, the sizes of parts and the pool of buffers. Its words are those of S3's multipart uploads.
package parts

import (
	"cmp"
	"context"
	"fmt"

	"github.com/longshore-registry/longshore/drivers"
)

// Limits of S3's multipart uploads:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
const (
	MinPart   = 5 << 20 // bytes, of every part but the last
	MaxPart   = 5 << 30 // bytes
	MaxNumber = 10_000
	MaxObject = 5 << 40 // bytes
)

// Store sends the requests of a Writer to one bucket. Each method repeats what can be repeated, and returns the
// error of the store as it is. Objects are named as the store names them; no method keeps a body after it
// has returned.
type Store interface {
	// PutData makes an object of body.
	PutData(ctx context.Context, full string, body []byte) error

	// Begin begins a multipart upload for parts that are checked by sum, and returns its id.
	Begin(ctx context.Context, full string, sum Sum) (upload string, err error)

	// SendPart sends one part and returns its ETag, without quotes.
	SendPart(ctx context.Context, full, upload string, number int, body []byte, sums Sums) (etag string, err error)

	// FirstPart returns the ETag of the part with the number [MarkNumber], "" if there is none.
	FirstPart(ctx context.Context, full, upload string) (etag string, err error)

	// Complete makes the parts an object, and returns what the store says of it and how often it asked for that.
	Complete(ctx context.Context, full, upload string, sum Sum, parts []Part) (made Made, calls int, err error)

	// Abort drops the upload and its parts.
	Abort(ctx context.Context, full, upload string) error

	// ETag returns the ETag of an object, without quotes.
	ETag(ctx context.Context, full string) (string, error)

	// NoUpload reports whether err says that there is no such upload.
	NoUpload(err error) bool

	// Fail is the error that a method of a driver returns: nil for nil, the context's own if that has ended,
	// else a *drivers.Error.
	Fail(ctx context.Context, op, key string, err error) error
}

// Folder is a Store that can make one part of several, so that what Complete has to do
// does not grow with the object. Its Complete removes all parts that there are.
type Folder interface {
	// Fold makes one part of several that follow each other. The part has the number of the first. With keep these stay as they are, since
	// another process may go on from a state that has them; else Fold removes them.
	Fold(ctx context.Context, full, upload string, parts []Part, keep bool) (Part, error)

	// Discard removes parts that were folded. One that is gone is no error.
	Discard(ctx context.Context, full, upload string, parts []Part) error
}

// Tidier is a Store whose Complete leaves parts that are not in the object.
type Tidier interface {
	// Tidy removes the parts that other Writers of the stream have sent, but those that are kept.
	Tidy(ctx context.Context, full, upload string, kept []Part) error
}

// foldAt is how many parts are folded into one: as many as one request of Google's compose takes.
const foldAt = 32

// Sealer is a Store in which one of several Writers that were resumed from one state can shut the others out.
type Sealer interface {
	// Seal is asked right before Complete, when all parts are there. It returns an error of the kind ErrPrecondition if the mark is not this one
	// any more. Of several Writers that ask with one mark, Seal and Complete together let one through. The mark that is there now is returned: who asks
	// with that one is the same Writer again. It is asked before Abort too.
	Seal(ctx context.Context, full, upload, mark string) (now string, err error)
}

// Forgetter is a Store whose Abort may not find all parts, and is not asked by a Writer that is outdated.
type Forgetter interface {
	// Forget removes those of a Writer's parts that have a number of since or higher, unless the object is made of these parts. One without an ETag
	// has not arrived.
	Forget(ctx context.Context, full, upload string, parts []Part, since int) error
}

// Marker is a Store that replaces a mark only if it is the one that is there.
type Marker interface {
	// Mark leaves another mark in place of the one with the ETag before ("" if no Writer has left one yet), and returns its ETag. An error of
	// the kind ErrPrecondition: it is not there.
	Mark(ctx context.Context, full, upload, before string) (etag string, err error)
}

// Made is what a store says of an object that it has made of parts.
type Made struct {
	ETag   string // without quotes
	CRC32C string // S3's text form of a checksum of checksums; "" if the store says none
}

// Streams makes the Writers of one driver. All fields are to be set before the first use and stay.
type Streams struct {
	Store    Store
	Driver   string // its name in errors
	Bucket   string
	Pool     *Pool
	PartSize int64 // bytes, at least [MinPart]
	Sum      Sum   // of new uploads; those that are resumed keep theirs

	// Equal makes all parts of an object but the last one equally large, as some stores demand. An object whose size is not
	// known is then no larger than 9,999 times PartSize, and a state can be as large as PartSize.
	Equal bool

	// Most is the highest number that a part can have; 0 is S3's 10,000.
	Most int

	// LateParts is for stores that take a part after Abort, where it would stay. Cancel waits for those under way, unless the Writer's context
	// has ended.
	LateParts bool

	// AllParts is for stores that complete an upload only with all parts that it has. Marks then have an upload of their own, and
	// numbers of parts no gaps. A stream whose last process died after it had sent more parts than this one will
	// is refused at Commit.
	AllParts bool
}

// most is the highest number that a part can have.
func (s *Streams) most() int { return cmp.Or(s.Most, MaxNumber) }

// invalid is an error about an argument.
func (s *Streams) invalid(op, key, format string, args ...any) error {
	return &drivers.Error{Op: op, Driver: s.Driver, Key: key, Kind: drivers.ErrInvalid, Err: fmt.Errorf(format, args...)}
}
