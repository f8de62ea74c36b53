package registry

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/semaphore"

	"github.com/longshore-registry/longshore/drivers"
)

// smallBlob is the size in bytes up to which the reading of a blob is shared: configs, and the layers of small images.
const smallBlob = 2 << 20

// sharedBlobs shares the reading of blobs' bytes, and keeps them for a while. The bytes under a data key never change, and who asks
// for them has just read the repository's link. So, other than with reads, one may join a read that is under way.
type sharedBlobs struct {
	driver drivers.Driver
	held   *semaphore.Weighted               // bounds the bytes that have readers
	kept   *otter.Cache[string, *sharedRead] // whole ones, by data key

	mu    sync.Mutex
	under map[string]*sharedRead // those that are being read, by data key
}

// sharedRead is a read of a whole blob on behalf of all who want it. They get the bytes as they come.
type sharedRead struct {
	blob   Blob
	cancel context.CancelFunc

	readers int // guarded by sharedBlobs.mu
	state   atomic.Pointer[readState]
}

// readState is how far a read has come. It is never changed, but replaced.
type readState struct {
	opened   bool          // the store has begun to answer
	body     []byte        // what has come
	err      error         // what ended it early
	outdated chan struct{} // closed when there is another state
}

// open is Reader of a driver for a blob. It returns nil, and no error, if the blob is not a small one or if as many bytes as
// may be have readers.
func (s *sharedBlobs) open(ctx context.Context, b Blob, offset, length int64) (io.ReadCloser, error) {
	if b.Size > smallBlob || offset < 0 {
		return nil, nil
	}
	end := b.Size
	if length >= 0 && length < end-offset {
		end = offset + length
	}
	s.mu.Lock()
	r := s.under[b.data]
	if r == nil {
		r, _ = s.kept.GetIfPresent(b.data)
	}
	if (r == nil || r.readers == 0) && !s.held.TryAcquire(b.Size) {
		s.mu.Unlock()
		return nil, nil
	}
	if r == nil {
		r = &sharedRead{blob: b}
		r.state.Store(&readState{outdated: make(chan struct{})})
		var readCtx context.Context
		readCtx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
		s.under[b.data] = r
		go s.read(readCtx, r)
	}
	r.readers++
	s.mu.Unlock()
	body := &sharedBody{all: s, read: r, ctx: ctx, offset: min(offset, end), end: end}
	if _, err := r.wait(ctx, func(now *readState) bool { return now.opened }); err != nil {
		body.Close()
		return nil, err
	}
	return body, nil
}

// wait returns the first state for which until holds, or the error that makes waiting vain.
func (r *sharedRead) wait(ctx context.Context, until func(*readState) bool) (*readState, error) {
	for {
		now := r.state.Load()
		switch {
		case until(now):
			return now, nil
		case now.err != nil:
			return nil, now.err
		}
		select {
		case <-now.outdated:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// become replaces the state and wakes all who wait.
func (r *sharedRead) become(s readState) {
	s.outdated = make(chan struct{})
	close(r.state.Swap(&s).outdated)
}

// read asks the store, and keeps what it got if it is all.
func (s *sharedBlobs) read(ctx context.Context, r *sharedRead) {
	defer r.cancel()
	err := s.fill(ctx, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.under[r.blob.data] == r {
		delete(s.under, r.blob.data)
	}
	if err == nil {
		s.kept.Set(r.blob.data, r)
	} else {
		r.become(readState{err: err}) // now that nobody comes to it any more
	}
}

// fill reads the bytes and hands them on in pieces, since each wakes all readers; the last one only if all have the blob's digest.
func (s *sharedBlobs) fill(ctx context.Context, r *sharedRead) error {
	const piece = 32 << 10
	body, info, err := openSteady(ctx, s.driver, r.blob.data, 0, -1)
	if err != nil {
		return dataGone(r.blob, err)
	}
	defer body.Close()
	if err := checkSize(r.blob, info); err != nil {
		return err
	}
	r.become(readState{opened: true})
	all, hash := make([]byte, r.blob.Size), r.blob.Digest.Algorithm().Hash()
	for have := 0; have < len(all); {
		n, err := io.ReadAtLeast(body, all[have:], min(piece, len(all)-have))
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return &drivers.Error{Op: "read blob " + r.blob.Digest.String(), Driver: "registry", Key: r.blob.data, Kind: drivers.ErrCorrupt, Err: err}
		} else if err != nil {
			return err
		}
		hash.Write(all[have : have+n])
		if have += n; have < len(all) {
			r.become(readState{opened: true, body: all[:have]})
		}
	}
	if err := checkDigest(r.blob, hash); err != nil {
		return err
	}
	r.become(readState{opened: true, body: all})
	return nil
}

// sharedBody is a reader's part of a sharedRead.
type sharedBody struct {
	all         *sharedBlobs
	read        *sharedRead
	ctx         context.Context
	offset, end int64
	closed      bool
}

// Read fails as the read that is shared does.
func (b *sharedBody) Read(p []byte) (int, error) {
	if b.offset == b.end {
		return 0, io.EOF
	}
	now, err := b.read.wait(b.ctx, func(s *readState) bool { return int64(len(s.body)) > b.offset })
	if err != nil {
		return 0, err
	}
	n := copy(p, now.body[b.offset:min(b.end, int64(len(now.body)))])
	b.offset += int64(n)
	return n, nil
}

// Close ends the read if nobody else has a part in it.
func (b *sharedBody) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	s, r := b.all, b.read
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.readers--; r.readers > 0 {
		return nil
	}
	s.held.Release(r.blob.Size)
	if s.under[r.blob.data] == r {
		delete(s.under, r.blob.data)
		r.cancel()
	}
	return nil
}
