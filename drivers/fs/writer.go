//go:build unix

package fs

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// window is how many bytes are written before the system is told to put them on disk. So
// Commit, which waits for the disk, has about as much to wait for whatever the size.
const window = 16 << 20

// state is what Suspend returns, as JSON.
type state struct {
	Driver     string `json:"driver"`
	Key        string `json:"key"`
	ID         string `json:"id"`
	Generation int    `json:"generation"`
	Size       int64  `json:"size"`
}

// decodeState reads what Suspend has written for key, and nothing else.
func decodeState(saved []byte, key string) (state, error) {
	var st state
	if err := json.Unmarshal(saved, &st); err != nil {
		return state{}, errors.New("not a state of this driver")
	}
	again, err := json.Marshal(st)
	if err != nil || !bytes.Equal(again, saved) || st.Driver != name || st.Key != key || st.Generation < 1 || st.Size < 0 || !isID(st.ID) {
		return state{}, errors.New("not a state of this driver for this key")
	}
	return st, nil
}

// isID reports whether id can be one that [rand.Text] made.
func isID(id string) bool {
	const longest = 64
	return 0 < len(id) && len(id) <= longest && strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// streamPath is where an unfinished stream to key is. Each Suspend gives it another generation, so that an
// outdated state names a file that is not there.
func (d *Driver) streamPath(id string, generation int, key string) string {
	return filepath.Join(d.temp, streamName(id, generation, key))
}

// streamName ends with the key, for Leftovers, unless the name would be longer than a name can be, or key is "".
func streamName(id string, generation int, key string) string {
	name := fmt.Sprintf("%s%s.%d", streamPrefix, id, generation)
	if whole := name + "." + strings.ReplaceAll(key, "/", "~"); key != "" && len(whole) <= 255 {
		return whole
	}
	return name
}

// streamPrefix begins the names of unfinished streams.
const streamPrefix = "stream-"

// writer is a stream into a file. The process that writes it holds a lock on it.
type writer struct {
	d          *Driver
	ctx        context.Context
	key        string
	id         string
	generation int
	path       string
	file       *os.File
	size       int64
	flushed    int64       // bytes that the system was told to put on disk
	release    func() bool // stops the closing of the file at the end of ctx; false if it came to that
	lost       error       // a sync failed, and what it was for must not be tried again
	ended      bool
}

// Writer is described at drivers.Driver. Bytes go straight to a file.
func (d *Driver) Writer(ctx context.Context, key string, _ int64) (drivers.Writer, error) {
	const op = "writer"
	if err := begin(ctx, op, key); err != nil {
		return nil, err
	}
	w := &writer{d: d, ctx: ctx, key: key, id: rand.Text()}
	w.path = d.streamPath(w.id, 0, key)
	var err error
	w.file, err = openFile(w.path, os.O_CREATE|os.O_EXCL|os.O_RDWR, fileMode)
	if err != nil {
		return nil, fail(op, key, err)
	}
	if err := flock(w.file, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fail(op, key, errors.Join(err, w.file.Close(), os.Remove(w.path)))
	}
	w.watch()
	return w, nil
}

// Resume is described at drivers.Driver. A Writer whose process died, or whose context ended,
// holds no lock any more; what it wrote since the state was made is cut off.
func (d *Driver) Resume(ctx context.Context, key string, saved []byte) (drivers.Writer, error) {
	const op = "resume"
	if err := begin(ctx, op, key); err != nil {
		return nil, err
	}
	st, err := decodeState(saved, key)
	if err != nil {
		return nil, refuse(op, key, drivers.ErrInvalid, err.Error())
	}
	w := &writer{d: d, ctx: ctx, key: key, id: st.ID, generation: st.Generation, path: d.streamPath(st.ID, st.Generation, key), size: st.Size, flushed: st.Size}
	if err := w.acquire(); err != nil {
		return nil, fail(op, key, err)
	}
	if err := w.cut(); err != nil {
		return nil, fail(op, key, errors.Join(err, w.file.Close()))
	}
	w.watch()
	return w, nil
}

// acquire opens and locks the stream. The error is of kind ErrPrecondition if it is not there or
// someone else has the lock.
func (w *writer) acquire() (err error) {
	w.file, err = openFile(w.path, os.O_RDWR, 0)
	if errors.Is(err, syscall.ENOENT) {
		return &drivers.Error{Kind: drivers.ErrPrecondition, Err: err}
	}
	if err != nil {
		return err
	}
	// One who comes with an outdated state may have the lock for the moment that it takes to
	// find out, so a lock that is taken is asked for again a little later.
	ctx, stop := context.WithTimeout(w.ctx, 50*time.Millisecond)
	defer stop()
	err = flockWait(ctx, w.file)
	if err != nil && w.ctx.Err() == nil && ctx.Err() != nil {
		err = &drivers.Error{Kind: drivers.ErrPrecondition, Err: errors.New("another process is writing")}
	}
	if err == nil {
		// It may have got another name, or been cancelled, before the lock was there.
		var opened, named os.FileInfo
		if opened, err = w.file.Stat(); err == nil {
			named, err = os.Stat(w.path)
		}
		if errors.Is(err, syscall.ENOENT) || err == nil && !os.SameFile(opened, named) {
			err = &drivers.Error{Kind: drivers.ErrPrecondition, Err: errors.New("another process has brought it forward")}
		}
	}
	if err != nil {
		_ = w.file.Close() // the error at hand says more
	}
	return err
}

// cut drops what a process that died has written after the state was made.
func (w *writer) cut() error {
	fi, err := w.file.Stat()
	if err != nil {
		return err
	}
	if fi.Size() < w.size {
		return &drivers.Error{Kind: drivers.ErrCorrupt, Err: fmt.Errorf("%d bytes are left of %d", fi.Size(), w.size)}
	}
	if err := w.file.Truncate(w.size); err != nil {
		return err
	}
	_, err = w.file.Seek(w.size, io.SeekStart)
	return err
}

// watch closes the file, and with it drops the lock, when the Writer's context ends.
func (w *writer) watch() {
	file := w.file
	w.release = context.AfterFunc(w.ctx, func() { _ = file.Close() }) // the stream is given up
}

// Write is part of io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	if err := w.ready(w.ctx); err != nil {
		return 0, fail("write", w.key, err)
	}
	n, err := w.file.Write(p)
	return n, w.wrote(int64(n), err)
}

// ReadFrom is for io.Copy: from a TCP connection the bytes need not pass through this process.
func (w *writer) ReadFrom(r io.Reader) (total int64, err error) {
	for {
		if err := w.ready(w.ctx); err != nil {
			return total, fail("write", w.key, err)
		}
		n, err := w.file.ReadFrom(io.LimitReader(r, window))
		total += n
		if err := w.wrote(n, err); err != nil || n == 0 {
			return total, err
		}
	}
}

// wrote takes account of n bytes and has the system begin to put them on disk.
func (w *writer) wrote(n int64, err error) error {
	w.size += n
	if err == nil && w.d.durable && w.size-w.flushed >= window {
		// Wait for the window before, so that no more than two are ever to be written.
		err = writeBack(w.file, max(w.flushed-window, 0), w.flushed, w.size)
		w.flushed = w.size
		w.lost = err
	}
	if err != nil && w.ctx.Err() != nil {
		err = w.ctx.Err() // which closed the file
	}
	return fail("write", w.key, err)
}

// Size is described at drivers.Writer.
func (w *writer) Size() int64 { return w.size }

// ready says why the Writer can't go on, if so.
func (w *writer) ready(ctx context.Context) error {
	switch {
	case w.ended:
		return &drivers.Error{Kind: drivers.ErrInvalid, Err: errors.New("the writer was suspended, committed or cancelled before")}
	case w.ctx.Err() != nil:
		return w.ctx.Err()
	case w.lost != nil:
		return w.lost
	}
	return ctx.Err()
}

// end runs the last step with the file kept open. If it fails the Writer can be cancelled.
func (w *writer) end(ctx context.Context, op string, step func() error) error {
	if err := w.ready(ctx); err != nil {
		return fail(op, w.key, err)
	}
	if !w.release() {
		return fail(op, w.key, w.ctx.Err())
	}
	if err := step(); err != nil {
		w.watch()
		return fail(op, w.key, err)
	}
	w.ended = true
	return fail(op, w.key, w.file.Close())
}

// Suspend is described at drivers.Writer.
func (w *writer) Suspend(ctx context.Context) ([]byte, error) {
	var saved []byte
	err := w.end(ctx, "suspend", func() (err error) {
		saved, err = json.Marshal(state{Driver: name, Key: w.key, ID: w.id, Generation: w.generation + 1, Size: w.size})
		if err != nil {
			return err
		}
		if w.d.durable {
			if w.lost = w.d.syncFile(w.file); w.lost != nil {
				return w.lost
			}
		}
		next := w.d.streamPath(w.id, w.generation+1, w.key)
		if err := os.Rename(w.path, next); errors.Is(err, syscall.ENOENT) {
			return &drivers.Error{Kind: drivers.ErrPrecondition, Err: err} // Drop was here
		} else if err != nil {
			return err
		}
		w.path = next
		w.generation++
		w.lost = w.d.syncFolder(w.d.temp)
		return w.lost
	})
	if err != nil {
		return nil, err
	}
	return saved, nil
}

// Commit is described at drivers.Writer.
func (w *writer) Commit(ctx context.Context) error {
	return w.end(ctx, "commit", func() error {
		if w.lost = w.d.finish(w.file, w.path); w.lost != nil {
			if errors.Is(w.lost, syscall.ENOENT) {
				w.lost = &drivers.Error{Kind: drivers.ErrPrecondition, Err: w.lost}
			}
			return w.lost
		}
		if err := w.ctx.Err(); err != nil {
			return err
		}
		return w.d.replace(ctx, w.path, w.key)
	})
}

// Cancel is described at drivers.Writer. If the Writer's context has ended, and another process
// has taken the stream over since, then it is left to that one. After Suspend or Commit it does nothing.
func (w *writer) Cancel(ctx context.Context) error {
	const op = "cancel"
	if err := ctx.Err(); err != nil {
		return fail(op, w.key, err)
	}
	if w.ended {
		return nil
	}
	if !w.release() {
		w.ctx = ctx
		err := w.acquire()
		if errors.Is(err, drivers.ErrPrecondition) {
			w.ended = true
			return nil
		}
		if err != nil {
			return fail(op, w.key, err)
		}
	}
	err := remove(w.path)
	if errors.Is(err, syscall.ENOENT) {
		err = nil
	}
	if err == nil && w.generation > 0 {
		err = w.d.syncFolder(w.d.temp) // else a crash could bring a state back to life
	}
	err = errors.Join(err, w.file.Close())
	w.ended = err == nil
	return fail(op, w.key, err)
}
