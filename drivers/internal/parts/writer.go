package parts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/longshore-registry/longshore/drivers"
)

// Writer is part of drivers.Driver, for the object that has the name full in the store. It makes no request before its
// first part is full. Parts go up in parallel while the next one fills, as many as there are buffers free. A Writer that has less than
// a buffer's worth of bytes, and of known size, takes no more memory than these.
//
// Without a known size, parts double in size after every tenth of the numbers that there are, so that S3's 9,999 of
// them hold more than its 5 TiB; with one, all parts have the size that is needed. A part that is larger than
// all the memory for buffers is sent alone.
func (s *Streams) Writer(ctx context.Context, key, full string, size int64) (drivers.Writer, error) {
	const op = "writer"
	if most := min(MaxObject, MaxPart*int64(s.most()-MarkNumber)); size > most {
		return nil, s.invalid(op, key, "%d bytes are more than an object can have here, which is %d", size, most)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	w := s.newWriter(ctx, key, full)
	w.hint = max(size, -1)
	w.partSize = s.evenPart(size)
	return w, nil
}

// errEnded is said of a Writer that is used after Suspend, Commit or Cancel.
var errEnded = errors.New("the writer has ended")

// evenPart is the size of the parts of an object of a known size. It leaves a tenth of the numbers
// for a size that was too low.
func (s *Streams) evenPart(size int64) int64 {
	const mib = 1 << 20
	if needed := size / int64(s.most()-s.most()/10); needed >= s.PartSize {
		return min((needed/mib+1)*mib, MaxPart)
	}
	return s.PartSize
}

// grownPart is the size of a part of an object of unknown size.
func (s *Streams) grownPart(base int64, number int) int64 {
	return min(base<<((number-1)/max(s.most()/10, 1)), MaxPart)
}

// Resume is part of drivers.Driver. It makes no request: whether the state is the newest one is asked before the first
// part is sent, and at Suspend and Commit again.
//
// A stream that was ever suspended has a multipart upload, which ends with its Commit or Cancel; and from the
// second Suspend on, each leaves a mark there that replaces the one before. So a state is the newest
// if its upload is there and its mark is the one found.
func (s *Streams) Resume(ctx context.Context, key, full string, encoded []byte) (drivers.Writer, error) {
	from, err := decodeState(encoded, objectID(s.Bucket, full))
	if err != nil {
		return nil, s.invalid("resume", key, "%w", err)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	w := s.newWriter(ctx, key, full)
	w.resumed = true
	w.sum, w.partSize, w.upload, w.marks, w.mark, w.parts = from.sum, from.partSize, from.upload, from.marks, from.mark, from.parts
	w.tail = slices.Clone(from.tail)
	for _, p := range from.parts {
		w.size += p.Size
		w.next = p.Number + 1
	}
	w.size += int64(len(from.tail))
	w.since = w.next
	if w.next < s.most()/5 && !s.AllParts && s.Most == 0 {
		// Two processes that resumed one state should not write the same number. Only one of them can
		// complete, since ETags tell their parts apart; but MinIO compares them some milliseconds before it moves
		// the parts, without a lock in between (CompleteMultipartUpload in cmd/erasure-multipart.go).
		w.next += rand.IntN(16)
	}
	return w, nil
}

// MarkNumber is the part that marks the newest state. It is never in the object. It is the first
// because MinIO lists parts after a given number only if that one is there.
const MarkNumber = 1

// writer is a drivers.Writer.
//
// Bytes go into buf until it is full, and from there into a part that a goroutine sends. Only Write,
// Suspend, Commit and Cancel, of which one runs at a time, touch what is not below mu.
type writer struct {
	s         *Streams
	parent    context.Context    // as given to Writer
	ctx       context.Context    // parent, or ended by stop; parts are sent in it
	stop      context.CancelFunc // when a part failed, and at the end
	key, full string

	sum      Sum
	partSize int64
	hint     int64 // bytes in the whole stream, if known, else -1
	size     int64 // bytes in the stream so far
	buf      []byte
	room     int    // how much of buf is used before it is sent
	n        int    // bytes in buf
	tail     []byte // comes before buf: from a state, or from a buffer that was too small
	next     int    // number of the next part
	since    int    // number of the first part that is not of a state

	upload   string // "" until there is one
	marks    string // the upload that has the mark; "" if it is the same
	resumed  bool
	mark     string // ETag of the mark that was there when the state was made
	checked  bool   // it was the newest state when last looked
	outdated bool   // it was not: the upload is another's
	md5s     bool   // the store's ETags of parts are MD5s: the last part's is
	ended    bool

	sending sync.WaitGroup
	mu      sync.Mutex
	parts   []Part // in the order of their numbers
	folding bool   // one Fold is under way, or has failed
	folded  []Part // of the state, and in no part list any more
	err     error  // the first failure; the writer is good for Cancel only
}

func (s *Streams) newWriter(ctx context.Context, key, full string) *writer {
	w := &writer{s: s, parent: ctx, key: key, full: full, sum: s.Sum, partSize: s.PartSize, hint: -1, next: MarkNumber + 1}
	w.ctx, w.stop = context.WithCancel(ctx)
	return w
}

// Size counts the bytes of the state too.
func (w *writer) Size() int64 { return w.size }

// Write copies p.
func (w *writer) Write(p []byte) (int, error) {
	const op = "write"
	written := 0
	for len(p) > 0 {
		if err := w.usable(op); err != nil {
			return written, err
		}
		if w.buf != nil && w.n == w.room {
			if err := w.flush(w.ctx); err != nil {
				return written, w.failed(w.parent, op, err)
			}
		}
		if w.buf == nil {
			if err := w.take(w.ctx); err != nil {
				return written, w.failed(w.parent, op, err)
			}
		}
		n := copy(w.buf[w.n:w.room], p)
		p = p[n:]
		w.n += n
		w.size += int64(n)
		written += n
	}
	return written, w.usable(op)
}

// take gets a buffer for the bytes that come next. The writer holds none while it waits.
func (w *writer) take(ctx context.Context) error {
	if w.next > w.s.most() {
		return w.s.invalid("write", w.key, "the object has too many parts; raise part_size, which was %d bytes", w.partSize)
	}
	size := w.partSize
	expected := w.hint - w.size + int64(len(w.tail))
	switch {
	case w.hint >= 0 && expected > int64(len(w.tail)):
		size = min(size, expected)
	case !w.s.Equal:
		size = w.s.grownPart(size, w.next)
	}
	buf, err := w.s.Pool.Get(ctx, size)
	if err != nil {
		return err
	}
	// A buffer may be larger than was asked for; a part of its whole length is as good, unless it is
	// one of those that should all be equal.
	w.buf, w.room = buf, int(min(int64(len(buf)), max(size, w.partSize)))
	w.n = copy(w.buf, w.tail)
	w.tail = nil
	return nil
}

// flush sends a full buffer off.
func (w *writer) flush(ctx context.Context) error {
	if w.n < w.least() {
		// The hint was too low. What is there is too small for a part: it goes to the next
		// buffer, which is not asked for before this one is back. If all writers kept theirs they would
		// wait for each other.
		w.tail = slices.Clone(w.buf[:w.n])
		w.hint = -1
		w.release()
		return nil
	}
	if err := w.begin(ctx); err != nil {
		return err
	}
	w.sendRest()
	return nil
}

// sendRest sends what is in the buffer, or the tail, as a part. The buffer goes with it.
func (w *writer) sendRest() {
	body, buf := w.rest(), w.buf
	w.buf, w.n, w.room, w.tail = nil, 0, 0, nil
	w.send(body, func() {
		if buf != nil {
			w.s.Pool.Put(buf)
		}
	})
}

// begin makes sure that there is an upload, and that it is still this stream's.
func (w *writer) begin(ctx context.Context) (err error) {
	if w.upload != "" {
		if w.resumed && !w.checked {
			return w.check(ctx)
		}
		return nil
	}
	w.upload, err = w.s.Store.Begin(ctx, w.full, w.sum)
	if err == nil && w.upload == "" {
		err = errors.New("the store began an upload without an id")
	}
	return err
}

// check asks whether the state that the writer was resumed from is still the newest.
func (w *writer) check(ctx context.Context) error {
	mark, err := w.s.Store.FirstPart(ctx, w.full, cmp.Or(w.marks, w.upload))
	if err != nil {
		return err
	}
	if mark != w.mark {
		return &drivers.Error{Op: "resume", Driver: w.s.Driver, Key: w.key, Kind: drivers.ErrPrecondition,
			Err: errors.New("the upload was resumed and suspended again since")}
	}
	w.checked = true
	return nil
}

// send sends body as the next part in the background and calls done when it is not needed any more. The
// first part that fails stops the others.
func (w *writer) send(body []byte, done func()) {
	p := Part{Number: w.next, Size: int64(len(body))}
	w.next++
	w.mu.Lock()
	w.parts = append(w.parts, p)
	w.mu.Unlock()
	w.sending.Go(func() {
		err := w.sendPart(w.ctx, w.upload, body, &p)
		done()
		w.arrived(p)
		if err != nil {
			w.setErr(w.s.Store.Fail(w.parent, "write", w.key, fmt.Errorf("part %d: %w", p.Number, err)))
		}
	})
}

// arrived notes what the store said of a part, and folds the first parts when there are enough.
func (w *writer) arrived(p Part) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i, _ := slices.BinarySearchFunc(w.parts, p.Number, func(p Part, number int) int { return cmp.Compare(p.Number, number) })
	w.parts[i] = p
	w.foldSome()
}

// foldSome begins to fold the first parts in the background if there are enough and no other Fold is under way. Its caller
// holds mu, and is a goroutine of w.sending or the only one that adds to it.
//
// The parts of the state that the writer was resumed from are kept until that state is outdated: another process
// may have to go on from it.
func (w *writer) foldSome() {
	f, ok := w.s.Store.(Folder)
	if !ok || w.folding || len(w.parts) <= foldAt {
		return
	}
	first := slices.Clone(w.parts[:foldAt])
	if slices.ContainsFunc(first, func(p Part) bool { return p.ETag == "" }) {
		return
	}
	w.folding = true
	ours := slices.IndexFunc(first, func(p Part) bool { return p.Number >= w.since })
	if ours < 0 {
		ours = len(first)
	}
	w.sending.Go(func() {
		one, err := f.Fold(w.ctx, w.full, w.upload, first, ours > 0)
		if err != nil {
			return // Complete does it, or fails with the reason
		}
		w.mu.Lock()
		w.parts = slices.Replace(w.parts, 0, foldAt, one)
		w.folded = append(w.folded, first[:ours]...)
		w.folding = false
		w.foldSome()
		w.mu.Unlock()
		if ours > 0 {
			_ = f.Discard(w.ctx, w.full, w.upload, first[ours:]) // what is left is a leftover
		}
	})
}

// discardFolded removes the parts of the older state that are folded, once that state is outdated.
func (w *writer) discardFolded(ctx context.Context) {
	if f, ok := w.s.Store.(Folder); ok && len(w.folded) > 0 {
		_ = f.Discard(ctx, w.full, w.upload, w.folded) // what is left is a leftover
		w.folded = nil
	}
}

// sendPart sends one part and sets p's ETag and CRC.
func (w *writer) sendPart(ctx context.Context, upload string, body []byte, p *Part) error {
	sums := w.sum.Of(body)
	p.CRC = sums.CRC
	etag, err := w.s.Store.SendPart(ctx, w.full, upload, p.Number, body, sums)
	if err == nil && etag == "" {
		err = errors.New("the store gave the part no ETag")
	}
	p.ETag = etag
	return err
}

// least is the smallest part that can have others after it.
func (w *writer) least() int {
	if w.s.Equal {
		return int(w.partSize)
	}
	return MinPart
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
		// Its goroutines end with the writer's context, which Cancel ends.
		return ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// usable returns the error of a writer that has ended or failed.
func (w *writer) usable(op string) error {
	if w.ended {
		return w.s.invalid(op, w.key, "%w", errEnded)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil && w.parent.Err() != nil {
		return w.parent.Err()
	}
	return w.err
}

// setErr keeps the first failure and ends all requests of the writer.
func (w *writer) setErr(err error) {
	w.mu.Lock()
	if w.err == nil {
		w.err = err
	}
	w.mu.Unlock()
	w.stop()
}

// failed makes err the failure of the writer, whose method had ctx, and returns what the method
// returns: the error of a context that has ended, else the first failure.
func (w *writer) failed(ctx context.Context, op string, err error) error {
	if w.parent.Err() != nil {
		ctx = w.parent
	}
	err = w.s.Store.Fail(ctx, op, w.key, err)
	w.setErr(err)
	w.outdated = w.resumed && errors.Is(err, drivers.ErrPrecondition)
	w.release()
	if ctx.Err() != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// release gives the buffer back.
func (w *writer) release() {
	if w.buf != nil {
		w.s.Pool.Put(w.buf)
		w.buf, w.n, w.room = nil, 0, 0
	}
}
