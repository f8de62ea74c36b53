package conformance

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// Result is what came of one case outside of go test.
type Result struct {
	Name     string        `json:"name"`              // "Method/says what"
	Took     time.Duration `json:"took"`              // nanoseconds in JSON; without what Cleanup does
	Failed   bool          `json:"failed,omitempty"`  //
	NotRun   string        `json:"not_run,omitempty"` // why it does not apply; "" if it was run
	Messages []string      `json:"messages,omitempty"`
}

// Names lists all cases, in the order in which they are run.
func Names() (all []string) {
	for _, test := range tests() {
		all = append(all, test.name)
	}
	return all
}

// Interrupted is Result.NotRun of a case that the end of the context has stopped or kept from beginning.
const Interrupted = "interrupted"

// Watch says what Execute runs, and is told how it goes on.
type Watch struct {
	Choose func(name string) bool         // which cases; nil: all
	Limit  time.Duration                  // how long a case may take, and each of its Cleanups; 0: without end
	Begin  func(n, of int, name string)   // the n-th of so many begins, n from 1; may be nil
	End    func(n, of int, result Result) // what came of it; required
}

// Execute runs the suite without go test, as a program does on a user's own store: the cases of w, one after
// another. Those that don't apply have a Result too. When ctx ends, the case under way and all later ones have the
// Result Interrupted, and what Config's functions have registered with Cleanup is done. A case that does not stop soon
// after its context has ended has failed, and its goroutine is left behind.
//
// The second process is made of this program, with the arguments Config.Second.
func Execute(ctx context.Context, c Config, w Watch) {
	c = c.withDefaults()
	whole := &standIn{ctx: ctx, name: "conformance", limit: w.Limit, patience: c.Patience}
	defer whole.clean()
	many := &manyKeys{t: whole}
	chosen := slices.DeleteFunc(tests(), func(t test) bool { return w.Choose != nil && !w.Choose(t.name) })
	for i, test := range chosen {
		if w.Begin != nil {
			w.Begin(i+1, len(chosen), test.name)
		}
		result := Result{Name: test.name}
		switch {
		case test.when != nil && !test.when(c):
			result.NotRun = c.lacks(test)
		case ctx.Err() != nil:
			result.NotRun = Interrupted
		default:
			t := &standIn{ctx: ctx, name: test.name, limit: w.Limit, patience: c.Patience}
			t.run(func(t testing.TB) { test.run(t, &suite{Config: c, t: t, many: many}) })
			result = t.result()
			if result.Failed && ctx.Err() != nil {
				result = Result{Name: test.name, NotRun: Interrupted}
			}
		}
		w.End(i+1, len(chosen), result)
	}
}

// lacks says what a case would need that c does not have.
func (c Config) lacks(test test) string {
	fault := func(testing.TB, drivers.Driver) func() { return nil }
	with := c
	for _, need := range []struct {
		reason string
		meet   func()
	}{
		{"the driver has no such ability", func() { with.Extras = Extras{Absent: true, Match: true, Signer: true, Files: true, Sweep: true} }},
		{"needs a second process on the store", func() { with.Where = func(testing.TB, drivers.Driver) string { return "" } }},
		{"needs another store beside it", func() { with.Neighbour = func(testing.TB, drivers.Driver) drivers.Driver { return nil } }},
		{"needs a proxy that makes the store fail; the driver's own tests have one", func() {
			with.Faults = Faults{BreakReads: fault, FailWrites: fault, LoseReplies: fault, Hang: fault}
		}},
	} {
		if need.meet(); test.when(with) {
			return need.reason
		}
	}
	return "does not apply to this store"
}

// standIn is a testing.TB outside of go test. Methods that no case needs are those of a nil testing.TB.
type standIn struct {
	testing.TB
	ctx      context.Context
	name     string
	limit    time.Duration // for the case and for each Cleanup; 0: without end
	patience time.Duration // until what was told to stop is left behind

	mu       sync.Mutex
	took     time.Duration
	failed   bool
	messages []string
	cleanups []func()
}

// run runs f as a test of its own, in a goroutine that it may leave, and then the Cleanups. A panic is a failure.
func (t *standIn) run(f func(t testing.TB)) {
	began := time.Now()
	parent, stop := t.ctx, context.CancelFunc(nil)
	if t.limit > 0 {
		t.ctx, stop = context.WithTimeout(parent, t.limit)
	} else {
		t.ctx, stop = context.WithCancel(parent)
	}
	done := t.guard("panic", func() { f(t) })
	select {
	case <-done:
	case <-t.ctx.Done():
		t.await(done, t.patience, "it does not stop, though its context has ended")
	}
	if t.Failed() && parent.Err() == nil && t.ctx.Err() != nil {
		t.Errorf("it had %v", t.limit)
	}
	t.mu.Lock()
	t.took = time.Since(began)
	t.mu.Unlock()
	stop()
	t.clean()
}

// guard calls f in a goroutine that f may leave, and makes a failure of a panic. It returns what is closed at the end.
func (t *standIn) guard(what string, f func()) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("%s: %v\n%s", what, p, debug.Stack())
			}
		}()
		f()
	}()
	return done
}

// stacksShown is how many bytes of the stacks of goroutines are shown, of which a program may have thousands.
const stacksShown = 32 << 10

// await waits for done. Once it has waited too long it says so, with what the goroutines do.
func (t *standIn) await(done chan struct{}, within time.Duration, otherwise string) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		stacks := make([]byte, stacksShown)
		t.Errorf("%s:\n%s", otherwise, stacks[:runtime.Stack(stacks, true)])
	}
}

// clean calls what was registered with Cleanup, the last first. One that leaves its goroutine, panics or hangs does not keep the others from it.
func (t *standIn) clean() {
	for {
		t.mu.Lock()
		if len(t.cleanups) == 0 {
			t.mu.Unlock()
			return
		}
		f := t.cleanups[len(t.cleanups)-1]
		t.cleanups = t.cleanups[:len(t.cleanups)-1]
		t.mu.Unlock()
		done := t.guard("panic in a cleanup", f)
		if t.limit > 0 {
			t.await(done, t.limit, "a cleanup does not end")
		} else {
			<-done
		}
	}
}

// result is what came of it so far; a goroutine that was left behind may say more.
func (t *standIn) result() Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Result{Name: t.name, Took: t.took, Failed: t.failed, Messages: slices.Clone(t.messages)}
}

func (t *standIn) note(failed bool, message string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = t.failed || failed
	if message != "" {
		t.messages = append(t.messages, strings.TrimSuffix(message, "\n"))
	}
}

func (t *standIn) Helper()                           {}
func (t *standIn) Name() string                      { return t.name }
func (t *standIn) Context() context.Context          { return t.ctx }
func (t *standIn) Log(args ...any)                   { t.note(false, fmt.Sprintln(args...)) }
func (t *standIn) Logf(format string, args ...any)   { t.note(false, fmt.Sprintf(format, args...)) }
func (t *standIn) Error(args ...any)                 { t.note(true, fmt.Sprintln(args...)) }
func (t *standIn) Errorf(format string, args ...any) { t.note(true, fmt.Sprintf(format, args...)) }
func (t *standIn) Fail()                             { t.note(true, "") }
func (t *standIn) FailNow()                          { t.Fail(); runtime.Goexit() }
func (t *standIn) Fatal(args ...any)                 { t.Error(args...); runtime.Goexit() }
func (t *standIn) Fatalf(format string, args ...any) { t.Errorf(format, args...); runtime.Goexit() }

func (t *standIn) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

func (t *standIn) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

func (t *standIn) TempDir() string {
	dir, err := os.MkdirTemp("", "longshore-conformance-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("TempDir: %v", err)
		}
	})
	return dir
}
