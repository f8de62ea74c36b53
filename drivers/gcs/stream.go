package gcs

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/storage"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
)

// A stream that does not fit into one part lies in a folder of its own, below one that no key can be in:
//
//	~streams/ID/mark             empty: the stream is there; its generation says which state is the newest, its metadata the key
//	~streams/ID/00002-RANDOM     a part
//
// Parts go up in parallel. Each has a name that no other process can give, so a rival that goes on from the same
// state can't change what this one sent. Compose makes the object of them, without moving bytes, and removes them. Whenever 32 parts
// are there they are composed into one, so that Commit has few left.
//
// The object carries the id of its stream, and compose replaces nothing but the object that was looked at. So of two that commit one stream the
// later one finds that it is done, and a process that dies in the middle of its Commit leaves a state that is still good.
//
// A resumable session, the service's own way to write in pieces, was not taken: see docs/gcs.md.
const streamsFolder = "~streams/"

// mostSources is how many objects one compose takes: https://cloud.google.com/storage/docs/composing-objects
const mostSources = 32

// Metadata.
const (
	keyKey    = "key"    // of a mark: what the object is called
	streamKey = "stream" // of an object made of parts: the id of its stream
)

// Writer makes no request before its first part is full.
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

// store sends what a Writer has to send. The id of an upload is that of the stream and the first generation of its mark.
type store struct{ d *Driver }

var (
	_ parts.Store  = store{}
	_ parts.Folder = store{}
	_ parts.Sealer = store{}
	_ parts.Marker = store{}
)

// folder is where a stream lies.
func (s store) folder(upload string) string { return s.d.prefix + streamsFolder + idOf(upload) + "/" }

// idOf is the id of the stream.
func idOf(upload string) string {
	id, _, _ := strings.Cut(upload, ".")
	return id
}

func (s store) mark(upload string) string { return s.folder(upload) + "mark" }

func (s store) part(upload string, p parts.Part) string {
	return fmt.Sprintf("%s%05d-%s", s.folder(upload), p.Number, p.ETag)
}

// PutData is one POST.
func (s store) PutData(ctx context.Context, full string, body []byte) error {
	_, _, err := s.d.put(ctx, s.d.bucket.Object(full), storage.ObjectAttrs{StorageClass: s.d.c.StorageClass}, body)
	return err
}

// Begin puts the mark.
func (s store) Begin(ctx context.Context, full string, _ parts.Sum) (upload string, err error) {
	id := rand.Text()
	generation, _, err := s.d.putIf(ctx, s.mark(id), storage.Conditions{DoesNotExist: true}, storage.ObjectAttrs{Metadata: map[string]string{keyKey: full}}, nil)
	return id + "." + strconv.FormatInt(generation, 10), err
}

// Mark replaces the mark if it still has the generation of the state.
func (s store) Mark(ctx context.Context, full, upload, before string) (etag string, err error) {
	was, err := strconv.ParseInt(cmp.Or(before, first(upload)), 10, 64)
	if err != nil {
		return "", err
	}
	generation, refused, err := s.d.putIf(ctx, s.mark(upload), storage.Conditions{GenerationMatch: was}, storage.ObjectAttrs{Metadata: map[string]string{keyKey: full}}, nil)
	if refused {
		err = fmt.Errorf("%w: %w", errNoUpload, err)
	}
	return strconv.FormatInt(generation, 10), err
}

// SendPart is one POST. That the part is there already means that an attempt whose answer was lost has made it: nobody else knows its name.
func (s store) SendPart(ctx context.Context, _, upload string, number int, body []byte, _ parts.Sums) (etag string, err error) {
	p := parts.Part{Number: number, ETag: rand.Text()}
	// Compose wants its sources in the class of the object: https://cloud.google.com/storage/docs/composite-objects
	o := s.d.bucket.Object(s.part(upload, p)).If(storage.Conditions{DoesNotExist: true})
	_, _, err = s.d.put(ctx, o, storage.ObjectAttrs{StorageClass: s.d.c.StorageClass}, body)
	if statusOf(err) == http.StatusPreconditionFailed {
		err = nil
	}
	return p.ETag, err
}

// FirstPart is one GET of the mark's metadata.
func (s store) FirstPart(ctx context.Context, _, upload string) (etag string, err error) {
	attrs, err := s.d.attrs(ctx, s.mark(upload))
	if err != nil {
		return "", noUpload(err)
	}
	etag = strconv.FormatInt(attrs.Generation, 10)
	if etag == first(upload) {
		return "", nil
	}
	return etag, nil
}

// first is the generation that the mark had at Begin.
func first(upload string) string {
	_, generation, _ := strings.Cut(upload, ".")
	return generation
}

// Seal looks once more, with one GET, since sending the last part may have taken long. What happens between this and compose, compose finds out.
func (s store) Seal(ctx context.Context, full, upload, mark string) (now string, err error) {
	now, err = s.FirstPart(ctx, full, upload)
	if err == nil && now != mark {
		err = fmt.Errorf("%w: it was resumed and suspended again", errNoUpload)
	}
	return now, err
}

// Complete composes the parts, which is one POST for up to 32 of them, and removes what is left of the stream: one DELETE of the mark and one
// GET that lists the folder, in which a process that died may have left something.
func (s store) Complete(ctx context.Context, full, upload string, _ parts.Sum, list []parts.Part) (parts.Made, int, error) {
	left := list
	for len(left) > mostSources {
		var fewer []parts.Part
		for group := range slices.Chunk(left, mostSources) {
			one, err := s.Fold(ctx, full, upload, group, true)
			if err != nil {
				return parts.Made{}, 1, err
			}
			fewer = append(fewer, one)
		}
		left = fewer
	}
	err := s.publish(ctx, full, upload, left)
	if err == nil {
		_ = s.Abort(ctx, full, upload) // the object is there; what can't be removed is a leftover
	}
	return parts.Made{}, 1, err
}

// publish makes the object, unless another process has made one of the same stream. It first takes for granted that there is
// no object, which is so in a registry.
func (s store) publish(ctx context.Context, full, upload string, list []parts.Part) (err error) {
	metadata := map[string]string{streamKey: idOf(upload), markKey: rand.Text()}
	on := storage.Conditions{DoesNotExist: true}
	for range s.d.c.Attempts {
		o := s.d.bucket.Object(full).If(on)
		if len(list) == 1 && list[0].Size == 0 { // nothing says that compose takes a source without bytes
			_, _, err = s.d.put(ctx, o, storage.ObjectAttrs{StorageClass: s.d.c.StorageClass, Metadata: metadata}, nil)
		} else {
			err = s.compose(ctx, o, upload, metadata, list, false)
		}
		status := statusOf(err)
		if status != http.StatusPreconditionFailed && status != http.StatusNotFound {
			return err
		}
		object, lookErr := s.d.attrs(ctx, full)
		absent := errors.Is(lookErr, storage.ErrObjectNotExist)
		switch {
		case lookErr != nil && !absent:
			return lookErr
		case !absent && object.Metadata[streamKey] == idOf(upload):
			if object.Metadata[markKey] == metadata[markKey] {
				return nil // by an attempt whose answer was lost
			}
			return fmt.Errorf("%w: another process has committed it", errNoUpload)
		case status == http.StatusNotFound:
			return noUpload(err) // parts are gone
		case absent:
			on = storage.Conditions{DoesNotExist: true}
		default:
			on = storage.Conditions{GenerationMatch: object.Generation}
		}
	}
	return err // others replace the object all the time
}

// Fold is one POST.
func (s store) Fold(ctx context.Context, _, upload string, list []parts.Part, keep bool) (parts.Part, error) {
	one := parts.Part{Number: list[0].Number, ETag: rand.Text(), Size: sizeOf(list)}
	full := s.part(upload, one)
	err := s.compose(ctx, s.d.bucket.Object(full).If(storage.Conditions{DoesNotExist: true}), upload, nil, list, keep)
	if status := statusOf(err); status == http.StatusPreconditionFailed || status == http.StatusNotFound {
		// An attempt whose answer was lost may have made it, and removed its sources.
		object, lookErr := s.d.attrs(ctx, full)
		if lookErr == nil && object.Size == one.Size {
			err = nil
		}
	}
	return one, noUpload(err)
}

func sizeOf(list []parts.Part) (size int64) {
	for _, p := range list {
		size += p.Size
	}
	return size
}

// compose makes the object o of parts. Unless they are kept the service removes them, other than by a DELETE without charging
// for their minimum time of storage and without keeping them soft-deleted:
// https://cloud.google.com/storage/docs/composing-objects
func (s store) compose(ctx context.Context, o *storage.ObjectHandle, upload string, metadata map[string]string, list []parts.Part, keep bool) error {
	sources := make([]*storage.ObjectHandle, len(list))
	for i, p := range list {
		sources[i] = s.d.bucket.Object(s.part(upload, p))
	}
	_, err := s.d.try(ctx, func() error {
		c := o.ComposerFrom(sources...)
		c.ContentType, c.StorageClass, c.Metadata = "application/octet-stream", s.d.c.StorageClass, metadata // the key: see outgoing
		c.DeleteSourceObjects = !keep
		made, err := c.Run(ctx)
		if err == nil && made.Size != sizeOf(list) {
			return &drivers.Error{Op: "commit", Driver: name, Key: o.ObjectName(), Kind: drivers.ErrCorrupt,
				Err: fmt.Errorf("the service made %d bytes of parts of %d", made.Size, sizeOf(list))}
		}
		return err
	})
	return err
}

// Discard is one DELETE for each part.
func (s store) Discard(ctx context.Context, _, upload string, list []parts.Part) error {
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = s.part(upload, p)
	}
	for _, err := range s.d.remove(ctx, names) {
		return err
	}
	return nil
}

// Abort removes the mark, which ends the stream, and then all that lies beside it.
func (s store) Abort(ctx context.Context, _, upload string) error {
	for _, err := range s.d.remove(ctx, []string{s.mark(upload)}) {
		return err
	}
	query := &storage.Query{Prefix: s.folder(upload), Projection: storage.ProjectionNoACL}
	if err := query.SetAttrSelection([]string{"Name"}); err != nil {
		return err
	}
	// Again after something was there: what a request that was given up has sent may still arrive. But not for as long as a rival goes on: all
	// parts that there can be are ten rounds.
	for range 20 {
		all, _, err := s.d.objects(ctx, query, "")
		if err != nil || len(all) == 0 {
			return err
		}
		names := make([]string, len(all))
		for i, o := range all {
			names[i] = o.Name
		}
		for _, err := range s.d.remove(ctx, names) {
			return err
		}
	}
	return nil
}

// ETag is one GET of the metadata.
func (s store) ETag(ctx context.Context, full string) (string, error) {
	attrs, err := s.d.attrs(ctx, full)
	if err != nil {
		return "", err
	}
	return strconv.FormatInt(attrs.Generation, 10), nil
}

// NoUpload knows what noUpload has found.
func (s store) NoUpload(err error) bool { return errors.Is(err, errNoUpload) }

// Fail is fail.
func (s store) Fail(ctx context.Context, op, key string, err error) error {
	return fail(ctx, op, key, err)
}

// noUpload adds errNoUpload where a mark or a part is not there.
func noUpload(err error) error {
	if statusOf(err) == http.StatusNotFound && !errors.Is(err, storage.ErrBucketNotExist) {
		return fmt.Errorf("%w: %w", errNoUpload, err)
	}
	return err
}

// Leftovers lists the folder of streams: one GET for each 1,000 objects in it. A stream with nothing but its mark counts too, and
// so does one that has lost its mark, whose key is not known then: the request for a part may end after its stream was cancelled.
func (d *Driver) Leftovers(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
	return func(yield func(drivers.Leftover, error) bool) {
		const op = "leftovers"
		folder := d.prefix + streamsFolder
		query := &storage.Query{Prefix: folder, Projection: storage.ProjectionNoACL}
		if err := query.SetAttrSelection([]string{"Name", "Size", "Created", "Metadata"}); err != nil {
			yield(drivers.Leftover{}, wrap(op, "", nil, err))
			return
		}
		var l drivers.Leftover // what was seen of it so far
		for token := ""; ; {
			all, next, err := d.objects(ctx, query, token)
			if err != nil {
				yield(drivers.Leftover{}, fail(ctx, op, "", err))
				return
			}
			for _, o := range all {
				id, _, _ := strings.Cut(strings.TrimPrefix(o.Name, folder), "/")
				created := o.Created.Truncate(time.Second)
				if id != l.ID {
					if l.ID != "" && !yield(l, nil) {
						return
					}
					l = drivers.Leftover{ID: id, Began: created}
				}
				l.Size += o.Size
				if created.Before(l.Began) {
					l.Began = created
				}
				if o.Name == folder+id+"/mark" {
					l.Key = strings.TrimPrefix(o.Metadata[keyKey], d.prefix)
				}
			}
			if next == "" {
				break
			}
			token = next
		}
		if l.ID != "" {
			yield(l, nil)
		}
	}
}

// Drop removes a stream's mark, then its parts.
func (d *Driver) Drop(ctx context.Context, l drivers.Leftover) error {
	if l.ID == "" || strings.ContainsAny(l.ID, "/.") {
		return invalid("drop", l.Key, "%q is no id of a stream", l.ID)
	}
	return fail(ctx, "drop", l.Key, store{d}.Abort(ctx, "", l.ID))
}
