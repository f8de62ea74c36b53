package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// doubt is something that looks wrong.
type doubt struct {
	finding Finding

	// look reads all anew by key. It returns "" if nothing is wrong, else what tells the objects that it is about from what they may be
	// replaced by. If two looks give the same, some time apart, none of them was just being written or deleted.
	look func(context.Context) (evidence string, err error)

	mend *mend // how to repair it; nil if that can't be

	evidence string
}

// doubts looks at what seems wrong for the first time. It may be called by many goroutines at once. Most of what a listing shows half is whole by then.
func (s *scrubber) doubts(ctx context.Context, d *doubt) error {
	var err error
	d.evidence, err = d.look(ctx)
	if err != nil {
		return s.cannotRead(ctx, d.finding, err)
	}
	if d.evidence == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, d)
	return nil
}

// settle looks again at what seems wrong, soon and once more after the pause. What has not changed is a finding, and is repaired if that is asked for.
func (s *scrubber) settle(ctx context.Context) error {
	const soon, rounds = 20, 4
	left := s.pending
	s.pending = nil
	var sure []*doubt
	for i := 0; i < rounds && len(left) > 0; i++ {
		same, changed, err := s.lookAgain(ctx, left, s.o.Pause/soon)
		if err != nil {
			return err
		}
		same, changedLater, err := s.lookAgain(ctx, same, s.o.Pause)
		if err != nil {
			return err
		}
		sure = append(sure, same...)
		left = append(changed, changedLater...)
	}
	if len(sure) == 0 {
		return nil
	}
	slices.SortFunc(sure, func(a, b *doubt) int {
		return strings.Compare(a.finding.Key+" "+string(a.finding.Digest), b.finding.Key+" "+string(b.finding.Digest))
	})
	if s.o.Repair {
		if err := s.mendAll(ctx, sure); err != nil {
			return err
		}
	}
	for _, d := range sure {
		s.conclude(d)
	}
	return nil
}

// lookAgain looks after a while. It returns those that are wrong as they were, and those that are wrong in another way now: they are being changed.
func (s *scrubber) lookAgain(ctx context.Context, all []*doubt, after time.Duration) (same, changed []*doubt, err error) {
	if len(all) == 0 {
		return nil, nil, nil
	}
	t := time.NewTimer(after)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelCollect)
	for _, d := range all {
		g.Go(func() error {
			evidence, err := d.look(gctx)
			if err != nil {
				return s.cannotRead(gctx, d.finding, err)
			}
			mu.Lock()
			defer mu.Unlock()
			switch evidence {
			case "":
			case d.evidence:
				same = append(same, d)
			default:
				changed = append(changed, d)
			}
			d.evidence = evidence
			return nil
		})
	}
	err = g.Wait()
	return same, changed, err
}

// conclude reports a finding, or keeps it until it is known which images it is about.
func (s *scrubber) conclude(d *doubt) {
	if d.evidence == "" {
		return // it has come right while it was to be repaired
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch f := &d.finding; f.Kind {
	case FoundRecord, FoundMissingData, FoundSize, FoundBytes:
		if s.bad[f.Digest] == nil {
			s.bad[f.Digest] = f
			return
		}
		s.tellOf(f)
	default:
		s.tellOf(f)
	}
}

// tellOfBlobs reports the damaged blobs.
func (s *scrubber) tellOfBlobs() {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Finding, 0, len(s.bad))
	for d, f := range s.bad {
		f.Open = s.linked[d] || !s.judged // else nobody needs what was moved
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *Finding) int { return strings.Compare(a.Key, b.Key) })
	for _, f := range all {
		slices.Sort(f.Images)
		s.tellOf(f)
	}
	s.bad = nil
}

// unreadable looks at an object that could not be decoded.
func (s *scrubber) unreadable(key string, decode func(body []byte) error) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		o, err := s.read(ctx, key)
		if errors.Is(err, drivers.ErrNotFound) {
			return "", nil
		} else if err != nil {
			return "", err
		}
		if decode(o.body) == nil {
			return "", nil
		}
		return o.info.ETag, nil
	}
}

// lacks looks whether something is missing that has to be there as long as others are: those at keys, which are read before and after. A collection
// that is taking them away is waited for.
func (s *scrubber) lacks(repo string, keys []string, missing func(context.Context) (bool, error)) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		const tries = 5 // each but the last met a change
		for range tries {
			before, err := s.etags(ctx, keys)
			if err != nil || before == "" {
				return "", err
			}
			if is, err := missing(ctx); err != nil || !is {
				return "", err
			}
			if err := s.waitOutOthers(ctx, repoCondemnedKey(repo)); err != nil {
				return "", err
			}
			after, err := s.etags(ctx, keys)
			if err != nil || after == "" {
				return "", err
			}
			if before == after {
				return before, nil
			}
		}
		return "", nil
	}
}

// etags returns "" if one of the objects is not there.
func (s *scrubber) etags(ctx context.Context, keys []string) (string, error) {
	all := ""
	for _, key := range keys {
		etag, err := s.stat(ctx, key)
		if err != nil || etag == "" {
			return "", err
		}
		all += fmt.Sprintf("%s %s\n", key, etag)
	}
	return all, nil
}

// absent is a missing for lacks.
func (s *scrubber) absent(key string) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		etag, err := s.stat(ctx, key)
		return err == nil && etag == "", err
	}
}
