//go:build !race

package simulation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/registry"
)

// smallCase is a situation so small that all its schedules can be tried.
type smallCase struct {
	name    string
	prepare func(*actor)   // what was done days ago
	lately  func(*actor)   // what was done just now; may be nil
	actors  []func(*actor) // each has a replica of its own, the one of its number
	names   []string       // of the actors

	leap   bool // at one point of a schedule where something is announced, so much time passes that announcements become void
	faults bool // one call of a schedule fails, loses its reply, or is the last one of its process
	apart  bool // collectors do not see each other\'s lease
	tame   bool // few enough schedules to be tried with faults each time
	long   bool // so many that they are tried once only
	wild   bool // so many schedules that they are tried on demand alone

	untagged bool // manifests to which no tag leads are removed
	history  bool // a history is kept
	rule     bool // all old tags are removed

	broken breakage
}

// choice is one way to go on.
type choice struct {
	name    string
	actor   string
	op, key string
	call    *call // in the run where it was found
	fault   string
}

// independent reports whether it makes no difference which of two choices is taken first.
func (a choice) independent(b choice) bool {
	if a.op == "leap" || b.op == "leap" {
		return false
	}
	if (a.fault != "" || b.fault != "") && a.actor == b.actor || a.fault != "" && b.fault != "" {
		return false
	}
	if a.op == "pause" || b.op == "pause" || !a.changes() && !b.changes() {
		return true
	}
	return !a.touches(b) && !b.touches(a)
}

func (a choice) changes() bool { return (&call{op: a.op}).changes() }

// touches reports whether a looks at, or changes, the key of b.
func (a choice) touches(b choice) bool {
	switch a.op {
	case "list":
		return strings.HasPrefix(b.key, a.key)
	case "leftovers":
		return strings.HasPrefix(b.key, "data/")
	}
	return a.key == b.key
}

// node is a point of a schedule where there was a choice.
type node struct {
	choices []choice
	asleep  []choice // need not be tried: what they lead to has been seen on another branch
	tried   []choice
	taken   choice
}

// next takes the first choice that has not been tried and is not asleep.
func (n *node) next() bool {
	for _, c := range n.choices {
		same := func(o choice) bool { return o.name == c.name }
		if !slices.ContainsFunc(n.asleep, same) && !slices.ContainsFunc(n.tried, same) {
			n.taken = c
			return true
		}
	}
	return false
}

// explorer goes through all schedules depth first, leaving out those that differ from another one only in the order of independent
// calls ("sleep sets", Godefroid 1996).
type explorer struct {
	path    []*node
	runs    int // to their end
	cut     int // runs that were broken off, since what they would have come to had been seen
	calls   int
	crashes int
	faulty  int // runs with a fault

	seen map[string]bool     // forms of the runs, if not nil
	goOn func(*outcome) bool // whether to go on after a violation; nil: never
}

// explore runs schedules until all have been tried or stop says so.
func (e *explorer) explore(t *testing.T, c smallCase, most int) *outcome {
	for {
		whole := true
		o := inBubble(t, 1, func() *world {
			w := c.begin()
			var taken []choice
			taken, whole = e.run(w, c)
			if whole && e.seen != nil {
				e.seen[form(taken)] = true
			}
			if whole {
				w.settle()
			}
			return w
		})
		if len(o.violations) > 0 && (e.goOn == nil || !e.goOn(o)) {
			return o
		}
		e.calls += o.steps
		e.crashes += o.faults["crashes"]
		if whole {
			e.runs++
			if len(o.faults) > o.faults["delays"] {
				e.faulty++
			}
		} else {
			e.cut++
		}
		if !e.back() {
			return nil
		}
		if e.runs+e.cut >= most {
			return &outcome{violations: []string{fmt.Sprintf("%d schedules are not all", most)}}
		}
	}
}

// back goes to the last point where something is left to try.
func (e *explorer) back() bool {
	for len(e.path) > 0 {
		n := e.path[len(e.path)-1]
		n.tried = append(n.tried, n.taken)
		if n.next() {
			return true
		}
		e.path = e.path[:len(e.path)-1]
	}
	return false
}

// begin makes the world of a case.
func (c *smallCase) begin() *world {
	w := newWorld(1000)
	w.broken, w.apart = c.broken, c.apart
	if c.untagged {
		w.collections.Untagged = grace
	}
	if c.rule {
		w.collections.Retention = []registry.RetentionRule{{}}
	}
	if c.history {
		w.options.HistoryKeep = 10 * 24 * time.Hour
	}
	w.open()
	before := &actor{w: w, name: "before", direct: true}
	c.prepare(before)
	w.closeAll()
	time.Sleep(grace + 24*time.Hour)
	for range c.actors {
		w.open()
	}
	if c.lately != nil {
		c.lately(before)
	}
	for i, program := range c.actors {
		w.start(c.names[i], program)
	}
	return w
}

// run goes along the path and then takes the first choice each time. whole is false if it broke off.
func (e *explorer) run(w *world, c smallCase) (all []choice, whole bool) {
	for depth := 0; ; {
		calls, over := w.ready()
		if over {
			return all, true
		}
		if w.steps > mostSteps {
			w.violate("it does not come to an end")
			w.abandon()
			return all, true
		}
		if len(calls) == 0 {
			w.untilArrival()
			continue
		}
		choices := c.choices(w, calls)
		if depth == len(e.path) {
			n := &node{choices: choices}
			if depth > 0 {
				before := e.path[depth-1]
				for _, o := range slices.Concat(before.asleep, before.tried) {
					if o.independent(before.taken) {
						n.asleep = append(n.asleep, o)
					}
				}
			}
			if !n.next() {
				w.abandon()
				return all, false
			}
			e.path = append(e.path, n)
		}
		taken := e.path[depth].taken.name
		i := slices.IndexFunc(choices, func(c choice) bool { return c.name == taken })
		if i < 0 {
			w.violate("the same choices led elsewhere: %s can't be taken", taken)
			w.abandon()
			return all, true
		}
		all = append(all, choices[i])
		w.take(choices[i], calls)
		depth++
	}
}

// choices are all ways to go on. Calls come before faults.
func (c *smallCase) choices(w *world, calls []*call) (all []choice) {
	add := func(p *call, fault string) {
		all = append(all, choice{name: p.name() + fault, actor: p.actor.name, op: p.op, key: p.place, call: p, fault: fault})
	}
	for _, p := range calls {
		add(p, "")
	}
	if c.leap && w.faults["delays"] == 0 && w.announced() {
		all = append(all, choice{name: "leap", op: "leap"})
	}
	if !c.faults || w.faults["failures"]+w.faults["lost replies"]+w.faults["crashes"] > 0 {
		return all
	}
	for _, p := range calls {
		if p.replica == nil {
			continue
		}
		add(p, ": fails")
		add(p, ": crash, not done")
		if p.changes() {
			add(p, ": reply lost")
			add(p, ": crash, done")
		}
	}
	return all
}

func (w *world) take(c choice, calls []*call) {
	switch c.fault {
	case ": fails":
		w.plant("failures")
		w.let(c.call, memory.Outcome{Err: errPlanted}, c.fault)
		return
	case ": reply lost":
		w.plant("lost replies")
		w.let(c.call, memory.Outcome{Err: errLost, Stored: true}, c.fault)
		return
	case ": crash, not done", ": crash, done":
		w.plant("crashes")
		w.crash(c.call.replica, calls, func(p *call) bool { return p == c.call && c.fault == ": crash, done" })
		return
	}
	if c.op == "leap" {
		w.plant("delays")
		w.note("time passes")
		time.Sleep(2 * time.Minute)
		return
	}
	w.let(c.call, memory.Outcome{}, "")
}

// form is the same for two schedules if and only if they differ in the order of independent choices alone: each choice is in the first
// layer after all that it depends on (Foata's normal form).
func form(taken []choice) string {
	var layers [][]string
	level := make([]int, len(taken))
	for i, c := range taken {
		for j := range i {
			if !c.independent(taken[j]) {
				level[i] = max(level[i], level[j]+1)
			}
		}
		if level[i] == len(layers) {
			layers = append(layers, nil)
		}
		layers[level[i]] = append(layers[level[i]], c.name)
	}
	var b strings.Builder
	for _, layer := range layers {
		slices.Sort(layer)
		b.WriteString(strings.Join(layer, "\n") + "\n\n")
	}
	return b.String()
}

// announced reports whether the store has an announcement, void or not.
func (w *world) announced() bool {
	d := w.store.Reopen(nil)
	for _, key := range []string{"repos/a/_condemned", "repos/b/_condemned"} {
		if _, err := d.Stat(context.Background(), key); err == nil {
			return true
		}
	}
	for range d.List(context.Background(), "condemned/", "", "") {
		return true
	}
	return false
}
