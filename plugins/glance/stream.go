package glance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// What is written to a Writer goes into images of part_size, its parts, which stay where they are: the object names them. Glance can't
// append to an image, so what is there at a Suspend becomes a part of its own.
//
// A stream goes from one state to the next at most once, and ends at most once, because ids can be given at most once:
//
//   - who goes on from a state creates its seal, whose id is made of the stream and the state's token. Only the
//     first can suspend, commit, or cancel what the state has;
//   - who commits, and who drops what is left over, creates the end, whose id is made of the stream.
//
// Both are deleted when their work is done; their ids stay used up.

// closing is how long a commit may take from its first step that shuts others out to its last. Drop takes a commit for dead that began
// a multiple of it ago.
const closing = 15 * time.Minute

var errEnded = errors.New("the writer has ended")

// writer is a drivers.Writer.
type writer struct {
	d      *Driver
	key    string
	parent context.Context    // as given to Writer
	ctx    context.Context    // parent, or ended by stop; parts are sent in it
	stop   context.CancelFunc // when a part failed, and at the end
	hint   int64              // bytes in the whole stream, if known, else -1
	stream string             // its id
	token  string             // of the state it goes on from; "" if from none
	sealed bool               // that state is outdated by this writer
	ended  bool
	lone   bool   // Commit sends its only part
	index  string // the image with the list of parts, if that is long
	number int    // of the entry, if unsure
	unsure bool   // nobody knows whether Commit has made the entry

	sending sync.WaitGroup

	mu    sync.Mutex
	size  int64
	buf   []byte // nil: none yet
	n     int    // bytes in buf
	held  int64  // bytes of the memory that buf counts for
	parts []part // in order; the id is "" until the part is there
	old   int    // how many of them are of the state
	made  []part // all images that this writer has made, or tried to
	err   error  // the first failure; the writer is good for Cancel only
}

// Writer makes no request before its first part is full, and none but those of Put if that does not happen.
func (d *Driver) Writer(ctx context.Context, key string, size int64) (drivers.Writer, error) {
	const op = "writer"
	if err := drivers.CheckKey(name, op, key); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return d.newWriter(ctx, key, max(size, -1)), nil
}

func (d *Driver) newWriter(ctx context.Context, key string, hint int64) *writer {
	w := &writer{d: d, key: key, parent: ctx, hint: hint, stream: randomID()}
	w.ctx, w.stop = context.WithCancel(ctx)
	context.AfterFunc(w.ctx, w.release) // others wait for the buffer
	return w
}

// Resume makes no request: whether the state is the newest one is found at Suspend and Commit.
func (d *Driver) Resume(ctx context.Context, key string, state []byte) (drivers.Writer, error) {
	const op = "resume"
	if err := drivers.CheckKey(name, op, key); err != nil {
		return nil, err
	}
	s, err := decodeState(state)
	if err != nil {
		return nil, problem(op, key, drivers.ErrInvalid, "%w", err)
	}
	if s.Key != key || s.Store != d.c.Store {
		return nil, problem(op, key, drivers.ErrInvalid, "the state is that of %q in the store %s", s.Key, s.Store)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	w := d.newWriter(ctx, key, -1)
	w.stream, w.token, w.parts, w.old = s.Stream, s.Token, s.Parts, len(s.Parts)
	for _, p := range s.Parts {
		w.size += p.Size
	}
	return w, nil
}

// Size counts the bytes of the state too.
func (w *writer) Size() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.size
}

// Write copies p.
func (w *writer) Write(p []byte) (int, error) {
	const op = "write"
	written := 0
	for len(p) > 0 {
		if err := w.usable(op); err != nil {
			return written, err
		}
		n, full := w.fill(p)
		written += n
		p = p[n:]
		if full {
			w.send()
		} else if len(p) > 0 {
			if err := w.take(); err != nil {
				return written, w.failed(w.parent, op, err)
			}
		}
	}
	return written, w.usable(op)
}

// fill copies as much of p as there is room for. full says that the buffer has to be sent before the rest of p; one that is just
// full waits, since it may be the whole stream.
func (w *writer) fill(p []byte) (n int, full bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buf == nil {
		return 0, false
	}
	n = copy(w.buf[w.n:], p)
	w.n += n
	w.size += int64(n)
	return n, n < len(p)
}

// take gets a buffer. The writer holds none while it waits.
func (w *writer) take() error {
	size := w.d.c.PartSize
	if left := w.hint - w.Size(); w.hint >= 0 && left > 0 {
		size = min(size, left)
	}
	if err := w.d.memory.Acquire(w.ctx, size); err != nil {
		return err
	}
	var buf []byte
	if size == w.d.c.PartSize {
		select {
		case buf = <-w.d.buffers:
		default:
		}
	}
	if buf == nil {
		buf = make([]byte, size)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf, w.n, w.held = buf, 0, size
	if w.ctx.Err() != nil { // release came before
		w.drop()
	}
	return nil
}

// release gives the buffer back.
func (w *writer) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop()
}

// drop is release for a caller that holds mu.
func (w *writer) drop() {
	if w.buf != nil {
		w.d.giveBack(w.buf, w.held)
		w.buf, w.n, w.held = nil, 0, 0
	}
}

func (d *Driver) giveBack(buf []byte, held int64) {
	if int64(len(buf)) == d.c.PartSize {
		select {
		case d.buffers <- buf:
		default:
		}
	}
	d.memory.Release(held)
}

// send sends what is in the buffer as the next part, in the background. The first part that fails stops the others.
func (w *writer) send() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buf == nil || w.n == 0 {
		w.drop()
		return
	}
	buf, n, held := w.buf, w.n, w.held
	w.buf, w.n, w.held = nil, 0, 0
	at := len(w.parts)
	w.parts = append(w.parts, part{Size: int64(n)})
	w.sending.Go(func() {
		id, err := w.d.upload(w.ctx, w.d.partImage(w.key, w.stream, w.lone), buf[:n], w.note)
		w.d.giveBack(buf, held)
		if err != nil {
			w.setErr(fail(w.parent, "write", w.key, err))
			return
		}
		w.mu.Lock()
		w.parts[at].ID = id
		w.mu.Unlock()
	})
}

// note keeps the id of an image that is about to be made.
func (w *writer) note(id string) {
	w.mu.Lock()
	w.made = append(w.made, part{ID: id})
	w.mu.Unlock()
}

// wait waits until no part is under way.
func (w *writer) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		w.sending.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err() // its goroutines end with the writer's context
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// seal makes the state outdated that the writer goes on from.
func (w *writer) seal(ctx context.Context) error {
	if w.token == "" || w.sealed {
		return nil
	}
	i := image{
		ID: derived(w.d.secret, kindSeal, w.stream, w.token), Name: w.d.name(oddNames, w.key),
		record: record{Kind: kindSeal, Key: w.key, Stream: w.stream, Token: randomToken()},
	}
	what, err := w.d.create(ctx, i)
	switch what {
	case made:
		w.sealed = true
		w.d.clean(ctx, []part{{ID: i.ID}})
		return nil
	case taken:
		return problem("resume", w.key, drivers.ErrPrecondition, "the stream was continued from this state already")
	}
	return err
}

// end makes this writer the one that ends the stream. A lone part has no state, and Drop leaves it alone while it is young.
func (w *writer) end(ctx context.Context) error {
	if w.lone {
		return nil
	}
	i := w.d.endImage(w.key, w.stream, "commit")
	what, err := w.d.create(ctx, i)
	switch what {
	case made:
		w.note(i.ID)
	case taken:
		return problem("commit", w.key, drivers.ErrPrecondition, "the stream was dropped")
	}
	return err
}

// endImage is what says who ends a stream.
func (d *Driver) endImage(key, stream, by string) image {
	return image{
		ID: derived(d.secret, kindEnd, stream), Name: d.name(oddNames, key),
		record: record{Kind: kindEnd, Key: key, Stream: stream, Token: randomToken(), By: by},
	}
}

// Suspend sends what is there as a part. After a Resume it is two requests more, which make the older state outdated.
func (w *writer) Suspend(ctx context.Context) ([]byte, error) {
	const op = "suspend"
	if err := w.usable(op); err != nil {
		return nil, err
	}
	joined, done := w.join(ctx)
	defer done()
	w.send()
	err := w.wait(joined)
	if err == nil {
		err = w.seal(joined)
	}
	if err != nil {
		return nil, w.failed(ctx, op, err)
	}
	s := state{Store: w.d.c.Store, Key: w.key, Stream: w.stream, Token: randomToken(), Parts: w.parts}
	w.finish()
	return s.encode(), nil
}

// Commit is the requests of Put if no part was sent yet. Else it sends the rest, creates the end of the stream and the entry, and removes the end
// again; after a Resume it is two requests more, which make the state outdated.
func (w *writer) Commit(ctx context.Context) error {
	const op = "commit"
	if err := w.usable(op); err != nil {
		return err
	}
	joined, done := w.join(ctx)
	defer done()
	joined, cancel := context.WithTimeout(joined, closing)
	defer cancel()
	number, what, err := w.commit(joined)
	if err != nil {
		w.number, w.unsure = number, what == unknown
		return w.failed(ctx, op, err)
	}
	if all := w.failedParts(); len(all) > 0 {
		w.d.clean(ctx, all)
	}
	w.finish()
	return nil
}

func (w *writer) commit(ctx context.Context) (number int, what outcome, err error) {
	if w.token == "" && len(w.parts) == 0 {
		w.mu.Lock()
		rest := w.n
		body := slices.Clone(w.buf[:min(rest, smallBody)])
		w.mu.Unlock()
		if rest <= smallBody {
			r := record{Kind: kindEntry, Size: int64(rest), Body: body, Stream: w.stream}
			return w.d.add(ctx, w.key, r, false)
		}
		w.lone = true
	}
	w.send()
	if err := w.wait(ctx); err != nil {
		return 0, refusedIt, err
	}
	if err := w.seal(ctx); err != nil {
		return 0, refusedIt, err
	}
	if err := w.end(ctx); err != nil {
		return 0, refusedIt, err
	}
	return w.add(ctx)
}

// add makes an object of the parts. The list of many is an image of its own.
func (w *writer) add(ctx context.Context) (number int, what outcome, err error) {
	r := record{Kind: kindEntry, Stream: w.stream, Parts: w.parts}
	for _, p := range w.parts {
		r.Size += p.Size
	}
	if len(w.parts) > fewParts {
		text := encodeParts(w.parts)
		if w.index, err = w.d.upload(ctx, w.d.partImage(w.key, w.stream, w.lone), text, w.note); err != nil {
			return 0, refusedIt, fmt.Errorf("the list of parts: %w", err)
		}
		r.Parts, r.Index = nil, &part{ID: w.index, Size: int64(len(text))}
	}
	return w.d.add(ctx, w.key, r, false)
}
