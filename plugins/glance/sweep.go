package glance

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// dead is the age at which a commit that did not end is taken for that of a process that has died.
const dead = 4 * closing

// Leftovers goes through all images that have bytes, and asks for the object of each key that has any: one request for each 1,000
// images, and one for each eight keys. So it finds also what a process left that died while it deleted or replaced an object.
func (d *Driver) Leftovers(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
	const op, most = "leftovers", 8
	return func(yield func(drivers.Leftover, error) bool) {
		var waiting [][]image // of one key each
		// look yields what is left over of those that wait.
		look := func() bool {
			var ids []string
			for _, own := range waiting {
				ids = append(ids, d.windowIDs(own[0].Key, 0)...)
			}
			var found []image
			var err error
			if len(ids) > 0 {
				found, err = d.find(ctx, ids)
			}
			for _, own := range waiting {
				var all []drivers.Leftover
				if err == nil {
					all, err = d.leftovers(ctx, own, found)
				}
				if err != nil {
					yield(drivers.Leftover{}, fail(ctx, op, "", err))
					return false
				}
				for _, l := range all {
					if !yield(l, nil) {
						return false
					}
				}
			}
			waiting = nil
			return true
		}
		for group, err := range d.groups(ctx, oddNames, "", func(string) string { return "" }) {
			if err != nil {
				yield(drivers.Leftover{}, fail(ctx, op, "", err))
				return
			}
			byKey := make(map[string][]image)
			for _, i := range group {
				if i.Stream != "" {
					byKey[i.Key] = append(byKey[i.Key], i)
				}
			}
			for _, own := range byKey {
				waiting = append(waiting, own)
				if len(waiting) == most && !look() {
					return
				}
			}
		}
		look()
	}
}

// leftovers are the streams that images of one key belong to, but that of the object, which is found with what found has.
func (d *Driver) leftovers(ctx context.Context, own, found []image) (all []drivers.Leftover, err error) {
	key := own[0].Key
	e, err := d.walk(ctx, key, ofKey(found, key))
	if err != nil {
		return nil, err
	}
	byStream := make(map[string]int)
	for _, i := range own {
		if e.has(i.Stream) {
			continue
		}
		n, seen := byStream[i.Stream]
		if !seen {
			n = len(all)
			byStream[i.Stream] = n
			all = append(all, drivers.Leftover{Key: key, ID: i.Stream, Began: i.Created})
		}
		if i.Bytes != nil {
			all[n].Size += *i.Bytes
		}
		if i.Created.Before(all[n].Began) {
			all[n].Began = i.Created
		}
	}
	return all, nil
}

// has reports whether an object is made of a stream, or was and is about to be removed.
func (e *entries) has(stream string) bool {
	for _, i := range e.all {
		if i.Stream == stream {
			return true
		}
	}
	return false
}

// Drop ends the stream, so that no commit of it can succeed any more, and removes its images. A commit that has begun, and may still be under
// way, is let go on: that is an error of the kind ErrThrottled, until an hour has passed.
func (d *Driver) Drop(ctx context.Context, l drivers.Leftover) error {
	const op = "drop"
	if err := drivers.CheckKey(name, op, l.Key); err != nil {
		return err
	}
	if l.ID == "" {
		return problem(op, l.Key, drivers.ErrInvalid, "it has no ID")
	}
	return fail(ctx, op, l.Key, d.dropStream(ctx, op, l.Key, l.ID))
}

func (d *Driver) dropStream(ctx context.Context, op, key, stream string) error {
	end := d.endImage(key, stream, "drop")
	what, err := d.create(ctx, end)
	if what != made && what != taken {
		return err
	}
	busy := func(header http.Header, at time.Time) error {
		if age(header, at) < dead {
			return problem(op, key, drivers.ErrThrottled, "a process may be committing it")
		}
		return nil
	}
	if what == taken {
		found, header, err := d.get(ctx, end.ID)
		switch {
		case statusOf(err) == http.StatusNotFound:
			// Its commit is over, or an earlier Drop.
		case err != nil:
			return err
		case found.By == "commit":
			if err := busy(header, found.Created); err != nil {
				return err
			}
		}
	}
	e, err := d.lookup(ctx, key)
	if err != nil {
		return err
	}
	if e.has(stream) {
		return d.remove(ctx, end.ID) // the object is there; only the end was left
	}
	for {
		page, more, header, err := d.listed(ctx, url.Values{streamProperty: {streamValue(d.c, stream)}, "limit": {strconv.Itoa(pageSize)}})
		if err != nil {
			return err
		}
		var all []part
		for _, i := range page {
			if i.Kind == kindPart && i.Lone {
				if err := busy(header, i.Created); err != nil {
					_ = d.remove(ctx, end.ID) // which that commit does not look at
					return err
				}
			}
			if i.Kind != kindEnd {
				all = append(all, part{ID: i.ID})
			}
		}
		if err := d.removeParts(ctx, all); err != nil {
			return err
		}
		if !more {
			return d.remove(ctx, end.ID)
		}
	}
}

// ofKey are the images of a key.
func ofKey(all []image, key string) (own []image) {
	for _, i := range all {
		if i.Key == key {
			own = append(own, i)
		}
	}
	return own
}
