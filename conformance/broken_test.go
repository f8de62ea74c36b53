package conformance

import (
	"context"
	"io"
	"iter"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// broken is a memory store with one fault: the functions that are not nil stand in for the method.
type broken struct {
	*memory.Driver
	reader  func(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error)
	put     func(ctx context.Context, key string, body []byte) error
	writer  func(ctx context.Context, key string, w drivers.Writer) drivers.Writer // wraps those of Writer and Resume
	resume  func(ctx context.Context, key string, state []byte) (drivers.Writer, error)
	stat    func(ctx context.Context, key string) (drivers.Info, error)
	list    func(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error]
	delete  func(ctx context.Context, keys ...string) error
	absent  func(ctx context.Context, key string, body []byte) error
	match   func(ctx context.Context, key string, body []byte, etag string) error
	left    func(ctx context.Context) iter.Seq2[drivers.Leftover, error]
	drop    func(ctx context.Context, l drivers.Leftover) error
	extras  func(drivers.Extras) drivers.Extras
	signer  *signer
	filer   *filer
	context func(context.Context) context.Context // what Writer and Resume get
}

func (b *broken) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	if b.reader != nil {
		return b.reader(ctx, key, offset, length)
	}
	return b.Driver.Reader(ctx, key, offset, length)
}

func (b *broken) Put(ctx context.Context, key string, body []byte) error {
	if b.put != nil {
		return b.put(ctx, key, body)
	}
	return b.Driver.Put(ctx, key, body)
}

func (b *broken) Writer(ctx context.Context, key string, size int64) (drivers.Writer, error) {
	if b.context != nil {
		ctx = b.context(ctx)
	}
	w, err := b.Driver.Writer(ctx, key, size)
	if err != nil || b.writer == nil {
		return w, err
	}
	return b.writer(ctx, key, w), nil
}

func (b *broken) Resume(ctx context.Context, key string, state []byte) (drivers.Writer, error) {
	if b.resume != nil {
		return b.resume(ctx, key, state)
	}
	if b.context != nil {
		ctx = b.context(ctx)
	}
	w, err := b.Driver.Resume(ctx, key, state)
	if err != nil || b.writer == nil {
		return w, err
	}
	return b.writer(ctx, key, w), nil
}

func (b *broken) Stat(ctx context.Context, key string) (drivers.Info, error) {
	if b.stat != nil {
		return b.stat(ctx, key)
	}
	return b.Driver.Stat(ctx, key)
}

func (b *broken) List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
	if b.list != nil {
		return b.list(ctx, prefix, after, delimiter)
	}
	return b.Driver.List(ctx, prefix, after, delimiter)
}

func (b *broken) Delete(ctx context.Context, keys ...string) error {
	if b.delete != nil {
		return b.delete(ctx, keys...)
	}
	return b.Driver.Delete(ctx, keys...)
}

func (b *broken) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	if b.absent != nil {
		return b.absent(ctx, key, body)
	}
	return b.Driver.PutIfAbsent(ctx, key, body)
}

func (b *broken) PutIfMatch(ctx context.Context, key string, body []byte, etag string) error {
	if b.match != nil {
		return b.match(ctx, key, body, etag)
	}
	return b.Driver.PutIfMatch(ctx, key, body, etag)
}

func (b *broken) Leftovers(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
	if b.left != nil {
		return b.left(ctx)
	}
	return b.Driver.Leftovers(ctx)
}

func (b *broken) Drop(ctx context.Context, l drivers.Leftover) error {
	if b.drop != nil {
		return b.drop(ctx, l)
	}
	return b.Driver.Drop(ctx, l)
}

func (b *broken) Extras() drivers.Extras {
	x := drivers.Extras{Absent: b, Match: b, Signer: b.signer, Files: b.filer, Sweep: b}
	if b.extras != nil {
		return b.extras(x)
	}
	return x
}

// brokenWriter is a Writer with one fault.
type brokenWriter struct {
	drivers.Writer
	write   func(p []byte) (int, error)
	size    func() int64
	suspend func(ctx context.Context) ([]byte, error)
	commit  func(ctx context.Context) error
	cancel  func(ctx context.Context) error
}

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.write != nil {
		return w.write(p)
	}
	return w.Writer.Write(p)
}

func (w *brokenWriter) Size() int64 {
	if w.size != nil {
		return w.size()
	}
	return w.Writer.Size()
}

func (w *brokenWriter) Suspend(ctx context.Context) ([]byte, error) {
	if w.suspend != nil {
		return w.suspend(ctx)
	}
	return w.Writer.Suspend(ctx)
}

func (w *brokenWriter) Commit(ctx context.Context) error {
	if w.commit != nil {
		return w.commit(ctx)
	}
	return w.Writer.Commit(ctx)
}

func (w *brokenWriter) Cancel(ctx context.Context) error {
	if w.cancel != nil {
		return w.cancel(ctx)
	}
	return w.Writer.Cancel(ctx)
}
