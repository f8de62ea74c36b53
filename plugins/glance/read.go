package glance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/longshore-registry/longshore/drivers"
)

// errCorrupt is said of an answer that can't be right.
var errCorrupt = errors.New("the image service's answer is wrong")

// info is what Longshore is told of an entry. It never changes, and so its token is its ETag and its birth its time.
func (i image) info() drivers.Info {
	return drivers.Info{Size: i.Size, ETag: i.Token, ModTime: i.Created}
}

// Stat is one request.
func (d *Driver) Stat(ctx context.Context, key string) (drivers.Info, error) {
	const op = "stat"
	i, err := d.entry(ctx, op, key)
	if err != nil {
		return drivers.Info{}, err
	}
	return i.info(), nil
}

// entry is the entry of a key.
func (d *Driver) entry(ctx context.Context, op, key string) (*image, error) {
	if err := drivers.CheckKey(name, op, key); err != nil {
		return nil, err
	}
	e, err := d.lookup(ctx, key)
	if err != nil {
		return nil, fail(ctx, op, key, err)
	}
	if e.top() == nil {
		return nil, problem(op, key, drivers.ErrNotFound, "no image of the store %s has it", d.c.Store)
	}
	return e.top(), nil
}

// Reader is one request for an object of 4 KiB at most. Others take one more for each image that has bytes of the range, which is asked when the
// one before has been read.
func (d *Driver) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	const op = "reader"
	if offset < 0 {
		return nil, drivers.Info{}, problem(op, key, drivers.ErrInvalid, "offset %d", offset)
	}
	for last := ""; ; {
		i, err := d.entry(ctx, op, key)
		if err != nil {
			return nil, drivers.Info{}, err
		}
		body, err := d.body(ctx, key, *i, offset, length)
		if statusOf(err) == http.StatusNotFound {
			if i.Token == last {
				return nil, drivers.Info{}, problem(op, key, drivers.ErrCorrupt, "an image with its bytes is gone: %w", err)
			}
			last = i.Token // it was replaced or deleted just now
			continue
		}
		if errors.Is(err, errCorrupt) {
			return nil, drivers.Info{}, problem(op, key, drivers.ErrCorrupt, "%w", err)
		}
		if err != nil {
			return nil, drivers.Info{}, fail(ctx, op, key, err)
		}
		return body, i.info(), nil
	}
}

func (d *Driver) body(ctx context.Context, key string, i image, offset, length int64) (io.ReadCloser, error) {
	offset = min(offset, i.Size)
	if length < 0 || length > i.Size-offset {
		length = i.Size - offset
	}
	all, err := d.partsOf(ctx, i.record)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		if int64(len(i.Body)) != i.Size {
			return nil, fmt.Errorf("%w: the entry %s has %d bytes of %d", errCorrupt, i.ID, len(i.Body), i.Size)
		}
		return &body{ctx: ctx, key: key, now: io.NopCloser(bytes.NewReader(i.Body[offset : offset+length])), left: length, all: length}, nil
	}
	for len(all) > 1 && offset >= all[0].Size {
		offset -= all[0].Size
		all = all[1:]
	}
	b := &body{d: d, ctx: ctx, key: key, parts: all, offset: offset, all: length}
	if length > 0 {
		err = b.open()
	}
	return b, err
}

// body reads the images of an object one after another.
type body struct {
	d      *Driver
	ctx    context.Context // of Reader, which covers the body
	key    string
	now    io.ReadCloser // nil before the first, and after the last
	left   int64         // bytes that have to come of now
	all    int64         // bytes that have to come
	parts  []part        // that were not opened yet
	offset int64         // in the first of them
	err    error
}

// open goes on with the next image.
func (b *body) open() (err error) {
	if len(b.parts) == 0 {
		return fmt.Errorf("%w: its images have %d bytes less than the object", errCorrupt, b.all)
	}
	p := b.parts[0]
	b.left = min(p.Size-b.offset, b.all)
	b.now, err = b.d.open(b.ctx, p, b.offset, b.left)
	b.parts, b.offset = b.parts[1:], 0
	return err
}

// Read ends with io.EOF only after the last byte.
func (b *body) Read(p []byte) (int, error) {
	for b.err == nil && b.ctx.Err() == nil && b.all > 0 {
		if b.left == 0 {
			if err := b.Close(); err != nil {
				b.fail(err)
				break
			}
			if err := b.open(); err != nil {
				b.fail(err)
				break
			}
		}
		n, err := b.now.Read(p)
		if int64(n) > b.left {
			b.fail(fmt.Errorf("%w: more bytes than it said", errCorrupt))
			break
		}
		b.left -= int64(n)
		b.all -= int64(n)
		if err != nil && b.left > 0 {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			b.fail(&refusal{what: "the image service breaks off", err: err})
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	if b.err == nil && b.ctx.Err() != nil {
		return 0, b.ctx.Err()
	}
	if b.err == nil {
		return 0, io.EOF
	}
	return 0, b.err
}

func (b *body) fail(err error) {
	if errors.Is(err, errCorrupt) {
		err = problem("read", b.key, drivers.ErrCorrupt, "%w", err)
	}
	b.err = fail(b.ctx, "read", b.key, err)
}

// Close ends the request that is under way.
func (b *body) Close() error {
	if b.now == nil {
		return nil
	}
	err := b.now.Close()
	b.now = nil
	return err
}

// partsOf are the images of an object, none of a small one. It is a request for those of many parts.
func (d *Driver) partsOf(ctx context.Context, r record) ([]part, error) {
	if r.Index == nil {
		return r.Parts, nil
	}
	var text []byte
	err := try(ctx, d.c.Attempts, func() error {
		b, err := d.open(ctx, *r.Index, 0, r.Index.Size)
		if err != nil {
			return err
		}
		defer func() { _ = b.Close() }() // it was read
		if text, err = io.ReadAll(b); err != nil {
			err = &refusal{what: "the image service breaks off", err: err}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return decodeParts(text)
}

// encodeParts is the list of parts as an image has it: a line for each.
func encodeParts(all []part) []byte {
	var b bytes.Buffer
	for _, p := range all {
		fmt.Fprintf(&b, "%s %d\n", p.ID, p.Size)
	}
	return b.Bytes()
}

func decodeParts(text []byte) (all []part, err error) {
	for line := range strings.Lines(string(text)) {
		id, size, found := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		n, err := strconv.ParseInt(size, 10, 64)
		if !found || err != nil || n < 0 {
			return nil, fmt.Errorf("%w: %q is no line of a list of parts", errCorrupt, line)
		}
		all = append(all, part{id, n})
	}
	return all, nil
}
