package bucket

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// Reader is one GET; one HEAD instead if length is 0; and a HEAD after the GET if offset is at or past
// the end, since that answer tells nothing of the object. What the body's bytes are is not checked
// here: they carry a digest that callers know.
func (b *Bucket) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	const op = "reader"
	full, err := b.Full(op, key)
	if err != nil {
		return nil, drivers.Info{}, err
	}
	if offset < 0 {
		return nil, drivers.Info{}, b.fault(op, key, drivers.ErrInvalid, "offset %d is negative", offset)
	}
	if length == 0 {
		info, err := b.stat(ctx, op, key, full)
		return http.NoBody, info, err
	}
	ranges := wire.RangeHeader(offset, length)
	object, err := b.Requests.Get(ctx, full, ranges)
	if err != nil && b.Requests.InvalidRange(err) {
		info, err := b.stat(ctx, op, key, full)
		if err == nil && info.Size > offset {
			err = b.fault(op, key, drivers.ErrThrottled, "the object changed while it was looked at")
		}
		return http.NoBody, info, err
	}
	if err != nil {
		return nil, drivers.Info{}, b.Requests.Fail(ctx, op, key, err)
	}
	info := object.Info()
	switch {
	case object.Size < 0 || object.ETag == "":
		err = errors.New("the answer has no Content-Length or no ETag")
	case ranges != "":
		info.Size, err = wire.RangeTotal(object.ContentRange, offset, object.Size)
	}
	if err != nil {
		_ = object.Body.Close() // the answer is of no use
		return nil, drivers.Info{}, b.fault(op, key, nil, "%w", err)
	}
	fail := func(err error) error { return b.Requests.Fail(ctx, op, key, err) }
	return &wire.Body{ReadCloser: object.Body, Left: object.Size, Fail: fail}, info, nil
}

// Stat is one HEAD.
func (b *Bucket) Stat(ctx context.Context, key string) (drivers.Info, error) {
	const op = "stat"
	full, err := b.Full(op, key)
	if err != nil {
		return drivers.Info{}, err
	}
	return b.stat(ctx, op, key, full)
}

func (b *Bucket) stat(ctx context.Context, op, key, full string) (drivers.Info, error) {
	object, err := b.Requests.Head(ctx, full)
	if err != nil {
		return drivers.Info{}, b.Requests.Fail(ctx, op, key, err)
	}
	if object.Size < 0 || object.ETag == "" {
		return drivers.Info{}, b.fault(op, key, nil, "the answer has no Content-Length or no ETag")
	}
	return object.Info(), nil
}

// maxTTL is the longest life of a signed URL:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html
const maxTTL = 7 * 24 * time.Hour

// Sign is the common part of SignURL: it makes no request. ttl is cut to S3's seven days; less than a second is ErrInvalid.
func (b *Bucket) Sign(ctx context.Context, key string, ttl time.Duration, sign func(full string, ttl time.Duration) (string, error)) (string, error) {
	const op = "signurl"
	full, err := b.Full(op, key)
	if err != nil {
		return "", err
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if ttl < time.Second {
		return "", b.fault(op, key, drivers.ErrInvalid, "a URL can't live for %v, only for a second or more", ttl)
	}
	url, err := sign(full, min(ttl, maxTTL))
	return url, b.Requests.Fail(ctx, op, key, err)
}
