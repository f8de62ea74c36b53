// Package conformance is the suite that a storage driver has to pass. It goes through the
// contract in package drivers sentence by sentence; a driver's own test is a few lines:
//
//	func TestMain(m *testing.M) {
//		os.Exit(conformance.Main(m, func(ctx context.Context, where string) (drivers.Driver, error) {
//			return fs.Open(ctx, fs.Config{Root: where})
//		}))
//	}
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, conformance.Config{
//			Open:   func(t testing.TB) drivers.Driver { return open(t, t.TempDir()) },
//			Reopen: func(t testing.TB, d drivers.Driver) drivers.Driver { return open(t, d.(*fs.Driver).Root()) },
//			Where:  func(t testing.TB, d drivers.Driver) string { return d.(*fs.Driver).Root() },
//			Extras: conformance.Extras{Absent: true, Match: true, Files: true},
//		})
//	}
//
// Where stores differ, Config has a field for the fact. What a fault in a driver teaches goes
// into the suite as a case.
package conformance

import (
	"context"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// Config tells the suite about the driver under test.
type Config struct {
	// Open returns a handle on a new, empty store that no other test uses, and registers with
	// t.Cleanup what is to be stopped. It is called once or more for each case. Required.
	Open func(t testing.TB) drivers.Driver

	// Reopen returns a second, independent handle on d's store, as another process would have
	// it. Nil: the suite uses d again.
	Reopen func(t testing.TB, d drivers.Driver) drivers.Driver

	// Where returns what the function given to Main needs to open d's store in a real second
	// process. Nil: the store lives and dies with this process, and the cases that need
	// another are left out.
	Where func(t testing.TB, d drivers.Driver) string

	// Neighbour returns a handle on a store that shares d's backend but not its prefix. Nil: the cases that need one are left out.
	Neighbour func(t testing.TB, d drivers.Driver) drivers.Driver

	// Second are the arguments that make this program the second process. Default: those of a test binary
	// whose TestMain calls Main.
	Second []string

	// Faults are ways to make the backend fail. The cases that need one that is nil are left out.
	Faults Faults

	// RacyCommit is for stores that, of two streams of one state committed at the same moment, may confirm both and keep
	// one. The bytes may not mix there either.
	RacyCommit bool

	// Extras says what drivers.ExtrasOf has to find. A wrapper that hides an extra fails.
	Extras Extras

	// Name is what Error.Driver has to be; "" takes any name.
	Name string

	// MaxKey is the length in bytes of the longest key that the store takes, where a prefix
	// shortens it. Default drivers.MaxKey.
	MaxKey int

	// LargeObject is the size in bytes of an object that the backend can't take in one piece.
	// Default 12 MiB, which is three parts on S3.
	LargeObject int64

	// ListKeys is how many keys the cases on paging put into the store. Default 3000, which is
	// three pages on S3.
	ListKeys int

	// Repeat is how many rounds each race is run. Default 5.
	Repeat int

	// Patience is how long the suite waits for what ought to happen soon. Default 20 s.
	Patience time.Duration
}

// Extras says which of the extras of package drivers a driver has.
type Extras struct {
	Absent, Match, Signer, Files, Sweep bool
}

// Faults are ways to make the backend fail for what is sent through one handle, until heal is called.
type Faults struct {
	// BreakReads makes bodies of objects break off somewhere before their last byte.
	BreakReads func(t testing.TB, d drivers.Driver) (heal func())

	// FailWrites makes requests that change something fail without effect, in a way that the
	// driver does not retry for longer than some seconds.
	FailWrites func(t testing.TB, d drivers.Driver) (heal func())

	// LoseReplies makes requests that change something take effect, and then fail.
	LoseReplies func(t testing.TB, d drivers.Driver) (heal func())

	// Hang makes all requests wait for an answer that does not come.
	Hang func(t testing.TB, d drivers.Driver) (heal func())
}

// test is one case: a sentence of the contract and the code that tries it.
type test struct {
	name string // "Method/says what"
	run  func(t testing.TB, s *suite)
	when func(Config) bool // nil: always
}

// suite is what a test runs on.
type suite struct {
	Config
	t    testing.TB // for the functions of Config
	many *manyKeys  // one for all cases of a Run
}

func (s *suite) open() drivers.Driver { return s.Open(s.t) }

// reopen returns another process's handle on d's store.
func (s *suite) reopen(d drivers.Driver) drivers.Driver {
	if s.Reopen == nil {
		return d
	}
	return s.Reopen(s.t, d)
}

// Run runs the suite as subtests of t, one after another. At the end it fails t if goroutines
// are left behind.
func Run(t *testing.T, c Config) {
	if os.Getenv(childVariable) != "" {
		t.Fatal("this is a second process: TestMain has to call conformance.Main")
	}
	c = c.withDefaults()
	before := runtime.NumGoroutine()
	t.Cleanup(func() { settled(t, before, c.Patience) }) // the last of all Cleanups
	many := &manyKeys{t: t}
	for _, test := range tests() {
		if test.when != nil && !test.when(c) {
			continue
		}
		t.Run(test.name, func(t *testing.T) { test.run(t, &suite{Config: c, t: t, many: many}) })
	}
}

func (c Config) withDefaults() Config {
	if c.MaxKey == 0 {
		c.MaxKey = drivers.MaxKey
	}
	if c.LargeObject == 0 {
		c.LargeObject = 12 << 20
	}
	if c.ListKeys == 0 {
		c.ListKeys = 3000
	}
	if c.Repeat == 0 {
		c.Repeat = 5
	}
	if c.Second == nil {
		c.Second = []string{"-test.run=^$"}
	}
	if c.Patience == 0 {
		c.Patience = 20 * time.Second
	}
	return c
}

// tests lists all cases, in the order of the contract.
func tests() []test {
	var all []test
	for _, group := range [][]test{
		keyTests(), readerTests(), putTests(), writerTests(), resumeTests(), processTests(),
		statTests(), listTests(), deleteTests(), extrasTests(), contextTests(), errorTests(), faultTests(),
	} {
		all = append(all, group...)
	}
	return all
}

// background is a context for what has to be done after t's own has ended, in a Cleanup.
func background(t testing.TB) context.Context { return context.WithoutCancel(t.Context()) }
