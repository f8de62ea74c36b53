package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// capped is a store that answers after a while and gives each connection only so much. It runs on the clock of a synctest bubble.
type capped struct {
	drivers.Driver
	delay time.Duration // before each answer
	rate  int64         // bytes a second of a body

	requests, underWay, sent atomic.Int64
	refuse                   func(offset int64) error                             // asked at each request; may be nil
	info                     func(offset int64, info drivers.Info) drivers.Info   // may be nil
	body                     func(offset int64, body io.ReadCloser) io.ReadCloser // may be nil
}

func (c *capped) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	c.requests.Add(1)
	if err := pause(ctx, c.delay); err != nil {
		return nil, drivers.Info{}, err
	}
	if c.refuse != nil {
		if err := c.refuse(offset); err != nil {
			return nil, drivers.Info{}, err
		}
	}
	body, info, err := c.Driver.Reader(ctx, key, offset, length)
	if err != nil {
		return nil, info, err
	}
	if c.info != nil {
		info = c.info(offset, info)
	}
	if c.body != nil {
		body = c.body(offset, body)
	}
	c.underWay.Add(1)
	return &cappedBody{ctx: ctx, store: c, ReadCloser: body}, info, nil
}

type cappedBody struct {
	io.ReadCloser
	ctx    context.Context
	store  *capped
	closed sync.Once
}

func (b *cappedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), pulled)])
	b.store.sent.Add(int64(n))
	if err := pause(b.ctx, time.Duration(n)*time.Second/time.Duration(b.store.rate)); err != nil {
		return 0, err
	}
	return n, err
}

func (b *cappedBody) Close() error {
	b.closed.Do(func() { b.store.underWay.Add(-1) })
	return b.ReadCloser.Close()
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

const (
	aheadKey = "data/o"
	pulled   = 64 << 10 // bytes that clients ask for
)

// aheadOn is a registry that pulls from c, which has content at aheadKey.
func aheadOn(t *testing.T, c *capped, content []byte, limit int64) *Registry {
	t.Helper()
	m := memory.New(memory.Options{})
	must(t, m.Put(t.Context(), aheadKey, content))
	c.Driver = m
	r := &Registry{driver: c}
	r.buffers.New = func() any { return new(page) }
	r.pullMemory.limit = limit
	return r
}

// nothingLeft fails t if memory is still taken or a body is open.
func nothingLeft(t *testing.T, r *Registry, c *capped) {
	t.Helper()
	if r.pullMemory.used != 0 || r.pullMemory.peak > r.pullMemory.limit {
		t.Errorf("%d bytes are taken, there were up to %d; the limit is %d", r.pullMemory.used, r.pullMemory.peak, r.pullMemory.limit)
	}
	if n := c.underWay.Load(); n != 0 {
		t.Errorf("%d bodies are open", n)
	}
}

// puller reads a body with pauses, and notes when the first byte came.
type puller struct {
	rate  int64 // bytes a second; 0: as they come
	first time.Duration
	took  time.Duration
	each  func(got int64) // after each piece; may be nil
}

// read fails t if what comes is not the beginning of want, and returns how much came, without an error if that is all.
func (c *puller) read(t *testing.T, r *Registry, offset, length int64, want []byte) (got int, err error) {
	t.Helper()
	began := time.Now()
	body, _, err := r.openAhead(t.Context(), aheadKey, offset, length)
	must(t, err)
	defer body.Close()
	for buf := make([]byte, pulled); ; {
		n, err := body.Read(buf)
		if n > 0 && got == 0 {
			c.first = time.Since(began)
		}
		if n > len(want)-got || !bytes.Equal(buf[:n], want[got:got+n]) {
			t.Fatalf("other bytes than wanted after %d", got)
		}
		got += n
		if c.each != nil {
			c.each(int64(got))
		}
		c.took = time.Since(began)
		if err == io.EOF && got < len(want) {
			err = io.ErrUnexpectedEOF
		}
		if err == io.EOF {
			return got, nil
		} else if err != nil {
			return got, err
		}
		if c.rate > 0 {
			must(t, pause(t.Context(), time.Duration(n)*time.Second/time.Duration(c.rate)))
		}
	}
}

func TestAheadOfAFastClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 100 << 20
		content := randomBytes(7, size)
		store := &capped{delay: 20 * time.Millisecond, rate: 50e6}
		r := aheadOn(t, store, content, 64<<20)
		for _, at := range []struct{ offset, length int64 }{{0, -1}, {0, size}, {123, -1}, {5 << 20, 77<<20 + 1}, {size - 20<<20, -1}} {
			want := content[at.offset:]
			if at.length >= 0 {
				want = want[:min(at.length, int64(len(want)))]
			}
			store.requests.Store(0)
			var c puller
			if got, err := c.read(t, r, at.offset, at.length, want); err != nil {
				t.Fatalf("%+v: %v after %d bytes", at, err, got)
			}
			plain := store.delay + time.Duration(len(want))*time.Second/time.Duration(store.rate)
			if c.took > plain/2 {
				t.Errorf("%+v: took %v, one request would have taken %v", at, c.took, plain)
			}
			if first := store.delay + time.Duration(pulled)*time.Second/time.Duration(store.rate); c.first != first {
				t.Errorf("%+v: the first byte came after %v, that of a plain body comes after %v", at, c.first, first)
			}
			if n, most := store.requests.Load(), int64(len(want))/aheadLeast+1; n > most {
				t.Errorf("%+v: %d requests, want at most %d", at, n, most)
			}
			t.Logf("%+v: %.1f times as fast, %d requests, %d MiB of memory", at, float64(plain)/float64(c.took), store.requests.Load(), r.pullMemory.peak>>20)
			nothingLeft(t, r, store)
		}
	})
}

func TestAheadIsNotForSlowClientsAndSmallBlobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := randomBytes(7, 40<<20)
		for name, test := range map[string]struct {
			size         int
			memory, rate int64
			store        int64
		}{
			"a slow client":                 {size: 40 << 20, memory: 64 << 20, rate: 20e6, store: 50e6},
			"a small blob":                  {size: 2*aheadLeast + aheadTrial - 1, memory: 64 << 20, store: 50e6},
			"no memory":                     {size: 40 << 20, memory: aheadLeast - 1, store: 50e6},
			"one connection is fast enough": {size: 40 << 20, memory: 64 << 20, store: 2 * aheadRate},
			"no content":                    {memory: 64 << 20, store: 50e6},
		} {
			store := &capped{delay: 20 * time.Millisecond, rate: test.store}
			r := aheadOn(t, store, content[:test.size], test.memory)
			c := puller{rate: test.rate}
			if got, err := c.read(t, r, 0, -1, content[:test.size]); err != nil {
				t.Errorf("%s: %v after %d bytes", name, err, got)
			}
			if n := store.requests.Load(); n != 1 {
				t.Errorf("%s: %d requests", name, n)
			}
			nothingLeft(t, r, store)
		}
	})
}

// A client that becomes slow keeps the window that it has, which becomes smaller.
func TestAheadStaysInItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := randomBytes(7, 200<<20)
		const slowFrom = 20 << 20
		store := &capped{delay: 20 * time.Millisecond, rate: 50e6}
		r := aheadOn(t, store, content, 64<<20)
		var c puller
		var atEnd int64
		c.each = func(got int64) {
			if got > slowFrom {
				c.rate = 10e6
			}
			in := store.sent.Load() - got
			if most := int64((aheadMost + 1) * aheadRange); in > most {
				t.Fatalf("after %d bytes %d more were fetched, want at most %d", got, in, most)
			}
			if got < 190<<20 {
				atEnd = in
			}
		}
		if got, err := c.read(t, r, 0, -1, content); err != nil {
			t.Errorf("%v after %d bytes", err, got)
		}
		if atEnd > aheadRange {
			t.Errorf("a slow client has %d bytes fetched ahead of it at last, want at most %d", atEnd, aheadRange)
		}
		nothingLeft(t, r, store)
	})
}

func TestAheadSharesItsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := randomBytes(7, 24<<20)
		store := &capped{delay: 20 * time.Millisecond, rate: 50e6}
		r := aheadOn(t, store, content, 24<<20)
		clients := make([]puller, 12)
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() {
				if got, err := clients[i].read(t, r, 0, -1, content); err != nil {
					t.Errorf("%v after %d bytes", err, got)
				}
			})
		}
		all.Wait()
		plain := store.delay + time.Duration(len(content))*time.Second/time.Duration(store.rate)
		for i := range clients {
			if clients[i].took > plain+plain/10 {
				t.Errorf("client %d took %v, alone and plain it takes %v", i, clients[i].took, plain)
			}
		}
		nothingLeft(t, r, store)
	})
}

func TestAheadGoesOnWhereRangesFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 60 << 20
		content := randomBytes(7, size)
		busy := &drivers.Error{Op: "reader", Driver: "test", Key: aheadKey, Kind: drivers.ErrThrottled}
		for name, change := range map[string]func(*capped){
			"all ranges are refused": func(c *capped) {
				c.refuse = func(int64) error {
					if c.underWay.Load() > 0 {
						return busy
					}
					return nil
				}
			},
			"one range is refused once": func(c *capped) {
				var once sync.Once
				c.refuse = func(offset int64) (err error) {
					if offset > size/2 {
						once.Do(func() { err = busy })
					}
					return err
				}
			},
			"bodies break off": func(c *capped) {
				c.body = func(_ int64, body io.ReadCloser) io.ReadCloser { return &breakingBody{body, 3<<20 + 1} }
			},
			"bodies end too early": func(c *capped) {
				c.body = func(offset int64, body io.ReadCloser) io.ReadCloser {
					if offset > size/2 && c.underWay.Load() > 0 {
						return struct {
							io.Reader
							io.Closer
						}{io.LimitReader(body, 100), body}
					}
					return body
				}
			},
		} {
			store := &capped{delay: 20 * time.Millisecond, rate: 50e6}
			r := aheadOn(t, store, content, 64<<20)
			change(store)
			var c puller
			if got, err := c.read(t, r, 0, -1, content); err != nil {
				t.Errorf("%s: %v after %d bytes", name, err, got)
			}
			nothingLeft(t, r, store)
		}
	})
}

func TestAheadOfAnObjectThatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := randomBytes(7, 60<<20)
		for from := range int64(5) {
			store := &capped{delay: 20 * time.Millisecond, rate: 50e6}
			r := aheadOn(t, store, content, 64<<20)
			store.info = func(offset int64, info drivers.Info) drivers.Info {
				if offset > from*10<<20 {
					info.ETag = "another"
				}
				return info
			}
			var c puller
			if got, err := c.read(t, r, 0, -1, content); !errors.Is(err, drivers.ErrCorrupt) {
				t.Errorf("another from %d MiB on: %v after %d bytes", from*10, err, got)
			}
			nothingLeft(t, r, store)
		}
	})
}

// Wherever a client leaves, nothing is left: the bubble fails the test for a goroutine.
func TestAheadEndsWithItsClient(t *testing.T) {
	content := randomBytes(7, 60<<20)
	for name, leave := range map[string]func(cancel context.CancelFunc, body io.Closer) error{
		"closes":  func(_ context.CancelFunc, body io.Closer) error { return body.Close() },
		"cancels": func(cancel context.CancelFunc, body io.Closer) error { cancel(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, after := range []int64{0, aheadTrial, aheadTrial + 1, 9 << 20, 10 << 20, 30 << 20, 60 << 20} {
					store := &capped{delay: 20 * time.Millisecond, rate: 50e6}
					r := aheadOn(t, store, content, 64<<20)
					ctx, cancel := context.WithCancel(t.Context())
					body, _, err := r.openAhead(ctx, aheadKey, 0, -1)
					must(t, err)
					got := make([]byte, after)
					if _, err := io.ReadFull(body, got); err != nil || !bytes.Equal(got, content[:after]) {
						t.Fatalf("%d bytes: %v", after, err)
					}
					must(t, leave(cancel, body))
					if ctx.Err() != nil && after < int64(len(content)) {
						// A plain body of this store may have bytes that came before.
						if _, err := io.Copy(io.Discard, body); !errors.Is(err, context.Canceled) {
							t.Errorf("after %d bytes and a cancel: %v", after, err)
						}
					}
					must(t, body.Close())
					nothingLeft(t, r, store)
					cancel()
				}
			})
		})
	}
}
