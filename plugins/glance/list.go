package glance

import (
	"context"
	"errors"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// Glance lists images in the order of names, from an image that is named, not from a name. So the driver has images of
// its own, cursors, that it gives the name at which a listing is to begin. A cursor serves one listing of
// one process at a time.
const (
	pageSize = 1000 // api_limit_max, if nobody has changed it

	// oldCursor is the age at which a cursor is taken for that of a process that has died.
	oldCursor = 24 * time.Hour
)

// cursor gives f a cursor that stands before all images with the name.
func (d *Driver) cursor(ctx context.Context, name string, f func(id string) error) error {
	d.mu.Lock()
	var id string
	if n := len(d.cursors); n > 0 {
		id, d.cursors = d.cursors[n-1], d.cursors[:n-1]
	}
	d.mu.Unlock()
	if id != "" {
		if err := d.patch(ctx, id, "name", name); err != nil {
			if ctx.Err() != nil {
				return ctx.Err() // sweepCursors finds it
			}
			// A late effect of this request could move it under another listing.
			d.clean(ctx, []part{{ID: id}})
			id = ""
		}
	}
	if id == "" {
		id = cursorID()
		what, err := d.create(ctx, image{ID: id, Name: name, record: record{Kind: kindCursor, Token: randomToken()}})
		if what != made {
			if ctx.Err() == nil {
				d.clean(ctx, []part{{ID: id}})
			}
			return err
		}
	}
	err := f(id)
	d.mu.Lock()
	d.cursors = append(d.cursors, id)
	d.mu.Unlock()
	return err
}

// sweepCursors removes cursors that a process has left.
func (d *Driver) sweepCursors(ctx context.Context) error {
	found, _, err := d.list(ctx, url.Values{streamProperty: {streamValue(d.c, "cursor")}, "limit": {strconv.Itoa(pageSize)}})
	for _, i := range found {
		if i.Kind == kindCursor && time.Since(i.Updated) > oldCursor {
			_ = d.remove(ctx, i.ID) // the next time
		}
	}
	return err
}

// groups yields the images of a letter from the key start on, those with one name together, in the order of names: one request, and one
// for each 1,000 images, and one for the cursor. jump is asked before each page but the first, with the name that
// the next one would begin at; it returns a later key to go on from, or "".
func (d *Driver) groups(ctx context.Context, letter, start string, jump func(name string) string) iter.Seq2[[]image, error] {
	return func(yield func([]image, error) bool) {
		var group []image // those of the newest name, of which the next page may have more
		from, marker := d.name(letter, start), ""
		for {
			page, more, err := d.page(ctx, from, marker)
			if status := statusOf(err); marker != "" && (status == http.StatusBadRequest || status == http.StatusNotFound) {
				marker, group = "", nil // its image was deleted meanwhile
				continue
			}
			if err != nil {
				yield(nil, err)
				return
			}
			marker = ""
			for _, i := range page {
				if i.Kind == kindCursor {
					continue // it moves, so it can't be the marker
				}
				if i.Name < from {
					yield(nil, errors.Join(errCorrupt, errOrder))
					return
				}
				if !strings.HasPrefix(i.Name, d.names+letter) {
					more = false
					break
				}
				if len(group) > 0 && group[0].Name != i.Name {
					if !yield(group, nil) {
						return
					}
					group = nil
				}
				group = append(group, i)
				marker, from = i.ID, i.Name
			}
			if !more {
				if len(group) > 0 {
					yield(group, nil)
				}
				return
			}
			if marker == "" {
				yield(nil, errors.New("the image service gives a page of cursors alone"))
				return
			}
			if key := jump(from); key != "" {
				from, marker, group = d.name(letter, key), "", nil
			}
		}
	}
}

var errOrder = errors.New("the images are not in the order of their names; its database has to sort 0-9 before a-z")

// page asks for the images after the marker or, if that is "", from a name on.
func (d *Driver) page(ctx context.Context, from, marker string) (page []image, more bool, err error) {
	query := url.Values{"sort": {"name:asc,id:asc"}, "limit": {strconv.Itoa(pageSize)}, "marker": {marker}}
	if marker != "" {
		return d.list(ctx, query)
	}
	err = d.cursor(ctx, from, func(id string) (err error) {
		query.Set("marker", id)
		page, more, err = d.list(ctx, query)
		return err
	})
	return page, more, err
}

// List is one request for a cursor and one for each 1,000 images, which are the entries and a few others. A rolled-up folder that
// is larger than a page costs a cursor more.
func (d *Driver) List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
	const op = "list"
	return func(yield func(drivers.Entry, error) bool) {
		if delimiter != "" && delimiter != "/" {
			yield(drivers.Entry{}, problem(op, prefix, drivers.ErrInvalid, "delimiter %q is neither empty nor a slash", delimiter))
			return
		}
		if ctx.Err() != nil {
			yield(drivers.Entry{}, ctx.Err())
			return
		}
		if keyStart(prefix) != prefix || after > prefix && !strings.HasPrefix(after, prefix) {
			return // no key begins so, or all that do are before after
		}
		folder := "" // the one that was rolled up last
		jump := func(name string) string {
			if folder != "" && len(d.name(keyNames, folder)) < maxName && strings.HasPrefix(name, d.name(keyNames, folder)) {
				return strings.TrimSuffix(folder, "/") + "0" // the byte after the slash
			}
			return ""
		}
		for group, err := range d.groups(ctx, keyNames, keyStart(max(prefix, after)), jump) {
			if err != nil {
				if errors.Is(err, errCorrupt) {
					err = problem(op, prefix, drivers.ErrCorrupt, "%w", err)
				}
				yield(drivers.Entry{}, fail(ctx, op, prefix, err))
				return
			}
			for _, e := range objects(group) {
				if !strings.HasPrefix(e.Key, prefix) {
					if e.Key > prefix {
						return
					}
					continue
				}
				if delimiter != "" {
					if slash := strings.IndexByte(e.Key[len(prefix):], '/'); slash >= 0 {
						e = drivers.Entry{Key: e.Key[:len(prefix)+slash+1], IsPrefix: true}
						if e.Key == folder {
							continue
						}
						folder = e.Key
					}
				}
				if e.Key <= after {
					continue
				}
				if ctx.Err() != nil {
					yield(drivers.Entry{}, ctx.Err())
					return
				}
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// objects are those of a group of images, in the order of their keys.
func objects(group []image) (all []drivers.Entry) {
	keys := make(map[string]bool)
	for _, i := range group {
		keys[i.Key] = true
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		e := entries{key: key}
		e.settle(group)
		if top := e.top(); top != nil {
			all = append(all, drivers.Entry{Key: key, Info: top.info()})
		}
	}
	return all
}
