package minio

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// maxTTL is the longest life of a signed URL:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html
const maxTTL = 7 * 24 * time.Hour

// Reader is one GET; one HEAD instead if length is 0; and a HEAD after the GET if offset is at or past
// the end, since that answer tells nothing of the object. What the body's bytes are is not checked
// here: they carry a digest that callers know.
func (d *Driver) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	const op = "reader"
	full, err := d.full(op, key)
	if err != nil {
		return nil, drivers.Info{}, err
	}
	if offset < 0 {
		return nil, drivers.Info{}, invalid(op, key, "offset %d is negative", offset)
	}
	if length == 0 {
		info, err := d.stat(ctx, op, key, full)
		return http.NoBody, info, err
	}
	var opts minio.GetObjectOptions
	if asked := wire.RangeHeader(offset, length); asked != "" {
		opts.Set("Range", asked)
	}
	var body io.ReadCloser
	var object minio.ObjectInfo
	var header http.Header
	_, err = d.try(ctx, func() (err error) {
		body, object, header, err = d.core.GetObject(ctx, d.bucket, full, opts)
		return err
	})
	if minio.ToErrorResponse(err).Code == minio.InvalidRange {
		info, err := d.stat(ctx, op, key, full)
		if err == nil && info.Size > offset {
			err = wrap(op, key, drivers.ErrThrottled, errors.New("the object changed while it was looked at"))
		}
		return http.NoBody, info, err
	}
	if err != nil {
		return nil, drivers.Info{}, fail(ctx, op, key, err)
	}
	r := &wire.Body{ReadCloser: body, Left: object.Size, Fail: func(err error) error { return fail(ctx, op, key, err) }}
	info := infoOf(object)
	if opts.Header().Get("Range") != "" {
		if info.Size, err = wire.RangeTotal(header.Get("Content-Range"), offset, object.Size); err != nil {
			_ = body.Close() // the answer is of no use
			return nil, drivers.Info{}, wrap(op, key, nil, err)
		}
	}
	if object.Size < 0 || info.ETag == "" {
		_ = body.Close()
		return nil, drivers.Info{}, wrap(op, key, nil, errors.New("the answer has no Content-Length or no ETag"))
	}
	return r, info, nil
}

// Stat is one HEAD.
func (d *Driver) Stat(ctx context.Context, key string) (drivers.Info, error) {
	full, err := d.full("stat", key)
	if err != nil {
		return drivers.Info{}, err
	}
	return d.stat(ctx, "stat", key, full)
}

func (d *Driver) stat(ctx context.Context, op, key, full string) (drivers.Info, error) {
	object, err := d.head(ctx, full)
	if err != nil {
		return drivers.Info{}, fail(ctx, op, key, err)
	}
	return infoOf(object), nil
}

func (d *Driver) head(ctx context.Context, full string) (object minio.ObjectInfo, err error) {
	_, err = d.try(ctx, func() (err error) {
		object, err = d.core.StatObject(ctx, d.bucket, full, minio.StatObjectOptions{})
		return err
	})
	return object, err
}

// infoOf drops the fractions of seconds that only listings have, so that all methods agree.
func infoOf(o minio.ObjectInfo) drivers.Info {
	return drivers.Info{Size: o.Size, ETag: parts.TrimETag(o.ETag), ModTime: o.LastModified.Truncate(time.Second)}
}

// SignURL makes no request. The URL is one of the public endpoint, good for GET alone. ttl is cut to
// S3's seven days; less than a second is ErrInvalid.
func (d *Driver) SignURL(ctx context.Context, key string, ttl time.Duration) (string, error) {
	full, err := d.full("signurl", key)
	if err != nil {
		return "", err
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if ttl < time.Second {
		return "", invalid("signurl", key, "a URL can't live for %v, only for a second or more", ttl)
	}
	u, err := d.public.PresignedGetObject(ctx, d.bucket, full, min(ttl, maxTTL), nil)
	if err != nil {
		return "", fail(ctx, "signurl", key, err)
	}
	return u.String(), nil
}
