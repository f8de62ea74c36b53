package daemon

import (
	"errors"
	"sync"
	"testing"
)

// Shared is one server for all tests of a binary. It starts when the first test asks for it; TestMain
// has to stop it after the last.
type Shared[S interface{ Stop() }] struct {
	Launch func() (S, error)

	once    sync.Once
	server  S
	err     error
	started bool
}

// Get returns the server, and fails the test if it did not start.
func (s *Shared[S]) Get(t testing.TB) S {
	t.Helper()
	s.once.Do(func() {
		s.server, s.err = s.Launch()
		s.started = s.err == nil
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.server
}

// Stop ends the server, if it was started. Nothing can be got from s after that.
func (s *Shared[S]) Stop() {
	s.once.Do(func() { s.err = errors.New("the shared server was stopped") })
	if s.started {
		s.server.Stop()
	}
}
