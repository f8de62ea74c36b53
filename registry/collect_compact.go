package registry

import (
	"context"
	"errors"
	"slices"
	"time"
)

// compact settles the days in which no data can appear any more and whose data is all named, and forgets what was kept for them.
func (d *dataCollector) compact(ctx context.Context) error {
	const lateness = 25 * time.Hour // a day, and an hour for clocks
	settled := d.abandoned().Add(-lateness).UTC().Format(time.DateOnly)
	if d.undecided != "" && d.undecided <= settled {
		t, err := time.Parse(time.DateOnly, d.undecided)
		if err != nil {
			return err
		}
		settled = t.AddDate(0, 0, -1).Format(time.DateOnly)
	}
	before := slices.Concat(d.state.runs(), d.read.runs, d.named.runs)
	rest := &marks{driver: d.driver}
	for m, err := range d.named.all(ctx) {
		if err != nil {
			return err
		}
		if markDay(m) > settled {
			if _, err := rest.add(ctx, m); err != nil {
				return err
			}
		}
	}
	d.named, d.state.Settled = rest, max(settled, d.state.Settled)
	if err := errors.Join(d.named.spill(ctx), d.read.spill(ctx)); err != nil {
		return err
	}
	if err := d.mergeRead(ctx); err != nil {
		return err
	}
	if err := d.save(ctx); err != nil {
		return err
	}
	return d.dropRuns(ctx, before)
}

// mergeRead makes few large runs of many small ones.
func (d *dataCollector) mergeRead(ctx context.Context) error {
	const small = 16
	if len(d.read.runs) <= small+2*int(d.state.Count/marksInMemory) {
		return nil
	}
	merged := &marks{driver: d.driver}
	count := int64(0)
	for m, err := range d.read.all(ctx) {
		if err != nil {
			return err
		}
		if _, err := merged.add(ctx, m); err != nil {
			return err
		}
		count++
	}
	if err := merged.spill(ctx); err != nil {
		return err
	}
	d.read, d.state.Count = merged, count
	return nil
}

// dropRuns deletes the runs that were replaced, and those of a collection that was broken off.
func (d *dataCollector) dropRuns(ctx context.Context, before []string) error {
	used := d.state.runs()
	var keys []string
	for entry, err := range d.driver.List(ctx, gcRunsPrefix, "", "") {
		if err != nil {
			return err
		}
		if !slices.Contains(used, entry.Key) && (slices.Contains(before, entry.Key) || d.old(entry.ModTime)) {
			keys = append(keys, entry.Key)
		}
	}
	for _, err := range d.deleteKeys(ctx, keys) {
		d.fail(err)
	}
	return nil
}
