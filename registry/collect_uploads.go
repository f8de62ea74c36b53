package registry

import (
	"context"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// abandoned is the time before which what an upload has left can't be used by it any more.
func (c *collector) abandoned() time.Time {
	return c.began.Add(-max(c.o.Grace, LeftoverAge(c.uploadLife)))
}

// collectUploads removes the steps of sessions that have ended by their age, and what the backend keeps of streams that nobody
// ended. A step is written once, within the life of its session.
func (c *collector) collectUploads(ctx context.Context) error {
	const batch = 1000
	var old []drivers.Entry
	flush := func() error {
		err := c.removeAll(ctx, RemovedUpload, "its session ended long ago", old)
		old = old[:0]
		return err
	}
	for entry, err := range c.driver.List(ctx, uploadsPrefix, "", "") {
		if err != nil {
			return err
		}
		if err := c.saw(ctx, 1); err != nil {
			return err
		}
		if !entry.ModTime.Before(c.abandoned()) {
			continue
		}
		if old = append(old, entry); len(old) == batch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	return c.collectLeftovers(ctx)
}

// removeAll deletes objects that nobody writes to any more, without an announcement.
func (c *collector) removeAll(ctx context.Context, kind RemovalKind, reason string, all []drivers.Entry) error {
	if len(all) == 0 {
		return nil
	}
	var failed map[string]error
	if !c.o.DryRun {
		keys := make([]string, len(all))
		for i, e := range all {
			keys[i] = e.Key
		}
		failed = c.deleteKeys(ctx, keys)
	}
	for _, e := range all {
		c.removed(Removal{Kind: kind, Key: e.Key, Reason: reason, Bytes: e.Size, Err: failed[e.Key]})
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.broken()
}

func (c *collector) collectLeftovers(ctx context.Context) error {
	if c.extras.Sweep == nil {
		return nil
	}
	for l, err := range c.extras.Sweep.Leftovers(ctx) {
		if err != nil {
			return err
		}
		if err := c.saw(ctx, 1); err != nil {
			return err
		}
		if !OwnsLeftover(l) || !l.Began.Before(c.abandoned()) {
			continue
		}
		var failed error
		if !c.o.DryRun {
			failed = c.extras.Sweep.Drop(ctx, l)
		}
		c.removed(Removal{Kind: RemovedLeftover, Key: l.Key, Reason: "a stream that was begun and never ended", Bytes: max(l.Size, 0), Err: failed})
		if err := c.broken(); err != nil {
			return err
		}
	}
	return nil
}
