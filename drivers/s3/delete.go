package s3

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// maxDelete is how many keys S3 takes in one request.
const maxDelete = 1000

// deletesAtOnce is how many DELETEs of one call are under way where the store takes one key each.
const deletesAtOnce = 16

// Delete is one DELETE for one key, else one POST for each 1,000; or one DELETE for each key, some of them at
// once, where batch_delete is false.
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

// remove removes up to 1,000 objects and returns those that are left, each with the reason.
func (d *Driver) remove(ctx context.Context, batch []string) map[string]error {
	if d.c.BatchDelete && len(batch) > 1 {
		return d.removeMany(ctx, batch)
	}
	left := make(map[string]error)
	var mu sync.Mutex
	var under sync.WaitGroup
	turn := make(chan struct{}, deletesAtOnce)
	for _, full := range batch {
		turn <- struct{}{}
		under.Go(func() {
			defer func() { <-turn }()
			_, err := d.try(ctx, func() error {
				_, err := d.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &d.c.Bucket, Key: &full})
				return err
			})
			if err != nil && codeOf(err) != codeNoSuchKey {
				mu.Lock()
				left[full] = err
				mu.Unlock()
			}
		})
	}
	under.Wait()
	return left
}

// removeMany is remove in one request.
func (d *Driver) removeMany(ctx context.Context, batch []string) map[string]error {
	left := make(map[string]error)
	again := batch // the keys of the next attempt
	_, err := d.try(ctx, func() error {
		asked := make([]types.ObjectIdentifier, len(again))
		for i := range again {
			asked[i].Key = &again[i]
		}
		out, err := d.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
			Bucket: &d.c.Bucket, Delete: &types.Delete{Objects: asked, Quiet: aws.Bool(true)},
		})
		if err != nil {
			return err
		}
		var later []string
		var worst error
		for _, e := range out.Errors {
			code, key := aws.ToString(e.Code), aws.ToString(e.Key)
			if code == codeNoSuchKey {
				continue
			}
			err := &refusal{answer{code: code}, aws.ToString(e.Message)}
			if transient(err.answer) {
				later, worst = append(later, key), err
			} else {
				left[key] = err
			}
		}
		again = later
		return worst
	})
	if err != nil {
		for _, f := range again {
			left[f] = err
		}
	}
	return left
}

// refusal is what the answer to a DeleteObjects says of one key.
type refusal struct {
	answer  answer
	message string
}

// Error is the code and the message.
func (r *refusal) Error() string { return fmt.Sprintf("%s: %s", r.answer.code, r.message) }
