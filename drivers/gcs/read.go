package gcs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"cloud.google.com/go/storage"
	"google.golang.org/api/iterator"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/listing"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// object is the handle of an object that is read as it lies there, whatever Content-Encoding somebody gave it.
func (d *Driver) object(full string) *storage.ObjectHandle {
	return d.bucket.Object(full).ReadCompressed(true)
}

// Reader is one GET; one GET of the metadata instead if length is 0; and one after the GET if offset is at or past
// the end, since that answer tells nothing of the object. When a body breaks off, another GET asks for the rest of the same
// generation. The CRC32C of what is read as a whole is checked with the last byte.
func (d *Driver) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	const op = "reader"
	full, err := d.full(op, key)
	if err != nil {
		return nil, drivers.Info{}, err
	}
	if offset < 0 {
		return nil, drivers.Info{}, invalid(op, key, "offset %d is negative", offset)
	}
	if length == 0 {
		info, err := d.stat(ctx, op, key, full)
		return http.NoBody, info, err
	}
	if length > 0 && offset+length < 0 {
		length = -1
	}
	var r *storage.Reader
	_, err = d.try(ctx, func() (err error) {
		counted := context.WithValue(ctx, bodyKey{}, new(atomic.Int64))
		r, err = d.object(full).NewRangeReader(counted, offset, max(length, -1))
		return err
	})
	if statusOf(err) == http.StatusRequestedRangeNotSatisfiable {
		info, err := d.stat(ctx, op, key, full)
		if err == nil && info.Size > offset {
			err = wrap(op, key, drivers.ErrThrottled, errors.New("the object changed while it was looked at"))
		}
		return http.NoBody, info, err
	}
	if err != nil {
		return nil, drivers.Info{}, fail(ctx, op, key, err)
	}
	left := r.Attrs.Size - offset
	if length > 0 {
		left = min(left, length)
	}
	if r.Attrs.Generation <= 0 || left < 0 || r.Remain() > left {
		_ = r.Close() // the answer is of no use
		return nil, drivers.Info{}, wrap(op, key, nil, errors.New("the answer lacks a length or a generation, or has not the range that was asked for"))
	}
	info := infoOf(r.Attrs.Size, r.Attrs.Generation, r.Attrs.LastModified)
	broken := func(err error) error {
		if statusOf(err) == http.StatusNotFound { // to the request for the rest
			err = wrap(op, key, drivers.ErrThrottled, fmt.Errorf("the object was replaced while it was read: %w", err))
		}
		return fail(ctx, op, key, err)
	}
	return &wire.Body{ReadCloser: r, Left: left, Fail: broken}, info, nil
}

// Stat is one GET of the metadata.
func (d *Driver) Stat(ctx context.Context, key string) (drivers.Info, error) {
	full, err := d.full("stat", key)
	if err != nil {
		return drivers.Info{}, err
	}
	return d.stat(ctx, "stat", key, full)
}

func (d *Driver) stat(ctx context.Context, op, key, full string) (drivers.Info, error) {
	attrs, err := d.attrs(ctx, full)
	if err != nil {
		return drivers.Info{}, fail(ctx, op, key, err)
	}
	return infoOf(attrs.Size, attrs.Generation, attrs.Created), nil
}

func (d *Driver) attrs(ctx context.Context, full string) (attrs *storage.ObjectAttrs, err error) {
	_, err = d.try(ctx, func() (err error) {
		attrs, err = d.bucket.Object(full).Attrs(ctx)
		return err
	})
	return attrs, err
}

// infoOf makes the generation the ETag: it is another for each content, and what conditions compare. Fractions of seconds are
// dropped, which a GET's headers don't have.
func infoOf(size, generation int64, created time.Time) drivers.Info {
	return drivers.Info{Size: size, ETag: strconv.FormatInt(generation, 10), ModTime: created.Truncate(time.Second)}
}

// List is one GET for each 1,000 entries that the caller takes.
func (d *Driver) List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
	return listing.Lister{Driver: name, Prefix: d.prefix, Page: d.page, Fail: fail}.List(ctx, prefix, after, delimiter)
}

// page asks for one page of what sorts before the folder of streams.
func (d *Driver) page(ctx context.Context, prefix, start, token, delimiter string) (listing.Page, error) {
	query := &storage.Query{
		Prefix: prefix, Delimiter: delimiter, StartOffset: start, EndOffset: d.prefix + streamsFolder, Projection: storage.ProjectionNoACL,
	}
	if err := query.SetAttrSelection([]string{"Name", "Size", "Generation", "Created"}); err != nil {
		return listing.Page{}, err
	}
	all, next, err := d.objects(ctx, query, token)
	if err != nil {
		return listing.Page{}, err
	}
	page := listing.Page{Entries: make([]drivers.Entry, 0, len(all)), More: next != "", Next: next}
	for _, o := range all {
		if o.Prefix != "" {
			page.Entries = append(page.Entries, drivers.Entry{Key: o.Prefix, IsPrefix: true})
			continue
		}
		page.Entries = append(page.Entries, drivers.Entry{Key: o.Name, Info: infoOf(o.Size, o.Generation, o.Created)})
	}
	return page, nil
}

// objects is one page of a query.
func (d *Driver) objects(ctx context.Context, query *storage.Query, token string) (all []*storage.ObjectAttrs, next string, err error) {
	size := min(listing.Ask(ctx, token)+1, listing.PageSize) // StartOffset itself comes too
	_, err = d.try(ctx, func() (err error) {
		all = nil
		next, err = iterator.NewPager(d.bucket.Objects(ctx, query), size, token).NextPage(&all)
		return err
	})
	return all, next, err
}
