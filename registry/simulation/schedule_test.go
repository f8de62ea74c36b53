package simulation

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// moods are how a random run goes. Runs differ in them more than by the choices alone, so that some go deep and some are rough.
type moods struct {
	stay    float64 // that the actor that went last goes on
	tick    float64 // that time passes although calls wait
	fail    float64 // of each call
	lose    float64
	crash   float64
	crashes int // at most
}

func newMoods(r *rand.Rand) moods {
	m := moods{stay: []float64{0, 0.5, 0.9, 0.97}[r.IntN(4)], tick: []float64{0, 0, 0.01, 0.05}[r.IntN(4)]}
	rates := []float64{0, 0, 0.002, 0.01, 0.04}
	m.fail, m.lose, m.crash = rates[r.IntN(5)], rates[r.IntN(5)], rates[r.IntN(4)]
	m.crashes = 3
	return m
}

const mostSteps = 20_000

// run schedules until all actors have ended.
func (w *world) run(r *rand.Rand, m moods) {
	last := ""
	for {
		calls, over := w.ready()
		switch {
		case over:
			return
		case w.steps > mostSteps:
			w.violate("it does not come to an end")
			w.abandon()
			return
		case len(calls) == 0:
			w.untilArrival()
			continue
		case r.Float64() < m.tick:
			d := []time.Duration{60 * time.Millisecond, time.Second, 10 * time.Second, 35 * time.Second, 75 * time.Second, 150 * time.Second}[r.IntN(6)]
			w.note("%v pass", d)
			w.plant("delays")
			time.Sleep(d)
			continue
		}
		own := calls
		if r.Float64() < m.stay {
			own = slices.DeleteFunc(slices.Clone(calls), func(c *call) bool { return c.actor.name != last })
			if len(own) == 0 {
				own = calls
			}
		}
		c := own[r.IntN(len(own))]
		last = c.actor.name
		w.step(r, m, c, calls)
	}
}

// step lets one call go on, or fail, or end its process.
func (w *world) step(r *rand.Rand, m moods, c *call, calls []*call) {
	if c.replica == nil {
		w.let(c, memory.Outcome{}, "")
		return
	}
	switch p := r.Float64(); {
	case p < m.fail:
		w.plant("failures")
		w.let(c, memory.Outcome{Err: errPlanted}, ": fails")
	case p < m.fail+m.lose && c.changes():
		w.plant("lost replies")
		w.let(c, w.lost(r, c), ": reply lost")
	case p < m.fail+m.lose+m.crash && w.faults["crashes"] < m.crashes:
		w.plant("crashes")
		w.crash(c.replica, calls, func(c *call) bool { return c.changes() && r.IntN(2) == 0 })
	default:
		w.let(c, memory.Outcome{}, "")
	}
}

// changes reports whether the call changes the store.
func (c *call) changes() bool {
	switch c.op {
	case "put", "putifabsent", "putifmatch", "delete", "commit", "suspend", "cancel", "drop":
		return true
	}
	return false
}

// lost is a reply that does not arrive. A driver that asks again then, as some do, finds its own work there.
func (w *world) lost(r *rand.Rand, c *call) memory.Outcome {
	var err error = errLost
	if r.IntN(2) == 0 {
		switch c.op {
		case "putifabsent":
			err = &drivers.Error{Op: c.op, Driver: "simulation", Key: c.key, Kind: drivers.ErrExists, Err: errLost}
		case "putifmatch":
			err = &drivers.Error{Op: c.op, Driver: "simulation", Key: c.key, Kind: drivers.ErrPrecondition, Err: errLost}
		}
	}
	return memory.Outcome{Err: err, Stored: true}
}
