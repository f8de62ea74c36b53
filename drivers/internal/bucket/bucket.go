// Package bucket is what drivers of stores with the S3 API have in common above the requests of their SDK: which requests a method
// needs, what is made of the answers, and how often.
package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// Requests sends requests to one bucket. Where nothing else is said each method repeats what can be repeated, and returns the
// error of the store as it is. Objects are named as the store names them.
type Requests interface {
	// Get returns an object and its body. ranges is a Range header, "" for all.
	Get(ctx context.Context, full, ranges string) (Object, error)

	// Head returns an object without its body.
	Head(ctx context.Context, full string) (Object, error)

	// Put makes an object of body if c holds, and returns how often it was sent.
	Put(ctx context.Context, full string, body []byte, c Condition) (calls int, err error)

	// Delete removes one object.
	Delete(ctx context.Context, full string) error

	// DeleteMany removes up to [MaxDelete] objects in one request, which it does not repeat, and returns why some
	// could not be removed.
	DeleteMany(ctx context.Context, full []string) (left map[string]error, err error)

	// Uploads returns multipart uploads of the whole bucket that come after after, which is zero for the first page, and
	// the one to go on after, which is zero on the last page.
	Uploads(ctx context.Context, after Upload) (page []Upload, next Upload, err error)

	// UploadSize is how many bytes the parts of an upload have.
	UploadSize(ctx context.Context, full, id string) (int64, error)

	// Abort drops an upload and its parts.
	Abort(ctx context.Context, full, id string) error

	// Try calls f again while its error is one that passes, and returns how often it did.
	Try(ctx context.Context, f func() error) (calls int, err error)

	// Retryable reports whether err is one that passes.
	Retryable(err error) bool

	// InvalidRange reports whether err says that the object has no byte of the range.
	InvalidRange(err error) bool

	// Kind is the kind of an error of the store: [drivers.ErrPrecondition] also for an upload that is not there.
	Kind(err error) error

	// Fail is the error that a method of a driver returns: nil for nil, the context's own if that has ended,
	// else a *drivers.Error.
	Fail(ctx context.Context, op, key string, err error) error
}

// Object is what a store says of an object.
type Object struct {
	Size         int64  // bytes in Body, or in the object if only that was asked for; -1 if the store does not say
	ETag         string // without quotes
	Modified     time.Time
	ContentRange string // the header
	PutID        string // that of its [Condition]; "" if it has none
	Body         io.ReadCloser
}

// Info drops the fractions of seconds that only some answers have, so that all methods agree.
func (o Object) Info() drivers.Info {
	return drivers.Info{Size: o.Size, ETag: o.ETag, ModTime: o.Modified.Truncate(time.Second)}
}

// Condition says when a Put has an effect. The zero value: always.
type Condition struct {
	Absent bool   // if there is no object
	Match  string // if the object has this ETag, without quotes
	PutID  string // kept with the object
}

// Bucket has the methods of a driver.
type Bucket struct {
	Requests Requests
	Driver   string // its name in errors
	Prefix   string // comes before every key: "" or with a slash at its end
	OneByOne bool   // the store has no request that removes many objects
}

// Full is the name of key in the bucket; an error is of kind ErrInvalid.
func (b *Bucket) Full(op, key string) (string, error) {
	if err := drivers.CheckKey(b.Driver, op, key); err != nil {
		return "", err
	}
	if len(b.Prefix)+len(key) > drivers.MaxKey {
		return "", b.fault(op, key, drivers.ErrInvalid, "bad key: longer than %d bytes together with the prefix %s", drivers.MaxKey, b.Prefix)
	}
	return b.Prefix + key, nil
}

// fault is an error that is not the store's.
func (b *Bucket) fault(op, key string, kind error, format string, args ...any) error {
	return &drivers.Error{Op: op, Driver: b.Driver, Key: key, Kind: kind, Err: fmt.Errorf(format, args...)}
}

// isKind reports whether err, an error of the store, is of kind.
func (b *Bucket) isKind(err, kind error) bool {
	return err != nil && errors.Is(b.Requests.Kind(err), kind)
}
