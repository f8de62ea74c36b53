package bucket

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// Upload is a multipart upload.
type Upload struct {
	Full  string // the object's name in the bucket
	ID    string
	Began time.Time
}

// Leftovers yields the multipart uploads below the prefix. It costs one request for each page of all uploads of the bucket
// (MinIO finds none by the beginning of their keys), and one for each that is yielded, for its size.
func (b *Bucket) Leftovers(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
	const op = "leftovers"
	return func(yield func(drivers.Leftover, error) bool) {
		fail := func(key string, err error) { yield(drivers.Leftover{}, b.Requests.Fail(ctx, op, key, err)) }
		var after Upload
		seen := map[Upload]bool{} // where pages have begun
		for {
			if ctx.Err() != nil {
				fail("", ctx.Err())
				return
			}
			page, next, err := b.Requests.Uploads(ctx, after)
			if err != nil {
				fail("", err)
				return
			}
			for _, u := range page {
				key, ours := strings.CutPrefix(u.Full, b.Prefix)
				if !ours || drivers.CheckKey(b.Driver, op, key) != nil {
					continue // nothing that this driver has begun
				}
				size, err := b.Requests.UploadSize(ctx, u.Full, u.ID)
				if b.isKind(err, drivers.ErrPrecondition) {
					continue // it has ended since
				}
				if err != nil {
					fail(key, err)
					return
				}
				if !yield(drivers.Leftover{Key: key, ID: u.ID, Size: size, Began: u.Began}, nil) {
					return
				}
			}
			if next == (Upload{}) {
				return
			}
			if seen[next] { // it would go on for ever
				yield(drivers.Leftover{}, b.fault(op, "", drivers.ErrCorrupt, "after %q the store begins its listing of uploads again", after.Full))
				return
			}
			after = next
			seen[next] = true
		}
	}
}

// Drop is one request. A part that is being sent at that moment may come after it, and then the upload is found again.
func (b *Bucket) Drop(ctx context.Context, l drivers.Leftover) error {
	const op = "drop"
	full, err := b.Full(op, l.Key)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if l.ID == "" {
		return b.fault(op, l.Key, drivers.ErrInvalid, "an upload without an ID")
	}
	if err := b.Requests.Abort(ctx, full, l.ID); !b.isKind(err, drivers.ErrPrecondition) {
		return b.Requests.Fail(ctx, op, l.Key, err)
	}
	return nil
}
