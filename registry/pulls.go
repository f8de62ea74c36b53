package registry

import (
	"context"
	"time"
)

// pullTime is how exactly it is known when a tag was pulled: each process writes it down once in that time.
const pullTime = 24 * time.Hour

// notePull writes down, in the background, that a tag was pulled. What does not work or would take too much at once is left out: the next
// pull will do.
func (r *Registry) notePull(ctx context.Context, repo, tag string) {
	if !r.trackPulls(repo) {
		return
	}
	key := repoPrefix(repo) + pulledSection + tag
	if _, known := r.pulls.GetIfPresent(key); known || !r.pullSlots.TryAcquire(1) {
		return
	}
	r.pulls.Set(key, struct{}{})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	r.background.Go(func() {
		defer cancel()
		defer r.pullSlots.Release(1)
		if err := r.driver.Put(ctx, key, nil); err != nil {
			r.pulls.Invalidate(key)
			r.log.Warn("that a tag was pulled could not be written down", "key", key, "err", err)
		}
	})
}
