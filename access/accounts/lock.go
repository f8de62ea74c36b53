package accounts

import (
	"context"
	"errors"
	"time"
)

// lockRecord is the object whose presence locks the registry.
type lockRecord struct {
	At time.Time `json:"at"`
	By string    `json:"by,omitempty"`
}

// Locked reports whether the registry needs credentials, since it has or had an account. A registry that is open costs one
// read each Refresh, a locked one nothing: locked is for ever. An operator who opens it again by deleting access/locked has
// to restart it.
func (s *Store) Locked(ctx context.Context) (bool, error) {
	if s.locked.Load() {
		return true, nil
	}
	r, err := s.recent(ctx, lockedKey)
	if err != nil {
		return true, err
	}
	if r.body != nil {
		s.locked.Store(true)
	}
	return r.body != nil, nil
}

// Lock makes the registry need credentials, on every replica within Refresh. by is who does it.
func (s *Store) Lock(ctx context.Context, by string) error {
	locked, err := s.Locked(ctx)
	if err != nil || locked {
		return err
	}
	if err := s.create(ctx, lockedKey, lockRecord{s.now().UTC(), by}); err != nil && !errors.Is(err, ErrExists) {
		return err
	}
	s.locked.Store(true)
	return nil
}
