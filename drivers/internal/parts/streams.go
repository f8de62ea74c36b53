// Package parts is what drivers of stores with the S3 API have in common in writing large objects: the Writer, the state
// of a suspended one, the sizes of parts and the pool of buffers.
package parts

import (
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

	// AllParts is for stores that complete an upload only with all parts that it has. Marks then have an upload of their own, and
	// numbers of parts no gaps. A stream whose last process died after it had sent more parts than this one will
	// is refused at Commit.
	AllParts bool
}

// invalid is an error about an argument.
func (s *Streams) invalid(op, key, format string, args ...any) error {
	return &drivers.Error{Op: op, Driver: s.Driver, Key: key, Kind: drivers.ErrInvalid, Err: fmt.Errorf(format, args...)}
}
