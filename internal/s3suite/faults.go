package s3suite

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/internal/faultproxy"
)

// faultsThatPass makes one or two requests of a kind fail: no caller sees anything of it.
func (s Suite) faultsThatPass(t *testing.T) {
	big := pattern(1, 2*minPart+100)
	for _, kind := range []string{"PUT", "GET", "HEAD", "List", "DELETE", "DeleteMany", "Create", "Part", "Complete", "Abort", "ListParts"} {
		for name, what := range map[string]faultproxy.Fault{
			"503": faultproxy.SlowDown, "reset": faultproxy.Reset, "lost": faultproxy.LoseReply, "lost, 503": faultproxy.Lose503, "damaged": faultproxy.Damage, "200 with error": faultproxy.BadOK,
		} {
			switch {
			case what == faultproxy.Damage && kind != "PUT" && kind != "Part":
				continue // others have no body, or one that is signed and has to be XML
			case what == faultproxy.BadOK && kind != "Complete":
				continue // the only one that is known to answer so
			}
			t.Run(kind+"/"+name, func(t *testing.T) {
				d, p := s.Open(t, Settings{PartSize: minPart})
				p.Times(2, kind, what)
				ctx := soon(t)
				if err := errors.Join(d.Put(ctx, "f/a", []byte("a")), d.Put(ctx, "f/b", []byte("b"))); err != nil {
					t.Fatal(err)
				}
				if _, err := d.Stat(ctx, "f/a"); err != nil {
					t.Fatal(err)
				}
				if got := readBack(t, d, "f/b"); string(got) != "b" {
					t.Errorf("read %q", got)
				}
				n := 0
				for _, err := range d.List(ctx, "f/", "", "") {
					if err != nil {
						t.Fatal(err)
					}
					n++
				}
				if n != 2 {
					t.Errorf("listed %d, want 2", n)
				}
				w, err := d.Writer(ctx, "f/big", -1)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write(big[:minPart+1]); err != nil {
					t.Fatal(err)
				}
				state, err := w.Suspend(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if w, err = d.Resume(ctx, "f/big", state); err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write(big[minPart+1:]); err != nil {
					t.Fatal(err)
				}
				if err := w.Commit(ctx); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(readBack(t, d, "f/big"), big) {
					t.Error("other bytes")
				}
				if w, err = d.Writer(ctx, "f/gone", -1); err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write(big); err != nil {
					t.Fatal(err)
				}
				if err := w.Cancel(ctx); err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(d.Delete(ctx, "f/a"), d.Delete(ctx, "f/b", "f/big")); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// faultsThatStay makes all requests fail: the error is of the right kind and comes after
// Attempts attempts.
func (s Suite) faultsThatStay(t *testing.T) {
	d, p := s.Open(t, Settings{Attempts: 3})
	for name, test := range map[string]struct {
		what  faultproxy.Fault
		kind  error
		calls int
	}{
		"503":     {faultproxy.SlowDown, drivers.ErrThrottled, 3},
		"reset":   {faultproxy.Reset, drivers.ErrThrottled, 3},
		"403":     {faultproxy.Denied, drivers.ErrDenied, 1},
		"damaged": {faultproxy.Damage, drivers.ErrCorrupt, 3},
	} {
		p.Set(func(string) faultproxy.Fault { return test.what })
		err := d.Put(soon(t), "f/o", []byte("0123456789"))
		if !errors.Is(err, test.kind) {
			t.Errorf("%s: %v, want kind %v", name, err, test.kind)
		}
		if got := len(p.Calls()); got != test.calls {
			t.Errorf("%s: %d requests, want %d", name, got, test.calls)
		}
		p.Set(nil)
		if _, err := d.Stat(t.Context(), "f/o"); !errors.Is(err, drivers.ErrNotFound) {
			t.Errorf("%s: the object is there, or %v", name, err)
		}
		p.Calls()
	}
}

// conditionalPutKnowsItsOwn loses the answer of the PUT that made the object.
func (s Suite) conditionalPutKnowsItsOwn(t *testing.T) {
	for name, what := range map[string]faultproxy.Fault{"reset": faultproxy.LoseReply, "503": faultproxy.Lose503} {
		d, p := s.Open(t, Settings{})
		p.Times(1, "PUT", what)
		if err := d.PutIfAbsent(soon(t), "f/o", []byte("mine")); err != nil {
			t.Errorf("%s: PutIfAbsent: %v", name, err)
		}
		wantCalls(t, p, "PUT", "PUT", "HEAD")
		info, err := d.Stat(t.Context(), "f/o")
		if err != nil {
			t.Fatal(err)
		}
		p.Calls()
		p.Times(1, "PUT", what)
		if err := d.PutIfMatch(soon(t), "f/o", []byte("mine, later"), info.ETag); err != nil {
			t.Errorf("%s: PutIfMatch: %v", name, err)
		}
		wantCalls(t, p, "PUT", "PUT", "HEAD")
		if got := readBack(t, d, "f/o"); string(got) != "mine, later" {
			t.Errorf("%s: the object is %q", name, got)
		}
	}
}

// conditionalPutKnowsOthers has another process make the object, with the very same body, while an
// attempt was lost before it had any effect.
func (s Suite) conditionalPutKnowsOthers(t *testing.T) {
	d, p := s.Open(t, Settings{})
	other := s.Other(t, d)
	first := true
	interfere := func(do func() error) {
		first = true
		p.Set(func(call string) faultproxy.Fault {
			if call != "PUT" || !first {
				return faultproxy.Pass
			}
			first = false
			if err := do(); err != nil {
				t.Error(err)
			}
			return faultproxy.Reset
		})
	}
	interfere(func() error { return other.PutIfAbsent(t.Context(), "f/o", []byte("same")) })
	if err := d.PutIfAbsent(soon(t), "f/o", []byte("same")); !errors.Is(err, drivers.ErrExists) {
		t.Errorf("PutIfAbsent: %v, want ErrExists", err)
	}
	info, err := d.Stat(t.Context(), "f/o")
	if err != nil {
		t.Fatal(err)
	}
	interfere(func() error { return other.PutIfMatch(t.Context(), "f/o", []byte("next"), info.ETag) })
	if err := d.PutIfMatch(soon(t), "f/o", []byte("next"), info.ETag); !errors.Is(err, drivers.ErrPrecondition) {
		t.Errorf("PutIfMatch: %v, want ErrPrecondition", err)
	}
	interfere(func() error { return other.Delete(t.Context(), "f/o") })
	if err := d.PutIfMatch(soon(t), "f/o", []byte("next"), info.ETag); !errors.Is(err, drivers.ErrPrecondition) {
		t.Errorf("PutIfMatch of what was deleted: %v, want ErrPrecondition", err)
	}
}

// completeKnowsItsOwn loses the answer of the request that made the object.
func (s Suite) completeKnowsItsOwn(t *testing.T) {
	d, p := s.Open(t, Settings{PartSize: minPart})
	body := pattern(1, minPart+1)
	w, err := d.Writer(t.Context(), "f/o", -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	p.Times(1, "Complete", faultproxy.LoseReply)
	if err := w.Commit(soon(t)); err != nil {
		t.Fatal(err)
	}
	wantCalls(t, p, "Create", "Part", "Part", "Complete", "Complete", "HEAD")
	if !bytes.Equal(readBack(t, d, "f/o"), body) {
		t.Error("other bytes")
	}
}

// completeOfAnotherIsNotTaken lets another process finish the same upload, with as many bytes, while an
// attempt of this one is lost.
func (s Suite) completeOfAnotherIsNotTaken(t *testing.T) {
	d, p := s.Open(t, Settings{})
	other := s.Other(t, d)
	w, err := d.Writer(t.Context(), "f/o", -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("head,")); err != nil {
		t.Fatal(err)
	}
	state, err := w.Suspend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	resume := func(d Driver, more string) drivers.Writer {
		w, err := d.Resume(t.Context(), "f/o", state)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(more)); err != nil {
			t.Fatal(err)
		}
		return w
	}
	ours, theirs := resume(d, "ours__"), resume(other, "theirs")
	first := true
	p.Set(func(call string) faultproxy.Fault {
		if call != "Complete" || !first {
			return faultproxy.Pass
		}
		first = false
		if err := theirs.Commit(t.Context()); err != nil {
			t.Error(err)
		}
		return faultproxy.Reset
	})
	if err := ours.Commit(soon(t)); !errors.Is(err, drivers.ErrPrecondition) {
		t.Errorf("got %v, want ErrPrecondition", err)
	}
	if got := readBack(t, d, "f/o"); string(got) != "head,theirs" {
		t.Errorf("the object is %q, want theirs", got)
	}
}

func (s Suite) truncatedBody(t *testing.T) {
	d, p := s.Open(t, Settings{})
	body := pattern(1, 100_000)
	if err := d.Put(t.Context(), "f/o", body); err != nil {
		t.Fatal(err)
	}
	p.Times(1, "GET", faultproxy.Truncate)
	r, _, err := d.Reader(t.Context(), "f/o", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if !errors.Is(err, drivers.ErrThrottled) || errors.Is(err, io.EOF) {
		t.Errorf("after %d bytes: %v, want ErrThrottled", len(got), err)
	}
	if !bytes.HasPrefix(body, got) || len(got) == len(body) {
		t.Errorf("%d bytes came, and they are not the first ones", len(got))
	}
}

// silentStore waits for a store that takes requests and does not answer.
func (s Suite) silentStore(t *testing.T) {
	d, p := s.Open(t, Settings{Timeout: time.Second, Attempts: 1})
	p.Set(func(string) faultproxy.Fault { return faultproxy.Hang })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, err := d.Stat(ctx, "f/o"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a deadline: %v, want %v", err, context.DeadlineExceeded)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	_, err := d.Stat(t.Context(), "f/o")
	if !errors.Is(err, drivers.ErrThrottled) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without: %v, want ErrThrottled and no context's error", err)
	}
}

// staleUploadsAreNotAborted cancels an outdated stream beside the newest.
func (s Suite) staleUploadsAreNotAborted(t *testing.T) {
	d, _ := s.Open(t, Settings{})
	w, err := d.Writer(t.Context(), "f/o", -1)
	if err != nil {
		t.Fatal(err)
	}
	first, err := w.Suspend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	late, err := d.Resume(t.Context(), "f/o", first)
	if err != nil {
		t.Fatal(err)
	}
	if w, err = d.Resume(t.Context(), "f/o", first); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	newest, err := w.Suspend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := late.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w, err = d.Resume(t.Context(), "f/o", newest); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Errorf("the newest, after the outdated one was cancelled: %v", err)
	}
}
