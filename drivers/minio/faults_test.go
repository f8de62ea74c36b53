//go:build integration

package minio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
)

// TestFaultsThatPass makes one or two requests of a kind fail: no caller sees anything of it.
func TestFaultsThatPass(t *testing.T) {
	big := pattern(1, 2*parts.MinPart+100)
	for _, kind := range []string{"PUT", "GET", "HEAD", "List", "DELETE", "DeleteMany", "Create", "Part", "Complete", "Abort", "ListParts"} {
		for name, what := range map[string]fault{
			"503": slowDown, "reset": reset, "lost": loseReply, "lost, 503": lose503, "damaged": damage, "200 with error": badOK,
		} {
			switch {
			case what == damage && kind != "PUT" && kind != "Part":
				continue // others have no body, or one that is signed and has to be XML
			case what == badOK && kind != "Complete":
				continue // the only one that is known to answer so
			}
			t.Run(kind+"/"+name, func(t *testing.T) {
				d, p := openProxied(t, func(c *Config) { c.PartSize = parts.MinPart })
				p.times(2, kind, what)
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
				if _, err := w.Write(big[:parts.MinPart+1]); err != nil {
					t.Fatal(err)
				}
				state, err := w.Suspend(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if w, err = d.Resume(ctx, "f/big", state); err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write(big[parts.MinPart+1:]); err != nil {
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

// TestFaultsThatStay makes all requests fail: the error is of the right kind and comes after
// Attempts attempts.
func TestFaultsThatStay(t *testing.T) {
	d, p := openProxied(t, func(c *Config) { c.Attempts = 3 })
	for name, test := range map[string]struct {
		what  fault
		kind  error
		calls int
	}{
		"503":     {slowDown, drivers.ErrThrottled, 3},
		"reset":   {reset, drivers.ErrThrottled, 3},
		"403":     {denied, drivers.ErrDenied, 1},
		"damaged": {damage, drivers.ErrCorrupt, 3},
	} {
		p.set(func(string) fault { return test.what })
		err := d.Put(soon(t), "f/o", []byte("0123456789"))
		if !errors.Is(err, test.kind) {
			t.Errorf("%s: %v, want kind %v", name, err, test.kind)
		}
		if got := len(p.calls()); got != test.calls {
			t.Errorf("%s: %d requests, want %d", name, got, test.calls)
		}
		p.set(nil)
		if _, err := d.Stat(t.Context(), "f/o"); !errors.Is(err, drivers.ErrNotFound) {
			t.Errorf("%s: the object is there, or %v", name, err)
		}
		p.calls()
	}
}

// TestConditionalPutKnowsItsOwn loses the answer of the PUT that made the object.
func TestConditionalPutKnowsItsOwn(t *testing.T) {
	for name, what := range map[string]fault{"reset": loseReply, "503": lose503} {
		d, p := openProxied(t, nil)
		p.times(1, "PUT", what)
		if err := d.PutIfAbsent(soon(t), "f/o", []byte("mine")); err != nil {
			t.Errorf("%s: PutIfAbsent: %v", name, err)
		}
		wantCalls(t, p, "PUT", "PUT", "HEAD")
		info, err := d.Stat(t.Context(), "f/o")
		if err != nil {
			t.Fatal(err)
		}
		p.calls()
		p.times(1, "PUT", what)
		if err := d.PutIfMatch(soon(t), "f/o", []byte("mine, later"), info.ETag); err != nil {
			t.Errorf("%s: PutIfMatch: %v", name, err)
		}
		wantCalls(t, p, "PUT", "PUT", "HEAD")
		if got := readBack(t, d, "f/o"); string(got) != "mine, later" {
			t.Errorf("%s: the object is %q", name, got)
		}
	}
}

// TestConditionalPutKnowsOthers has another process make the object, with the very same body, while an
// attempt was lost before it had any effect.
func TestConditionalPutKnowsOthers(t *testing.T) {
	d, p := openProxied(t, nil)
	c := newConfig(t)
	c.Bucket = d.bucket
	other := open(t, c)
	first := true
	interfere := func(do func() error) {
		first = true
		p.set(func(call string) fault {
			if call != "PUT" || !first {
				return pass
			}
			first = false
			if err := do(); err != nil {
				t.Error(err)
			}
			return reset
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

// TestCompleteKnowsItsOwn loses the answer of the request that made the object.
func TestCompleteKnowsItsOwn(t *testing.T) {
	d, p := openProxied(t, func(c *Config) { c.PartSize = parts.MinPart })
	body := pattern(1, parts.MinPart+1)
	w, err := d.Writer(t.Context(), "f/o", -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	p.times(1, "Complete", loseReply)
	if err := w.Commit(soon(t)); err != nil {
		t.Fatal(err)
	}
	wantCalls(t, p, "Create", "Part", "Part", "Complete", "Complete", "HEAD")
	if !bytes.Equal(readBack(t, d, "f/o"), body) {
		t.Error("other bytes")
	}
}

// TestCompleteOfAnotherIsNotTaken lets another process finish the same upload, with as many bytes, while an
// attempt of this one is lost.
func TestCompleteOfAnotherIsNotTaken(t *testing.T) {
	d, p := openProxied(t, nil)
	c := newConfig(t)
	c.Bucket = d.bucket
	other := open(t, c)
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
	resume := func(d *Driver, more string) drivers.Writer {
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
	p.set(func(call string) fault {
		if call != "Complete" || !first {
			return pass
		}
		first = false
		if err := theirs.Commit(t.Context()); err != nil {
			t.Error(err)
		}
		return reset
	})
	if err := ours.Commit(soon(t)); !errors.Is(err, drivers.ErrPrecondition) {
		t.Errorf("got %v, want ErrPrecondition", err)
	}
	if got := readBack(t, d, "f/o"); string(got) != "head,theirs" {
		t.Errorf("the object is %q, want theirs", got)
	}
}

func TestTruncatedBody(t *testing.T) {
	d, p := openProxied(t, nil)
	body := pattern(1, 100_000)
	if err := d.Put(t.Context(), "f/o", body); err != nil {
		t.Fatal(err)
	}
	p.times(1, "GET", truncate)
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

// TestSilentStore waits for a store that takes requests and does not answer.
func TestSilentStore(t *testing.T) {
	d, p := openProxied(t, func(c *Config) { c.Timeout, c.Attempts = time.Second, 1 })
	p.set(func(string) fault { return hang })
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

// TestCancelLeavesNothing looks at the store's own list of uploads.
func TestCancelLeavesNothing(t *testing.T) {
	c := newConfig(t)
	c.PartSize = parts.MinPart
	d := open(t, c)
	w, err := d.Writer(t.Context(), "f/o", -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(pattern(1, 5*parts.MinPart)); err != nil {
		t.Fatal(err)
	}
	uploads := func() int {
		t.Helper()
		list, err := server.Get(t).Client(t).ListMultipartUploads(t.Context(), c.Bucket, "f/o", "", "", "", 100)
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Uploads)
	}
	if uploads() != 1 {
		t.Fatalf("%d uploads, want 1", uploads())
	}
	if err := w.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	if uploads() != 0 {
		t.Errorf("%d uploads are left", uploads())
	}
	if used, _ := d.streams.Pool.Used(); used != 0 {
		t.Errorf("%d bytes of buffers are left", used)
	}
}

// TestStaleUploadsAreNotAborted cancels an outdated stream beside the newest.
func TestStaleUploadsAreNotAborted(t *testing.T) {
	d := open(t, newConfig(t))
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

// TestLostBucket keeps a bucket that is gone apart from an object that is.
func TestLostBucket(t *testing.T) {
	c := newConfig(t)
	d := open(t, c)
	if err := server.Get(t).Client(t).RemoveBucketWithOptions(t.Context(), c.Bucket, minio.RemoveBucketOptions{ForceDelete: true}); err != nil {
		t.Fatal(err)
	}
	_, _, readErr := d.Reader(t.Context(), "f/o", 0, -1)
	_, statErr := d.Stat(t.Context(), "f/o")
	for _, err := range []error{readErr, statErr, d.Put(t.Context(), "f/o", nil), d.Delete(t.Context(), "f/o")} {
		if err == nil || errors.Is(err, drivers.ErrNotFound) || !strings.Contains(err.Error(), "bucket") {
			t.Errorf("%v, want an error that speaks of the bucket and is not ErrNotFound", err)
		}
	}
}
