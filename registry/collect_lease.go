package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// What a collection keeps for itself and for the next one.
const (
	leaseKey     = "gc/lease"
	gcStateKey   = "gc/state"
	gcLogPrefix  = "gc/log/"
	gcRunsPrefix = "gc/named/"
)

const (
	// leaseTime is how long a collector that died keeps the next one from beginning, clockLeeway apart.
	leaseTime = time.Minute
	// announceTime is how long announcements last at least. Who needs what is announced waits that long at
	// most if the collector dies.
	announceTime = 40 * time.Second
)

// inForce reports whether the maker of an announcement that ends at until may still delete. It looks at both clocks, since the
// one stands still while a machine sleeps and the other can be set.
func (r *Registry) inForce(until time.Time) bool {
	now := r.now()
	return now.Before(until) && now.Round(0).Before(until.Round(0))
}

// within gives a context that ends with an announcement.
func (r *Registry) within(ctx context.Context, until time.Time) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, until.Sub(r.now()))
}

// announce puts an announcement up, in the place of one that is void, or that is of this very collection, if need be. It reports false if
// another collector's is in force.
func (r *Registry) announce(ctx context.Context, key, by string, until time.Time) (held bool, err error) {
	body, err := json.Marshal(announcement{By: by, Until: until.UTC()})
	if err != nil {
		return false, err
	}
	const attempts = 3 // each but the last lost a race
	for range attempts {
		err := r.putIfAbsent(ctx, key, body)
		if err == nil || !errors.Is(err, drivers.ErrExists) {
			return err == nil, err
		}
		a, info, err := r.readAnnouncement(ctx, key)
		if errors.Is(err, drivers.ErrNotFound) {
			continue
		} else if err != nil {
			return false, err
		}
		if !r.void(a) && a.By != by {
			return false, nil
		}
		err = r.putIfMatch(ctx, key, body, info.ETag)
		if err == nil || !errors.Is(err, drivers.ErrPrecondition) {
			return err == nil, err
		}
	}
	return false, nil
}

func (r *Registry) readAnnouncement(ctx context.Context, key string) (announcement, drivers.Info, error) {
	o, err := readObject(ctx, r.driver, key)
	if err != nil {
		return announcement{}, drivers.Info{}, err
	}
	return announced(key, o), o.info, nil
}

// lease says that this process collects. The protocol is safe without it; it saves work, and its object's time is
// how the collector learns what the store takes for now.
type lease struct {
	r  *Registry
	by string

	mu    sync.Mutex
	etag  string
	until time.Time
}

// begin takes the lease and learns the store's time.
func (c *collector) begin(ctx context.Context) error {
	c.began = c.now()
	if c.o.DryRun {
		c.report.Began = c.began
		return nil
	}
	l := &lease{r: c.Registry, by: c.o.By, until: c.now().Add(leaseTime)}
	held, err := c.announce(ctx, leaseKey, l.by, l.until)
	if err != nil {
		return fmt.Errorf("cannot take %s: %w", leaseKey, err)
	}
	if !held {
		return ErrCollecting
	}
	info, err := l.own(ctx, l.until)
	if err != nil {
		return fmt.Errorf("cannot take %s: %w", leaseKey, err)
	}
	l.etag, c.lease = info.ETag, l
	c.began, c.report.Began = info.ModTime, info.ModTime
	return nil
}

// own reads what the store knows of the lease that this process has just written. It fails with ErrCollecting if that took so long that
// another process has taken the lease, or had it and is done.
func (l *lease) own(ctx context.Context, until time.Time) (drivers.Info, error) {
	a, info, err := l.r.readAnnouncement(ctx, leaseKey)
	if errors.Is(err, drivers.ErrNotFound) || err == nil && (a.By != l.by || !a.Until.Equal(until)) {
		return drivers.Info{}, errLeaseLost
	}
	return info, err
}

var errLeaseLost = fmt.Errorf("%w: it found this one's lease run out", ErrCollecting)

// end gives the lease back.
func (c *collector) end(ctx context.Context) {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if c.lease == nil || !c.inForce(c.lease.until) {
		return
	}
	if err := c.driver.Delete(ctx, leaseKey); err != nil {
		c.log.Warn("the collector's lease stays until it ends by itself", "key", leaseKey, "err", err)
	}
}

// keep makes the lease last longer when half of it has passed. It fails with ErrCollecting if another process has taken it.
func (l *lease) keep(ctx context.Context) error {
	if l == nil {
		return ctx.Err()
	}
	if !l.mu.TryLock() {
		return ctx.Err() // another goroutine does it just now, and need not be waited for
	}
	defer l.mu.Unlock()
	if l.until.Sub(l.r.now()) > leaseTime/2 {
		return ctx.Err()
	}
	until := l.r.now().Add(leaseTime)
	body, err := json.Marshal(announcement{By: l.by, Until: until.UTC()})
	if err != nil {
		return err
	}
	if err := l.r.putIfMatch(ctx, leaseKey, body, l.etag); err != nil {
		if errors.Is(err, drivers.ErrPrecondition) {
			return errLeaseLost
		}
		return err
	}
	info, err := l.own(ctx, until)
	if err != nil {
		return err
	}
	l.etag, l.until = info.ETag, until
	return nil
}

// within gives a context that ends with the lease, half of leaseTime from now at least. For what nobody else may do meanwhile: once the lease has
// ended a Rebuild may name data that a collector takes for unnamed.
func (l *lease) within(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := l.keep(ctx); err != nil || l == nil {
		return ctx, func() {}, err
	}
	l.mu.Lock()
	until := l.until
	l.mu.Unlock()
	if !l.r.inForce(until) {
		return ctx, func() {}, errLeaseLost
	}
	ctx, cancel := l.r.within(ctx, until)
	return ctx, cancel, nil
}
