package bucket

import (
	"context"
	"crypto/rand"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
)

// Put is one PUT.
func (b *Bucket) Put(ctx context.Context, key string, body []byte) error {
	const op = "put"
	full, err := b.Full(op, key)
	if err != nil {
		return err
	}
	_, err = b.Requests.Put(ctx, full, body, Condition{})
	return b.Requests.Fail(ctx, op, key, err)
}

// PutIfAbsent is one PUT with If-None-Match: *.
//
// When the answer to an attempt is lost, the next one finds the object that the first may have
// made. So the object carries a random id, the same for all attempts of one call and different for
// every call. An attempt after the first that is refused looks at the id there with one HEAD: with
// its own id the call has made the object, and returns nil; with another, or none, it returns
// ErrExists. The bodies don't matter: of two calls with equal bodies one still returns ErrExists.
func (b *Bucket) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	return b.putIf(ctx, "putifabsent", key, body, Condition{Absent: true}, drivers.ErrExists)
}

// PutIfMatch is one PUT with If-Match. Lost answers are found out as in PutIfAbsent.
func (b *Bucket) PutIfMatch(ctx context.Context, key string, body []byte, etag string) error {
	const op = "putifmatch"
	if err := drivers.CheckKey(b.Driver, op, key); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !parts.IsETag(etag) {
		return b.fault(op, key, drivers.ErrPrecondition, "no object has such an ETag")
	}
	return b.putIf(ctx, op, key, body, Condition{Match: etag}, drivers.ErrPrecondition)
}

// putIf puts under a condition; refused is the kind of the error if that did not hold.
func (b *Bucket) putIf(ctx context.Context, op, key string, body []byte, c Condition, refused error) error {
	full, err := b.Full(op, key)
	if err != nil {
		return err
	}
	c.PutID = rand.Text()
	calls, err := b.Requests.Put(ctx, full, body, c)
	absent := c.Match != "" && b.isKind(err, drivers.ErrNotFound) // as some answer
	if ctx.Err() != nil || !absent && !b.isKind(err, drivers.ErrPrecondition) {
		return b.Requests.Fail(ctx, op, key, err)
	}
	if calls > 1 {
		object, lookErr := b.Requests.Head(ctx, full)
		switch {
		case lookErr == nil && object.PutID == c.PutID:
			return nil
		case ctx.Err() != nil || lookErr != nil && !b.isKind(lookErr, drivers.ErrNotFound):
			return b.Requests.Fail(ctx, op, key, lookErr)
		}
	}
	return &drivers.Error{Op: op, Driver: b.Driver, Key: key, Kind: refused, Err: err}
}
