package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sort"
	"strings"

	"github.com/longshore-registry/longshore/drivers"
)

// Reader is described at drivers.Driver.
func (d *Driver) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	const op = "reader"
	if offset < 0 {
		return nil, drivers.Info{}, refused(op, key, drivers.ErrInvalid, fmt.Errorf("offset %d", offset))
	}
	if _, err := d.before(ctx, op, key); err != nil {
		return nil, drivers.Info{}, err
	}
	o, err := d.store.get(op, key)
	if err != nil {
		return nil, drivers.Info{}, err
	}
	part := o.body[min(offset, o.info.Size):]
	if length >= 0 {
		part = part[:min(length, int64(len(part)))]
	}
	return &body{ctx: ctx, d: d, key: key, rest: part}, o.info, nil
}

// body reads from an object that nobody changes any more.
type body struct {
	ctx    context.Context
	d      *Driver
	key    string
	rest   []byte
	closed bool
}

func (b *body) Read(p []byte) (int, error) {
	const op = "read"
	if b.closed {
		return 0, refused(op, b.key, drivers.ErrInvalid, errors.New("read after close"))
	}
	if _, err := b.d.ask(b.ctx, op, b.key); err != nil {
		return 0, err
	}
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *body) Close() error {
	b.closed = true
	return nil
}

// Stat is described at drivers.Driver.
func (d *Driver) Stat(ctx context.Context, key string) (drivers.Info, error) {
	const op = "stat"
	if _, err := d.before(ctx, op, key); err != nil {
		return drivers.Info{}, err
	}
	o, err := d.store.get(op, key)
	return o.info, err
}

// Put is described at drivers.Driver.
func (d *Driver) Put(ctx context.Context, key string, body []byte) error {
	return d.put(ctx, "put", key, body, func(object, bool) error { return nil })
}

// PutIfAbsent is described at drivers.AbsentPutter.
func (d *Driver) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	const op = "putifabsent"
	return d.put(ctx, op, key, body, func(_ object, there bool) error {
		if there {
			return refused(op, key, drivers.ErrExists, nil)
		}
		return nil
	})
}

// PutIfMatch is described at drivers.MatchPutter.
func (d *Driver) PutIfMatch(ctx context.Context, key string, body []byte, etag string) error {
	const op = "putifmatch"
	return d.put(ctx, op, key, body, func(old object, there bool) error {
		if !there || old.info.ETag != etag {
			return refused(op, key, drivers.ErrPrecondition, nil)
		}
		return nil
	})
}

// put stores a copy of body unless check, which sees what is there, says no.
func (d *Driver) put(ctx context.Context, op, key string, body []byte, check func(object, bool) error) error {
	lost, err := d.before(ctx, op, key)
	if err != nil {
		return err
	}
	s := d.store
	s.mu.Lock()
	old, there := s.objects[key]
	if err := check(old, there); err != nil {
		s.mu.Unlock()
		return err
	}
	violation, err := s.set(op, key, bytes.Clone(body))
	s.mu.Unlock()
	if violation != nil {
		s.OnViolation(violation)
	}
	if err != nil {
		return err
	}
	return lost
}

// Delete is described at drivers.Driver.
func (d *Driver) Delete(ctx context.Context, keys ...string) error {
	var errs []error
	for _, key := range keys {
		lost, err := d.before(ctx, "delete", key)
		if err != nil {
			errs = append(errs, err)
			if ctx.Err() != nil {
				break
			}
			continue
		}
		d.store.remove(key)
		if lost != nil {
			errs = append(errs, lost)
		}
	}
	return errors.Join(errs...)
}

// List is described at drivers.Driver.
func (d *Driver) List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
	const op = "list"
	return func(yield func(drivers.Entry, error) bool) {
		if delimiter != "" && delimiter != "/" {
			yield(drivers.Entry{}, refused(op, prefix, drivers.ErrInvalid, fmt.Errorf("delimiter %q", delimiter)))
			return
		}
		after := after
		for more := true; more; {
			if _, err := d.ask(ctx, op, prefix); err != nil {
				yield(drivers.Entry{}, err)
				return
			}
			var page []drivers.Entry
			page, more = d.store.page(prefix, after, delimiter)
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
				after = e.Key
			}
		}
	}
}

// page returns up to s.Page entries that sort after after, and whether there may be more.
func (s *store) page(prefix, after, delimiter string) (page []drivers.Entry, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := sort.SearchStrings(s.keys, max(prefix, after)); i < len(s.keys); {
		key := s.keys[i]
		if !strings.HasPrefix(key, prefix) {
			break
		}
		if len(page) == s.Page {
			return page, true
		}
		if slash := strings.IndexByte(key[len(prefix):], '/'); delimiter != "" && slash >= 0 {
			folder := key[:len(prefix)+slash+1]
			if folder > after {
				page = append(page, drivers.Entry{Key: folder, IsPrefix: true})
			}
			// '0' is the byte after '/', so this is the first key past the folder.
			i = sort.SearchStrings(s.keys, folder[:len(folder)-1]+"0")
			continue
		}
		if key > after {
			page = append(page, drivers.Entry{Key: key, Info: s.objects[key].info})
		}
		i++
	}
	return page, false
}

// get returns the object at key.
func (s *store) get(op, key string) (object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[key]
	if !ok {
		return o, refused(op, key, drivers.ErrNotFound, nil)
	}
	return o, nil
}

// set makes body, which must not change any more, the object at key. s.mu is held. violation is for OnViolation, once s.mu is free.
func (s *store) set(op, key string, body []byte) (violation, err error) {
	at, there := slices.BinarySearch(s.keys, key)
	if !there {
		if other := s.clash(key); other != "" {
			return nil, refused(op, key, drivers.ErrInvalid, fmt.Errorf("one of %q and %q is a folder of the other", key, other))
		}
		s.keys = slices.Insert(s.keys, at, key)
	} else if !bytes.Equal(s.objects[key].body, body) && s.immutable(key) {
		violation = refused(op, key, nil, errors.New("an immutable object was given other bytes"))
	}
	s.etags++
	s.objects[key] = object{body: body, info: drivers.Info{
		Size:    int64(len(body)),
		ETag:    fmt.Sprintf("e%d", s.etags),
		ModTime: s.Now(),
	}}
	return violation, nil
}

// clash returns a key of which key is a folder, or that is a folder of key, or "".
func (s *store) clash(key string) string {
	below, _ := slices.BinarySearch(s.keys, key+"/")
	if below < len(s.keys) && strings.HasPrefix(s.keys[below], key+"/") {
		return s.keys[below]
	}
	for i, c := range key {
		if c != '/' {
			continue
		}
		if _, there := s.objects[key[:i]]; there {
			return key[:i]
		}
	}
	return ""
}

func (s *store) immutable(key string) bool {
	return slices.ContainsFunc(s.Immutable, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

func (s *store) remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, there := slices.BinarySearch(s.keys, key); there {
		s.keys = slices.Delete(s.keys, at, at+1)
		delete(s.objects, key)
	}
}
