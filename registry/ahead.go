package registry

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

const (
	// aheadRange is how many bytes one request ahead of the client fetches: stores take some 20 ms for the first byte, in which a connection
	// of 50 MB/s brings 1 MiB. What is left is cut into smaller ones, down to aheadLeast, if it is not enough for all.
	aheadRange = 8 << 20
	aheadLeast = 4 << 20
	// aheadMost is how many ranges are fetched ahead of one client at once.
	aheadMost = 4
	// aheadTrial is after how many bytes a plain body is judged, again and again.
	aheadTrial = 1 << 20
	// aheadRate is how many bytes a second one connection has to bring to be enough: it has no cap then, and what is slow is this process, the
	// store or the line between them, which more connections don't make faster.
	aheadRate = 160 << 20
)

// openAhead is openSteady for a body that a client waits for. It begins as the one plain request. If the client turns out to wait for the store,
// because that gives each connection only so much, the ranges that come next are fetched at the same time on other connections, into memory
// that Options.PullMemory bounds. When there is none left the body is the plain one from where it stands.
func (r *Registry) openAhead(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	ctx, cancel := context.WithCancel(ctx)
	plain, info, err := openSteady(ctx, r.driver, key, offset, length)
	if err != nil {
		cancel()
		return nil, info, err
	}
	return &ahead{
		registry: r, ctx: ctx, cancel: cancel, key: key, etag: info.ETag,
		offset: offset, end: plain.end, plain: plain, depth: aheadMost, began: time.Now(),
	}, info, nil
}

// ahead is a body that fetches what comes next before it is asked for. Methods are called one at a time.
type ahead struct {
	registry    *Registry
	ctx         context.Context // of all requests
	cancel      context.CancelFunc
	key, etag   string
	offset, end int64 // in the object: of the next byte, and after the last

	plain  *steady    // nil while the next byte is in ranges
	ranges []*fetched // what follows plain, without gaps
	size   int64      // bytes of a range
	depth  int        // ranges to have at once: one that the client is slower than shrinks, so that others get the memory
	failed bool       // a range could not be fetched, perhaps since the store is busy: no more of them

	// Since the last judgement:
	began  time.Time
	waited time.Duration // in Read
	bytes  int64
}

// Read fails as that of a plain body does: what goes wrong with a range is tried again by a plain request.
func (a *ahead) Read(p []byte) (int, error) {
	began := time.Now()
	n, err := a.read(p)
	a.offset += int64(n)
	a.bytes += int64(n)
	now := time.Now()
	a.waited += now.Sub(began)
	if err == nil {
		a.judge(now)
	}
	return n, err
}

func (a *ahead) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if a.plain != nil {
			if len(a.ranges) == 0 {
				return a.plain.Read(p)
			}
			if left := a.ranges[0].start - a.offset; left > 0 {
				n, err := a.plain.Read(p[:min(int64(len(p)), left)])
				if int64(n) == left {
					err = nil // whatever comes after that is not asked for
				}
				return n, err
			}
			_ = a.plain.Close() // all that is wanted of it has come
			a.plain = nil
		}
		if len(a.ranges) == 0 {
			if a.offset >= a.end {
				return 0, io.EOF
			}
			if err := a.reopen(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := a.ranges[0].read(a.ctx, p)
		if n > 0 {
			return n, nil
		}
		if err != io.EOF {
			a.failed = true
			a.drop()
			continue
		}
		a.ranges[0].drop()
		a.ranges = a.ranges[1:]
		a.fetch()
	}
}

// reopen goes on with a plain body.
func (a *ahead) reopen() error {
	plain, info, err := openSteady(a.ctx, a.registry.driver, a.key, a.offset, a.end-a.offset)
	if err != nil {
		return err
	}
	if info.ETag != a.etag {
		_ = plain.Close() // nothing of it is wanted
		return replaced(a.key)
	}
	a.plain = plain
	return nil
}

// judge looks whether the client or the store is the slower one.
func (a *ahead) judge(now time.Time) {
	period := int64(aheadTrial)
	if len(a.ranges) > 0 {
		period = a.size * int64(a.depth)
	}
	if a.bytes < period {
		return
	}
	took := now.Sub(a.began)
	switch {
	case len(a.ranges) == 0:
		slow := float64(a.bytes) < aheadRate*took.Seconds()
		if a.plain != nil && !a.failed && slow && a.waited > took/2 {
			a.begin()
		}
	case a.waited < took/8:
		a.depth = max(a.depth-1, 1)
	default:
		a.depth = min(a.depth+1, aheadMost)
	}
	a.began, a.waited, a.bytes = now, 0, 0
}

// begin fetches what comes after a range's worth of the plain body, so that all end at the same time.
func (a *ahead) begin() {
	left := a.end - a.offset
	if left < 2*aheadLeast {
		return
	}
	a.size = min(max(left/(aheadMost+1), aheadLeast), aheadRange)
	a.depth = aheadMost
	a.fetch()
	if len(a.ranges) > 0 {
		a.plain.end = a.ranges[0].start
	}
}

// fetch begins with ranges until there are enough, or no memory is left.
func (a *ahead) fetch() {
	for len(a.ranges) < a.depth {
		start := a.offset + a.size
		if len(a.ranges) > 0 {
			start = a.ranges[len(a.ranges)-1].end
		} else if a.plain == nil {
			start = a.offset
		}
		size := a.size
		if left := a.end - start; left-size < aheadLeast {
			size = left
		}
		if size <= 0 || !a.registry.pullMemory.take(inPages(size), a.held()) {
			return
		}
		a.ranges = append(a.ranges, a.registry.fetch(a.ctx, a.key, a.etag, start, size))
	}
}

// held is the memory that the ranges have now.
func (a *ahead) held() (n int64) {
	for _, f := range a.ranges {
		n += f.memory
	}
	return n
}

func (a *ahead) drop() {
	for _, f := range a.ranges {
		f.drop()
	}
	a.ranges = nil
}

// Close ends all requests under way and gives the memory back.
func (a *ahead) Close() error {
	a.cancel()
	a.drop()
	if a.plain == nil {
		return nil
	}
	return a.plain.Close()
}

// fetched is a range of an object on its way into memory.
type fetched struct {
	registry   *Registry
	start, end int64 // in the object
	cancel     context.CancelFunc
	done       chan struct{} // closed when nothing fetches any more
	memory     int64         // bytes taken from the registry's bound, and not given back
	taken      int64         // bytes that were read

	arrived chan struct{} // has something if there may be more than there was
	mu      sync.Mutex
	pages   []*page // nil: read and given back
	have    int64   // bytes in pages, those given back included
	err     error   // why no more will come; io.EOF after the last byte
}

// inPages is the memory for n bytes.
func inPages(n int64) int64 {
	const one = int64(len(page{}))
	return (n + one - 1) / one * one
}

// fetch begins to fetch size bytes from start, for which memory was taken.
func (r *Registry) fetch(ctx context.Context, key, etag string, start, size int64) *fetched {
	ctx, cancel := context.WithCancel(ctx)
	f := &fetched{
		registry: r, start: start, end: start + size, cancel: cancel, memory: inPages(size),
		done: make(chan struct{}), arrived: make(chan struct{}, 1),
	}
	go func() {
		defer close(f.done)
		err := f.fill(ctx, key, etag)
		switch {
		case err == nil:
			err = io.EOF
		case err == io.EOF:
			err = io.ErrUnexpectedEOF
		}
		f.mu.Lock()
		f.err = err
		f.mu.Unlock()
		f.tell()
	}()
	return f
}

func (f *fetched) fill(ctx context.Context, key, etag string) error {
	body, info, err := openSteady(ctx, f.registry.driver, key, f.start, f.end-f.start)
	if err != nil {
		return err
	}
	defer body.Close()
	if info.ETag != etag {
		return replaced(key)
	}
	for left := f.end - f.start; left > 0; {
		p := f.registry.buffers.Get().(*page)
		f.mu.Lock()
		f.pages = append(f.pages, p)
		f.mu.Unlock()
		for space := p[:min(int64(len(p)), left)]; len(space) > 0; {
			n, err := body.Read(space)
			space = space[n:]
			left -= int64(n)
			f.mu.Lock()
			f.have += int64(n)
			f.mu.Unlock()
			f.tell()
			if err != nil && left > 0 {
				return err
			}
		}
	}
	return nil
}

func (f *fetched) tell() {
	select {
	case f.arrived <- struct{}{}:
	default:
	}
}

// read waits for bytes. io.EOF after the last one.
func (f *fetched) read(ctx context.Context, p []byte) (int, error) {
	for {
		f.mu.Lock()
		have, err := f.have, f.err
		var from *page
		i := int(f.taken / int64(len(from)))
		if f.taken < have {
			from = f.pages[i]
		}
		f.mu.Unlock()
		if from != nil {
			at := f.taken % int64(len(from))
			n := copy(p, from[at:min(int64(len(from)), at+have-f.taken)])
			f.taken += int64(n)
			if at+int64(n) == int64(len(from)) {
				f.giveBack(i)
			}
			return n, nil
		}
		if err != nil {
			return 0, err
		}
		select {
		case <-f.arrived:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// giveBack gives a page back that is full and read.
func (f *fetched) giveBack(i int) {
	f.mu.Lock()
	p := f.pages[i]
	f.pages[i] = nil
	f.mu.Unlock()
	f.registry.buffers.Put(p)
	f.memory -= int64(len(p))
	f.registry.pullMemory.giveBack(int64(len(p)))
}

// drop ends the request if it is under way, and gives all memory back.
func (f *fetched) drop() {
	f.cancel()
	<-f.done // drivers stop soon after their context ends
	for _, p := range f.pages {
		if p != nil {
			f.registry.buffers.Put(p)
		}
	}
	f.registry.pullMemory.giveBack(f.memory)
	f.memory = 0
}

// replaced is the error of an object that is not the one that the body began with.
func replaced(key string) error {
	return &drivers.Error{Op: "reader", Driver: "registry", Key: key, Kind: drivers.ErrCorrupt, Err: errors.New("the object was replaced while it was read")}
}

// shared is a bound of bytes that many share.
type shared struct {
	limit int64
	mu    sync.Mutex
	used  int64
	peak  int64 // the highest used there was
}

// take takes n bytes for one who has held of them, unless fewer would be left for the others than this one then has. So the first may have half of
// all, and who comes later still finds something.
func (s *shared) take(n, held int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used+n+held > s.limit {
		return false
	}
	s.used += n
	s.peak = max(s.peak, s.used)
	return true
}

func (s *shared) giveBack(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
}
