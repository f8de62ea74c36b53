package simulation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/registry"
)

var (
	errPlanted = errors.New("planted: not done")
	errLost    = errors.New("planted: reply lost")
	errGone    = errors.New("planted: the process is gone")
	errSlow    = errors.New("planted: a call took longer than its request allows, or one of several at once failed")
)

// world is one run: a store, replicas on it, and actors that use them. It lives in a synctest bubble.
type world struct {
	store    *memory.Driver
	options  registry.Options
	broken   breakage
	apart    bool // collectors do not see each other\'s lease
	universe *universe
	history  history

	collections registry.CollectOptions // of all collections
	clocks      []time.Duration         // by how much those of the replicas are ahead, one after the other; none: not at all

	replicas []*replica
	actors   []*actor

	mu      sync.Mutex
	pending []*call
	alive   int           // actors that have not ended
	arrived chan struct{} // has one when something changed

	trace      []event
	violations []string
	faults     map[string]int
	steps      int
	processes  int // that worked at the same time, and those that took the place of dead ones
	restored   int // tags, at the end
	leaked     int // bytes that were left at the end
}

// breakage is how the protocol is broken on purpose; the zero value is not at all.
type breakage struct {
	calls  func(drivers.Driver) drivers.Driver
	clocks []time.Duration // see world
}

// newWorld makes an empty store. page is how many keys a request to list it returns.
func newWorld(page int) *world {
	w := &world{universe: theUniverse, arrived: make(chan struct{}, 1), faults: map[string]int{}}
	w.store = memory.New(memory.Options{
		Immutable: []string{"data/"}, Page: page,
		OnViolation: func(err error) { w.violate("I3: %v", err) },
	})
	w.options.Log, w.options.CacheMemory = slog.New(slog.DiscardHandler), 1 // the least: a run opens many registries
	return w
}

// violate notes that an invariant does not hold.
func (w *world) violate(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}

// event is a line of the trace: what became of a call or, without a call, something else.
type event struct {
	call *call
	text string
}

func (e event) String() string {
	switch {
	case e.call == nil:
		return e.text
	case e.call.key != e.call.place:
		return e.call.name() + " " + e.call.key + e.text
	}
	return e.call.name() + e.text
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, event{text: fmt.Sprintf(format, args...)})
}

// replica is one process.
type replica struct {
	*registry.Registry
	w      *world
	id     int
	ctx    context.Context
	cancel context.CancelFunc

	mu   sync.Mutex
	gone bool
}

// open starts a process.
func (w *world) open() *replica {
	r := &replica{w: w, id: len(w.replicas)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	var d drivers.Driver = w.store.Reopen(r.ask)
	if w.apart {
		d = ownLease(d)
	}
	if w.broken.calls != nil {
		d = w.broken.calls(d)
	}
	o := w.options
	if clocks := cmp.Or(len(w.broken.clocks), len(w.clocks)); clocks > 0 {
		ahead := append(w.broken.clocks, w.clocks...)[r.id%clocks]
		o.Now = func() time.Time { return time.Now().Add(ahead) }
	}
	reg, err := registry.Open(r.ctx, d, o)
	if err != nil {
		panic(err) // no call of Open is scheduled, so none fails
	}
	r.Registry = reg
	w.replicas = append(w.replicas, r)
	return r
}

// closeAll ends all processes in an orderly way, after their last request.
func (w *world) closeAll() {
	for _, r := range w.replicas {
		r.mu.Lock()
		r.gone = true
		r.mu.Unlock()
		r.cancel()
		r.Close()
	}
	w.replicas = nil
}

func (r *replica) isGone() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gone
}

// live is the replica at or after i that has not died. If all have, a new one is started.
func (w *world) live(i int) *replica {
	for n := range w.replicas {
		if r := w.replicas[(i+n)%len(w.replicas)]; !r.isGone() {
			return r
		}
	}
	return w.open()
}

// actor is who makes requests: a client, a collector. It does one thing after the other; a request can have many
// calls to the store under way at once.
type actor struct {
	w     *world
	name  string
	calls map[string]int // how often it made each call

	doing  string // in the request under way
	tag    string // of the push under way
	mu     sync.Mutex
	tagged bool // it has put a tag in the request under way
	moved  bool // see moveOnce
	whole  bool // what it pulls hangs on a tag
	direct bool // its calls are not scheduled: it prepares the store or looks at the end
	breaks bool // it is direct, and follows the broken protocol, if there is one
}

type actorKey struct{}

// ctx is the context of a request that the actor makes to r. It ends when r dies.
func (a *actor) ctx(r *replica) context.Context {
	if a.direct && !a.breaks {
		return r.ctx
	}
	return context.WithValue(r.ctx, actorKey{}, a)
}

// call is a call to the store that waits to be let go on.
type call struct {
	actor   *actor
	replica *replica // nil for a pause between two requests
	op, key string
	place   string // the key without what is random in it
	n       int    // how many of the same the actor made before
	grant   chan memory.Outcome
}

// name identifies the call in all runs that make it.
func (c *call) name() string { return fmt.Sprintf("%s %s %s #%d", c.actor.name, c.op, c.place, c.n) }

// placeOf is a key without its random part, which depends on what others do.
func placeOf(key string) string {
	for _, prefix := range []string{"data/", "uploads/", "gc/log/", "gc/named/"} {
		if strings.HasPrefix(key, prefix) {
			return prefix
		}
	}
	for _, section := range []string{"/_deleting/", "/_history/"} {
		if i := strings.Index(key, section); i >= 0 {
			return key[:i+len(section)]
		}
	}
	return key
}

// ask is the store's hook: it holds each call until the scheduler lets it go on. Calls outside of any actor's request go on at once.
func (r *replica) ask(ctx context.Context, op, key string) memory.Outcome {
	if r.isGone() {
		return memory.Outcome{Err: errGone}
	}
	a, _ := ctx.Value(actorKey{}).(*actor)
	if a == nil || a.direct || op == "read" || op == "write" { // those two change nothing that others see
		return memory.Outcome{}
	}
	return a.park(ctx, r, op, key)
}

func (a *actor) park(ctx context.Context, r *replica, op, key string) memory.Outcome {
	c := &call{actor: a, replica: r, op: op, key: key, place: placeOf(key), grant: make(chan memory.Outcome, 1)}
	w := a.w
	w.mu.Lock()
	id := op + " " + c.place
	c.n = a.calls[id]
	a.calls[id]++
	w.pending = append(w.pending, c)
	w.mu.Unlock()
	w.wake()
	select {
	case out := <-c.grant:
		return out
	case <-ctx.Done(): // a time limit of the request's own
		w.mu.Lock()
		w.pending = slices.DeleteFunc(w.pending, func(p *call) bool { return p == c })
		w.mu.Unlock()
		return memory.Outcome{}
	}
}

// pause is where an actor is between two requests.
func (a *actor) pause() {
	if !a.direct {
		a.park(context.Background(), nil, "pause", "")
	}
}

func (w *world) wake() {
	select {
	case w.arrived <- struct{}{}:
	default:
	}
}

// start lets an actor begin. Nothing of it happens before the scheduler runs.
func (w *world) start(name string, program func(*actor)) {
	a := &actor{w: w, name: name, calls: map[string]int{}}
	w.actors = append(w.actors, a)
	w.alive++
	go func() {
		defer func() {
			w.mu.Lock()
			w.alive--
			w.mu.Unlock()
			w.wake()
		}()
		a.pause()
		program(a)
	}()
}

// ready waits until everybody waits for the scheduler or the clock. It returns the calls that wait, in an order that does not depend on
// how goroutines run; over says that all actors have ended.
func (w *world) ready() (calls []*call, over bool) {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	calls = slices.Clone(w.pending)
	slices.SortFunc(calls, func(a, b *call) int {
		return cmp.Or(strings.Compare(a.actor.name, b.actor.name), strings.Compare(a.op, b.op), strings.Compare(a.key, b.key), cmp.Compare(a.n, b.n))
	})
	return calls, w.alive == 0
}

// untilArrival lets the clock go on to where something happens.
func (w *world) untilArrival() {
	select { // drops what arrived before
	case <-w.arrived:
	default:
	}
	const stuck = time.Hour
	select {
	case <-w.arrived:
	case <-time.After(stuck):
		w.violate("nothing goes on any more")
	}
}

// let lets one call go on with an outcome.
func (w *world) let(c *call, out memory.Outcome, how string) {
	w.mu.Lock()
	w.pending = slices.DeleteFunc(w.pending, func(p *call) bool { return p == c })
	w.steps++
	w.trace = append(w.trace, event{c, how})
	w.mu.Unlock()
	c.grant <- out
}

// crash ends the replica's process. stored says which of its calls that are under way reach the store before.
func (w *world) crash(r *replica, calls []*call, stored func(*call) bool) {
	r.mu.Lock()
	r.gone = true
	r.mu.Unlock()
	w.note("crash of replica %d", r.id)
	for _, c := range calls {
		if c.replica != r {
			continue
		}
		out, how := memory.Outcome{Err: errGone}, ": crash, not done"
		if stored(c) {
			out.Stored, how = true, ": crash, done"
		}
		w.let(c, out, how)
		synctest.Wait()
	}
	r.cancel()
	synctest.Wait()
	r.Close()
}

// abandon ends all processes as they are.
func (w *world) abandon() {
	for _, r := range slices.Clone(w.replicas) {
		if !r.isGone() {
			calls, _ := w.ready()
			w.crash(r, calls, func(*call) bool { return false })
		}
	}
	for { // clients see errors and end
		calls, over := w.ready()
		if over {
			return
		}
		for _, c := range calls {
			w.let(c, memory.Outcome{Err: errGone}, "")
			synctest.Wait()
		}
		if len(calls) == 0 {
			w.untilArrival()
		}
	}
}
