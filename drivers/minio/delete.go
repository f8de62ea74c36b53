package minio

import (
	"context"

	"github.com/minio/minio-go/v7"
)

// Delete is one DELETE for one key, else one POST for each 1,000; or one DELETE for each key, some of them at
// once, where batch_delete is false.
func (d *Driver) Delete(ctx context.Context, keys ...string) error {
	return d.shared.Delete(ctx, keys...)
}

// Delete is one RemoveObject.
func (s store) Delete(ctx context.Context, full string) error {
	_, err := s.d.try(ctx, func() error {
		return s.d.core.RemoveObject(ctx, s.d.bucket, full, minio.RemoveObjectOptions{})
	})
	return err
}

// DeleteMany is one DeleteObjects.
func (s store) DeleteMany(ctx context.Context, full []string) (left map[string]error, err error) {
	objects := func(yield func(minio.ObjectInfo) bool) {
		for _, key := range full {
			if !yield(minio.ObjectInfo{Key: key}) {
				return
			}
		}
	}
	results, err := s.d.core.RemoveObjectsWithIter(ctx, s.d.bucket, objects, minio.RemoveObjectsOptions{})
	if err != nil {
		return nil, err
	}
	left = make(map[string]error)
	for r := range results {
		switch {
		case r.Err == nil:
		case r.ObjectName == "": // the answer can't be read
			return nil, r.Err
		default:
			left[r.ObjectName] = r.Err
		}
	}
	return left, nil
}
