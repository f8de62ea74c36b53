package conformance

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

func deleteFaults() []fault {
	return []fault{
		{"Delete of an absent key fails", "Delete/of no keys, and of an absent one, is no error", func(b *broken) {
			b.delete = func(ctx context.Context, keys ...string) error {
				for _, key := range keys {
					if _, err := b.Driver.Stat(ctx, key); err != nil {
						return err
					}
				}
				return b.Driver.Delete(ctx, keys...)
			}
		}},
		{"Delete takes a key for a prefix", "Delete/leaves keys that begin alike", func(b *broken) {
			b.delete = func(ctx context.Context, keys ...string) error {
				for _, key := range keys {
					for e, err := range b.Driver.List(ctx, key, "", "") {
						if err := errors.Join(err, b.Driver.Delete(ctx, e.Key)); err != nil {
							return err
						}
					}
				}
				return nil
			}
		}},
		{"Delete removes 1000 keys", "Delete/removes 1500 keys, present and absent", func(b *broken) {
			b.delete = func(ctx context.Context, keys ...string) error {
				return b.Driver.Delete(ctx, keys[:min(1000, len(keys))]...)
			}
		}},
		{"Delete stops at the first failure", "Delete/removes the others when some can't be", func(b *broken) {
			b.delete = func(ctx context.Context, keys ...string) error {
				for _, key := range keys {
					if err := b.Driver.Delete(ctx, key); err != nil {
						return err
					}
				}
				return nil
			}
		}},
		{"Delete tells of the last failure only", "Delete/removes the others when some can't be", func(b *broken) {
			b.delete = func(ctx context.Context, keys ...string) (last error) {
				for _, key := range keys {
					if err := b.Driver.Delete(ctx, key); err != nil {
						last = err
					}
				}
				return last
			}
		}},
		{"Delete returns before it is done", "Delete/removes keys, seen by every process", func(b *broken) {
			b.delete = func(ctx context.Context, keys ...string) error {
				return b.Driver.Delete(ctx, keys[1:]...)
			}
		}},
		{"Delete outlives its context", "Delete/stops when its context has ended", func(b *broken) {
			b.delete = func(ctx context.Context, keys ...string) error {
				return b.Driver.Delete(context.WithoutCancel(ctx), keys...)
			}
		}},
	}
}

func extraFaults() []fault {
	var part moment
	return []fault{
		{"an extra is hidden", "Extras/are those that the Config names", func(b *broken) {
			b.extras = func(x drivers.Extras) drivers.Extras { x.Match = nil; return x }
		}},
		{"PutIfAbsent overwrites", "PutIfAbsent/ErrExists and the object stays if there is one", func(b *broken) {
			b.absent = func(ctx context.Context, key string, body []byte) error { return b.Driver.Put(ctx, key, body) }
		}},
		{"PutIfAbsent overwrites and then says so", "PutIfAbsent/ErrExists and the object stays if there is one", func(b *broken) {
			b.absent = func(ctx context.Context, key string, body []byte) error {
				err := b.Driver.PutIfAbsent(ctx, key, body)
				if err != nil {
					return errors.Join(err, b.Driver.Put(ctx, key, body))
				}
				return nil
			}
		}},
		{"PutIfAbsent takes an empty object for none", "PutIfAbsent/ErrExists and the object stays if there is one", func(b *broken) {
			b.absent = func(ctx context.Context, key string, body []byte) error {
				if info, err := b.Driver.Stat(ctx, key); err == nil && info.Size == 0 {
					return b.Driver.Put(ctx, key, body)
				}
				return b.Driver.PutIfAbsent(ctx, key, body)
			}
		}},
		{"PutIfAbsent looks and then puts", "PutIfAbsent/of 16 at once one wins", func(b *broken) {
			b.absent = func(ctx context.Context, key string, body []byte) error {
				if _, err := b.Driver.Stat(ctx, key); err == nil {
					return b.Driver.PutIfAbsent(ctx, key, body)
				}
				yield()
				return b.Driver.Put(ctx, key, body)
			}
		}},
		{"PutIfAbsent is not atomic", "PutIfAbsent/readers never see a part", func(b *broken) {
			part.watch(b)
			b.absent = func(ctx context.Context, key string, body []byte) error {
				if err := b.Driver.PutIfAbsent(ctx, key, body[:len(body)/2]); err != nil {
					return err
				}
				part.pass()
				return b.Driver.Put(ctx, key, body)
			}
		}},
		{"PutIfMatch looks and then puts", "PutIfMatch/of 16 at once one wins each round", func(b *broken) { lookThenPut(b) }},
		{"PutIfMatch loses what others counted", "PutIfMatch/a counter raised by many loses nothing", func(b *broken) { lookThenPut(b) }},
		{"PutIfMatch overwrites a Put", "PutIfMatch/a Put at the same time is never lost", func(b *broken) { lookThenPut(b) }},
		{"PutIfMatch makes an absent object", "PutIfMatch/an absent object matches nothing", func(b *broken) {
			b.match = func(ctx context.Context, key string, body []byte, etag string) error {
				if _, err := b.Driver.Stat(ctx, key); err != nil {
					return b.Driver.Put(ctx, key, body)
				}
				return b.Driver.PutIfMatch(ctx, key, body, etag)
			}
		}},
		{"PutIfMatch takes * for any", "PutIfMatch/ErrPrecondition and no change unless it has", func(b *broken) {
			b.match = func(ctx context.Context, key string, body []byte, etag string) error {
				if etag == "*" {
					return b.Driver.Put(ctx, key, body)
				}
				return b.Driver.PutIfMatch(ctx, key, body, etag)
			}
		}},
		{"PutIfMatch ignores the ETag", "PutIfMatch/ErrPrecondition and no change unless it has", func(b *broken) {
			b.match = func(ctx context.Context, key string, body []byte, _ string) error {
				return b.Driver.Put(ctx, key, body)
			}
		}},
		{"PutIfMatch knows no ETag of a stream", "PutIfMatch/works on what a Writer made", func(b *broken) {
			b.match = func(ctx context.Context, key string, body []byte, etag string) error {
				if info, err := b.Driver.Stat(ctx, key); err == nil && info.Size > 5<<20 {
					etag = "multipart"
				}
				return b.Driver.PutIfMatch(ctx, key, body, etag)
			}
		}},
		{"a signed URL is good for DELETE", "SignURL/is good for nothing else", func(b *broken) { b.signer.anyMethod = true }},
		{"a signed URL knows no ranges", "SignURL/is good for GET by anyone, ranges included", func(b *broken) { b.signer.noRanges = true }},
		{"a signed URL does not end", "SignURL/ends", func(b *broken) { b.signer.endless = true }},
		{"SignURL looks first", "SignURL/does not look whether the key exists", func(b *broken) { b.signer.looksFirst = true }},
		{"File is at its end", "File/equals Reader", func(b *broken) { b.filer.atEnd = true }},
		{"File changes with the object", "File/stays the object that was opened", func(b *broken) {
			b.filer.oneFile = true
			b.put = func(ctx context.Context, key string, body []byte) error {
				if err := b.Driver.Put(ctx, key, body); err != nil {
					return err
				}
				f, _, err := b.filer.File(ctx, key)
				if err != nil {
					return err
				}
				return f.Close()
			}
		}},
		{"File's error is a bare kind", "File/ErrNotFound if the key is absent", func(b *broken) { b.filer.bareKind = true }},
	}
}

// backendFaults only show when the backend fails.
func backendFaults() []fault {
	return []fault{
		{"a body that broke off ends as if it were whole", "Reader/the body fails if the backend breaks off before its last byte", func(b *broken) {
			b.reader = func(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
				r, info, err := b.Driver.Reader(ctx, key, offset, length)
				return quiet{r}, info, err
			}
		}},
		{"Put hides that it failed", "Faults/a write that fails is an *Error and leaves the key as it is", func(b *broken) {
			b.put = func(ctx context.Context, key string, body []byte) error {
				_ = b.Driver.Put(ctx, key, body)
				return nil
			}
		}},
		{"Put's failure is no *Error", "Faults/a write that fails is an *Error and leaves the key as it is", func(b *broken) {
			b.put = func(ctx context.Context, key string, body []byte) error {
				if b.Driver.Put(ctx, key, body) != nil {
					return errors.New("500 Internal Server Error")
				}
				return nil
			}
		}},
		{"Commit hides that it failed", "Faults/a Writer that failed can be cancelled and leaves nothing", func(b *broken) {
			b.writer = func(_ context.Context, _ string, w drivers.Writer) drivers.Writer {
				return &brokenWriter{
					Writer: w,
					write:  func(p []byte) (int, error) { _, _ = w.Write(p); return len(p), nil },
					commit: func(ctx context.Context) error { _ = w.Commit(ctx); return nil },
				}
			}
		}},
		{"Delete hides that it failed", "Faults/Delete tells of each key that is still there", func(b *broken) {
			b.delete = func(ctx context.Context, keys ...string) error {
				_ = b.Driver.Delete(ctx, keys...)
				return nil
			}
		}},
		{"Put that lost its reply is undone by half", "Faults/after a lost reply the object is the old or the new one", func(b *broken) {
			b.put = func(ctx context.Context, key string, body []byte) error {
				err := b.Driver.Put(ctx, key, body)
				if err != nil {
					return errors.Join(err, b.Driver.Delete(ctx, key))
				}
				return nil
			}
		}},
		{"Cancel after a lost reply removes what Commit made", "Faults/after the lost reply of a Commit the key has all of it or is as before", func(b *broken) {
			b.writer = func(_ context.Context, key string, w drivers.Writer) drivers.Writer {
				return &brokenWriter{Writer: w, cancel: func(ctx context.Context) error { return b.Driver.Delete(ctx, key) }}
			}
		}},
		{"the backend is asked about a bad key", "Keys/for bad ones nothing is asked of the backend", func(b *broken) {
			b.stat = func(ctx context.Context, key string) (drivers.Info, error) {
				waiting, stop := context.WithTimeout(ctx, time.Second)
				defer stop()
				if _, err := b.Driver.Stat(waiting, "good"); err != nil {
					return drivers.Info{}, err
				}
				return b.Driver.Stat(ctx, key)
			}
		}},
		{"Stat waits for ever", "Context/every method stops soon after its end, though the backend is silent", func(b *broken) {
			b.stat = func(ctx context.Context, key string) (drivers.Info, error) {
				waiting, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
				defer stop()
				return b.Driver.Stat(waiting, key)
			}
		}},
	}
}

// quiet is a body that ends where it fails.
type quiet struct{ io.ReadCloser }

func (q quiet) Read(p []byte) (int, error) {
	n, err := q.ReadCloser.Read(p)
	if err != nil {
		err = io.EOF
	}
	return n, err
}

func lookThenPut(b *broken) {
	b.match = func(ctx context.Context, key string, body []byte, etag string) error {
		info, err := b.Driver.Stat(ctx, key)
		if err != nil || info.ETag != etag {
			return b.Driver.PutIfMatch(ctx, key, body, etag)
		}
		yield()
		return b.Driver.Put(ctx, key, body)
	}
}
