package registry

import (
	"context"
	"errors"
	"hash"
	"io"
	"slices"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

const (
	// smallUpload is the size in bytes up to which what one request brings is held in memory and
	// stored by a single Put.
	smallUpload = 4 << 20
	// keepTime is how long it may take to keep what a client sent before its connection broke.
	keepTime = time.Minute
)

// Chunk is the body of a request that adds to an upload.
type Chunk struct {
	Body   io.Reader
	Length int64 // of Body in bytes; -1 if unknown

	// Ranged says that the client named the range Start to End, both inclusive, with Content-Range.
	Ranged     bool
	Start, End int64
}

func (c *Chunk) check() error {
	if c.Ranged && c.Length >= 0 && c.Length != c.End-c.Start+1 {
		return c.sizeError(c.Length)
	}
	return nil
}

func (c *Chunk) sizeError(length int64) error {
	return errorf(SizeInvalid, "the body's length is not that of its Content-Range").with("range", c.End-c.Start+1).with("body", length)
}

// Append adds a chunk to the session (PATCH). RANGE_INVALID, with the Upload as it stands, if the chunk
// names a range that is not the next one. A chunk without a range continues from where value stood, so a request that is
// repeated because its answer was lost gives the same again. If the body breaks off, what came is kept
// and UploadStatus tells how much.
func (r *Registry) Append(ctx context.Context, repo, id, value string, c Chunk) (Upload, error) {
	f, base, release, err := r.begin(ctx, repo, id, value, &c)
	if err != nil {
		return f.upload(r), err
	}
	defer release()
	d, err := r.read(ctx, base, &c)
	if err != nil {
		return f.upload(r), err
	}
	defer d.small.release()
	return r.keep(ctx, f, d)
}

func (f found) upload(r *Registry) Upload {
	if f.live == nil {
		return Upload{}
	}
	f.live.mu.Lock()
	defer f.live.mu.Unlock()
	return r.upload(&f.live.newest)
}

// begin finds the session and the state of it that the chunk continues.
func (r *Registry) begin(ctx context.Context, repo, id, value string, c *Chunk) (found, session, func(), error) {
	f, err := r.findUpload(ctx, repo, id, value)
	if err != nil {
		return found{}, session{}, nil, err
	}
	if f.live.closedBy() != "" {
		return f, session{}, nil, uploadUnknown(id)
	}
	base, release := f.own, func() {}
	switch {
	case c.Ranged:
		if !f.live.chunk.TryLock() {
			return f, session{}, nil, errorf(RangeInvalid, "another request adds a chunk to this upload just now").with("id", id)
		}
		release = f.live.chunk.Unlock
		f.live.mu.Lock()
		base = f.live.newest // it may have grown while this request came for the lock
		f.live.mu.Unlock()
		if c.Start != base.Offset {
			if base, err = r.newest(ctx, f.live); err != nil {
				release()
				return f, session{}, nil, err
			}
		}
		if c.Start != base.Offset {
			release()
			return f, session{}, nil, errorf(RangeInvalid, "the chunk is not the next one").with("start", c.Start).with("next", base.Offset)
		}
		if err := c.check(); err != nil {
			release()
			return f, session{}, nil, err
		}
	case c.Length == 0:
		base = f.newest
	}
	if base, err = r.load(ctx, base); err != nil {
		release()
		return f, session{}, nil, err
	}
	return f, base, release, nil
}

// draft is a chunk that was read to its end, or to where it broke off, and not yet kept.
type draft struct {
	base   session
	size   int64 // bytes of the chunk
	hash   hash.Hash
	small  smallBody      // the chunk, unless it is in
	writer drivers.Writer // this, after all that came before
	data   string         // key of writer
	broken error          // why the body ended early
}

// drop undoes what reading the chunk did to the store.
func (d *draft) drop(ctx context.Context) error {
	if d.writer == nil {
		return nil
	}
	return d.writer.Cancel(context.WithoutCancel(ctx))
}

// read takes in the body. A short one stays in memory; a long one goes to the driver as it comes.
func (r *Registry) read(ctx context.Context, base session, c *Chunk) (*draft, error) {
	h, err := base.hasher()
	if err != nil {
		return nil, err
	}
	d := &draft{base: base, hash: h, small: smallBody{owner: r, hash: h}}
	body := c.Body
	if c.Ranged {
		body = io.LimitReader(body, c.End-c.Start+2) // one more, to see that there is more
	}
	ended, err := d.small.readFrom(body, c.Length)
	d.size = d.small.size
	if err != nil {
		d.broken = err
	} else if !ended {
		if err := r.stream(ctx, d, body, c.Length); err != nil {
			d.small.release()
			return nil, errors.Join(outdated(err), d.drop(ctx))
		}
	}
	if c.Ranged && d.broken == nil && d.size != c.End-c.Start+1 {
		d.small.release()
		return nil, errors.Join(c.sizeError(d.size), d.drop(ctx))
	}
	return d, nil
}

// stream passes what has been read, and the rest of the body, to the driver.
func (r *Registry) stream(ctx context.Context, d *draft, body io.Reader, length int64) error {
	// The writer outlives the client's connection: what came in is kept when that breaks.
	ctx = context.WithoutCancel(ctx)
	if err := r.openWriter(ctx, d, length); err != nil {
		return err
	}
	if err := d.small.writeTo(d.writer); err != nil {
		return err
	}
	d.small.release()
	buf := r.buffers.Get().(*page)
	defer r.buffers.Put(buf)
	for {
		// Full pieces, where they would begin if there were no others: the driver has less to do for each byte than with
		// whatever came in one packet.
		piece := buf[d.writer.Size()%int64(len(buf)):]
		n, err := d.fill(piece, body)
		if n > 0 {
			if _, err := d.writer.Write(piece[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		} else if err != nil {
			d.broken = err
			return nil
		}
	}
}

// fill reads until piece is full or the body ends or breaks off.
func (d *draft) fill(piece []byte, body io.Reader) (n int, err error) {
	for n < len(piece) && err == nil {
		var more int
		more, err = body.Read(piece[n:])
		d.hash.Write(piece[n : n+more])
		d.size += int64(more)
		n += more
	}
	return n, err
}

// outdated is the answer to a request that continues from a state from which another one has gone on. Drivers find that
// out at any point between Resume and the end.
func outdated(err error) error {
	if errors.Is(err, drivers.ErrPrecondition) {
		return &Error{Code: RangeInvalid, Message: "this part of the upload was continued already", Err: err}
	}
	return err
}

// openWriter makes d.writer, at the end of what the session holds. A place that is written to afresh gets a new
// name, so that no repeated request can touch what another one wrote.
func (r *Registry) openWriter(ctx context.Context, d *draft, length int64) error {
	var err error
	if d.base.Writer != nil {
		d.data = d.base.Data
		d.writer, err = r.driver.Resume(ctx, d.data, d.base.Writer)
		return err
	}
	if length >= 0 {
		length += d.base.Offset
	}
	d.data = newDataKey(r.now())
	if d.writer, err = r.driver.Writer(ctx, d.data, length); err != nil || d.base.Offset == 0 {
		return err
	}
	before, _, err := openSteady(ctx, r.driver, d.base.Data, 0, -1)
	if err != nil {
		return err
	}
	defer before.Close()
	n, err := io.Copy(d.writer, before)
	if err == nil && n != d.base.Offset {
		err = &drivers.Error{Op: "continue upload", Driver: "registry", Key: d.base.Data, Kind: drivers.ErrCorrupt}
	}
	return err
}

// keep makes the draft the session's newest state.
func (r *Registry) keep(ctx context.Context, f found, d *draft) (Upload, error) {
	if d.size == 0 {
		return r.upload(&f.newest), d.broken
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTime)
	defer cancel()
	s, err := r.store(ctx, d, false)
	if err != nil {
		return f.upload(r), outdated(err)
	}
	f.live.mu.Lock()
	s.Step = max(s.Step, f.live.newest.Step) + 1
	f.live.mu.Unlock()
	short := s
	if d.broken != nil || len(s.encode()) > maxValue {
		if short, err = r.keepStep(ctx, &s); err != nil {
			return f.upload(r), err
		}
	}
	f.live.mu.Lock()
	defer f.live.mu.Unlock()
	if f.live.cancelled {
		return Upload{}, uploadUnknown(s.ID)
	}
	f.live.newest, f.live.wrote = short, s.Data
	return r.upload(&short), d.broken
}

// store brings the draft into the store: with closing so that the data is whole, else so that it
// can be continued.
func (r *Registry) store(ctx context.Context, d *draft, closing bool) (session, error) {
	s := d.base
	s.Offset += d.size
	if err := s.setHash(d.hash); err != nil {
		return session{}, errors.Join(err, d.drop(ctx))
	}
	if d.writer == nil && d.base.Writer == nil {
		if d.size == 0 && d.base.Whole {
			return s, nil
		}
		if s.Offset <= smallUpload {
			return r.storeSmall(ctx, d, s)
		}
	}
	if d.writer == nil {
		if err := r.openWriter(ctx, d, d.size); err != nil {
			return session{}, errors.Join(err, d.drop(ctx))
		}
		if err := d.small.writeTo(d.writer); err != nil {
			return session{}, errors.Join(err, d.drop(ctx))
		}
	}
	s.Data = d.data
	var err error
	if closing {
		s.Whole, s.Writer = true, nil
		err = d.writer.Commit(ctx)
	} else {
		s.Whole = false
		s.Writer, err = d.writer.Suspend(ctx)
	}
	if err != nil {
		return session{}, errors.Join(err, d.drop(ctx))
	}
	return s, nil
}

func (r *Registry) storeSmall(ctx context.Context, d *draft, s session) (session, error) {
	body := d.small.bytes()
	if d.base.Whole {
		before, err := readObject(ctx, r.driver, d.base.Data)
		if err != nil {
			return session{}, err
		}
		body = slices.Concat(before.body, body)
		if int64(len(body)) != s.Offset {
			return session{}, &drivers.Error{Op: "continue upload", Driver: "registry", Key: d.base.Data, Kind: drivers.ErrCorrupt}
		}
	}
	s.Data, s.Whole, s.Writer = newDataKey(r.now()), true, nil
	return s, r.driver.Put(ctx, s.Data, body)
}
