package conformance

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// Result is what came of one case outside of go test.
type Result struct {
	Name     string        `json:"name"`              // "Method/says what"
	Took     time.Duration `json:"took"`              // nanoseconds in JSON
	Failed   bool          `json:"failed,omitempty"`  //
	NotRun   string        `json:"not_run,omitempty"` // why it does not apply; "" if it was run
	Messages []string      `json:"messages,omitempty"`
}

// Execute runs the suite without go test, as a program does on a user's own store: the cases whose name choose takes, one after
// another. It hands each result to tell as it is known, also for those that don't apply. When ctx ends the case under way fails and no other begins; what Config's
// functions have registered with Cleanup is done.
//
// The second process is made of this program, with the arguments Config.Second.
func Execute(ctx context.Context, c Config, choose func(name string) bool, tell func(Result)) {
	c = c.withDefaults()
	whole := &standIn{ctx: ctx, name: "conformance"}
	defer whole.clean()
	many := &manyKeys{t: whole}
	for _, test := range tests() {
		if !choose(test.name) {
			continue
		}
		if test.when != nil && !test.when(c) {
			tell(Result{Name: test.name, NotRun: c.lacks(test)})
			continue
		}
		if ctx.Err() != nil {
			return
		}
		began := time.Now()
		t := run(ctx, test.name, func(t testing.TB) { test.run(t, &suite{Config: c, t: t, many: many}) })
		tell(Result{Name: test.name, Took: time.Since(began), Failed: t.failed, Messages: t.messages})
	}
}

// lacks says what a case would need that c does not have.
func (c Config) lacks(test test) string {
	none := func(testing.TB, drivers.Driver) func() { return nil }
	with := c
	with.Extras = Extras{Absent: true, Match: true, Signer: true, Files: true, Sweep: true}
	if test.when(with) {
		return "the driver has no such ability"
	}
	with.Where = func(testing.TB, drivers.Driver) string { return "" }
	if test.when(with) {
		return "needs a second process, which can't see this store"
	}
	with.Faults = Faults{BreakReads: none, FailWrites: none, LoseReplies: none, Hang: none}
	if test.when(with) {
		return "needs a proxy that makes the store fail; the driver's own tests have one"
	}
	return "does not apply to this store"
}

// standIn is a testing.TB outside of go test. Methods that no case needs are those of a nil testing.TB.
type standIn struct {
	testing.TB
	ctx  context.Context
	name string

	mu       sync.Mutex
	failed   bool
	messages []string
	cleanups []func()
}

// run runs f as a test of its own, in a goroutine that it may leave. A panic is a failure.
func run(ctx context.Context, name string, f func(t testing.TB)) *standIn {
	ctx, stop := context.WithCancel(ctx)
	t := &standIn{ctx: ctx, name: name}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		f(t)
	}()
	<-done
	stop()
	t.clean()
	return t
}

// clean calls what was registered with Cleanup, the last first. One that leaves its goroutine or panics does not keep the others from it.
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
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("panic in a cleanup: %v\n%s", p, debug.Stack())
				}
			}()
			f()
		}()
		<-done
	}
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
