package glance

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"net/http"
	"slices"
	"strings"

	"github.com/longshore-registry/longshore/drivers"
)

// state is what a suspended writer becomes: a CRC of four bytes and JSON.
type state struct {
	Store  string `json:"store"`
	Key    string `json:"key"`
	Stream string `json:"stream"`
	Token  string `json:"token"`
	Parts  []part `json:"parts"`
}

func (s state) encode() []byte {
	text, _ := json.Marshal(s) // strings and numbers always can be
	return append(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(text)), text...)
}

// decodeState takes what encode writes and nothing else.
func decodeState(b []byte) (s state, err error) {
	if len(b) < 4 || crc32.ChecksumIEEE(b[4:]) != binary.BigEndian.Uint32(b) {
		return s, errors.New("it is no state, or damaged")
	}
	err = json.Unmarshal(b[4:], &s)
	if err == nil && (s.Stream == "" || s.Token == "" || !bytes.Equal(s.encode(), b) || slices.ContainsFunc(s.Parts, part.odd)) {
		err = errors.New("it is no state")
	}
	return s, err
}

// odd reports whether p is none that this driver can have made: its ID becomes part of a path.
func (p part) odd() bool {
	return p.Size < 0 || p.ID == "" || strings.Trim(p.ID, "0123456789abcdef-") != ""
}

// join is a context for a method of a writer, which ends with that of the method or the writer's.
func (w *writer) join(ctx context.Context) (joined context.Context, done func()) {
	joined, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(w.parent, cancel)
	return joined, func() {
		stop()
		cancel()
	}
}

// usable returns the error of a writer that has ended or failed.
func (w *writer) usable(op string) error {
	if w.ended {
		return problem(op, w.key, drivers.ErrInvalid, "%w", errEnded)
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
	err = fail(ctx, op, w.key, err)
	w.setErr(err)
	if ctx.Err() != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// finish ends a writer that is done.
func (w *writer) finish() {
	w.ended = true
	w.stop()
}

// failedParts are the images that the writer has made and that are in no object: the end of the stream, and those of attempts that failed.
func (w *writer) failedParts() (all []part) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := make(map[string]bool)
	for _, p := range w.parts {
		kept[p.ID] = true
	}
	for _, p := range w.made {
		if !kept[p.ID] && p.ID != w.index {
			all = append(all, p)
		}
	}
	return all
}

// Cancel removes what the writer has sent, and what the state has that it goes on from if that is the newest one. If Commit has failed
// but taken effect, nothing is left to remove.
func (w *writer) Cancel(ctx context.Context) error {
	const op = "cancel"
	if w.ended {
		return nil
	}
	w.stop()
	_ = w.wait(ctx) // what failed before is no matter now
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if w.unsure {
		there, err := w.d.settle(ctx, w.key, w.number, w.stream)
		if err != nil {
			return fail(ctx, op, w.key, err)
		}
		if there {
			w.ended = true
			return nil
		}
	}
	all := w.made
	switch err := w.seal(ctx); {
	case err == nil:
		all = append(all, w.parts[:w.old]...)
	case !errors.Is(err, drivers.ErrPrecondition): // or the others' parts stay
		return fail(ctx, op, w.key, err)
	}
	if err := w.d.removeParts(ctx, all); err != nil {
		return fail(ctx, op, w.key, err)
	}
	w.ended = true
	return nil
}

// settle finds out what became of an entry that may have been made of a stream, or may still be on its way. If it is not there, it never
// will be: its id is used up.
func (d *Driver) settle(ctx context.Context, key string, number int, stream string) (there bool, err error) {
	i := image{ID: d.entryID(key, number), Name: d.name(keyNames, key), record: record{Kind: kindVoid, Key: key, Token: randomToken()}}
	switch what, err := d.create(ctx, i); what {
	case made:
		return false, d.remove(ctx, i.ID)
	case taken:
		found, _, err := d.get(ctx, i.ID)
		if statusOf(err) == http.StatusNotFound {
			return false, nil // whoever removed it removes its parts
		}
		return found.Kind == kindEntry && found.Stream == stream, err
	default:
		return false, err
	}
}
