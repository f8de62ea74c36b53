package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// mend says how a finding is repaired.
type mend struct {
	announce   string                      // the key of the announcement under which that is done; "" for none
	quarantine bool                        // a copy is put below quarantine/ before it is removed
	takeOver   bool                        // it is an announcement: so that no other one's goes, it is replaced before it is removed
	write      func(context.Context) error // what is written; nil if the finding's object is removed
}

// quarantineRecord is for a blob's record. A collector removes records in the same way.
func quarantineRecord(d digest.Digest) *mend {
	return &mend{announce: condemnedKey(d), quarantine: true}
}

// quarantineIn is for an object in a repository.
func quarantineIn(repo string) *mend {
	return &mend{announce: repoCondemnedKey(repo), quarantine: true}
}

var (
	errBeingCollected = errors.New("a collection is about to take it away; scrub again")
	errChanging       = errors.New("it is being changed; scrub again")
)

// mendAll repairs what can be. What comes right by itself meanwhile is no finding any more; why something could not be repaired is in the finding.
func (s *scrubber) mendAll(ctx context.Context, all []*doubt) error {
	const atOnce = 500 // under one announcement
	under := map[string][]*doubt{}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, d := range all {
		switch {
		case d.mend == nil:
		case d.mend.write != nil:
			g.Go(func() error { return s.write(gctx, d) })
		case d.mend.announce == "":
			g.Go(func() error { return s.removeOld(gctx, d) })
		default:
			under[d.mend.announce] = append(under[d.mend.announce], d)
		}
	}
	for key, group := range under {
		g.Go(func() error {
			for some := range slices.Chunk(group, atOnce) {
				s.removeUnder(gctx, key, some)
			}
			return gctx.Err()
		})
	}
	return g.Wait()
}

// same looks once more, just before the repair, and reports whether all is as it was.
func (s *scrubber) same(ctx context.Context, d *doubt) bool {
	evidence, err := d.look(ctx)
	switch {
	case err != nil:
		d.finding.Err = err
	case evidence == "":
		d.evidence = ""
	case evidence != d.evidence:
		d.finding.Err = errChanging
	default:
		return true
	}
	return false
}

// write puts what is missing if it still is, or replaces what is wrong if it is the same.
func (s *scrubber) write(ctx context.Context, d *doubt) error {
	if !s.same(ctx, d) {
		return ctx.Err()
	}
	switch err := d.mend.write(ctx); {
	case err == nil:
		d.finding.Done = MendedWritten
	case errors.Is(err, drivers.ErrExists), errors.Is(err, drivers.ErrPrecondition):
		d.evidence = "" // somebody else was faster
	default:
		d.finding.Err = err
	}
	return ctx.Err()
}

// removeUnder removes objects as a collector does: announce, look again, delete. Who puts them anew meanwhile waits for the end of the announcement, and then looks whether
// they are still there.
func (s *scrubber) removeUnder(ctx context.Context, key string, some []*doubt) {
	fail := func(err error) {
		for _, d := range some {
			d.finding.Err = err
		}
	}
	until := s.now().Add(announceTime)
	held, err := s.announce(ctx, key, s.o.By+" "+nonce(), until)
	if err != nil || !held {
		fail(cmp.Or(err, errBeingCollected))
		return
	}
	actx, cancel := s.within(context.WithValue(ctx, heldKey{}, key), until)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(parallel)
	goes := make([]bool, len(some))
	for i, d := range some {
		g.Go(func() error {
			goes[i] = s.same(actx, d) && (!d.mend.quarantine || s.copyAside(actx, d))
			return nil
		})
	}
	_ = g.Wait() // what failed is in the findings
	var going []*doubt
	for i, d := range some {
		if goes[i] {
			going = append(going, d)
		}
	}
	unsure := len(going) > 0 && s.deleteFound(actx, until, going)
	if unsure || !s.inForce(until) {
		return // the announcement becomes void, and the next collection removes it
	}
	wctx, cancel := s.within(context.WithoutCancel(ctx), until)
	defer cancel()
	if err := s.driver.Delete(wctx, key); err != nil {
		s.log.Warn("an announcement stays until it ends by itself", "key", key, "err", err)
	}
}

// deleteFound deletes the objects of findings. It reports whether a deletion may have its effect later.
func (s *scrubber) deleteFound(ctx context.Context, until time.Time, going []*doubt) (unsure bool) {
	var keys []string
	for _, d := range going {
		keys = append(keys, d.finding.Key)
	}
	err := errNoTime
	failed := map[string]error{}
	if s.inForce(until) {
		err = s.driver.Delete(ctx, keys...)
	}
	unnamed := err != nil && (ctx.Err() != nil || !nameFailures(err, failed))
	for _, d := range going {
		one := failed[d.finding.Key]
		if unnamed {
			one = err
		}
		switch {
		case one != nil:
			d.finding.Err = one
			unsure = unsure || !surelyThere(one)
		case d.mend.quarantine:
			d.finding.Done = MendedQuarantined
		default:
			d.finding.Done = MendedRemoved
		}
	}
	return unsure
}

// copyAside puts a copy below quarantine/.
func (s *scrubber) copyAside(ctx context.Context, d *doubt) bool {
	key := d.finding.Key
	o, err := s.read(ctx, key)
	if err == nil {
		err = s.driver.Put(ctx, quarantineKey(key, o.body), o.body)
	}
	d.finding.Err = err
	return err == nil
}

// removeOld removes an object that no process is at work on any more.
func (s *scrubber) removeOld(ctx context.Context, d *doubt) error {
	if !s.same(ctx, d) || d.mend.quarantine && !s.copyAside(ctx, d) {
		return ctx.Err()
	}
	d.finding.Done = MendedRemoved
	if d.mend.quarantine {
		d.finding.Done = MendedQuarantined
	}
	until := s.now().Add(announceTime)
	ctx, cancel := s.within(ctx, until)
	defer cancel()
	err := error(nil)
	if d.mend.takeOver {
		var body []byte
		if body, err = json.Marshal(announcement{By: s.o.By, Until: until.UTC()}); err == nil {
			err = s.putIfMatch(ctx, d.finding.Key, body, d.evidence)
		}
	}
	if err == nil {
		err = s.driver.Delete(ctx, d.finding.Key)
	}
	if err != nil {
		d.finding.Done, d.finding.Err = "", err
	}
	return nil
}

// renewLink gives a repository's link to a blob whose record was moved another content, so that no process takes the record that it remembers for the
// blob's. The link stays: a push of the blob into any repository makes it whole in all of them.
func (s *scrubber) renewLink(ctx context.Context, repo string, d digest.Digest) error {
	s.mu.Lock()
	f := s.bad[d]
	if f != nil {
		s.linked[d] = true
	}
	moved := f != nil && f.Done == MendedQuarantined
	s.mu.Unlock()
	key := linkKey(repo, d)
	const attempts = 5 // each but the last lost a race with a push
	for i := 0; moved && i < attempts; i++ {
		o, err := s.read(ctx, key)
		if errors.Is(err, drivers.ErrNotFound) {
			return nil
		} else if err != nil {
			return s.cannotRead(ctx, Finding{Key: key, Digest: d, Repository: repo}, err)
		}
		err = s.putIfMatch(ctx, key, []byte(nonce()), o.info.ETag)
		if err == nil {
			return nil
		} else if !errors.Is(err, drivers.ErrPrecondition) {
			return s.cannotRead(ctx, Finding{Key: key, Digest: d, Repository: repo}, err)
		}
	}
	return nil
}
