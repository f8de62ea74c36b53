package gcs

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"cloud.google.com/go/storage"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// Put is one POST.
func (d *Driver) Put(ctx context.Context, key string, body []byte) error {
	full, err := d.full("put", key)
	if err != nil {
		return err
	}
	_, _, err = d.put(ctx, d.bucket.Object(full), storage.ObjectAttrs{}, body)
	return fail(ctx, "put", key, err)
}

// PutIfAbsent is one POST with the generation 0.
//
// When the answer to an attempt is lost, the next one finds the object that the first may have
// made. So the object carries a random mark, the same for all attempts of one call and different for
// every call. An attempt after the first that is refused looks at the mark there: with
// its own mark the call has made the object, and returns nil; with another, or none, it returns
// ErrExists. The bodies don't matter: of two calls with equal bodies one still returns ErrExists.
func (d *Driver) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	const op = "putifabsent"
	full, err := d.full(op, key)
	if err != nil {
		return err
	}
	_, refused, err := d.putIf(ctx, full, storage.Conditions{DoesNotExist: true}, storage.ObjectAttrs{}, body)
	if refused && ctx.Err() == nil {
		return wrap(op, key, drivers.ErrExists, err)
	}
	return fail(ctx, op, key, err)
}

// PutIfMatch is one POST with the generation that etag is. Lost answers are found out as in PutIfAbsent.
func (d *Driver) PutIfMatch(ctx context.Context, key string, body []byte, etag string) error {
	const op = "putifmatch"
	full, err := d.full(op, key)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	generation, err := strconv.ParseInt(etag, 10, 64)
	if err != nil || generation <= 0 {
		return wrap(op, key, drivers.ErrPrecondition, errors.New("no object has such an ETag"))
	}
	_, refused, err := d.putIf(ctx, full, storage.Conditions{GenerationMatch: generation}, storage.ObjectAttrs{}, body)
	if refused && ctx.Err() == nil {
		return wrap(op, key, drivers.ErrPrecondition, err)
	}
	return fail(ctx, op, key, err)
}

// markKey is the metadata under which a conditional put knows its object again.
const markKey = "put-id"

// putIf puts under a condition and returns the object's generation. refused: it did not hold.
func (d *Driver) putIf(ctx context.Context, full string, on storage.Conditions, attrs storage.ObjectAttrs, body []byte) (generation int64, refused bool, err error) {
	mark := rand.Text()
	metadata := map[string]string{markKey: mark}
	maps.Copy(metadata, attrs.Metadata)
	attrs.Metadata = metadata
	generation, calls, err := d.put(ctx, d.bucket.Object(full).If(on), attrs, body)
	if err == nil || ctx.Err() != nil {
		return generation, false, err
	}
	if status := statusOf(err); status != http.StatusPreconditionFailed && status != http.StatusNotFound || errors.Is(err, storage.ErrBucketNotExist) {
		return 0, false, err
	}
	if calls == 1 {
		return 0, true, err
	}
	object, lookErr := d.attrs(ctx, full)
	switch {
	case lookErr == nil && object.Metadata[markKey] == mark:
		return object.Generation, false, nil
	case lookErr == nil || errors.Is(lookErr, storage.ErrObjectNotExist):
		return 0, true, err
	default:
		return 0, false, lookErr
	}
}

// put sends body as the object o in one request, which the service checks against a CRC32C, and returns the object's generation and how
// often it was sent.
func (d *Driver) put(ctx context.Context, o *storage.ObjectHandle, attrs storage.ObjectAttrs, body []byte) (generation int64, calls int, err error) {
	attrs.ContentType = "application/octet-stream"
	attrs.KMSKeyName = d.c.KMSKey
	attrs.CRC32C = parts.SumCRC32C.Of(body).CRC
	calls, err = d.try(ctx, func() error {
		lent := wire.Lend(body)
		defer lent.TakeBack()
		sending, stop := context.WithCancel(ctx)
		defer stop()
		w := o.NewWriter(sending)
		attrs.Name = w.Name
		w.ObjectAttrs, w.SendCRC32C, w.ChunkSize = attrs, true, 0
		if _, err := io.Copy(w, lent); err != nil {
			stop() // or Close would make an object of what was sent
			return errors.Join(err, w.Close())
		}
		if err := w.Close(); err != nil {
			return err
		}
		generation = w.Attrs().Generation
		return nil
	})
	return generation, calls, err
}

// deletesAtOnce is how many DELETEs of one call are under way.
const deletesAtOnce = 32

// Delete is one DELETE for each key, some of them at once: the client library has no batches.
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
	slices.Sort(full)
	for f, err := range d.remove(ctx, slices.Compact(full)) {
		errs = append(errs, fail(ctx, op, strings.TrimPrefix(f, d.prefix), err))
	}
	if ctx.Err() != nil && len(errs) > 0 {
		return ctx.Err()
	}
	return errors.Join(errs...)
}

// remove removes objects and returns those that are left, each with the reason.
func (d *Driver) remove(ctx context.Context, names []string) map[string]error {
	left := make(map[string]error)
	var mu sync.Mutex
	var under sync.WaitGroup
	turn := make(chan struct{}, deletesAtOnce)
	for _, full := range names {
		turn <- struct{}{}
		under.Go(func() {
			defer func() { <-turn }()
			_, err := d.try(ctx, func() error { return d.bucket.Object(full).Delete(ctx) })
			if err != nil && !errors.Is(err, storage.ErrObjectNotExist) {
				mu.Lock()
				left[full] = err
				mu.Unlock()
			}
		})
	}
	under.Wait()
	return left
}
