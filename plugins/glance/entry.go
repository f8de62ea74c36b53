package glance

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// An object is an image, its entry, that never changes. Its id is made of the key and a number: each change of the key is the
// next number, the highest one counts, and those below are deleted. A number can be given once (see create), so
// of all who write a key at one moment each gets a number of its own, and no request that comes late brings back
// what was replaced.
//
// Ids are looked up in windows: one request asks for all numbers of a window. A key that has used up one says so with an image
// that stays, and that of the first window also tells where to go on.
const (
	window = 16 // ids are 37 bytes in a URL, of which servers take 8 KiB

	// keepAbsent is the number from which a deleted object leaves an image of kindAbsent. Without it who creates
	// the object anew has to try all numbers that are used up; with it there is one image more for ever.
	keepAbsent = 3

	smallBody = 4 << 10 // bytes of an object that are kept in its entry: listings carry them too
	fewParts  = 64      // of an object that are named in its entry
)

// entries is what there is of a key.
type entries struct {
	key   string
	all   []image // of kindEntry and kindAbsent, by number
	next  int     // the lowest number that may be free
	from  int     // the window that the first image of kindNext points to; 0: there is none
	walks []image // of kindNext
}

// top is the object; nil if there is none.
func (e *entries) top() *image {
	if len(e.all) == 0 || e.all[len(e.all)-1].Kind != kindEntry {
		return nil
	}
	return &e.all[len(e.all)-1]
}

// settle makes e what images say of its key. Some of them may be of other keys.
func (e *entries) settle(images []image) {
	low := 0
	for _, i := range images {
		if i.Kind == kindNext && i.Key == e.key {
			e.walks = append(e.walks, i)
			low = max(low, i.Number)
		}
	}
	e.from = max(e.from, low)
	for _, i := range images {
		// What is below is replaced: the image of kindNext points beyond it only then.
		if (i.Kind == kindEntry || i.Kind == kindAbsent) && i.Key == e.key && i.Number/window >= low {
			e.all = append(e.all, i)
		}
	}
	slices.SortFunc(e.all, func(a, b image) int { return cmp.Compare(a.Number, b.Number) })
	if len(e.all) > 0 {
		e.next = max(e.next, e.all[len(e.all)-1].Number+1)
	}
}

// windowIDs are the ids of a window, and that of the image that says there is more.
func (d *Driver) windowIDs(key string, w int) []string {
	ids := make([]string, 0, window+1)
	for n := w * window; n < (w+1)*window; n++ {
		ids = append(ids, d.entryID(key, n))
	}
	return append(ids, d.nextID(key, w))
}

// lookup finds what there is of a key: one request, or some more if the key has been changed often.
func (d *Driver) lookup(ctx context.Context, key string) (*entries, error) {
	found, err := d.find(ctx, d.windowIDs(key, 0))
	if err != nil {
		return nil, err
	}
	return d.walk(ctx, key, found)
}

// walk goes on from what was found in the first window.
func (d *Driver) walk(ctx context.Context, key string, found []image) (*entries, error) {
	e := &entries{key: key}
	all := found
	for w := 0; ; {
		i := slices.IndexFunc(found, func(i image) bool { return i.Kind == kindNext && i.Key == key })
		if i < 0 {
			e.settle(all)
			e.next = max(e.next, w*window)
			return e, nil
		}
		w = max(w+1, found[i].Number)
		var err error
		if found, err = d.find(ctx, d.windowIDs(key, w)); err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
}

// errExists is what add returns for a key that has an object already.
var errExists = errors.New("there is an object")

// add makes an entry the newest of its key and removes what it replaces. If absent is set, only where there is no object. What can't be
// removed is not seen any more either, and goes with the next change of the key.
func (d *Driver) add(ctx context.Context, key string, r record, absent bool) (number int, what outcome, err error) {
	older, number, what, err := d.place(ctx, key, r, absent)
	if what == made {
		_ = d.supersede(ctx, older, number)
	}
	return number, what, err
}

// place makes an entry the newest of its key. number is what it got or, where the outcome is unknown, may have got.
func (d *Driver) place(ctx context.Context, key string, r record, absent bool) (older *entries, number int, what outcome, err error) {
	r.Key, r.Token = key, randomToken()
	for least := 0; ; least = r.Number + 1 {
		if older, err = d.lookup(ctx, key); err != nil {
			return nil, 0, refusedIt, err
		}
		if absent && older.top() != nil {
			return nil, 0, refusedIt, errExists
		}
		r.Number = max(least, older.next)
		if err := d.extend(ctx, key, r.Number); err != nil {
			return nil, 0, refusedIt, err
		}
		what, err = d.create(ctx, image{ID: d.entryID(key, r.Number), Name: d.name(keyNames, key), record: r})
		if what != taken {
			return older, r.Number, what, err
		}
	}
}

// extend makes sure that who looks in the windows before finds a number.
func (d *Driver) extend(ctx context.Context, key string, number int) error {
	if number == 0 || number%window != 0 {
		return nil
	}
	w := number/window - 1
	what, err := d.create(ctx, image{
		ID: d.nextID(key, w), Name: d.name(keyNames, key), record: record{Kind: kindNext, Key: key, Token: randomToken()},
	})
	if what == taken {
		return nil
	}
	return err
}

// supersede removes what an entry of the number has replaced.
func (d *Driver) supersede(ctx context.Context, older *entries, number int) error {
	for _, i := range older.all {
		if err := d.removeEntry(ctx, i); err != nil {
			return err
		}
	}
	if w := number / window; w > max(older.from, 1) {
		if i := slices.IndexFunc(older.walks, func(i image) bool { return i.ID == d.nextID(older.key, 0) }); i >= 0 {
			first := older.walks[i]
			first.Number = w
			_ = d.patch(ctx, first.ID, noteProperty, first.note()) // or finding the key stays slow
		}
	}
	return nil
}

// removeEntry removes an entry and then its data. The other way round there would be an object without its data for a moment; this way
// what a process that dies leaves is a leftover.
func (d *Driver) removeEntry(ctx context.Context, i image) error {
	all, err := d.partsOf(ctx, i.record)
	if err != nil && statusOf(err) != http.StatusNotFound {
		return err
	}
	if err := d.remove(ctx, i.ID); err != nil {
		return err
	}
	if i.Index != nil {
		all = append(slices.Clone(all), *i.Index)
	}
	return d.removeParts(ctx, all)
}

// atOnce is how many requests a method that has many makes at the same time.
const atOnce = 8

// removeParts removes images, several at a time.
func (d *Driver) removeParts(ctx context.Context, all []part) error {
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, p := range all {
		g.Go(func() error { return d.remove(ctx, p.ID) })
	}
	return g.Wait()
}

// Delete asks for several keys in one request, and removes them several at a time: one request for an object, and one for each image with
// its bytes.
func (d *Driver) Delete(ctx context.Context, keys ...string) error {
	const op, most = "delete", 8
	var errs []error
	var good []string
	for _, key := range keys {
		if err := drivers.CheckKey(name, op, key); err != nil {
			errs = append(errs, err)
			continue
		}
		good = append(good, key)
	}
	for chunk := range slices.Chunk(good, most) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		errs = append(errs, d.deleteSome(ctx, op, chunk)...)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(errs...)
}

// deleteSome removes so many keys that their ids fit into one request. It returns an error for each that it could not.
func (d *Driver) deleteSome(ctx context.Context, op string, keys []string) []error {
	var ids []string
	for _, key := range keys {
		ids = append(ids, d.windowIDs(key, 0)...)
	}
	found, err := d.find(ctx, ids)
	errs := make([]error, len(keys))
	var g errgroup.Group
	g.SetLimit(atOnce)
	for n, key := range keys {
		if err != nil {
			errs[n] = fail(ctx, op, key, err)
			continue
		}
		g.Go(func() error {
			errs[n] = fail(ctx, op, key, d.deleteOne(ctx, key, found))
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// deleteOne removes a key of which some images were found in the first window.
func (d *Driver) deleteOne(ctx context.Context, key string, found []image) error {
	e, err := d.walk(ctx, key, ofKey(found, key))
	if err != nil {
		return err
	}
	if top := e.top(); top != nil && top.Number >= keepAbsent {
		older, number, _, err := d.place(ctx, key, record{Kind: kindAbsent}, false)
		if err != nil {
			return err
		}
		return d.supersede(ctx, older, number)
	}
	for _, i := range e.all { // the lowest first: none may seem to come back
		if i.Kind != kindEntry {
			continue
		}
		if err := d.removeEntry(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// Put is one request to see what is there and one to create the object, for bodies of 4 KiB at most; others have an image of their own, which
// is two more. What is replaced is deleted.
func (d *Driver) Put(ctx context.Context, key string, body []byte) error {
	return d.put(ctx, "put", key, body, false)
}

// PutIfAbsent is Put, with the same requests.
func (d *Driver) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	return d.put(ctx, "putifabsent", key, body, true)
}

func (d *Driver) put(ctx context.Context, op, key string, body []byte, absent bool) error {
	if err := drivers.CheckKey(name, op, key); err != nil {
		return err
	}
	err := d.putBody(ctx, key, body, absent)
	if errors.Is(err, errExists) {
		return problem(op, key, drivers.ErrExists, "%w", err)
	}
	return fail(ctx, op, key, err)
}

func (d *Driver) putBody(ctx context.Context, key string, body []byte, absent bool) error {
	if len(body) <= smallBody {
		_, _, err := d.add(ctx, key, record{Kind: kindEntry, Size: int64(len(body)), Body: body}, absent)
		return err
	}
	if absent { // before all the bytes are sent for nothing
		e, err := d.lookup(ctx, key)
		if err != nil {
			return err
		}
		if e.top() != nil {
			return errExists
		}
	}
	ctx, cancel := context.WithTimeout(ctx, closing)
	defer cancel()
	stream := randomID()
	var made []part
	id, err := d.upload(ctx, d.partImage(key, stream, true), body, func(id string) { made = append(made, part{ID: id}) })
	what := refusedIt
	if err == nil {
		_, what, err = d.add(ctx, key, record{Kind: kindEntry, Size: int64(len(body)), Parts: []part{{id, int64(len(body))}}, Stream: stream}, absent)
	}
	if err != nil && what != unknown {
		d.clean(ctx, made)
	}
	return err
}

// partImage is an image for bytes of a stream.
func (d *Driver) partImage(key, stream string, lone bool) image {
	return image{Name: d.name(oddNames, key), record: record{Kind: kindPart, Key: key, Stream: stream, Lone: lone}}
}

// clean removes what nobody will need, though ctx may have ended: then whoever has ended it waits a few seconds at most. What it
// can't remove is left over.
func (d *Driver) clean(ctx context.Context, all []part) {
	limit := d.c.Timeout
	if ctx.Err() != nil {
		limit = min(limit, 5*time.Second)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	_ = d.removeParts(ctx, all)
}
