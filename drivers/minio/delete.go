package minio

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"
)

// Delete is one DELETE for one key, else one POST for each 1,000.
func (d *Driver) Delete(ctx context.Context, keys ...string) error {
	const op = "delete"
	var errs []error
	full := make([]string, 0, len(keys))
	for _, key := range keys {
		f, err := d.full(op, key)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		full = append(full, f)
	}
	if len(full) > 1 {
		slices.Sort(full)
		full = slices.Compact(full)
	}
	for batch := range slices.Chunk(full, maxDelete) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for f, err := range d.remove(ctx, batch) {
			errs = append(errs, fail(ctx, op, strings.TrimPrefix(f, d.prefix), err))
		}
	}
	if ctx.Err() != nil && len(errs) > 0 {
		return ctx.Err()
	}
	return errors.Join(errs...)
}

// maxDelete is how many keys S3 takes in one request.
const maxDelete = 1000

// remove removes up to 1,000 objects and returns those that are left, each with the reason.
func (d *Driver) remove(ctx context.Context, batch []string) map[string]error {
	if len(batch) == 1 {
		_, err := d.try(ctx, func() error {
			return d.core.RemoveObject(ctx, d.bucket, batch[0], minio.RemoveObjectOptions{})
		})
		if err == nil || minio.ToErrorResponse(err).Code == minio.NoSuchKey {
			return nil
		}
		return map[string]error{batch[0]: err}
	}
	left := make(map[string]error)
	again := batch // the keys of the next attempt
	_, err := d.try(ctx, func() error {
		var worst error
		asked := again
		results, err := d.core.RemoveObjectsWithIter(ctx, d.bucket, objects(asked), minio.RemoveObjectsOptions{})
		if err != nil {
			return err
		}
		again = nil
		for r := range results {
			switch {
			case r.Err == nil || minio.ToErrorResponse(r.Err).Code == minio.NoSuchKey:
			case r.ObjectName == "": // the answer can't be read
				again = asked
				worst = r.Err
			default:
				left[r.ObjectName] = r.Err
				if retryable(r.Err) {
					delete(left, r.ObjectName)
					again = append(again, r.ObjectName)
					worst = r.Err
				}
			}
		}
		return worst
	})
	if err != nil {
		for _, f := range again {
			left[f] = err
		}
	}
	return left
}

// objects yields what RemoveObjects wants to know of keys.
func objects(keys []string) func(yield func(minio.ObjectInfo) bool) {
	return func(yield func(minio.ObjectInfo) bool) {
		for _, key := range keys {
			if !yield(minio.ObjectInfo{Key: key}) {
				return
			}
		}
	}
}
