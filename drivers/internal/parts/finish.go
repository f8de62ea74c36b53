package parts

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/longshore-registry/longshore/drivers"
)

// Suspend sends what is large enough for a part and puts the rest, less than 5 MiB, into the state. It
// costs one request to begin the upload if there is none yet; after a Resume one to look whether
// the state was the newest one and one to leave a mark.
//
// The state can be used as long as the store keeps the upload. MinIO drops it 24 hours after it was begun, if
// nothing else is configured (api stale_uploads_expiry); others follow a rule of the bucket.
func (w *writer) Suspend(ctx context.Context) ([]byte, error) {
	const op = "suspend"
	if err := w.usable(op); err != nil {
		return nil, err
	}
	joined, done := w.join(ctx)
	defer done()
	s, err := w.suspend(joined)
	if err != nil {
		return nil, w.failed(ctx, op, err)
	}
	encoded := s.encode(objectID(w.s.Bucket, w.full))
	w.discardFolded(ctx)
	w.end()
	return encoded, nil
}

func (w *writer) suspend(ctx context.Context) (state, error) {
	w.checked = false // ask again: it may have been long ago
	if err := w.begin(ctx); err != nil {
		return state{}, err
	}
	if w.s.AllParts && w.marks == "" {
		var err error
		if w.marks, err = w.s.Store.Begin(ctx, w.full, w.sum); err != nil {
			return state{}, err
		}
	}
	if w.n >= w.least() {
		if err := w.flush(ctx); err != nil {
			return state{}, err
		}
	}
	if err := w.wait(ctx); err != nil {
		return state{}, err
	}
	mark := w.mark
	if w.resumed {
		var err error
		if mark, err = w.leaveMark(ctx); err != nil {
			return state{}, err
		}
	}
	return state{sum: w.sum, partSize: w.partSize, upload: w.upload, marks: w.marks, mark: mark, parts: w.parts, tail: w.rest()}, nil
}

// leaveMark replaces the mark of the state that the writer was resumed from, and returns the new one's ETag.
func (w *writer) leaveMark(ctx context.Context) (etag string, err error) {
	upload := cmp.Or(w.marks, w.upload)
	if m, ok := w.s.Store.(Marker); ok {
		return m.Mark(ctx, w.full, upload, w.mark)
	}
	p := Part{Number: MarkNumber}
	err = w.sendPart(ctx, upload, []byte(rand.Text()), &p)
	return p.ETag, err
}

// rest is what no part has.
func (w *writer) rest() []byte {
	if w.buf != nil {
		return w.buf[:w.n]
	}
	return w.tail
}

// Commit is one PUT if nothing was sent yet, else one request for the rest and one that makes the
// parts an object; after a Resume another one before, to look whether the state was the newest.
//
// When the answer to the last request is lost, the next attempt finds no upload. If the key then has the
// ETag that these parts give, the commit has succeeded.
func (w *writer) Commit(ctx context.Context) error {
	const op = "commit"
	if err := w.usable(op); err != nil {
		return err
	}
	joined, done := w.join(ctx)
	defer done()
	if err := w.commit(joined); err != nil {
		return w.failed(ctx, op, err)
	}
	if t, ok := w.s.Store.(Tidier); ok && w.resumed {
		_ = t.Tidy(joined, w.full, w.upload, w.parts) // the object is there; what is left is garbage
	}
	if w.marks != "" {
		// The object is there. What is left of the marks is a matter of the store's own cleaning.
		_ = w.s.Store.Abort(joined, w.full, w.marks)
	}
	w.end()
	return nil
}

func (w *writer) commit(ctx context.Context) error {
	if w.upload == "" {
		return w.s.Store.PutData(ctx, w.full, w.rest())
	}
	w.checked = false
	if err := w.begin(ctx); err != nil {
		return err
	}
	if len(w.rest()) > 0 || len(w.parts) == 0 { // an upload without any part can't be completed
		if w.next > w.s.most() {
			return w.s.invalid("commit", w.key, "the object has too many parts; raise part_size, which was %d bytes", w.partSize)
		}
		var sum [md5.Size]byte
		if w.resumed {
			sum = md5.Sum(w.rest())
		}
		w.sendRest()
		if err := w.wait(ctx); err != nil {
			return err
		}
		w.md5s = bytes.Equal(rawETag(w.parts[len(w.parts)-1].ETag), sum[:])
	}
	if err := w.wait(ctx); err != nil {
		return err
	}
	if seal, ok := w.s.Store.(Sealer); ok {
		if err := w.seal(ctx, seal); err != nil {
			return err
		}
	}
	return w.complete(ctx)
}

// seal makes sure that no other commits the stream. None goes on with one that was never suspended, but that may have been dropped.
func (w *writer) seal(ctx context.Context, seal Sealer) error {
	if !w.resumed {
		_, err := w.s.Store.FirstPart(ctx, w.full, w.upload)
		return err
	}
	now, err := seal.Seal(ctx, w.full, cmp.Or(w.marks, w.upload), w.mark)
	if err == nil {
		w.mark = now
	}
	return err
}

// own makes sure that a stream that was resumed is this Writer's to drop.
func (w *writer) own(ctx context.Context) error {
	if seal, ok := w.s.Store.(Sealer); ok {
		return w.seal(ctx, seal)
	}
	return w.check(ctx)
}

// forget removes parts that Abort may not find, or is not asked for.
func (w *writer) forget(ctx context.Context, since int) error {
	f, ok := w.s.Store.(Forgetter)
	if !ok || len(w.parts) == 0 {
		return nil
	}
	return f.Forget(ctx, w.full, w.upload, w.parts, since)
}

// complete makes the parts an object.
func (w *writer) complete(ctx context.Context) error {
	made, calls, err := w.s.Store.Complete(ctx, w.full, w.upload, w.sum, w.parts)
	if err == nil && w.resumed && w.anothers(made) {
		return &drivers.Error{Op: "commit", Driver: w.s.Driver, Key: w.key, Kind: drivers.ErrPrecondition,
			Err: errors.New("the upload was completed with other parts")}
	}
	if err == nil || calls == 1 || !w.s.Store.NoUpload(err) {
		return err
	}
	etag, lookErr := w.s.Store.ETag(ctx, w.full)
	if lookErr == nil && etag == etagOf(w.parts) {
		return nil
	}
	// Where ETags are no MD5s, as with some encryption, a commit that did succeed is not known again. The
	// caller starts over; to take another stream's bytes of the same size for these would be worse.
	return err
}

// anothers reports whether the object is not made of our parts. Ceph and versitygw answer to a second
// CompleteMultipartUpload as to the first, whatever parts it names; so two that were resumed from one state would both
// take their own bytes for committed.
func (w *writer) anothers(made Made) bool {
	if w.sum == SumCRC32C && strings.Contains(made.CRC32C, "-") {
		return made.CRC32C != crcOf(w.parts)
	}
	// The ETag tells only where the store's ETags are MD5s, which encryption may change.
	own := etagOf(w.parts)
	return w.md5s && own != "" && strings.Contains(made.ETag, "-") && made.ETag != own
}

// crcOf is the checksum of an object of these parts: the CRC32C of their CRC32Cs, and their number.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
func crcOf(parts []Part) string {
	var all []byte
	for _, p := range parts {
		all = binary.BigEndian.AppendUint32(all, p.CRC)
	}
	return fmt.Sprintf("%s-%d", EncodeCRC(crc32.Checksum(all, castagnoli)), len(parts))
}

// etagOf is the ETag of an object of these parts: the MD5 of their MD5s, and their number. "" if an
// ETag of a part is no MD5.
func etagOf(parts []Part) string {
	h := md5.New()
	for _, p := range parts {
		raw := rawETag(p.ETag)
		if raw == nil {
			return ""
		}
		h.Write(raw)
	}
	return fmt.Sprintf("%s-%d", hex.EncodeToString(h.Sum(nil)), len(parts))
}

// Cancel stops the parts under way, or with LateParts lets them arrive, and drops the upload. The upload of a
// stream that is outdated is left to the newer one, so after a Resume it looks first.
func (w *writer) Cancel(ctx context.Context) error {
	const op = "cancel"
	if w.ended {
		return nil
	}
	if w.s.LateParts {
		_ = w.wait(ctx) // that they have failed does not matter
	}
	w.stop()
	w.sending.Wait() // they end at once, since w.ctx has
	w.end()
	if w.upload == "" {
		return ctx.Err()
	}
	if w.resumed && !w.outdated {
		err := w.s.Store.Fail(ctx, op, w.key, w.own(ctx))
		w.outdated = errors.Is(err, drivers.ErrPrecondition)
		if err != nil && !w.outdated {
			return err
		}
	}
	if w.outdated {
		_ = w.forget(ctx, w.since) // what is left is in nobody's state
		return ctx.Err()
	}
	if err := w.forget(ctx, 0); err != nil {
		return w.s.Store.Fail(ctx, op, w.key, err)
	}
	for _, upload := range []string{w.upload, w.marks} {
		if upload == "" {
			continue
		}
		if err := w.s.Store.Abort(ctx, w.full, upload); err != nil && !w.s.Store.NoUpload(err) {
			return w.s.Store.Fail(ctx, op, w.key, err)
		}
	}
	return nil
}

// end frees all that the writer holds. No part is under way.
func (w *writer) end() {
	w.stop()
	w.release()
	w.tail = nil
	w.ended = true
}

// join returns a context that ends with ctx and with the writer's own.
func (w *writer) join(ctx context.Context) (context.Context, func()) {
	joined, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(w.ctx, cancel)
	return joined, func() {
		stop()
		cancel()
	}
}

var _ drivers.Writer = (*writer)(nil)
