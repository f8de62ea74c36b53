package bucket

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/longshore-registry/longshore/drivers"
)

// MaxDelete is how many keys S3 takes in one request.
const MaxDelete = 1000

// deletesAtOnce is how many DELETEs of one call are under way where the store takes one key each.
const deletesAtOnce = 16

// Delete is one DELETE for one key, else one POST for each 1,000; or one DELETE for each key, some of them at
// once, where the store has no other request.
func (b *Bucket) Delete(ctx context.Context, keys ...string) error {
	const op = "delete"
	var errs []error
	full := make([]string, 0, len(keys))
	for _, key := range keys {
		f, err := b.Full(op, key)
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
	for batch := range slices.Chunk(full, MaxDelete) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		remove := b.many
		if b.OneByOne || len(batch) == 1 {
			remove = b.each
		}
		for f, err := range remove(ctx, batch) {
			if !b.isKind(err, drivers.ErrNotFound) {
				errs = append(errs, b.Requests.Fail(ctx, op, strings.TrimPrefix(f, b.Prefix), err))
			}
		}
	}
	if ctx.Err() != nil && len(errs) > 0 {
		return ctx.Err()
	}
	return errors.Join(errs...)
}

// each removes objects one by one and returns those that are left, each with the reason.
func (b *Bucket) each(ctx context.Context, batch []string) map[string]error {
	left := make(map[string]error)
	var mu sync.Mutex
	var under sync.WaitGroup
	turn := make(chan struct{}, deletesAtOnce)
	for _, full := range batch {
		turn <- struct{}{}
		under.Go(func() {
			defer func() { <-turn }()
			if err := b.Requests.Delete(ctx, full); err != nil {
				mu.Lock()
				left[full] = err
				mu.Unlock()
			}
		})
	}
	under.Wait()
	return left
}

// many is each in one request, which is repeated for what has reason to hope.
func (b *Bucket) many(ctx context.Context, batch []string) map[string]error {
	left := make(map[string]error)
	again := batch
	_, err := b.Requests.Try(ctx, func() error {
		failed, err := b.Requests.DeleteMany(ctx, again)
		if err != nil {
			return err
		}
		again = again[:0:0]
		var passing error
		for full, err := range failed {
			if b.Requests.Retryable(err) {
				again, passing = append(again, full), err
			} else {
				left[full] = err
			}
		}
		return passing
	})
	if err != nil {
		maps.Copy(left, all(again, err))
	}
	return left
}

// all gives each key the same error.
func all(keys []string, err error) map[string]error {
	m := make(map[string]error, len(keys))
	for _, key := range keys {
		m[key] = err
	}
	return m
}
