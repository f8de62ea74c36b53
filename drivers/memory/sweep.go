package memory

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strconv"

	"github.com/longshore-registry/longshore/drivers"
)

// Leftovers is described at drivers.Sweeper. Streams come in the order in which they were begun.
func (d *Driver) Leftovers(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
	return func(yield func(drivers.Leftover, error) bool) {
		if _, err := d.ask(ctx, "leftovers", ""); err != nil {
			yield(drivers.Leftover{}, err)
			return
		}
		s := d.store
		s.mu.Lock()
		all := maps.Clone(s.streams)
		s.mu.Unlock()
		for _, id := range slices.Sorted(maps.Keys(all)) {
			if err := ctx.Err(); err != nil {
				yield(drivers.Leftover{}, failed("leftovers", "", err))
				return
			}
			st := all[id]
			if !yield(drivers.Leftover{Key: st.key, ID: strconv.Itoa(id), Size: st.size, Began: st.began}, nil) {
				return
			}
		}
	}
}

// Drop is described at drivers.Sweeper.
func (d *Driver) Drop(ctx context.Context, l drivers.Leftover) error {
	const op = "drop"
	lost, err := d.before(ctx, op, l.Key)
	if err != nil {
		return err
	}
	s := d.store
	s.mu.Lock()
	defer s.mu.Unlock()
	// An id that is no number was given out by another driver, or is another prefix's: that stream is not here.
	if id, err := strconv.Atoi(l.ID); err == nil && s.streams[id].key == l.Key {
		delete(s.streams, id)
	}
	return lost
}
