package s3

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/bucket"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// Writer makes no request before its first part is full; see docs/s3.md for the sizes of parts.
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
	_, err := s.put(ctx, &s3.PutObjectInput{Key: &full, StorageClass: types.StorageClass(s.d.c.StorageClass)}, body)
	return err
}

// Begin is one CreateMultipartUpload. AWS refuses parts with another checksum than was announced.
func (s store) Begin(ctx context.Context, full string, sum parts.Sum) (upload string, err error) {
	in := &s3.CreateMultipartUploadInput{Bucket: &s.d.c.Bucket, Key: &full, StorageClass: types.StorageClass(s.d.c.StorageClass)}
	if sum == parts.SumCRC32C {
		in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32c
	}
	_, err = s.d.try(ctx, func() error {
		out, err := s.d.client.CreateMultipartUpload(ctx, in)
		if err == nil {
			upload = aws.ToString(out.UploadId)
		}
		return err
	})
	return upload, err
}

// SendPart is one UploadPart.
func (s store) SendPart(ctx context.Context, full, upload string, number int, body []byte, sums parts.Sums) (etag string, err error) {
	in := &s3.UploadPartInput{
		Bucket: &s.d.c.Bucket, Key: &full, UploadId: &upload, PartNumber: aws.Int32(int32(number)), ContentLength: aws.Int64(int64(len(body))),
		ChecksumCRC32C: optional(sums.CRC32C), ContentMD5: optional(sums.MD5),
	}
	err = failures().TryPart(ctx, s.d.c.Attempts, func() error {
		lent := wire.Lend(body)
		defer lent.TakeBack()
		in.Body = stream(lent, body)
		out, err := s.d.client.UploadPart(ctx, in, signed(sums))
		if err == nil {
			etag = parts.TrimETag(aws.ToString(out.ETag))
		}
		return err
	}, func() error {
		_, err := s.FirstPart(ctx, full, upload)
		return err
	})
	return etag, err
}

// FirstPart is one ListParts.
func (s store) FirstPart(ctx context.Context, full, upload string) (etag string, err error) {
	var out *s3.ListPartsOutput
	_, err = s.d.try(ctx, func() (err error) {
		out, err = s.d.client.ListParts(ctx, &s3.ListPartsInput{Bucket: &s.d.c.Bucket, Key: &full, UploadId: &upload, MaxParts: aws.Int32(1)})
		return err
	})
	if err != nil {
		return "", failures().NoUpload(err)
	}
	if len(out.Parts) > 0 && aws.ToInt32(out.Parts[0].PartNumber) == parts.MarkNumber {
		etag = parts.TrimETag(aws.ToString(out.Parts[0].ETag))
	}
	return etag, nil
}

// Complete is one CompleteMultipartUpload, which wants the checksums again.
func (s store) Complete(ctx context.Context, full, upload string, sum parts.Sum, list []parts.Part) (made parts.Made, calls int, err error) {
	asked := make([]types.CompletedPart, len(list))
	for i, p := range list {
		asked[i] = types.CompletedPart{PartNumber: aws.Int32(int32(p.Number)), ETag: &p.ETag}
		if sum == parts.SumCRC32C {
			asked[i].ChecksumCRC32C = aws.String(parts.EncodeCRC(p.CRC))
		}
	}
	calls, err = s.d.tryComplete(ctx, func() error {
		done, err := s.d.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: &s.d.c.Bucket, Key: &full, UploadId: &upload, MultipartUpload: &types.CompletedMultipartUpload{Parts: asked},
		})
		if err == nil {
			made = parts.Made{ETag: parts.TrimETag(aws.ToString(done.ETag)), CRC32C: aws.ToString(done.ChecksumCRC32C)}
		}
		return err
	}, func() error {
		_, err := s.FirstPart(ctx, full, upload)
		return err
	})
	return made, calls, err
}

// Abort is one AbortMultipartUpload.
func (s store) Abort(ctx context.Context, full, upload string) error {
	_, err := s.d.try(ctx, func() error {
		_, err := s.d.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.d.c.Bucket, Key: &full, UploadId: &upload})
		return err
	})
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
