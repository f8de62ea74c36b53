package minio

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// Put is one PUT.
func (d *Driver) Put(ctx context.Context, key string, body []byte) error {
	full, err := d.full("put", key)
	if err != nil {
		return err
	}
	_, err = d.put(ctx, full, body, minio.PutObjectOptions{})
	return fail(ctx, "put", key, err)
}

// PutIfAbsent is one PUT with If-None-Match: *.
//
// When the answer to an attempt is lost, the next one finds the object that the first may have
// made. So the object carries a random mark, the same for all attempts of one call and different for
// every call. An attempt after the first that is refused looks at the mark there with one HEAD: with
// its own mark the call has made the object, and returns nil; with another, or none, it returns
// ErrExists. The bodies don't matter: of two calls with equal bodies one still returns ErrExists.
func (d *Driver) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	const op = "putifabsent"
	full, err := d.full(op, key)
	if err != nil {
		return err
	}
	var opts minio.PutObjectOptions
	opts.SetMatchETagExcept("*")
	refused, err := d.putIf(ctx, full, body, opts)
	if refused && ctx.Err() == nil {
		return wrap(op, key, drivers.ErrExists, err)
	}
	return fail(ctx, op, key, err)
}

// PutIfMatch is one PUT with If-Match. Lost answers are found out as in PutIfAbsent.
func (d *Driver) PutIfMatch(ctx context.Context, key string, body []byte, etag string) error {
	const op = "putifmatch"
	full, err := d.full(op, key)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !parts.IsETag(etag) {
		return wrap(op, key, drivers.ErrPrecondition, errors.New("no object has such an ETag"))
	}
	var opts minio.PutObjectOptions
	opts.SetMatchETag(etag)
	refused, err := d.putIf(ctx, full, body, opts)
	if refused && ctx.Err() == nil {
		return wrap(op, key, drivers.ErrPrecondition, err)
	}
	return fail(ctx, op, key, err)
}

// markKey is the metadata under which a conditional PUT knows its object again.
const markKey = "put-id"

// putIf puts under a condition that opts holds. refused: the condition did not hold.
func (d *Driver) putIf(ctx context.Context, full string, body []byte, opts minio.PutObjectOptions) (refused bool, err error) {
	mark := rand.Text()
	opts.UserMetadata = map[string]string{markKey: mark}
	calls, err := d.put(ctx, full, body, opts)
	if err == nil || ctx.Err() != nil {
		return false, err
	}
	resp := minio.ToErrorResponse(err)
	if resp.StatusCode != http.StatusPreconditionFailed && resp.Code != minio.PreconditionFailed && resp.Code != minio.NoSuchKey {
		return false, err
	}
	if calls == 1 {
		return true, err
	}
	object, lookErr := d.head(ctx, full)
	switch {
	case lookErr == nil && object.UserMetadata[http.CanonicalHeaderKey(markKey)] == mark:
		return false, nil
	case lookErr == nil || errors.Is(kindOf(lookErr), drivers.ErrNotFound):
		return true, err
	default:
		return false, lookErr
	}
}

// put sends body as the object full, and returns how often it was sent.
func (d *Driver) put(ctx context.Context, full string, body []byte, opts minio.PutObjectOptions) (calls int, err error) {
	sums := d.streams.Sum.Of(body)
	opts.DisableContentSha256 = true // of the body; the headers are signed
	if opts.UserMetadata == nil {
		opts.UserMetadata = make(map[string]string, 1)
	}
	if sums.CRC32C != "" {
		opts.UserMetadata[headerCRC32C] = sums.CRC32C
	}
	return d.tryWrite(ctx, func() error {
		lent := wire.Lend(body)
		defer lent.TakeBack()
		_, err := d.core.PutObject(ctx, d.bucket, full, lent, int64(len(body)), sums.MD5, sums.SHA256, opts)
		return err
	})
}
