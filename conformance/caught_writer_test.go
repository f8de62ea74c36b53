package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"

	"github.com/longshore-registry/longshore/drivers"
)

func writerFaults() []fault {
	wrap := func(b *broken, fault func(ctx context.Context, key string, w *brokenWriter)) {
		b.writer = func(ctx context.Context, key string, w drivers.Writer) drivers.Writer {
			bad := &brokenWriter{Writer: w}
			fault(ctx, key, bad)
			return bad
		}
	}
	var shared drivers.Writer
	var part moment
	return []fault{
		{"the object appears as it is written", "Writer/nothing appears at the key before Commit", func(b *broken) {
			wrap(b, func(ctx context.Context, key string, w *brokenWriter) {
				w.write = func(p []byte) (int, error) {
					if err := b.Driver.Put(ctx, key, p); err != nil {
						return 0, err
					}
					return w.Writer.Write(p)
				}
			})
		}},
		{"Commit is not atomic", "Commit/replaces what was there, whole and at once", func(b *broken) {
			part.watch(b)
			wrap(b, func(_ context.Context, key string, w *brokenWriter) {
				w.commit = func(ctx context.Context) error {
					if err := b.Driver.Put(ctx, key, []byte("a part")); err != nil {
						return err
					}
					part.pass()
					return w.Writer.Commit(ctx)
				}
			})
		}},
		{"Commit of no bytes does nothing", "Writer/an object of no bytes", func(b *broken) {
			wrap(b, func(_ context.Context, _ string, w *brokenWriter) {
				w.commit = func(ctx context.Context) error {
					if w.Size() == 0 {
						return w.Writer.Cancel(ctx)
					}
					return w.Writer.Commit(ctx)
				}
			})
		}},
		{"the Writer keeps the caller's array", "Writer/does not keep the caller's buffer", func(b *broken) {
			wrap(b, func(_ context.Context, _ string, w *brokenWriter) {
				var kept [][]byte
				w.write = func(p []byte) (int, error) { kept = append(kept, p); return len(p), nil }
				w.commit = func(ctx context.Context) error {
					if _, err := w.Writer.Write(bytes.Join(kept, nil)); err != nil {
						return err
					}
					return w.Writer.Commit(ctx)
				}
			})
		}},
		{"Write takes a part without saying so", "Writer/takes pieces of odd sizes", func(b *broken) {
			wrap(b, func(_ context.Context, _ string, w *brokenWriter) {
				w.write = func(p []byte) (int, error) {
					_, err := w.Writer.Write(p[:min(len(p), 4096)])
					return len(p), err
				}
			})
		}},
		{"Cancel commits", "Writer/cancelled leaves nothing", func(b *broken) {
			wrap(b, func(_ context.Context, _ string, w *brokenWriter) { w.cancel = w.Writer.Commit })
		}},
		{"Cancel removes the old object", "Writer/cancelled leaves the old object", func(b *broken) {
			wrap(b, func(_ context.Context, key string, w *brokenWriter) {
				w.cancel = func(ctx context.Context) error { return b.Driver.Delete(ctx, key) }
			})
		}},
		{"Cancel needs the Writer's context", "Writer/the context covers its whole life", func(b *broken) {
			wrap(b, func(life context.Context, _ string, w *brokenWriter) {
				w.cancel = func(context.Context) error { return w.Writer.Cancel(life) }
			})
		}},
		{"the Writer outlives its context", "Writer/the context covers its whole life", func(b *broken) {
			b.context = context.WithoutCancel
		}},
		{"Write goes on after the end of the context", "Writer/cancelled in the middle of writing", func(b *broken) {
			wrap(b, func(_ context.Context, _ string, w *brokenWriter) {
				n := 0
				w.write = func(p []byte) (int, error) {
					if n++; n > 10_000 {
						return 0, errors.New("at last")
					}
					return len(p), nil
				}
			})
		}},
		{"Commit ignores its context", "Context/one that has ended is the error of a Writer's methods", func(b *broken) {
			wrap(b, func(_ context.Context, _ string, w *brokenWriter) {
				w.commit = func(ctx context.Context) error { return w.Writer.Commit(context.WithoutCancel(ctx)) }
			})
		}},
		{"two Writers share a buffer", "Writer/two on one key do not mix", func(b *broken) {
			wrap(b, func(_ context.Context, _ string, w *brokenWriter) {
				if shared == nil {
					shared = w.Writer
				}
				w.write = shared.Write
			})
		}},
	}
}

func resumeFaults() []fault {
	// A Resume that tries something else when it was refused.
	instead := func(b *broken, kind error, other func(ctx context.Context, key string, state []byte) (drivers.Writer, error)) {
		b.resume = func(ctx context.Context, key string, state []byte) (drivers.Writer, error) {
			w, err := b.Driver.Resume(ctx, key, state)
			if errors.Is(err, kind) {
				return other(ctx, key, state)
			}
			return w, err
		}
	}
	anew := func(b *broken) func(context.Context, string, []byte) (drivers.Writer, error) {
		return func(ctx context.Context, key string, _ []byte) (drivers.Writer, error) {
			return b.Driver.Writer(ctx, key, -1)
		}
	}
	const odd = "Resume/goes on in another process, many times, in pieces of odd sizes"
	return []fault{
		{"Resume begins anew with an outdated state", "Suspend/outdates the older state, and the newest is still good", func(b *broken) {
			instead(b, drivers.ErrPrecondition, anew(b))
		}},
		{"Resume begins anew after a Commit", "Commit/outdates all states, and the key stays as it is", func(b *broken) {
			instead(b, drivers.ErrPrecondition, anew(b))
		}},
		{"Resume begins anew after a Cancel", "Cancel/outdates all states and leaves nothing", func(b *broken) {
			instead(b, drivers.ErrPrecondition, anew(b))
		}},
		{"Resume takes the newest state for an outdated one", "Suspend/outdates the older state even if no byte came", func(b *broken) {
			b.resume = func(ctx context.Context, key string, state []byte) (drivers.Writer, error) {
				for range 5 {
					w, err := b.Driver.Resume(ctx, key, state)
					if !errors.Is(err, drivers.ErrPrecondition) {
						return w, err
					}
					state = later(state)
				}
				return b.Driver.Resume(ctx, key, state)
			}
		}},
		{"Cancel does nothing after the end of the context", "Cancel/works for a resumed Writer whose context has ended", func(b *broken) {
			b.writer = func(life context.Context, _ string, w drivers.Writer) drivers.Writer {
				return &brokenWriter{Writer: w, cancel: func(ctx context.Context) error {
					if life.Err() != nil {
						return nil
					}
					return w.Cancel(ctx)
				}}
			}
		}},
		{"Resume begins anew with garbage", "Resume/ErrInvalid for what is no state", func(b *broken) {
			instead(b, drivers.ErrInvalid, anew(b))
		}},
		{"Resume does not look at the key", "Resume/ErrInvalid for a state of another key", func(b *broken) {
			b.resume = func(ctx context.Context, key string, state []byte) (drivers.Writer, error) {
				return b.Driver.Resume(ctx, "u/one", state)
			}
		}},
		{"Resume calls garbage outdated", "Resume/ErrInvalid for what is no state", func(b *broken) {
			instead(b, drivers.ErrInvalid, func(_ context.Context, key string, _ []byte) (drivers.Writer, error) {
				return nil, &drivers.Error{Op: "resume", Driver: "memory", Key: key, Kind: drivers.ErrPrecondition}
			})
		}},
		{"a state can be resumed once", "Resume/of a state whose resumer died, which is still the newest", func(b *broken) {
			var seen sync.Map
			b.resume = func(ctx context.Context, key string, state []byte) (drivers.Writer, error) {
				if _, again := seen.LoadOrStore(string(state), true); again {
					return nil, &drivers.Error{Op: "resume", Driver: "memory", Key: key, Kind: drivers.ErrPrecondition}
				}
				return b.Driver.Resume(ctx, key, state)
			}
		}},
		{"both of two who resumed commit", "Resume/by two of one state, at most one of them wins and nothing mixes", func(b *broken) {
			b.writer = func(_ context.Context, _ string, w drivers.Writer) drivers.Writer {
				return &brokenWriter{Writer: w, commit: func(ctx context.Context) error {
					return ignore(w.Commit(ctx), drivers.ErrPrecondition)
				}}
			}
		}},
		{"Size counts from the Resume", odd, func(b *broken) {
			b.writer = func(_ context.Context, _ string, w drivers.Writer) drivers.Writer {
				before := w.Size()
				return &brokenWriter{Writer: w, size: func() int64 { return w.Size() - before }}
			}
		}},
		{"Suspend keeps whole blocks only", odd, func(b *broken) {
			b.writer = func(_ context.Context, _ string, w drivers.Writer) drivers.Writer {
				var tail []byte
				bad := &brokenWriter{Writer: w, size: func() int64 { return w.Size() + int64(len(tail)) }}
				bad.write = func(p []byte) (int, error) {
					tail = append(tail, p...)
					whole := len(tail) / 512 * 512
					_, err := w.Write(tail[:whole])
					tail = tail[whole:]
					return len(p), err
				}
				bad.commit = func(ctx context.Context) error {
					_, err := w.Write(tail)
					return errors.Join(err, w.Commit(ctx))
				}
				return bad
			}
		}},
		{"an empty stream can't be suspended", "Resume/of a stream without bytes", func(b *broken) {
			b.writer = func(_ context.Context, _ string, w drivers.Writer) drivers.Writer {
				return &brokenWriter{Writer: w, suspend: func(ctx context.Context) ([]byte, error) {
					if w.Size() == 0 {
						return nil, errors.New("nothing to suspend")
					}
					return w.Suspend(ctx)
				}}
			}
		}},
		{"one stream for each key", "Resume/streams of one key keep apart", func(b *broken) {
			var first []byte
			b.writer = func(_ context.Context, _ string, w drivers.Writer) drivers.Writer {
				return &brokenWriter{Writer: w, suspend: func(ctx context.Context) ([]byte, error) {
					state, err := w.Suspend(ctx)
					if first == nil {
						first = state
					}
					return first, err
				}}
			}
		}},
	}
}

// later is the memory driver's state with the next generation.
func later(state []byte) []byte {
	var fields map[string]any
	if err := json.Unmarshal(state, &fields); err != nil {
		return state
	}
	generation, _ := fields["generation"].(float64)
	fields["generation"] = generation + 1
	out, err := json.Marshal(fields)
	if err != nil {
		return state
	}
	return out
}
