package conformance

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"math"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/longshore-registry/longshore/drivers"
)

func listFaults() []fault {
	const all = "List/every prefix, after and delimiter, in the order of bytes"
	const paged = "List/page by page across thousands of keys"
	// A List that does something to all entries before it yields them.
	edit := func(b *broken, change func(es []drivers.Entry, prefix, after, delimiter string) []drivers.Entry) {
		b.list = func(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
			return func(yield func(drivers.Entry, error) bool) {
				var es []drivers.Entry
				for e, err := range b.Driver.List(ctx, prefix, after, delimiter) {
					if err != nil {
						yield(e, err)
						return
					}
					es = append(es, e)
				}
				for _, e := range change(es, prefix, after, delimiter) {
					if !yield(e, nil) {
						return
					}
				}
			}
		}
	}
	return []fault{
		{"List is in reverse", all, func(b *broken) {
			edit(b, func(es []drivers.Entry, _, _, _ string) []drivers.Entry { slices.Reverse(es); return es })
		}},
		{"List is in the order of folders", all, func(b *broken) {
			edit(b, func(es []drivers.Entry, _, _, _ string) []drivers.Entry {
				slices.SortFunc(es, func(x, y drivers.Entry) int {
					return slices.Compare(strings.Split(x.Key, "/"), strings.Split(y.Key, "/"))
				})
				return es
			})
		}},
		{"List begins with after", all, func(b *broken) {
			b.list = func(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
				if after != "" {
					after = after[:len(after)-1] + string(after[len(after)-1]-1) + "~"
				}
				return b.Driver.List(ctx, prefix, after, delimiter)
			}
		}},
		{"List takes prefix for a folder", all, func(b *broken) {
			edit(b, func(es []drivers.Entry, prefix, _, _ string) []drivers.Entry {
				return slices.DeleteFunc(es, func(e drivers.Entry) bool {
					return prefix != "" && !strings.HasSuffix(prefix, "/") && !strings.HasPrefix(e.Key, prefix+"/")
				})
			})
		}},
		{"List rolls up a folder that after is in", all, func(b *broken) {
			edit(b, func(es []drivers.Entry, prefix, after, delimiter string) []drivers.Entry {
				// As S3 does with start-after.
				slash := strings.Index(strings.TrimPrefix(after, prefix), "/")
				if delimiter == "" || !strings.HasPrefix(after, prefix) || slash < 0 {
					return es
				}
				return append([]drivers.Entry{{Key: after[:len(prefix)+slash+1], IsPrefix: true}}, es...)
			})
		}},
		{"IsPrefix is not set", all, func(b *broken) {
			edit(b, func(es []drivers.Entry, _, _, _ string) []drivers.Entry {
				for i := range es {
					es[i].IsPrefix = false
				}
				return es
			})
		}},
		{"List has no ETags", all, func(b *broken) {
			edit(b, func(es []drivers.Entry, _, _, _ string) []drivers.Entry {
				for i := range es {
					es[i].ETag = ""
				}
				return es
			})
		}},
		{"List ends after a page", paged, func(b *broken) {
			edit(b, func(es []drivers.Entry, _, _, _ string) []drivers.Entry { return es[:min(1000, len(es))] })
		}},
		{"List repeats the last of a page", paged, func(b *broken) {
			edit(b, func(es []drivers.Entry, _, _, _ string) []drivers.Entry {
				if len(es) > 1000 {
					es = slices.Insert(es, 1000, es[999])
				}
				return es
			})
		}},
		{"List ends at the caller's limit", "List/ends at no limit of the caller's", func(b *broken) {
			b.list = func(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
				return func(yield func(drivers.Entry, error) bool) {
					left := cmp.Or(drivers.ListLimit(ctx), math.MaxInt)
					for e, err := range b.Driver.List(ctx, prefix, after, delimiter) {
						if left--; left < 0 || !yield(e, err) {
							return
						}
					}
				}
			}
		}},
		{"List can be ranged over once", "List/the caller may stop anywhere, and begin again", func(b *broken) {
			b.list = func(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
				next, stop := iter.Pull2(b.Driver.List(ctx, prefix, after, delimiter))
				return func(yield func(drivers.Entry, error) bool) {
					defer stop()
					for e, err, ok := next(); ok && yield(e, err); e, err, ok = next() {
					}
				}
			}
		}},
		{"List outlives its context", "List/stops when its context ends", func(b *broken) {
			b.list = func(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
				return b.Driver.List(context.WithoutCancel(ctx), prefix, after, delimiter)
			}
		}},
		{"List ends quietly with its context", "List/stops when its context ends", func(b *broken) {
			b.list = func(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
				return func(yield func(drivers.Entry, error) bool) {
					for e, err := range b.Driver.List(ctx, prefix, after, delimiter) {
						if err != nil || !yield(e, err) {
							return
						}
					}
				}
			}
		}},
		{"List goes on after an error", "List/stops when its context ends", func(b *broken) {
			b.list = func(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
				return func(yield func(drivers.Entry, error) bool) {
					for e, err := range b.Driver.List(ctx, prefix, after, delimiter) {
						if !yield(e, err) || err != nil && !yield(e, nil) {
							return
						}
					}
				}
			}
		}},
		{"List fails when an object goes meanwhile", "List/goes on while objects come and go", func(b *broken) {
			edit(b, func(es []drivers.Entry, _, _, _ string) []drivers.Entry {
				yield()
				return slices.DeleteFunc(es, func(e drivers.Entry) bool {
					_, err := b.Driver.Stat(context.Background(), strings.Replace(e.Key, "steady", "gone", 1))
					return !e.IsPrefix && err != nil
				})
			})
		}},
		{"List holds a lock", "List/the caller may write and delete in the loop", func(b *broken) {
			var mu sync.Mutex
			b.list = func(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
				return func(yield func(drivers.Entry, error) bool) {
					mu.Lock()
					defer mu.Unlock()
					b.Driver.List(ctx, prefix, after, delimiter)(yield)
				}
			}
			b.put = func(ctx context.Context, key string, body []byte) error {
				if !mu.TryLock() {
					return errors.New("would wait for ever")
				}
				defer mu.Unlock()
				return b.Driver.Put(ctx, key, body)
			}
		}},
		{"emptied folders stay", "List/folders that were emptied are gone", func(b *broken) {
			edit(b, func(es []drivers.Entry, prefix, _, delimiter string) []drivers.Entry {
				if delimiter == "/" && len(es) == 1 && prefix == "l/" {
					es = slices.Insert(es, 0, drivers.Entry{Key: "l/a/", IsPrefix: true})
				}
				return es
			})
		}},
		{"a prefix leads out", "List/a prefix that no key can have yields no entry", func(b *broken) {
			b.list = func(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
				return b.Driver.List(ctx, strings.TrimPrefix(path.Clean("/"+prefix), "/"), after, delimiter)
			}
		}},
	}
}
