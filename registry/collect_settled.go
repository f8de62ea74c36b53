package registry

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"sync"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// longAgo is a time that is past.
var longAgo = time.Unix(1, 0)

// settledRepos remembers the repositories in which nothing was to be done: what the listing looked like, and when something in it will be old
// enough. As long as the one is the same and the other is not past, listing it is all that a collection does with it.
type settledRepos struct {
	mu   sync.Mutex
	all  map[uint64]settledRepo // by a number for the name
	seen map[uint64]settledRepo // those of them that are still there, and new ones
}

type settledRepo struct {
	fingerprint uint64
	due         uint32 // second since 1970; the largest: never
}

const never = 1<<32 - 1

func repoNumber(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return h.Sum64()
}

// settled reports whether there is nothing to do.
func (s *settledRepos) settled(repo surveyed, now time.Time) bool {
	n := repoNumber(repo.name)
	known, ok := s.all[n]
	if !ok || known.fingerprint != repo.fingerprint || now.Unix() >= int64(known.due) {
		return false
	}
	s.seen[n] = known
	return true
}

// forgetOthers drops what was not seen.
func (s *settledRepos) forgetOthers() { s.all = nil }

// set says when a repository that stays as it was surveyed is due.
func (s *settledRepos) set(repo surveyed, due time.Time) {
	known := settledRepo{fingerprint: repo.fingerprint, due: never}
	if due.Equal(longAgo) {
		return
	}
	if !due.IsZero() && due.Unix()+1 < never {
		known.due = uint32(due.Unix() + 1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[repoNumber(repo.name)] = known
}

// loadSettledRepos reads what the last collection found. It is no more than a hint to do less: what can't be read is
// not there.
func (c *collector) loadSettledRepos(ctx context.Context) (*settledRepos, error) {
	s := &settledRepos{all: map[uint64]settledRepo{}, seen: map[uint64]settledRepo{}}
	state, err := c.loadCollected(ctx)
	if err != nil {
		return nil, err
	}
	c.reposRuns = state.Repos
	known := &marks{driver: c.driver, runs: state.Repos}
	for m, err := range known.all(ctx) {
		if errors.Is(err, drivers.ErrNotFound) {
			return &settledRepos{all: map[uint64]settledRepo{}, seen: map[uint64]settledRepo{}}, nil
		} else if err != nil {
			return nil, err
		}
		s.all[binary.BigEndian.Uint64(m[:])] = settledRepo{binary.BigEndian.Uint64(m[8:]), binary.BigEndian.Uint32(m[16:])}
	}
	return s, nil
}

// saveSettledRepos keeps them for the next collection; collectData puts them into its state.
func (c *collector) saveSettledRepos(ctx context.Context, s *settledRepos) error {
	out := &marks{driver: c.driver}
	for n, known := range s.seen {
		var m mark
		binary.BigEndian.PutUint64(m[:], n)
		binary.BigEndian.PutUint64(m[8:], known.fingerprint)
		binary.BigEndian.PutUint32(m[16:], known.due)
		if _, err := out.add(ctx, m); err != nil {
			return err
		}
	}
	if err := out.spill(ctx); err != nil {
		return err
	}
	c.reposRuns = out.runs
	return nil
}
