package minio

import (
	"context"

	"github.com/minio/minio-go/v7"

	"github.com/longshore-registry/longshore/drivers/internal/bucket"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// Put is one PUT.
func (d *Driver) Put(ctx context.Context, key string, body []byte) error {
	return d.shared.Put(ctx, key, body)
}

// PutIfAbsent is one PUT with If-None-Match: *. If the answer to it was lost, a HEAD tells whose object is there.
func (d *Driver) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	return d.shared.PutIfAbsent(ctx, key, body)
}

// PutIfMatch is one PUT with If-Match. Lost answers are found out as in PutIfAbsent.
func (d *Driver) PutIfMatch(ctx context.Context, key string, body []byte, etag string) error {
	return d.shared.PutIfMatch(ctx, key, body, etag)
}

// putID is the metadata under which a conditional PUT knows its object again.
const putID = "put-id"

// Put is one PutObject.
func (s store) Put(ctx context.Context, full string, body []byte, c bucket.Condition) (calls int, err error) {
	opts := s.d.created()
	if c.Absent {
		opts.SetMatchETagExcept("*")
	}
	if c.Match != "" {
		opts.SetMatchETag(c.Match) // in quotes
	}
	if c.PutID != "" {
		opts.UserMetadata[putID] = c.PutID
	}
	return s.put(ctx, full, body, opts)
}

// put sends body as the object full, and returns how often it was sent.
func (s store) put(ctx context.Context, full string, body []byte, opts minio.PutObjectOptions) (calls int, err error) {
	sums := s.d.streams.Sum.Of(body)
	opts.DisableContentSha256 = true // of the body; the headers are signed
	if sums.CRC32C != "" {
		opts.UserMetadata[headerCRC32C] = sums.CRC32C
	}
	return s.d.tryWrite(ctx, func() error {
		lent := wire.Lend(body)
		defer lent.TakeBack()
		_, err := s.d.core.PutObject(ctx, s.d.bucket, full, lent, int64(len(body)), sums.MD5, sums.SHA256, opts)
		return err
	})
}
