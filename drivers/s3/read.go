package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

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
	in := &s3.GetObjectInput{Bucket: &d.c.Bucket, Key: &full, Range: optional(wire.RangeHeader(offset, length))}
	var object *s3.GetObjectOutput
	_, err = d.try(ctx, func() (err error) {
		object, err = d.client.GetObject(ctx, in)
		return err
	})
	if codeOf(err) == codeInvalidRange {
		info, err := d.stat(ctx, op, key, full)
		if err == nil && info.Size > offset {
			err = wrap(op, key, drivers.ErrThrottled, errors.New("the object changed while it was looked at"))
		}
		return http.NoBody, info, err
	}
	if err != nil {
		return nil, drivers.Info{}, fail(ctx, op, key, err)
	}
	if object.ContentLength == nil || aws.ToString(object.ETag) == "" {
		_ = object.Body.Close() // the answer is of no use
		return nil, drivers.Info{}, wrap(op, key, nil, errors.New("the answer has no Content-Length or no ETag"))
	}
	info := infoOf(object.ContentLength, object.ETag, object.LastModified)
	r := &wire.Body{ReadCloser: object.Body, Left: info.Size, Fail: func(err error) error { return fail(ctx, op, key, err) }}
	if in.Range != nil {
		if info.Size, err = wire.RangeTotal(aws.ToString(object.ContentRange), offset, info.Size); err != nil {
			_ = object.Body.Close()
			return nil, drivers.Info{}, wrap(op, key, nil, err)
		}
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
	if aws.ToString(object.ETag) == "" {
		return drivers.Info{}, wrap(op, key, nil, errors.New("the answer has no ETag"))
	}
	return infoOf(object.ContentLength, object.ETag, object.LastModified), nil
}

func (d *Driver) head(ctx context.Context, full string) (object *s3.HeadObjectOutput, err error) {
	_, err = d.try(ctx, func() (err error) {
		object, err = d.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &d.c.Bucket, Key: &full})
		return err
	})
	return object, err
}

// infoOf drops the fractions of seconds that only some listings have, so that all methods agree.
func infoOf(size *int64, etag *string, modified *time.Time) drivers.Info {
	return drivers.Info{
		Size: aws.ToInt64(size), ETag: parts.TrimETag(aws.ToString(etag)), ModTime: aws.ToTime(modified).Truncate(time.Second),
	}
}

// SignURL makes no request, unless the credentials have to be renewed. The URL is one of the public endpoint, good for GET
// alone. ttl is cut to S3's seven days; less than a second is ErrInvalid. Temporary credentials end it earlier.
func (d *Driver) SignURL(ctx context.Context, key string, ttl time.Duration) (string, error) {
	const op = "signurl"
	full, err := d.full(op, key)
	if err != nil {
		return "", err
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if ttl < time.Second {
		return "", invalid(op, key, "a URL can't live for %v, only for a second or more", ttl)
	}
	if d.c.Encryption == encryptCustomer {
		return "", invalid(op, key, "a URL alone can't read what is encrypted with customer_key")
	}
	r, err := d.signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &d.c.Bucket, Key: &full}, s3.WithPresignExpires(min(ttl, maxTTL)))
	if err != nil {
		return "", fail(ctx, op, key, err)
	}
	return r.URL, nil
}
