package minio

import (
	"context"
	"iter"

	"github.com/minio/minio-go/v7"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/bucket"
)

// Leftovers is one GET for each 1,000 multipart uploads of the bucket and one for each that is below the prefix. MinIO knows
// those that its process has begun, not those from before it was started.
func (d *Driver) Leftovers(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
	return d.shared.Leftovers(ctx)
}

// Drop is one request. A part that is being sent at that moment may come after it, and then the upload is found again.
func (d *Driver) Drop(ctx context.Context, l drivers.Leftover) error { return d.shared.Drop(ctx, l) }

// Uploads is one ListMultipartUploads. MinIO puts all into one answer, whatever is asked. versitygw takes no upload-id-marker; see
// package s3.
func (s store) Uploads(ctx context.Context, after bucket.Upload) (page []bucket.Upload, next bucket.Upload, err error) {
	var found minio.ListMultipartUploadsResult
	ask := func() (err error) {
		found, err = s.d.core.ListMultipartUploads(ctx, s.d.bucket, "", after.Full, after.ID, "", s.d.uploadsPage)
		return err
	}
	_, err = s.d.try(ctx, ask)
	if minio.ToErrorResponse(err).Code == minio.InvalidArgument && after.ID != "" {
		after.ID = ""
		_, err = s.d.try(ctx, ask)
	}
	if err != nil {
		return nil, bucket.Upload{}, err
	}
	for _, u := range found.Uploads {
		page = append(page, bucket.Upload{Full: u.Key, ID: u.UploadID, Began: u.Initiated})
	}
	if found.IsTruncated {
		next = bucket.Upload{Full: found.NextKeyMarker, ID: found.NextUploadIDMarker}
	}
	return page, next, nil
}

// UploadSize is one ListParts for each 1,000 parts.
func (s store) UploadSize(ctx context.Context, full, id string) (size int64, err error) {
	marker := 0
	for {
		var found minio.ListObjectPartsResult
		_, err := s.d.try(ctx, func() (err error) {
			found, err = s.d.core.ListObjectParts(ctx, s.d.bucket, full, id, marker, 0)
			return err
		})
		if err != nil {
			return 0, failures().NoUpload(err)
		}
		for _, p := range found.ObjectParts {
			size += p.Size
		}
		if !found.IsTruncated || len(found.ObjectParts) == 0 || found.NextPartNumberMarker == marker {
			return size, nil
		}
		marker = found.NextPartNumberMarker
	}
}
