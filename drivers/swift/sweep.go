package swift

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// Leftovers lists the marks, one GET for each 1,000, and for each of them asks for its key and lists its segments. A mark is
// written anew at each Suspend but the first, so Began is the time of the last one.
func (d *Driver) Leftovers(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
	return func(yield func(drivers.Leftover, error) bool) {
		folder, last := d.prefix+marks, ""
		for marker := ""; ; {
			page, err := d.entries(ctx, folder, marker, "", "", d.info.page)
			if err != nil {
				yield(drivers.Leftover{}, fail(ctx, "leftovers", "", err))
				return
			}
			for _, e := range page {
				id := strings.TrimSuffix(strings.TrimPrefix(e.Name, folder), closed)
				if id == last {
					continue // the mark, without which the other is found in its place, comes first
				}
				last = id
				l, err := d.leftover(ctx, id, e.info().ModTime)
				if statusOf(err) == http.StatusNotFound {
					continue // the listing lags
				}
				if err != nil {
					yield(drivers.Leftover{}, fail(ctx, "leftovers", "", err))
					return
				}
				if !yield(l, nil) {
					return
				}
			}
			if !d.more(page, d.info.page) {
				return
			}
			marker = page[len(page)-1].Name
		}
	}
}

// leftover looks at one stream.
func (d *Driver) leftover(ctx context.Context, id string, began time.Time) (drivers.Leftover, error) {
	l := drivers.Leftover{ID: id, Began: began}
	full, err := d.keyOf(ctx, id)
	if err != nil {
		return l, err
	}
	l.Key = strings.TrimPrefix(full, d.prefix)
	found, err := d.segmentsOf(ctx, id)
	for _, e := range found {
		l.Size += e.Bytes
	}
	return l, err
}

// keyOf reads what a stream's object is called in the container.
func (d *Driver) keyOf(ctx context.Context, id string) (full string, err error) {
	r := request{method: http.MethodGet, object: store{d}.mark(id), header: d.newest()}
	answer, err := d.do(ctx, r)
	if statusOf(err) == http.StatusNotFound {
		r.object = store{d}.closed(id)
		answer, err = d.do(ctx, r)
	}
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, 2*drivers.MaxKey))
	return string(text), errors.Join(err, answer.Body.Close())
}

// Drop removes a stream's segments and its mark. Where the object has been made of them, and only the mark was left, that
// alone goes.
func (d *Driver) Drop(ctx context.Context, l drivers.Leftover) error {
	const op = "drop"
	if l.ID == "" || strings.Contains(l.ID, "/") {
		return invalid(op, l.Key, "%q is no id of a stream", l.ID)
	}
	s := store{d}
	full, err := d.keyOf(ctx, l.ID)
	if statusOf(err) == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return fail(ctx, op, l.Key, err)
	}
	made, err := d.isMade(ctx, full, l.ID)
	if err != nil {
		return fail(ctx, op, l.Key, err)
	}
	if made {
		return fail(ctx, op, l.Key, s.removeMark(ctx, l.ID))
	}
	// From here on no state of the stream is the newest.
	if err := s.writeMark(ctx, full, l.ID, "dropped-"+rand.Text()); err != nil {
		return fail(ctx, op, l.Key, err)
	}
	return fail(ctx, op, l.Key, s.Abort(ctx, full, l.ID))
}
