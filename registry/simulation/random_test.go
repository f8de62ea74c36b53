package simulation

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

// outcome is what came of one run.
type outcome struct {
	violations []string
	trace      []event
	faults     map[string]int
	steps      int // calls to the store, and pauses
	processes  int
	actors     int
	restored   int // tags
	leaked     int // bytes
}

// String tells what was done and then what is wrong. Digests have the names of what they are of.
func (o *outcome) String() string {
	var names []string
	for _, b := range theUniverse.blobs {
		names = append(names, b.digest.Encoded(), strings.ReplaceAll(string(b.bytes), " ", "-"))
	}
	for _, i := range theUniverse.images {
		names = append(names, i.digest.Encoded(), "manifest-"+i.name)
	}
	var all []string
	for _, e := range o.trace {
		all = append(all, e.String())
	}
	all = append(append(all, "", "violated:"), o.violations...)
	return strings.NewReplacer(names...).Replace(strings.Join(all, "\n"))
}

// inBubble runs f with a clock of its own, and with the same random numbers for the same seed.
func inBubble(t *testing.T, seed uint64, f func() *world) *outcome {
	var o *outcome
	synctest.Test(t, func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, seed)
		w := f()
		w.closeAll()
		o = &outcome{
			violations: w.violations, trace: w.trace, faults: w.faults, steps: w.steps,
			processes: w.processes, actors: len(w.actors), restored: w.restored, leaked: w.leaked,
		}
	})
	return o
}

// size is how much goes on in a random run.
type size struct {
	replicas, clients, actions, collectors, collections, before int // at most
}

var sizes = []size{
	{replicas: 2, clients: 2, actions: 2, collectors: 1, collections: 1, before: 5},
	{replicas: 3, clients: 3, actions: 4, collectors: 2, collections: 2, before: 8},
	{replicas: 4, clients: 6, actions: 10, collectors: 3, collections: 3, before: 25},
}

// runRandom is the run of one seed.
func runRandom(seed uint64, b breakage) *world {
	r := rand.New(rand.NewPCG(seed, 1))
	w := newWorld([]int{1000, 1000, 3}[r.IntN(3)])
	w.broken, w.apart = b, r.IntN(2) == 0
	if r.IntN(3) == 0 {
		w.collections.Untagged = grace
	}
	if r.IntN(4) == 0 {
		w.options.HistoryKeep = 4 * 24 * time.Hour
	}
	if r.IntN(3) == 0 {
		w.clocks = []time.Duration{0, 14 * time.Second, -14 * time.Second} // within what they may differ
	}
	large := sizes[[]int{0, 0, 0, 1, 1, 1, 1, 1, 1, 2}[r.IntN(10)]]
	for range 1 + large.replicas/2 + r.IntN(1+large.replicas/2) {
		w.open()
	}
	w.prepare(r, large.before)
	w.processes = len(w.replicas)
	for i := range 1 + r.IntN(large.clients) {
		random := rand.New(rand.NewPCG(seed, uint64(100+i)))
		w.start(fmt.Sprintf("client %d", i), func(a *actor) {
			for range 1 + random.IntN(large.actions) {
				a.act(random)
			}
		})
	}
	for i := range min(large.collectors, []int{0, 1, 1, 1, 2, 2, 3}[r.IntN(7)]) {
		random := rand.New(rand.NewPCG(seed, uint64(200+i)))
		w.start(fmt.Sprintf("collector %d", i), func(a *actor) {
			for range 1 + random.IntN(large.collections) {
				_ = a.collect(random.IntN(4), w.collections)
			}
		})
	}
	w.run(r, newMoods(r))
	w.processes = max(w.processes, len(w.replicas))
	w.settle()
	return w
}

// settle checks the store as it is, then what can be had back, and what is there two collections later.
func (w *world) settle() {
	if len(w.violations) == 0 {
		w.lookAtAll("at the end")
	}
	if len(w.violations) == 0 {
		w.restoreAll()
	}
	if len(w.violations) == 0 {
		w.leaked = w.collectAll()
	}
}

// prepare fills the store with things of all ages, as a life before would have left them.
func (w *world) prepare(r *rand.Rand, most int) {
	a := &actor{w: w, name: "before", direct: true}
	replicas := len(w.replicas)
	for range r.IntN(3) {
		for range r.IntN(most) {
			a.act(r)
		}
		w.closeAll()
		time.Sleep(time.Duration(1+r.IntN(4)) * 30 * time.Hour)
		for range replicas {
			w.open()
		}
	}
}

// act does one of the things that clients do.
func (a *actor) act(r *rand.Rand) {
	at := r.IntN(4)
	repo, tag := repos[r.IntN(len(repos))], tags[r.IntN(len(tags))]
	i := a.w.universe.images[r.IntN(len(a.w.universe.images))]
	b := a.w.universe.blobs[r.IntN(len(a.w.universe.blobs))]
	switch r.IntN(20) {
	case 0:
		_ = a.deleteTag(at, repo, tag)
	case 1:
		_ = a.deleteManifest(at, repo, i)
	case 2:
		_ = a.deleteBlob(at, repo, b)
	case 3:
		_ = a.bring(r, repo, b)
	case 4:
		a.pull(at, repo, tag)
	case 5:
		was := a.w.universe.images[r.IntN(len(a.w.universe.images))]
		if r.IntN(2) == 0 {
			was = nil
		}
		_ = a.pushIf(at, repo, tag, i, was)
	case 6:
		for _, past := range a.w.universe.images {
			if a.w.restorable(repo, tag, past) {
				i = past
			}
		}
		_ = a.restoreTag(at, repo, tag, i)
	case 7:
		if r.IntN(3) == 0 {
			_ = a.deleteRepository(at, repo)
		}
	case 8, 9:
		_ = a.bringImage(r, repo, "", i)
	default:
		_ = a.bringImage(r, repo, tag, i)
	}
}

// bringImage pushes an image with all that it names, and once more what failed.
func (a *actor) bringImage(r *rand.Rand, repo, tag string, i *image) (err error) {
	for range 2 {
		err = nil
		for _, b := range i.blobs {
			if err = a.bring(r, repo, b); err != nil {
				break
			}
		}
		for _, c := range i.children {
			if err == nil {
				err = a.bringImage(r, repo, "", c)
			}
		}
		if err == nil {
			err = a.push(r.IntN(3), repo, tag, i)
		}
		if err == nil {
			return nil
		}
	}
	return err
}

// bring gets a blob into a repository the way one client or another does.
func (a *actor) bring(r *rand.Rand, repo string, b blob) error {
	switch r.IntN(4) {
	case 0:
		if has, err := a.has(r.IntN(3), repo, b); has || err != nil {
			return err
		}
	case 1:
		if mounted, err := a.mount(r.IntN(3), repo, repos[r.IntN(len(repos))], b); mounted || err != nil {
			return err
		}
	}
	if r.IntN(3) == 0 {
		return a.uploadInParts(r.IntN(3), r.IntN(3), repo, b)
	}
	return a.upload(r.IntN(3), repo, b)
}
