package minio

import (
	"context"
	"errors"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/bucket"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// Writer makes no request before its first part is full; see docs/minio.md for the sizes of parts.
func (d *Driver) Writer(ctx context.Context, key string, size int64) (drivers.Writer, error) {
	full, err := d.full("writer", key)
	if err != nil {
		return nil, err
	}
	return d.streams.Writer(ctx, key, full, size)
}

// Resume makes no request: whether the state is the newest one is asked before the first part is
// sent, and at Suspend and Commit again.
func (d *Driver) Resume(ctx context.Context, key string, state []byte) (drivers.Writer, error) {
	full, err := d.full("resume", key)
	if err != nil {
		return nil, err
	}
	return d.streams.Resume(ctx, key, full, state)
}

// store sends requests.
type store struct{ d *Driver }

var (
	_ parts.Store     = store{}
	_ bucket.Requests = store{}
)

// PutData is one PUT.
func (s store) PutData(ctx context.Context, full string, body []byte) error {
	opts := s.d.created()
	opts.StorageClass = s.d.c.StorageClass
	_, err := s.put(ctx, full, body, opts)
	return err
}

// Begin is one CreateMultipartUpload. AWS refuses parts with another checksum than was announced.
func (s store) Begin(ctx context.Context, full string, sum parts.Sum) (upload string, err error) {
	opts := s.d.created()
	opts.StorageClass = s.d.c.StorageClass
	if sum == parts.SumCRC32C {
		opts.UserMetadata[headerAlgorithm] = "CRC32C"
	}
	_, err = s.d.try(ctx, func() (err error) {
		upload, err = s.d.core.NewMultipartUpload(ctx, s.d.bucket, full, opts)
		return err
	})
	return upload, err
}

// SendPart is one UploadPart.
func (s store) SendPart(ctx context.Context, full, upload string, number int, body []byte, sums parts.Sums) (etag string, err error) {
	opts := minio.PutObjectPartOptions{Md5Base64: sums.MD5, Sha256Hex: sums.SHA256, CustomHeader: http.Header{}, DisableContentSha256: true, SSE: s.d.readKey}
	if sums.CRC32C != "" {
		opts.CustomHeader.Set(headerCRC32C, sums.CRC32C)
	}
	err = failures().TryPart(ctx, s.d.c.Attempts, func() error {
		lent := wire.Lend(body)
		defer lent.TakeBack()
		sent, err := s.d.core.PutObjectPart(ctx, s.d.bucket, full, upload, number, lent, int64(len(body)), opts)
		etag = parts.TrimETag(sent.ETag)
		return err
	}, func() error {
		_, err := s.FirstPart(ctx, full, upload)
		return err
	})
	return etag, err
}

// FirstPart is one ListParts.
func (s store) FirstPart(ctx context.Context, full, upload string) (etag string, err error) {
	var found minio.ListObjectPartsResult
	_, err = s.d.try(ctx, func() (err error) {
		found, err = s.d.core.ListObjectParts(ctx, s.d.bucket, full, upload, 0, 1)
		return err
	})
	if len(found.ObjectParts) > 0 && found.ObjectParts[0].PartNumber == parts.MarkNumber {
		etag = parts.TrimETag(found.ObjectParts[0].ETag)
	}
	return etag, failures().NoUpload(err)
}

// Complete is one CompleteMultipartUpload, which wants the checksums again.
func (s store) Complete(ctx context.Context, full, upload string, sum parts.Sum, list []parts.Part) (made parts.Made, calls int, err error) {
	asked := make([]minio.CompletePart, len(list))
	for i, p := range list {
		asked[i] = minio.CompletePart{PartNumber: p.Number, ETag: p.ETag}
		if sum == parts.SumCRC32C {
			asked[i].ChecksumCRC32C = parts.EncodeCRC(p.CRC)
		}
	}
	calls, err = s.d.tryComplete(ctx, func() error {
		done, err := s.d.core.CompleteMultipartUpload(ctx, s.d.bucket, full, upload, asked, minio.PutObjectOptions{ServerSideEncryption: s.d.readKey})
		made = parts.Made{ETag: parts.TrimETag(done.ETag), CRC32C: done.ChecksumCRC32C}
		return err
	}, func() error {
		_, err := s.FirstPart(ctx, full, upload)
		return err
	})
	return made, calls, err
}

// Abort is one AbortMultipartUpload.
func (s store) Abort(ctx context.Context, full, upload string) error {
	_, err := s.d.try(ctx, func() error { return s.d.core.AbortMultipartUpload(ctx, s.d.bucket, full, upload) })
	return failures().NoUpload(err)
}

// ETag is one HEAD.
func (s store) ETag(ctx context.Context, full string) (string, error) {
	object, err := s.Head(ctx, full)
	return object.ETag, err
}

// NoUpload knows what failures has added.
func (s store) NoUpload(err error) bool { return errors.Is(err, bucket.ErrNoUpload) }

// Fail is fail.
func (s store) Fail(ctx context.Context, op, key string, err error) error {
	return fail(ctx, op, key, err)
}

// Kind is that of failures.
func (s store) Kind(err error) error { return failures().Kind(err) }

// Retryable is that of failures.
func (s store) Retryable(err error) bool { return failures().Retryable(err) }

// Try is try.
func (s store) Try(ctx context.Context, f func() error) (calls int, err error) {
	return s.d.try(ctx, f)
}

// Header names of S3's checksums, as CreateMultipartUpload, UploadPart and PutObject have them.
const (
	headerAlgorithm = "x-amz-checksum-algorithm"
	headerCRC32C    = "x-amz-checksum-crc32c"
)
