package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/conformance/report"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/prefix"
)

// trial is one run of the suite, in a folder of its own.
type trial struct {
	l      loaded
	base   drivers.Driver // on the whole store
	folder string
	shared bool // other handles and processes see the same store

	mu      sync.Mutex
	n       int                       // of the last folder in the folder
	folders map[drivers.Driver]string // of each handle
}

// newTrial opens the store. The caller closes base.
func newTrial(ctx context.Context, l loaded) (*trial, error) {
	base, err := l.driver.open(ctx)
	if err != nil {
		return nil, adviceError{fmt.Errorf("the store cannot be opened: %w", l.placed(err)),
			fixFor(err, "run longshore check with the same configuration, which tests the store step by step")}
	}
	t := &trial{l: l, base: base, folder: "conformance/" + strings.ToLower(rand.Text()[:12]), folders: make(map[drivers.Driver]string)}
	if t.shared, err = t.isShared(ctx); err != nil {
		closeDriver(base)
		return nil, adviceError{fmt.Errorf("trying the store: %w", err),
			fixFor(err, "run longshore check with the same configuration, which tests the store step by step")}
	}
	return t, nil
}

// isShared finds out whether a second handle sees what the first has written.
func (t *trial) isShared(ctx context.Context) (shared bool, err error) {
	key := t.folder + "/shared"
	err = t.base.Put(ctx, key, nil)
	defer func() {
		clearing, stop := context.WithTimeout(context.WithoutCancel(ctx), folderTime)
		defer stop()
		err = errors.Join(err, t.base.Delete(clearing, key))
	}()
	if err != nil {
		return false, err
	}
	other, err := t.l.driver.open(ctx)
	if err != nil {
		return false, err
	}
	defer closeDriver(other)
	_, err = other.Stat(ctx, key)
	if errors.Is(err, drivers.ErrNotFound) {
		return false, nil
	}
	return true, err
}

// notes says what is done otherwise than usual.
func (t *trial) notes(f conformanceFlags) (all []string) {
	for _, one := range []struct {
		so   bool
		note string
	}{
		{!t.shared, "another handle sees another store, as with a driver that keeps all in its memory: the cases on two handles use one, and there are no second processes"},
		{t.shared && f.oneProcess, "no second processes: --one-process"},
		{f.run != "", "only the cases that match " + f.run + "; nothing else was found out: --run"},
		{f.quick, "shorter races and listings, nothing was measured: --quick"},
		{f.racyCommit, "the store may confirm two commits of one upload: --racy-commit"},
		{f.maxKey < drivers.MaxKey, fmt.Sprintf("no key is longer than %d bytes: --max-key", f.maxKey)},
		{drivers.ExtrasOf(t.base).Sweep == nil, "the driver can't find what killed processes leave of unfinished uploads: some may be left"},
	} {
		if one.so {
			all = append(all, one.note)
		}
	}
	return all
}

// config is the suite's. It has no faults: they need a proxy.
func (t *trial) config(ctx context.Context, f conformanceFlags, file string) conformance.Config {
	c := conformance.Config{
		Open:       t.fresh,
		ListKeys:   f.listKeys,
		RacyCommit: f.racyCommit,
		Second:     []string{"conformance", "--second-process"},
		MaxKey:     min(t.longest(ctx), f.maxKey) - len(t.folder) - len("/0000/"),
	}
	if file != "" {
		c.Second = append(c.Second, "--", file)
	}
	if f.quick {
		c.Repeat = 2
	}
	if t.shared {
		c.Reopen = func(tb testing.TB, d drivers.Driver) drivers.Driver { return t.open(tb, t.folderOf(d)) }
		if !f.oneProcess {
			c.Where = func(_ testing.TB, d drivers.Driver) string { return t.folderOf(d) }
		}
	}
	x := drivers.ExtrasOf(t.base)
	c.Extras = conformance.Extras{Absent: x.Absent != nil, Match: x.Match != nil, Signer: x.Signer != nil, Files: x.Files != nil, Sweep: x.Sweep != nil}
	return c
}

// leastMaxKey is a length in bytes that every store takes, and that leaves enough below the folder of a case.
const leastMaxKey = 256

// longest is the length of the longest key that the driver takes, which its own prefix shortens. A driver asks nothing of the store for a
// key that is too long.
func (t *trial) longest(ctx context.Context) int {
	fits := func(n int) bool {
		key := t.folder + strings.Repeat("/k", n/2)
		if key = key[:n]; strings.HasSuffix(key, "/") {
			key = key[:n-1] + "k"
		}
		_, err := t.base.Stat(ctx, key)
		return !errors.Is(err, drivers.ErrInvalid)
	}
	low, high := leastMaxKey, drivers.MaxKey // the longest that fits is between them
	for low < high {
		middle := (low + high + 1) / 2
		if fits(middle) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

// next is a folder that nothing else has.
func (t *trial) next() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
	return fmt.Sprintf("%s/%04d", t.folder, t.n)
}

func (t *trial) folderOf(d drivers.Driver) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.folders[d]
}

// fresh is a handle on a new folder, which is emptied after the case. What can't be removed then is tried again at the end.
func (t *trial) fresh(tb testing.TB) drivers.Driver {
	tb.Helper()
	folder := t.next()
	tb.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.WithoutCancel(tb.Context()), folderTime)
		defer stop()
		_, _ = t.empty(ctx, folder)
	})
	return t.open(tb, folder)
}

// open opens the store again, or uses the one handle that there is, below a folder.
func (t *trial) open(tb testing.TB, folder string) drivers.Driver {
	tb.Helper()
	d := t.base
	if t.shared {
		var err error
		if d, err = t.l.driver.open(tb.Context()); err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { closeDriver(d) })
	}
	below, err := prefix.New(d, folder)
	if err != nil {
		tb.Fatal(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.folders[below] = folder
	return below
}

// How long may be taken to empty a folder of a case, and the whole one at the end.
const (
	folderTime = time.Minute
	wholeTime  = 10 * time.Minute
)

// empty removes what is listed below folder, and returns how many objects that were.
func (t *trial) empty(ctx context.Context, folder string) (n int, err error) {
	var keys []string
	for e, err := range t.base.List(ctx, folder+"/", "", "") {
		if err != nil {
			return 0, err
		}
		keys = append(keys, e.Key)
	}
	var errs []error
	for batch := range slices.Chunk(keys, 1000) {
		errs = append(errs, t.base.Delete(ctx, batch...))
	}
	return len(keys), errors.Join(errs...)
}

// lags are the waits before each attempt to empty the folder: a listing may be behind.
var lags = []time.Duration{0, time.Second, 5 * time.Second}

// removeAll removes the folder with all that is in it, and puts into r what it could not remove.
func (t *trial) removeAll(ctx context.Context, r *report.Report) error {
	ctx, stop := context.WithTimeout(ctx, wholeTime)
	defer stop()
	errs := []error{t.dropLeftovers(ctx)}
	for _, lag := range lags {
		if lag > 0 {
			select {
			case <-time.After(lag):
			case <-ctx.Done():
			}
		}
		n, err := t.empty(ctx, t.folder)
		if n == 0 && err == nil {
			return errors.Join(errs...)
		}
		errs = append(errs[:1], err) // the others were tried again
	}
	// What is listed still was removed, or could not be.
	for e, err := range t.base.List(ctx, t.folder+"/", "", "") {
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		if _, err := t.base.Stat(ctx, e.Key); !errors.Is(err, drivers.ErrNotFound) {
			r.Left = append(r.Left, e.Key)
		}
	}
	return errors.Join(errs...)
}

// dropLeftovers drops the streams that were left over below the folder.
func (t *trial) dropLeftovers(ctx context.Context) error {
	x := drivers.ExtrasOf(t.base)
	if x.Sweep == nil {
		return nil
	}
	var errs []error
	for l, err := range x.Sweep.Leftovers(ctx) {
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		if strings.HasPrefix(l.Key, t.folder+"/") {
			errs = append(errs, x.Sweep.Drop(ctx, l))
		}
	}
	return errors.Join(errs...)
}

// measure fills in what is not the suite's, as far as the flags want it.
func (t *trial) measure(ctx context.Context, r *report.Report, f conformanceFlags, show *progress) (err error) {
	if ctx.Err() != nil || f.run != "" {
		return nil
	}
	defer func() {
		if err != nil && ctx.Err() == nil {
			r.Notes = append(r.Notes, "measuring the store: "+err.Error())
		}
	}()
	other := t.base
	if t.shared {
		if other, err = t.l.driver.open(ctx); err != nil {
			return err
		}
		defer closeDriver(other)
	}
	show.line("finding out what the store can do")
	abilities := report.Able(ctx, t.base, other, t.next()+"/")
	if ctx.Err() != nil {
		return nil // those that were not asked for are "unknown"
	}
	if r.Abilities = abilities; f.quick {
		return nil
	}
	show.line("measuring")
	r.Latencies, r.Speeds, err = report.Measure(ctx, t.base, t.next()+"/", report.Amounts{Requests: f.requests, Size: f.bytes, Streams: f.streams}, show.doing)
	return err
}
