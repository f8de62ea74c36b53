package registry

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// CollectEvery collects whenever the last collection of any process ended longer than interval ago, until ctx ends. It asks the store
// for that about ten times in an interval, once an hour at most seldom, and never all processes at the same moment. told is
// given what became of each collection; not those that another process has begun. After ErrSole it returns.
func (r *Registry) CollectEvery(ctx context.Context, interval time.Duration, o CollectOptions, told func(CollectReport, error)) {
	for {
		pause := min(interval/10, time.Hour)
		pause += time.Duration(rand.Int64N(int64(pause)/5 + 1))
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
		due, err := r.collectionDue(ctx, interval)
		if err == nil && !due {
			continue
		}
		report := CollectReport{}
		if err == nil {
			report, err = r.Collect(ctx, o)
		}
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, ErrCollecting) {
			told(report, err)
		}
		if errors.Is(err, ErrSole) {
			return
		}
	}
}

// collectionDue reports whether the last collection ended longer than interval ago. Replicas' clocks may differ from the store's by less than matters
// here.
func (r *Registry) collectionDue(ctx context.Context, interval time.Duration) (bool, error) {
	info, err := r.driver.Stat(ctx, gcStateKey)
	if errors.Is(err, drivers.ErrNotFound) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	return r.now().Sub(info.ModTime) >= interval, nil
}
