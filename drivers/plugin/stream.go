package plugin

import (
	"context"
	"crypto/rand"
	"errors"
	"io"

	"google.golang.org/grpc"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/plugin/storagev1"
)

// Reader is one call, which lasts as long as the body.
func (d *Driver) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	const op = "reader"
	if err := d.check(op, key); err != nil {
		return nil, drivers.Info{}, err
	}
	p, err := d.keeper.running(ctx)
	if err != nil {
		return nil, drivers.Info{}, d.fail(ctx, nil, op, key, err)
	}
	calling, stop := context.WithCancel(ctx)
	stream, err := p.calls.Read(calling, &storagev1.ReadRequest{Key: key, Offset: offset, Length: length})
	var first *storagev1.ReadResponse
	if err == nil {
		first, err = stream.Recv()
	}
	if err != nil {
		stop()
		return nil, drivers.Info{}, d.fail(ctx, p, op, key, err)
	}
	if first.GetInfo() == nil {
		stop()
		return nil, drivers.Info{}, &drivers.Error{Op: op, Driver: d.about.GetName(), Key: key, Err: offContract(p, "no facts come before the body")}
	}
	info := storagev1.InfoFrom(first.GetInfo())
	due := max(0, info.Size-offset)
	if length >= 0 {
		due = min(due, length)
	}
	return &body{d: d, p: p, ctx: ctx, key: key, stop: stop, next: stream.Recv, due: due}, info, nil
}

// body is an object's bytes on their way.
type body struct {
	d    *Driver
	p    *process
	ctx  context.Context
	key  string
	stop context.CancelFunc
	next func() (*storagev1.ReadResponse, error)
	due  int64  // bytes that have to come
	left []byte // of the last message
	err  error
}

// Read ends with io.EOF only when the plugin has said that all was sent, and that is as much as it ought to be.
func (b *body) Read(p []byte) (int, error) {
	for len(b.left) == 0 && b.err == nil && len(p) > 0 {
		r, err := b.next()
		switch {
		case errors.Is(err, io.EOF) && b.due == 0:
			b.err = io.EOF
		case err != nil:
			b.err = b.d.fail(b.ctx, b.p, "reader", b.key, err)
		default:
			b.left = r.GetData()
			b.due -= int64(len(b.left))
		}
	}
	if len(b.left) == 0 {
		return 0, b.err
	}
	n := copy(p, b.left)
	b.left = b.left[n:]
	return n, nil
}

// Close ends the call.
func (b *body) Close() error {
	b.stop()
	if b.err == nil {
		b.err = errors.New("the body is closed")
	}
	b.left = nil
	return nil
}

// Writer is one call, which lasts as long as the Writer.
func (d *Driver) Writer(ctx context.Context, key string, size int64) (drivers.Writer, error) {
	id := rand.Text()
	return d.write(ctx, "writer", key, id, &storagev1.WriteRequest{Step: &storagev1.WriteRequest_Begin_{
		Begin: &storagev1.WriteRequest_Begin{Id: id, Key: key, Size: size},
	}}, nil)
}

// Resume is Writer with the state in pieces.
func (d *Driver) Resume(ctx context.Context, key string, state []byte) (drivers.Writer, error) {
	id := rand.Text()
	n := min(len(state), storagev1.PieceSize)
	return d.write(ctx, "resume", key, id, &storagev1.WriteRequest{Step: &storagev1.WriteRequest_Resume_{
		Resume: &storagev1.WriteRequest_Resume{Id: id, Key: key, State: state[:n], More: n < len(state)},
	}}, state[n:])
}

func (d *Driver) write(ctx context.Context, op, key, id string, first *storagev1.WriteRequest, state []byte) (drivers.Writer, error) {
	if err := d.check(op, key); err != nil {
		return nil, err
	}
	p, err := d.keeper.running(ctx)
	if err != nil {
		return nil, d.fail(ctx, nil, op, key, err)
	}
	w := &writer{d: d, p: p, ctx: ctx, key: key, id: id, failed: make(chan struct{})}
	calling, stop := context.WithCancel(ctx)
	w.stop = stop
	w.stream, err = p.calls.Write(calling)
	if err == nil {
		err = w.stream.Send(first)
	}
	for err == nil && len(state) > 0 {
		n := min(len(state), storagev1.PieceSize)
		err = w.stream.Send(&storagev1.WriteRequest{Step: &storagev1.WriteRequest_StateMore{
			StateMore: &storagev1.WriteRequest_More{State: state[:n], More: n < len(state)},
		}})
		state = state[n:]
	}
	var answer *storagev1.WriteResponse
	if err == nil || errors.Is(err, io.EOF) { // of an io.EOF, Recv tells the reason
		answer, err = w.stream.Recv()
	}
	if err != nil {
		stop()
		return nil, d.fail(ctx, p, op, key, err)
	}
	if answer.GetReady() == nil {
		stop()
		return nil, &drivers.Error{Op: op, Driver: d.about.GetName(), Key: key, Err: offContract(p, "a Write is not ready when it begins")}
	}
	w.size = answer.GetReady().GetSize()
	w.answers = make(chan *storagev1.WriteResponse)
	go w.listen()
	return w, nil
}

// writer is a drivers.Writer in the plugin.
type writer struct {
	d       *Driver
	p       *process
	ctx     context.Context // as given to Writer
	stop    context.CancelFunc
	key, id string
	stream  grpc.BidiStreamingClient[storagev1.WriteRequest, storagev1.WriteResponse]

	size  int64
	ended bool

	answers chan *storagev1.WriteResponse // closed when no more come
	failed  chan struct{}                 // closed after err is set
	err     error
}

// listen takes what the plugin says, until it says no more.
func (w *writer) listen() {
	defer close(w.answers)
	for {
		answer, err := w.stream.Recv()
		if err == nil && answer.GetFailure() != nil {
			err = storagev1.ErrorOf(answer.GetFailure())
		}
		if err != nil {
			w.err = err
			close(w.failed)
			w.stop()
			return
		}
		select {
		case w.answers <- answer:
		case <-w.stream.Context().Done():
		}
	}
}

// failure is why the Writer has failed. Its caller has seen failed closed.
func (w *writer) failure(ctx context.Context, op string) error {
	var e *drivers.Error
	if w.ctx.Err() != nil {
		ctx = w.ctx
	}
	if errors.As(w.err, &e) && ctx.Err() == nil {
		return e
	}
	return w.d.fail(ctx, w.p, op, w.key, w.err)
}

// usable returns the error of a writer that has ended or failed.
func (w *writer) usable(op string) error {
	if w.ended {
		return &drivers.Error{Op: op, Driver: w.d.about.GetName(), Key: w.key, Kind: drivers.ErrInvalid, Err: errors.New("the writer has ended")}
	}
	if w.ctx.Err() != nil {
		return w.ctx.Err()
	}
	select {
	case <-w.failed:
		return w.failure(w.ctx, op)
	default:
		return nil
	}
}

// Size counts the bytes of the state too.
func (w *writer) Size() int64 { return w.size }

// Write returns when the connection has taken p; the backend may be up to a megabyte behind.
func (w *writer) Write(p []byte) (int, error) {
	written := 0
	for {
		if err := w.usable("write"); err != nil {
			return written, err
		}
		if len(p) == 0 {
			return written, nil
		}
		n := min(len(p), storagev1.PieceSize)
		if err := w.stream.Send(&storagev1.WriteRequest{Step: &storagev1.WriteRequest_Data{Data: p[:n]}}); err != nil {
			<-w.failed // it knows the reason
			return written, w.failure(w.ctx, "write")
		}
		p = p[n:]
		w.size += int64(n)
		written += n
	}
}

// last sends the last message and hands each answer to take, until that says that it was the last one.
func (w *writer) last(ctx context.Context, op string, r *storagev1.WriteRequest, take func(*storagev1.WriteResponse) (done bool)) error {
	if err := w.usable(op); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := w.stream.Send(r); err != nil {
		<-w.failed
		return w.failure(ctx, op)
	}
	for {
		select {
		case answer, ok := <-w.answers:
			if !ok {
				return w.failure(ctx, op)
			}
			if take(answer) {
				w.ended = true
				w.finish()
				return nil
			}
		case <-ctx.Done():
			w.finish()
			return ctx.Err()
		}
	}
}

// finish ends the call and waits until nothing listens to it.
func (w *writer) finish() {
	w.stop()
	<-w.failed
}

// Suspend takes the state in pieces.
func (w *writer) Suspend(ctx context.Context) (state []byte, err error) {
	r := &storagev1.WriteRequest{Step: &storagev1.WriteRequest_Suspend_{Suspend: &storagev1.WriteRequest_Suspend{}}}
	err = w.last(ctx, "suspend", r, func(answer *storagev1.WriteResponse) bool {
		state = append(state, answer.GetSuspended().GetState()...)
		return !answer.GetSuspended().GetMore()
	})
	if err != nil {
		return nil, err
	}
	return state, nil
}

// Commit waits for the plugin's word.
func (w *writer) Commit(ctx context.Context) error {
	r := &storagev1.WriteRequest{Step: &storagev1.WriteRequest_Commit_{Commit: &storagev1.WriteRequest_Commit{}}}
	return w.last(ctx, "commit", r, func(*storagev1.WriteResponse) bool { return true })
}

// Cancel ends the call, and has the plugin drop what it has written. A plugin that has ended since keeps a leftover.
func (w *writer) Cancel(ctx context.Context) error {
	if w.ended {
		return nil
	}
	w.ended = true
	w.finish()
	if w.p.client.Exited() {
		return ctx.Err()
	}
	_, err := w.p.calls.Cancel(ctx, &storagev1.CancelRequest{Id: w.id})
	return w.d.fail(ctx, w.p, "cancel", w.key, err)
}
