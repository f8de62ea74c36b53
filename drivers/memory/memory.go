// Package memory is a store that lives in the memory of one process: the strict double that the
// registry's tests run on, and a store to try things with.
//
//	storage:
//	  memory: {}
//
// It is stricter than any real backend. It refuses a key that is a folder of another key, it
// reports a change of an object that ought never to change, and it can fail at any call, with
// the effect of the call or without it. ETags and the ids of streams are counters, so a test that
// does the same twice sees the same twice.
package memory

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

const name = "memory"

// Config is what a configuration file can say of this driver, which is nothing.
type Config struct{}

// Defaults returns the Config of a file that says nothing.
func Defaults() Config { return Config{} }

// Validate returns nil: there is nothing to get wrong.
func (Config) Validate() error { return nil }

// Open makes an empty store. What is put into it is gone when the process ends.
func Open(context.Context, Config) (*Driver, error) { return New(Options{}), nil }

// Options are for tests. The zero value is a store that works.
type Options struct {
	// Immutable lists key prefixes, such as "data/", under which an object may be made and
	// deleted but never get other bytes.
	Immutable []string

	// OnViolation is told of each change of an immutable object; the change is then made all
	// the same, as a real backend would. It may be called from several goroutines at once. Nil: nobody is told.
	OnViolation func(error)

	// Hook is asked before each operation; see Hook.
	Hook Hook

	// Page is how many entries a List takes from the store at once. Default 1000, as on S3.
	Page int

	// Now is the clock for ModTime. Default time.Now.
	Now func() time.Time
}

// Hook is asked before each operation what shall become of it. It may be called from several
// goroutines at once, and may block (until ctx ends, say) to make a store that does not answer.
//
// op is the method in lower case: reader, put, writer, resume, stat, list (asked for each page, with the
// prefix as key), delete (asked for each key), putifabsent, putifmatch, leftovers (without a key), drop, and for what
// Reader and Writer gave out read, write, suspend, commit, cancel.
type Hook func(ctx context.Context, op, key string) Outcome

// Outcome is what becomes of an operation. The zero Outcome lets it proceed.
type Outcome struct {
	// Err is the error that the operation returns, within a *drivers.Error.
	Err error

	// Stored says that the operation has its effect although it returns Err: the reply was
	// lost. It means nothing for operations that change nothing.
	Stored bool
}

// Driver is one process's handle on a store; see Reopen.
type Driver struct {
	store *store
	hook  Hook
}

var (
	_ drivers.Driver       = (*Driver)(nil)
	_ drivers.AbsentPutter = (*Driver)(nil)
	_ drivers.MatchPutter  = (*Driver)(nil)
	_ drivers.Sweeper      = (*Driver)(nil)
)

// New makes an empty store.
func New(o Options) *Driver {
	if o.Page == 0 {
		o.Page = 1000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OnViolation == nil {
		o.OnViolation = func(error) {}
	}
	s := &store{Options: o, objects: map[string]object{}, streams: map[int]stream{}}
	return &Driver{store: s, hook: o.Hook}
}

// Reopen returns a second handle on the same store, as another process would have it, with a
// hook of its own (nil for none).
func (d *Driver) Reopen(hook Hook) *Driver {
	return &Driver{store: d.store, hook: hook}
}

// before is the common beginning of all operations: the key, then the context, then the hook.
// When lost is not nil the operation shall be carried out and then return lost.
func (d *Driver) before(ctx context.Context, op, key string) (lost, err error) {
	if err := drivers.CheckKey(name, op, key); err != nil {
		return nil, err
	}
	return d.ask(ctx, op, key)
}

// ask is before without the check of the key.
func (d *Driver) ask(ctx context.Context, op, key string) (lost, err error) {
	if err := ctx.Err(); err != nil {
		return nil, failed(op, key, err)
	}
	if d.hook == nil {
		return nil, nil
	}
	out := d.hook(ctx, op, key)
	if err := ctx.Err(); err != nil && !out.Stored {
		return nil, failed(op, key, err)
	}
	if out.Err == nil {
		return nil, nil
	}
	if out.Stored {
		return failed(op, key, out.Err), nil
	}
	return nil, failed(op, key, out.Err)
}

// failed wraps err in a *drivers.Error, unless it is one.
func failed(op, key string, err error) error {
	if e := new(drivers.Error); errors.As(err, &e) {
		return err
	}
	return &drivers.Error{Op: op, Driver: name, Key: key, Err: err}
}

// refused is an error of one of the kinds, with an explanation that may be nil.
func refused(op, key string, kind, why error) error {
	return &drivers.Error{Op: op, Driver: name, Key: key, Kind: kind, Err: why}
}

// store is what the handles share.
type store struct {
	Options

	mu      sync.Mutex
	objects map[string]object
	keys    []string // of objects, in the order of their bytes
	etags   int      // how many were given out
	streams map[int]stream
	started int // how many streams were
}

// object is one object. Its body is never written to again.
type object struct {
	body []byte
	info drivers.Info
}
