package minio

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/bucket"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
)

// Reader is one GET; one HEAD instead if length is 0; and a HEAD after the GET if offset is at or past the end.
func (d *Driver) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	return d.shared.Reader(ctx, key, offset, length)
}

// Stat is one HEAD.
func (d *Driver) Stat(ctx context.Context, key string) (drivers.Info, error) {
	return d.shared.Stat(ctx, key)
}

// Get is one GetObject.
func (s store) Get(ctx context.Context, full, ranges string) (bucket.Object, error) {
	opts := minio.GetObjectOptions{ServerSideEncryption: s.d.readKey}
	if ranges != "" {
		opts.Set("Range", ranges)
	}
	var body io.ReadCloser
	var info minio.ObjectInfo
	var header http.Header
	_, err := s.d.try(ctx, func() (err error) {
		body, info, header, err = s.d.core.GetObject(ctx, s.d.bucket, full, opts)
		return err
	})
	if err != nil {
		return bucket.Object{}, err
	}
	o := objectOf(info)
	o.ContentRange, o.Body = header.Get("Content-Range"), body
	return o, nil
}

// Head is one StatObject.
func (s store) Head(ctx context.Context, full string) (bucket.Object, error) {
	var info minio.ObjectInfo
	_, err := s.d.try(ctx, func() (err error) {
		info, err = s.d.core.StatObject(ctx, s.d.bucket, full, minio.StatObjectOptions{ServerSideEncryption: s.d.readKey})
		return err
	})
	if err != nil {
		return bucket.Object{}, err
	}
	o := objectOf(info)
	o.PutID = info.UserMetadata[http.CanonicalHeaderKey(putID)]
	return o, nil
}

// InvalidRange knows S3's code.
func (s store) InvalidRange(err error) bool {
	return minio.ToErrorResponse(err).Code == minio.InvalidRange
}

func objectOf(o minio.ObjectInfo) bucket.Object {
	return bucket.Object{Size: o.Size, ETag: parts.TrimETag(o.ETag), Modified: o.LastModified}
}

// SignURL makes no request, unless the credentials have to be renewed. The URL is one of the public endpoint, good for GET
// alone. ttl is cut to S3's seven days; less than a second is ErrInvalid. Temporary credentials end it earlier.
func (d *Driver) SignURL(ctx context.Context, key string, ttl time.Duration) (string, error) {
	return d.shared.Sign(ctx, key, ttl, func(full string, ttl time.Duration) (string, error) {
		if d.readKey != nil {
			return "", invalid("signurl", key, "a URL alone can't read what is encrypted with customer_key")
		}
		u, err := d.public.PresignedGetObject(ctx, d.bucket, full, ttl, nil)
		if err != nil {
			return "", err
		}
		return u.String(), nil
	})
}
