package s3

import (
	"context"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/bucket"
)

// Leftovers is one GET for each 1,000 multipart uploads of the bucket and one for each that is below the prefix. A stream may have
// two where all_parts is set.
func (d *Driver) Leftovers(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
	return d.shared.Leftovers(ctx)
}

// Drop is one request. A part that is being sent at that moment may come after it, and then the upload is found again.
func (d *Driver) Drop(ctx context.Context, l drivers.Leftover) error { return d.shared.Drop(ctx, l) }

// Uploads is one ListMultipartUploads. MinIO puts all that its process has begun into one answer, whatever is asked.
//
// versitygw takes no upload-id-marker once the key of the marker is filtered out, as it does; there a page goes on after
// the key, and what is left of that one is found when the rest is gone.
func (s store) Uploads(ctx context.Context, after bucket.Upload) (page []bucket.Upload, next bucket.Upload, err error) {
	in := &s3.ListMultipartUploadsInput{
		Bucket: &s.d.c.Bucket, MaxUploads: optionalNumber(s.d.uploadsPage), KeyMarker: optional(after.Full), UploadIdMarker: optional(after.ID),
	}
	var out *s3.ListMultipartUploadsOutput
	ask := func() (err error) {
		out, err = s.d.client.ListMultipartUploads(ctx, in)
		return err
	}
	_, err = s.d.try(ctx, ask)
	if codeOf(err) == "InvalidArgument" && in.UploadIdMarker != nil {
		in.UploadIdMarker = nil
		_, err = s.d.try(ctx, ask)
	}
	if err != nil {
		return nil, bucket.Upload{}, err
	}
	for _, u := range out.Uploads {
		page = append(page, bucket.Upload{Full: aws.ToString(u.Key), ID: aws.ToString(u.UploadId), Began: aws.ToTime(u.Initiated)})
	}
	if aws.ToBool(out.IsTruncated) {
		next = bucket.Upload{Full: aws.ToString(out.NextKeyMarker), ID: aws.ToString(out.NextUploadIdMarker)}
	}
	return page, next, nil
}

// UploadSize is one ListParts for each 1,000 parts.
func (s store) UploadSize(ctx context.Context, full, id string) (size int64, err error) {
	in := &s3.ListPartsInput{Bucket: &s.d.c.Bucket, Key: &full, UploadId: &id}
	for {
		var out *s3.ListPartsOutput
		_, err := s.d.try(ctx, func() (err error) {
			out, err = s.d.client.ListParts(ctx, in)
			return err
		})
		if err != nil {
			return 0, failures().NoUpload(err)
		}
		for _, p := range out.Parts {
			size += aws.ToInt64(p.Size)
		}
		if !aws.ToBool(out.IsTruncated) || len(out.Parts) == 0 || aws.ToString(out.NextPartNumberMarker) == aws.ToString(in.PartNumberMarker) {
			return size, nil
		}
		in.PartNumberMarker = out.NextPartNumberMarker
	}
}

// optionalNumber is nil for 0.
func optionalNumber(n int32) *int32 {
	if n == 0 {
		return nil
	}
	return &n
}
