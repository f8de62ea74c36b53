package conformance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// fault is something that a driver may do wrong, and the case that has to notice.
type fault struct {
	name     string
	caughtBy string
	breaks   func(b *broken)
}

// TestFaultsAreCaught tries the suite on drivers that each do one thing wrong.
func TestFaultsAreCaught(t *testing.T) {
	for _, faults := range [][]fault{readFaults(), putFaults(), writerFaults(), resumeFaults(), listFaults(), deleteFaults(), extraFaults(), sweepFaults(), backendFaults()} {
		for _, f := range faults {
			t.Run(f.name, func(t *testing.T) {
				c := over(f.breaks)
				c.Patience = 300 * time.Millisecond
				if ok, _ := try(t, c, f.caughtBy); ok {
					t.Errorf("%q passes", f.caughtBy)
				}
			})
		}
	}
}

// yield lets other goroutines come in between.
func yield() {
	for range 200 {
		runtime.Gosched()
	}
}

// moment is what a fault leaves half done for others to see.
type moment struct{ reads, missed atomic.Int64 }

// watch has m see what is read through b.
func (m *moment) watch(b *broken) {
	b.reader = func(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
		r, info, err := b.Driver.Reader(ctx, key, offset, length)
		m.reads.Add(1)
		return r, info, err
	}
}

// pass returns when readers have come by, more than can have been under way before. Once it has waited in
// vain a few times, because nobody reads any more, it gives up.
func (m *moment) pass() {
	if m.missed.Load() >= 3 {
		return
	}
	until := m.reads.Load() + 20
	for end := time.Now().Add(200 * time.Millisecond); m.reads.Load() < until; runtime.Gosched() {
		if time.Now().After(end) {
			m.missed.Add(1)
			return
		}
	}
}

func readFaults() []fault {
	const ranges = "Reader/returns length bytes from offset, cut at the end"
	return []fault{
		{"Reader ignores the offset", ranges, func(b *broken) {
			b.reader = func(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
				return b.Driver.Reader(ctx, key, min(offset, 0), length)
			}
		}},
		{"Reader takes length 0 as to the end", ranges, func(b *broken) {
			b.reader = func(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
				if length == 0 {
					length = -1
				}
				return b.Driver.Reader(ctx, key, offset, length)
			}
		}},
		{"Reader takes only -1 as to the end", ranges, func(b *broken) {
			b.reader = func(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
				if length < -1 {
					length = 0
				}
				return b.Driver.Reader(ctx, key, offset, length)
			}
		}},
		{"Reader fails past the end", ranges, func(b *broken) {
			b.reader = func(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
				r, info, err := b.Driver.Reader(ctx, key, offset, length)
				if err == nil && offset > info.Size {
					return nil, info, &drivers.Error{Op: "reader", Driver: "memory", Key: key, Kind: drivers.ErrInvalid}
				}
				return r, info, err
			}
		}},
		{"Reader overflows", ranges, func(b *broken) {
			b.reader = func(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
				if length > 0 && offset+length < 0 {
					return nil, drivers.Info{}, errors.New("bad range")
				}
				return b.Driver.Reader(ctx, key, offset, length)
			}
		}},
		{"Reader gives the size of the range", ranges, func(b *broken) {
			b.reader = func(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
				r, info, err := b.Driver.Reader(ctx, key, offset, length)
				info.Size -= min(info.Size, max(0, offset))
				return r, info, err
			}
		}},
		{"Reader takes a negative offset", "Reader/ErrInvalid if the offset is negative", func(b *broken) {
			b.reader = func(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
				return b.Driver.Reader(ctx, key, max(offset, 0), length)
			}
		}},
		{"the body outlives its context", "Reader/the context covers the body", func(b *broken) {
			b.reader = func(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
				return b.Driver.Reader(context.WithoutCancel(ctx), key, offset, length)
			}
		}},
		{"the error has no kind", "Reader/ErrNotFound if the key is absent", func(b *broken) {
			b.reader = func(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
				r, info, err := b.Driver.Reader(ctx, key, offset, length)
				if err != nil {
					err = &drivers.Error{Op: "reader", Driver: "memory", Key: key, Err: errors.New("no such key")}
				}
				return r, info, err
			}
		}},
		{"the error is a bare kind", "Stat/ErrNotFound if the key is absent", func(b *broken) {
			b.stat = func(ctx context.Context, key string) (drivers.Info, error) {
				info, err := b.Driver.Stat(ctx, key)
				if err != nil {
					err = drivers.ErrNotFound
				}
				return info, err
			}
		}},
		{"the error names another method", "Error/names the driver, the method and the key", func(b *broken) {
			b.stat = func(ctx context.Context, key string) (drivers.Info, error) {
				info, err := b.Driver.Stat(ctx, key)
				if err != nil {
					err = &drivers.Error{Op: "head", Driver: "memory", Key: key, Kind: drivers.ErrNotFound}
				}
				return info, err
			}
		}},
		{"a folder has facts", "Keys/a folder is no object", func(b *broken) {
			b.stat = func(ctx context.Context, key string) (drivers.Info, error) {
				for range b.Driver.List(ctx, key+"/", "", "") {
					return drivers.Info{ETag: "folder"}, nil
				}
				return b.Driver.Stat(ctx, key)
			}
		}},
		{"the ETag is the size", "Info/ETag differs whenever the content differs", func(b *broken) {
			b.stat = func(ctx context.Context, key string) (drivers.Info, error) {
				info, err := b.Driver.Stat(ctx, key)
				info.ETag = strings.Repeat("x", int(info.Size))
				return info, err
			}
		}},
		{"Stat quotes the ETag", "Reader/gives the facts that Stat and List give", func(b *broken) {
			b.stat = func(ctx context.Context, key string) (drivers.Info, error) {
				info, err := b.Driver.Stat(ctx, key)
				info.ETag = `"` + info.ETag + `"`
				return info, err
			}
		}},
		{"there is no time", "Stat/returns facts about the object", func(b *broken) {
			b.stat = func(ctx context.Context, key string) (drivers.Info, error) {
				info, err := b.Driver.Stat(ctx, key)
				info.ModTime = time.Time{}
				return info, err
			}
		}},
		{"the time is when it was asked for", "Info/ETag stays while the object does", func(b *broken) {
			b.stat = func(ctx context.Context, key string) (drivers.Info, error) {
				info, err := b.Driver.Stat(ctx, key)
				info.ModTime = time.Now()
				return info, err
			}
		}},
		{"Stat goes on after the end of the context", "Context/one that has ended is the error of every method", func(b *broken) {
			b.stat = func(ctx context.Context, key string) (drivers.Info, error) {
				return b.Driver.Stat(context.WithoutCancel(ctx), key)
			}
		}},
	}
}

func putFaults() []fault {
	var part, gone moment
	return []fault{
		{"a bad key is made a good one", "Keys/bad ones are refused with ErrInvalid", func(b *broken) {
			b.put = func(ctx context.Context, key string, body []byte) error {
				return b.Driver.Put(ctx, strings.TrimLeft(path.Clean(key), "/."), body)
			}
		}},
		{"case is folded", "Keys/case matters", func(b *broken) {
			b.put = func(ctx context.Context, key string, body []byte) error {
				return b.Driver.Put(ctx, strings.ToLower(key), body)
			}
			b.reader = func(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
				return b.Driver.Reader(ctx, strings.ToLower(key), offset, length)
			}
		}},
		{"Put keeps what was there", "Put/replaces what was there, with a longer or a shorter one", func(b *broken) {
			b.put = func(ctx context.Context, key string, body []byte) error {
				err := b.Driver.PutIfAbsent(ctx, key, body)
				return ignore(err, drivers.ErrExists)
			}
		}},
		{"Put does not cut a longer object", "Put/replaces what was there, with a longer or a shorter one", func(b *broken) {
			b.put = func(ctx context.Context, key string, body []byte) error {
				if r, _, err := b.Driver.Reader(ctx, key, int64(len(body)), -1); err == nil {
					rest, err := io.ReadAll(r)
					if err != nil {
						return err
					}
					body = append(bytes.Clone(body), rest...)
				}
				return b.Driver.Put(ctx, key, body)
			}
		}},
		{"Put is not atomic", "Put/readers see the old object or the new one, never a part", func(b *broken) {
			part.watch(b)
			b.put = func(ctx context.Context, key string, body []byte) error {
				if err := b.Driver.Put(ctx, key, body[:len(body)/2]); err != nil {
					return err
				}
				part.pass()
				return b.Driver.Put(ctx, key, body)
			}
		}},
		{"Put removes first", "Put/readers see the old object or the new one, never a part", func(b *broken) {
			gone.watch(b)
			b.put = func(ctx context.Context, key string, body []byte) error {
				if err := b.Driver.Delete(ctx, key); err != nil {
					return err
				}
				gone.pass()
				return b.Driver.Put(ctx, key, body)
			}
		}},
		{"Put keeps the caller's array", "Put/keeps the caller's bytes as they were at the call", func(b *broken) {
			var kept []byte
			b.put = func(ctx context.Context, key string, body []byte) error {
				kept = body
				return b.Driver.Put(ctx, key, body)
			}
			b.reader = func(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
				if err := b.Driver.Put(ctx, key, kept); err != nil {
					return nil, drivers.Info{}, err
				}
				return b.Driver.Reader(ctx, key, offset, length)
			}
		}},
		{"facts are cached", "Put/is seen by every process once it has returned", func(b *broken) {
			var cache sync.Map
			b.stat = func(ctx context.Context, key string) (drivers.Info, error) {
				info, err := b.Driver.Stat(ctx, key)
				if err != nil {
					return info, err
				}
				first, _ := cache.LoadOrStore(key, info)
				return first.(drivers.Info), nil
			}
		}},
	}
}
