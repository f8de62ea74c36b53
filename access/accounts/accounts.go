// Package accounts keeps users, robots and API keys in the registry's own store, and checks their passwords and secrets.
//
// Each is one small JSON object below access/; docs/storage-format.md describes them. Passwords are kept as argon2id.
// Secrets of robots and keys are 256 random bits, which nobody can guess however fast he tries, so that SHA-256 is enough.
//
// Changes are compared with what is there where the store can do that. Where it can't (Swift), two changes of one account at
// the same moment may lose one of them.
package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/longshore-registry/longshore/access/internal/phc"
	"github.com/longshore-registry/longshore/drivers"
)

// Errors that callers tell apart.
var (
	ErrExists   = errors.New("exists already")
	ErrAbsent   = errors.New("does not exist")
	ErrName     = errors.New("a name has 1 to 64 letters, digits and . _ - @, and begins with a letter or digit")
	ErrPassword = errors.New("a password has 8 to 1024 bytes")
	ErrGrant    = errors.New("a grant has a pattern for repositories and some of the actions pull, push, tag-move, delete and catalogue")
)

// Options of Open. The zero value works.
type Options struct {
	Refresh time.Duration    // how long what was read counts; 0: 5 s
	Now     func() time.Time // nil: time.Now
}

// Store is the accounts of a registry. It is safe for concurrent use.
type Store struct {
	store   drivers.Driver
	extras  drivers.Extras
	refresh time.Duration
	now     func() time.Time
	cost    phc.Cost // of new passwords
	decoy   phc.Hash // what a password is compared with if there is no such user

	// read holds what was read lately, also that there was nothing.
	read  *otter.Cache[string, reading]
	loads singleflight.Group

	locked atomic.Bool // see Locked
}

// maxRead bounds the cache, by number of accounts.
const maxRead = 10_000

// reading is what an object held at a time.
type reading struct {
	body []byte // nil: there was none
	etag string
	at   time.Time
}

// Open takes the accounts that are in a store. It reads nothing.
func Open(d drivers.Driver, o Options) (*Store, error) {
	s := &Store{store: d, extras: drivers.ExtrasOf(d), refresh: o.Refresh, now: o.Now, cost: phc.Normal(), decoy: phc.Normal().Decoy()}
	if s.refresh == 0 {
		s.refresh = 5 * time.Second
	}
	if s.now == nil {
		s.now = time.Now
	}
	var err error
	s.read, err = otter.New(&otter.Options[string, reading]{MaximumSize: maxRead})
	return s, err
}

// The folders of the store.
const (
	userFolder  = "access/users/"
	robotFolder = "access/robots/"
	keyFolder   = "access/keys/"
	usedFolder  = "access/used/" // when robots and keys were used last
	lockedKey   = "access/locked"
)

// CheckName returns ErrName unless a user or robot can have the name.
func CheckName(name string) error {
	if len(name) == 0 || len(name) > 64 || strings.IndexByte("._-@", name[0]) >= 0 {
		return ErrName
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("._-@", c) < 0 {
			return ErrName
		}
	}
	return nil
}

// keyOf is where the account of a name is. Keys of the store have no "@": it and "_" are written as "_" and two hex digits.
func keyOf(folder, name string) string {
	return folder + strings.NewReplacer("_", "_5f", "@", "_40").Replace(name)
}

// recent is get, with what was read within the last Refresh. Of equal reads at the same time one asks the store.
func (s *Store) recent(ctx context.Context, key string) (reading, error) {
	if r, ok := s.read.GetIfPresent(key); ok && s.now().Sub(r.at) < s.refresh {
		return r, nil
	}
	results := s.loads.DoChan(key, func() (any, error) {
		// Another request's cancel must not fail those that wait. Drivers bound their own retries.
		return s.get(context.WithoutCancel(ctx), key)
	})
	select {
	case got := <-results:
		r, _ := got.Val.(reading)
		return r, got.Err
	case <-ctx.Done():
		return reading{}, context.Cause(ctx)
	}
}

// maxObject is the most that an account's object is read of, in bytes.
const maxObject = 1 << 20

// get reads an object. That there is none is no error.
func (s *Store) get(ctx context.Context, key string) (reading, error) {
	r := reading{at: s.now()} // before the request: what happens during it may or may not be in the answer
	body, info, err := s.store.Reader(ctx, key, 0, -1)
	switch {
	case errors.Is(err, drivers.ErrNotFound):
	case err != nil:
		return r, err
	default:
		r.etag = info.ETag
		r.body, err = io.ReadAll(io.LimitReader(body, maxObject))
		if e := body.Close(); err == nil {
			err = e
		}
		if err != nil {
			return r, err
		}
	}
	s.read.Set(key, r)
	return r, nil
}

// create makes an object, or returns ErrExists.
func (s *Store) create(ctx context.Context, key string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	defer s.read.Invalidate(key)
	if s.extras.Absent != nil {
		err = s.extras.Absent.PutIfAbsent(ctx, key, body)
		if errors.Is(err, drivers.ErrExists) {
			return ErrExists
		}
		return err
	}
	switch _, err := s.store.Stat(ctx, key); {
	case err == nil:
		return ErrExists
	case !errors.Is(err, drivers.ErrNotFound):
		return err
	}
	return s.store.Put(ctx, key, body)
}

// maxTries is how often a change is tried that others overtake.
const maxTries = 10

// update changes an object, or returns ErrAbsent. change may be called again if another change came first.
func update[T any](ctx context.Context, s *Store, key string, change func(*T) error) error {
	defer s.read.Invalidate(key)
	for range maxTries {
		r, err := s.get(ctx, key)
		if err != nil {
			return err
		}
		v, err := decode[T](key, r)
		if err != nil {
			return err
		}
		if err := change(&v); err != nil {
			return err
		}
		body, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if s.extras.Match == nil {
			return s.store.Put(ctx, key, body)
		}
		if err := s.extras.Match.PutIfMatch(ctx, key, body, r.etag); !errors.Is(err, drivers.ErrPrecondition) {
			return err
		}
	}
	return fmt.Errorf("%s: is changed by others all the time", key)
}

// decode is what an object holds, or ErrAbsent.
func decode[T any](key string, r reading) (v T, err error) {
	if r.body == nil {
		return v, ErrAbsent
	}
	if err := json.Unmarshal(r.body, &v); err != nil {
		return v, fmt.Errorf("%s: is not what longshore wrote there: %w", key, err)
	}
	return v, nil
}

// each calls do for each object in a folder, in the order of the keys. One that is gone before it is read is left out.
func each[T any](ctx context.Context, s *Store, folder string, do func(T) error) error {
	for e, err := range s.store.List(ctx, folder, "", "") {
		if err != nil {
			return err
		}
		r, err := s.get(ctx, e.Key)
		if err != nil {
			return err
		}
		v, err := decode[T](e.Key, r)
		if errors.Is(err, ErrAbsent) {
			continue
		}
		if err == nil {
			err = do(v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
