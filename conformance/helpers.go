package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// pattern returns n bytes that depend on seed and on their place, so that bytes of two streams,
// or of two places in one, can be told apart.
func pattern(seed, n int64) []byte {
	b := make([]byte, n)
	x := uint64(seed)*0x9e3779b97f4a7c15 + 1
	for i := range b {
		// xorshift64
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

// same fails t unless got is want, without printing megabytes.
func same(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	t.Fatalf("%s: got %d bytes, want %d; they differ from byte %d on", what, len(got), len(want), at)
}

// read returns a range of key.
func read(t testing.TB, d drivers.Driver, key string, offset, length int64) ([]byte, drivers.Info) {
	t.Helper()
	body, info, err := d.Reader(t.Context(), key, offset, length)
	if err != nil {
		t.Fatalf("Reader(%q, %d, %d): %v", key, offset, length, err)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("body of %q from %d, %d bytes: %v", key, offset, length, err)
	}
	if err := body.Close(); err != nil {
		t.Fatalf("close of the body of %q: %v", key, err)
	}
	return b, info
}

// readAll returns the object at key, for use in goroutines.
func readAll(ctx context.Context, d drivers.Driver, key string) ([]byte, error) {
	body, info, err := d.Reader(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil {
		return nil, err
	}
	if info.Size != int64(len(b)) {
		return nil, fmt.Errorf("%q: %d bytes, and Info.Size is %d", key, len(b), info.Size)
	}
	return b, nil
}

// holds fails t unless the object at key is want.
func holds(t testing.TB, d drivers.Driver, key string, want []byte) drivers.Info {
	t.Helper()
	got, info := read(t, d, key, 0, -1)
	same(t, key, got, want)
	if info.Size != int64(len(want)) {
		t.Fatalf("%s: Info.Size = %d, want %d", key, info.Size, len(want))
	}
	return info
}

// absent fails t unless nothing is at key, by all ways to look.
func absent(t testing.TB, d drivers.Driver, key string) {
	t.Helper()
	if info, err := d.Stat(t.Context(), key); !errors.Is(err, drivers.ErrNotFound) {
		t.Fatalf("Stat(%q) = %+v, %v; want ErrNotFound", key, info, err)
	}
	if body, _, err := d.Reader(t.Context(), key, 0, -1); !errors.Is(err, drivers.ErrNotFound) {
		if err == nil {
			_ = body.Close() // the case fails anyway
		}
		t.Fatalf("Reader(%q): %v; want ErrNotFound", key, err)
	}
	for _, e := range list(t, d, key, "", "") {
		if e.Key == key {
			t.Fatalf("%q is listed", key)
		}
	}
}

func put(t testing.TB, d drivers.Driver, key string, body []byte) {
	t.Helper()
	if err := d.Put(t.Context(), key, body); err != nil {
		t.Fatalf("Put(%q, %d bytes): %v", key, len(body), err)
	}
}

func stat(t testing.TB, d drivers.Driver, key string) drivers.Info {
	t.Helper()
	info, err := d.Stat(t.Context(), key)
	if err != nil {
		t.Fatalf("Stat(%q): %v", key, err)
	}
	return info
}

// list returns all entries.
func list(t testing.TB, d drivers.Driver, prefix, after, delimiter string) []drivers.Entry {
	t.Helper()
	var all []drivers.Entry
	for e, err := range d.List(t.Context(), prefix, after, delimiter) {
		if err != nil {
			t.Fatalf("List(%q, %q, %q) after %d entries: %v", prefix, after, delimiter, len(all), err)
		}
		all = append(all, e)
	}
	return all
}

// names are the keys of entries.
func names(entries []drivers.Entry) []string {
	keys := []string{}
	for _, e := range entries {
		keys = append(keys, e.Key)
	}
	return keys
}

// begin opens a Writer that is cancelled when the case has failed to end it.
func begin(t testing.TB, d drivers.Driver, key string, size int64) drivers.Writer {
	t.Helper()
	w, err := d.Writer(t.Context(), key, size)
	if err != nil {
		t.Fatalf("Writer(%q, %d): %v", key, size, err)
	}
	dropIfFailed(t, w)
	return w
}

func resume(t testing.TB, d drivers.Driver, key string, state []byte) drivers.Writer {
	t.Helper()
	w, err := d.Resume(t.Context(), key, state)
	if err != nil {
		t.Fatalf("Resume(%q): %v", key, err)
	}
	dropIfFailed(t, w)
	return w
}

func dropIfFailed(t testing.TB, w drivers.Writer) {
	t.Cleanup(func() {
		if t.Failed() {
			_ = w.Cancel(background(t)) // it may have ended; that is no news
		}
	})
}

func write(t testing.TB, w io.Writer, p []byte) {
	t.Helper()
	n, err := w.Write(p)
	if err != nil || n != len(p) {
		t.Fatalf("Write of %d bytes = %d, %v", len(p), n, err)
	}
}

func suspend(t testing.TB, w drivers.Writer) []byte {
	t.Helper()
	state, err := w.Suspend(t.Context())
	if err != nil {
		t.Fatalf("Suspend: %v", err)
	}
	return state
}

func commit(t testing.TB, w drivers.Writer) {
	t.Helper()
	if err := w.Commit(t.Context()); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func cancel(t testing.TB, w drivers.Writer) {
	t.Helper()
	if err := w.Cancel(t.Context()); err != nil {
		t.Fatalf("Cancel: %v", err)
	}
}

// size fails t unless the stream has n bytes so far.
func size(t testing.TB, w drivers.Writer, n int64) {
	t.Helper()
	if w.Size() != n {
		t.Fatalf("Size() = %d, want %d", w.Size(), n)
	}
}

// is fails t unless err is a *drivers.Error of kind that names the driver, the method and the key.
func (s *suite) is(t testing.TB, err, kind error, op, key string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("%s of %q: error %v, want one of kind %q", op, key, err, kind)
	}
	s.tells(t, err, op, key)
}

// tells fails t unless err is a *drivers.Error that names the driver, the method and the key. A wrapper may
// show the key as the backend knows it, with something before it.
func (s *suite) tells(t testing.TB, err error, op, key string) {
	t.Helper()
	e := new(drivers.Error)
	if !errors.As(err, &e) {
		t.Fatalf("%s of %q: %T %v, want a *drivers.Error", op, key, err, err)
	}
	if e.Driver == "" || s.Name != "" && e.Driver != s.Name {
		t.Errorf("%s of %q: Error.Driver = %q, want %q", op, key, e.Driver, s.Name)
	}
	if e.Op != op {
		t.Errorf("%s of %q: Error.Op = %q", op, key, e.Op)
	}
	if !strings.HasSuffix(e.Key, key) {
		t.Errorf("%s of %q: Error.Key = %q", op, key, e.Key)
	}
}

// together runs f n times at once and returns what each returned. A panic in one is a panic of the caller, who may be ready for it.
func together[T any](n int, f func(i int) T) []T {
	all := make([]T, n)
	panics := make(chan string, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			defer passOn(panics)
			<-start
			all[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	select {
	case p := <-panics:
		panic(p)
	default:
		return all
	}
}

// passOn is deferred in a goroutine, whose panic it sends to panics.
func passOn(panics chan<- string) {
	if p := recover(); p != nil {
		panics <- fmt.Sprintf("%v\n%s", p, debug.Stack())
	}
}

// poll calls done until it says yes.
func (s *suite) poll(t testing.TB, what string, done func() bool) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), s.Patience)
	defer stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %v", what, s.Patience)
		}
	}
}

// soon fails t unless f returns within Patience.
func (s *suite) soon(t testing.TB, what string, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	panics := make(chan string, 1)
	go func() {
		defer passOn(panics)
		done <- f()
	}()
	timer := time.NewTimer(s.Patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case p := <-panics:
		panic(p)
	case <-timer.C:
		t.Fatalf("%s: did not return within %v", what, s.Patience)
		return nil
	}
}

// settled fails t unless the number of goroutines comes down to before.
func settled(t testing.TB, before int, within time.Duration) {
	t.Helper()
	ctx, stop := context.WithTimeout(background(t), within)
	defer stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for runtime.NumGoroutine() > before {
		select {
		case <-tick.C:
		case <-ctx.Done():
			stacks := make([]byte, 1<<20)
			t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
			return
		}
	}
}

// numbered is the i-th key of many that sort by i.
func numbered(prefix string, i int) string { return fmt.Sprintf("%s%05d", prefix, i) }
