package memory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// stream is what the store keeps of a Writer that has not ended.
type stream struct {
	key        string
	began      time.Time
	generation int    // how often it was suspended; 0 if never
	body       []byte // as it was then
	size       int64  // bytes that the last Write ended with
}

// state is what Suspend returns, as JSON.
type state struct {
	Driver     string `json:"driver"`
	Key        string `json:"key"`
	Stream     int    `json:"stream"`
	Generation int    `json:"generation"`
}

var errEnded = errors.New("the writer was suspended, committed or cancelled before")

// Writer is described at drivers.Driver.
func (d *Driver) Writer(ctx context.Context, key string, _ int64) (drivers.Writer, error) {
	lost, err := d.before(ctx, "writer", key)
	if err == nil {
		err = lost
	}
	if err != nil {
		return nil, err
	}
	s := d.store
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started++
	s.streams[s.started] = stream{key: key, began: s.Now()}
	return &writer{ctx: ctx, d: d, key: key, id: s.started}, nil
}

// Resume is described at drivers.Driver. Two processes can resume one state, as on S3; the
// first of them to suspend, commit or cancel outdates the other.
func (d *Driver) Resume(ctx context.Context, key string, saved []byte) (drivers.Writer, error) {
	const op = "resume"
	lost, err := d.before(ctx, op, key)
	if err == nil {
		err = lost
	}
	if err != nil {
		return nil, err
	}
	var st state
	if err := json.Unmarshal(saved, &st); err != nil || st.Driver != name || st.Key != key || st.Generation < 1 {
		return nil, refused(op, key, drivers.ErrInvalid, errors.New("not a state of this driver for this key"))
	}
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	now, open := d.store.streams[st.Stream]
	if !open || now.generation != st.Generation {
		return nil, refused(op, key, drivers.ErrPrecondition, nil)
	}
	// Clip makes the first Write copy, so that two who resumed do not write to one array.
	return &writer{ctx: ctx, d: d, key: key, id: st.Stream, generation: st.Generation, body: slices.Clip(now.body)}, nil
}

// writer is one process's end of a stream. What it was given is its own until Suspend or Commit.
type writer struct {
	ctx        context.Context
	d          *Driver
	key        string
	id         int
	generation int // that it was made from
	body       []byte
	ended      bool
}

func (w *writer) Write(p []byte) (int, error) {
	const op = "write"
	if w.ended {
		return 0, refused(op, w.key, drivers.ErrInvalid, errEnded)
	}
	lost, err := w.d.ask(w.ctx, op, w.key)
	if err != nil {
		return 0, err
	}
	w.body = append(w.body, p...)
	w.d.store.grown(w)
	if lost != nil {
		return 0, lost
	}
	return len(p), nil
}

// grown notes for Leftovers how large the stream is now.
func (s *store) grown(w *writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, open := s.streams[w.id]; open && st.generation == w.generation {
		st.size = w.Size()
		s.streams[w.id] = st
	}
}

// Size is described at drivers.Writer.
func (w *writer) Size() int64 { return int64(len(w.body)) }

// Suspend is described at drivers.Writer.
func (w *writer) Suspend(ctx context.Context) ([]byte, error) {
	const op = "suspend"
	lost, err := w.end(ctx, op, func(s *store) (violation, err error) {
		st := s.streams[w.id]
		st.generation, st.body = w.generation+1, w.body
		s.streams[w.id] = st
		return nil, nil
	})
	if err == nil {
		err = lost
	}
	if err != nil {
		return nil, err
	}
	saved, err := json.Marshal(state{Driver: name, Key: w.key, Stream: w.id, Generation: w.generation + 1})
	if err != nil {
		return nil, failed(op, w.key, err)
	}
	return saved, nil
}

// Commit is described at drivers.Writer.
func (w *writer) Commit(ctx context.Context) error {
	const op = "commit"
	lost, err := w.end(ctx, op, func(s *store) (violation, err error) {
		violation, err = s.set(op, w.key, bytes.Clone(w.body))
		if err == nil {
			delete(s.streams, w.id)
		}
		return violation, err
	})
	if err == nil {
		err = lost
	}
	return err
}

// Cancel is described at drivers.Writer. A stream that another process has brought forward is
// that one's business and stays.
func (w *writer) Cancel(ctx context.Context) error {
	const op = "cancel"
	lost, err := w.d.ask(ctx, op, w.key)
	if err != nil {
		return err
	}
	w.ended = true
	w.body = nil
	s := w.d.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[w.id].generation == w.generation {
		delete(s.streams, w.id)
	}
	return lost
}

// end runs the last step of the Writer, on the store, if the stream is still as it was when
// the Writer was made.
func (w *writer) end(ctx context.Context, op string, step func(*store) (violation, err error)) (lost, err error) {
	if w.ended {
		return nil, refused(op, w.key, drivers.ErrInvalid, errEnded)
	}
	if err := w.ctx.Err(); err != nil {
		return nil, failed(op, w.key, err)
	}
	lost, err = w.d.ask(ctx, op, w.key)
	if err != nil {
		return nil, err
	}
	s := w.d.store
	s.mu.Lock()
	now, open := s.streams[w.id]
	if !open || now.generation != w.generation {
		s.mu.Unlock()
		return nil, refused(op, w.key, drivers.ErrPrecondition, fmt.Errorf("stream %d was brought forward elsewhere", w.id))
	}
	violation, err := step(s)
	s.mu.Unlock()
	if violation != nil {
		s.OnViolation(violation)
	}
	w.ended = err == nil
	return lost, err
}
