package conformance

import (
	"context"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/drivers/prefix"
)

func sweepFaults() []fault {
	const found, ended = "Sweep/streams under way and suspended ones are left over", "Sweep/what was committed or cancelled is not left over"
	const gone, many = "Sweep/Drop of what is gone is no error and changes nothing", "Sweep/many are listed, each once, as far as the caller goes"
	under := false // of all handles
	return []fault{
		{"Leftovers shows suspended streams only", found, func(b *broken) {
			b.left = func(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
				return only(b.Driver.Leftovers(ctx), func(l drivers.Leftover) bool { return l.Key != "z/under/way" })
			}
		}},
		{"Leftovers shows large streams only", found, func(b *broken) {
			b.left = func(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
				return only(b.Driver.Leftovers(ctx), func(l drivers.Leftover) bool { return l.Size > 1<<20 })
			}
		}},
		{"Leftovers counts a megabyte too much", found, func(b *broken) {
			b.left = func(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
				return func(yield func(drivers.Leftover, error) bool) {
					for l, err := range b.Driver.Leftovers(ctx) {
						l.Size += 1 << 20
						if !yield(l, err) {
							return
						}
					}
				}
			}
		}},
		{"Leftovers knows no times", found, func(b *broken) {
			b.left = func(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
				return func(yield func(drivers.Leftover, error) bool) {
					for l, err := range b.Driver.Leftovers(ctx) {
						l.Began = time.Time{}
						if !yield(l, err) {
							return
						}
					}
				}
			}
		}},
		{"Leftovers shows what it once saw", ended, func(b *broken) {
			seen := map[string]drivers.Leftover{}
			b.writer = func(ctx context.Context, key string, w drivers.Writer) drivers.Writer {
				for l := range b.Driver.Leftovers(ctx) {
					seen[l.ID] = l
				}
				return w
			}
			b.left = func(context.Context) iter.Seq2[drivers.Leftover, error] {
				return func(yield func(drivers.Leftover, error) bool) {
					for _, l := range seen {
						if !yield(l, nil) {
							return
						}
					}
				}
			}
		}},
		{"a cancelled stream stays", ended, func(b *broken) {
			b.writer = func(_ context.Context, _ string, w drivers.Writer) drivers.Writer {
				return &brokenWriter{Writer: w, cancel: func(context.Context) error { return nil }}
			}
		}},
		{"Drop does nothing", "Sweep/Drop ends a suspended stream", func(b *broken) {
			b.drop = func(context.Context, drivers.Leftover) error { return nil }
		}},
		{"Drop only hides", "Sweep/Drop ends a suspended stream", hide},
		{"Drop leaves what is under way", "Sweep/Drop ends a stream under way", func(b *broken) {
			b.writer = func(_ context.Context, _ string, w drivers.Writer) drivers.Writer {
				under = true
				return w
			}
			b.drop = func(ctx context.Context, l drivers.Leftover) error {
				if under {
					return nil
				}
				return b.Driver.Drop(ctx, l)
			}
		}},
		{"Drop of what is gone fails", gone, func(b *broken) {
			b.drop = func(ctx context.Context, l drivers.Leftover) error {
				for found := range b.Driver.Leftovers(ctx) {
					if found.ID == l.ID {
						return b.Driver.Drop(ctx, l)
					}
				}
				return &drivers.Error{Op: "drop", Driver: "memory", Key: l.Key, Kind: drivers.ErrNotFound}
			}
		}},
		{"Drop removes the object too", gone, func(b *broken) {
			b.drop = func(ctx context.Context, l drivers.Leftover) error {
				if err := b.Driver.Drop(ctx, l); err != nil {
					return err
				}
				return b.Driver.Delete(ctx, l.Key)
			}
		}},
		{"Drop drops all streams to the key", "Sweep/Drop leaves other streams alone, to the same key too", func(b *broken) {
			dropAll(b, func(l, other drivers.Leftover) bool { return l.Key == other.Key })
		}},
		{"Drop takes the key for a prefix", "Sweep/Drop leaves other streams alone, to the same key too", func(b *broken) {
			dropAll(b, func(l, other drivers.Leftover) bool { return l.Key != other.Key && strings.HasPrefix(other.Key, l.Key) })
		}},
		{"Leftovers gives one page", many, func(b *broken) {
			b.left = func(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
				n := 0
				return only(b.Driver.Leftovers(ctx), func(drivers.Leftover) bool { n++; return n <= 30 })
			}
		}},
		{"Leftovers repeats the last one on the next page", many, func(b *broken) {
			b.left = func(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
				return func(yield func(drivers.Leftover, error) bool) {
					n := 0
					for l, err := range b.Driver.Leftovers(ctx) {
						if !yield(l, err) {
							return
						}
						if n++; n == 10 && !yield(l, err) {
							return
						}
					}
				}
			}
		}},
		{"Leftovers goes on after the end of the context", "Sweep/a context that has ended is the error", func(b *broken) {
			b.left = func(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
				return b.Driver.Leftovers(context.WithoutCancel(ctx))
			}
		}},
		{"Drop goes on after the end of the context", "Sweep/a context that has ended is the error", func(b *broken) {
			b.drop = func(ctx context.Context, l drivers.Leftover) error {
				return b.Driver.Drop(context.WithoutCancel(ctx), l)
			}
		}},
		{"Drop hides that it failed", "Sweep/a Drop that fails says so", func(b *broken) {
			b.drop = func(ctx context.Context, l drivers.Leftover) error {
				_ = b.Driver.Drop(ctx, l)
				return nil
			}
		}},
	}
}

// only leaves out leftovers.
func only(all iter.Seq2[drivers.Leftover, error], keep func(drivers.Leftover) bool) iter.Seq2[drivers.Leftover, error] {
	return func(yield func(drivers.Leftover, error) bool) {
		for l, err := range all {
			if (err != nil || keep(l)) && !yield(l, err) {
				return
			}
		}
	}
}

// hide makes Drop leave a stream and Leftovers not show it any more.
func hide(b *broken) {
	hidden := map[string]bool{}
	b.drop = func(_ context.Context, l drivers.Leftover) error {
		hidden[l.ID] = true
		return nil
	}
	b.left = func(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
		return only(b.Driver.Leftovers(ctx), func(l drivers.Leftover) bool { return !hidden[l.ID] })
	}
}

// dropAll makes Drop take others along.
func dropAll(b *broken, also func(l, other drivers.Leftover) bool) {
	b.drop = func(ctx context.Context, l drivers.Leftover) error {
		for other, err := range b.Driver.Leftovers(ctx) {
			if err != nil {
				return err
			}
			if also(l, other) {
				if err := b.Driver.Drop(ctx, other); err != nil {
					return err
				}
			}
		}
		return b.Driver.Drop(ctx, l)
	}
}

// TestLeftoversOfOthersAreCaught tries a wrapper that shows, or drops, streams of another prefix.
func TestLeftoversOfOthersAreCaught(t *testing.T) {
	const caughtBy = "Sweep/what another prefix has is neither listed nor dropped"
	for name, test := range map[string]struct {
		within func(*broken)
		ok     bool
	}{
		"good": {func(*broken) {}, true},
		"the prefix has no end": {func(b *broken) {
			b.left = func(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
				return func(yield func(drivers.Leftover, error) bool) {
					for l, err := range b.Driver.Leftovers(ctx) {
						l.Key = strings.Replace(l.Key, "ours-too/", "ours/", 1)
						if !yield(l, err) {
							return
						}
					}
				}
			}
		}, false},
		"an ID is enough": {func(b *broken) {
			b.drop = func(ctx context.Context, l drivers.Leftover) error {
				for other := range b.Driver.Leftovers(ctx) {
					if other.ID == l.ID {
						l.Key = other.Key
					}
				}
				return b.Driver.Drop(ctx, l)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var m *memory.Driver
			below := func(t testing.TB, folder string, breaks func(*broken)) drivers.Driver {
				b := &broken{Driver: m}
				breaks(b)
				p, err := prefix.New(b, folder)
				if err != nil {
					t.Fatal(err)
				}
				return p
			}
			c := Config{
				Open: func(t testing.TB) drivers.Driver {
					m = memory.New(memory.Options{})
					return below(t, "ours", test.within)
				},
				Neighbour: func(t testing.TB, _ drivers.Driver) drivers.Driver { return below(t, "ours-too", func(*broken) {}) },
			}
			if ok, messages := try(t, c, caughtBy); ok != test.ok {
				t.Errorf("passes: %v, want %v; %q", ok, test.ok, messages)
			}
		})
	}
}
