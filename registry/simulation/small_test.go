//go:build !race

package simulation

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	allSmall  = flag.Bool("all", false, "try all small cases, with each fault at each call; otherwise those that are quick")
	mostSmall = flag.Int("most", 2_000_000, "how many schedules of a small case are tried at most; more are a failure")
)

func collector(at int) func(*actor) {
	return func(a *actor) { _ = a.collect(at, a.w.collections) }
}

var (
	blob0, blob1 = theUniverse.blobs[0], theUniverse.blobs[1]
	imageOne     = theUniverse.images[0] // of blob0 and blob1
	imageSmall   = theUniverse.images[5] // of blob0
)

// unlinked leaves a blob that no repository has.
func unlinked(a *actor) {
	_ = a.upload(0, "a", blob0)
	_ = a.deleteBlob(0, "a", blob0)
}

// unnamed leaves blobs in repository a that no manifest names.
func unnamed(a *actor) {
	_ = a.upload(0, "a", blob0)
}

// Cases that find many mutants.
const (
	uploadOfUnlinked = "a collector, and an upload of a blob that nobody has any more"
	uploadOfUnnamed  = "a collector, and an upload of a blob that is linked and not named"
)

var smallCases = []smallCase{
	{
		name:    uploadOfUnlinked,
		prepare: unlinked,
		names:   []string{"collector", "uploader"},
		actors:  []func(*actor){collector(0), func(a *actor) { _ = a.upload(1, "a", blob0) }},
	},
	{
		name:    uploadOfUnnamed,
		prepare: unnamed,
		names:   []string{"collector", "uploader"},
		actors:  []func(*actor){collector(0), func(a *actor) { _ = a.upload(1, "a", blob0) }},
	},
	{
		name:    "a collector, and a mount from where it is not named",
		prepare: unnamed, tame: true,
		names:  []string{"collector", "mounter"},
		actors: []func(*actor){collector(0), func(a *actor) { _, _ = a.mount(1, "b", "a", blob0) }},
	},
	{
		name:    "a collector, and a manifest that names old blobs",
		prepare: func(a *actor) { unnamed(a); _ = a.upload(0, "a", blob1) },
		names:   []string{"collector", "pusher"},
		actors:  []func(*actor){collector(0), func(a *actor) { _ = a.push(1, "a", "t", imageOne) }},
	},
	{
		name:    "a collector whose announcements may become void, and an upload of a blob that nobody has any more",
		prepare: unlinked, leap: true, wild: true,
		names:  []string{"collector", "uploader"},
		actors: []func(*actor){collector(0), func(a *actor) { _ = a.upload(1, "a", blob0) }},
	},
	{
		name:    "a collector whose announcements may become void, and a manifest that names an old blob",
		prepare: unnamed, leap: true, wild: true,
		names:  []string{"collector", "pusher"},
		actors: []func(*actor){collector(0), func(a *actor) { _ = a.push(1, "a", "t", imageSmall) }},
	},
	{
		name:    "two collectors that do not see each other, and a mount from where it is not named",
		prepare: unnamed, apart: true, wild: true,
		names:  []string{"collector 1", "collector 2", "mounter"},
		actors: []func(*actor){collector(0), collector(1), func(a *actor) { _, _ = a.mount(2, "b", "a", blob0) }},
	},
	{
		name:    "two collectors that do not see each other",
		prepare: unlinked, apart: true,
		names:  []string{"collector 1", "collector 2"},
		actors: []func(*actor){collector(0), collector(1)},
	},
	{
		name:    "two collectors that do not see each other, and an upload of a blob that nobody has any more",
		prepare: unlinked, apart: true, wild: true,
		names:  []string{"collector 1", "collector 2", "uploader"},
		actors: []func(*actor){collector(0), collector(1), func(a *actor) { _ = a.upload(2, "a", blob0) }},
	},
	{
		name:    "a collector, and a push of an image with a new blob and an old one",
		prepare: unnamed,
		names:   []string{"collector", "pusher"},
		actors: []func(*actor){collector(0), func(a *actor) {
			if a.upload(1, "a", blob1) == nil {
				if has, _ := a.has(1, "a", blob0); has {
					_ = a.push(1, "a", "t", imageOne)
				}
			}
		}},
	},
	{
		name:    "a DELETE of a manifest, and a push of the same",
		prepare: func(a *actor) { _ = a.upload(0, "a", blob0); _ = a.push(0, "a", "t", imageSmall) },
		names:   []string{"deleter", "pusher"},
		actors: []func(*actor){
			func(a *actor) { _ = a.deleteManifest(0, "a", imageSmall) },
			func(a *actor) { _ = a.push(1, "a", "t", imageSmall) },
		},
	},
	{
		name:    "a DELETE of a manifest, and a push of the same with another tag",
		prepare: func(a *actor) { _ = a.upload(0, "a", blob0); _ = a.push(0, "a", "t", imageSmall) },
		names:   []string{"deleter", "pusher"},
		actors: []func(*actor){
			func(a *actor) { _ = a.deleteManifest(0, "a", imageSmall) },
			func(a *actor) { _ = a.push(1, "a", "u", imageSmall) },
		},
	},
	{
		name:    "a collector, a DELETE of a manifest and then a push of the same",
		prepare: func(a *actor) { _ = a.upload(0, "a", blob0); _ = a.push(0, "a", "t", imageSmall) },
		names:   []string{"collector", "client"},
		actors: []func(*actor){collector(0), func(a *actor) {
			_ = a.deleteManifest(1, "a", imageSmall)
			_ = a.push(1, "a", "t", imageSmall)
		}},
	},
	{
		name:    "a collector, and another one that does not see it and is followed by an upload of the blob that it took",
		prepare: unlinked, apart: true, long: true,
		names: []string{"collector", "collector and uploader"},
		actors: []func(*actor){collector(0), func(a *actor) {
			collector(1)(a)
			_ = a.upload(1, "a", blob0)
		}},
	},
	{
		name:    "a collector, a DELETE of a blob and then an upload of the same",
		prepare: unnamed, long: true,
		names: []string{"collector", "client"},
		actors: []func(*actor){collector(0), func(a *actor) {
			_ = a.deleteBlob(1, "a", blob0)
			_ = a.upload(1, "a", blob0)
		}},
	},
	{
		name:    "a collector that takes untagged manifests, and a push of one with a tag",
		prepare: untaggedSmall, untagged: true,
		names:  []string{"collector", "pusher"},
		actors: []func(*actor){collector(0), func(a *actor) { _ = a.push(1, "a", "t", imageSmall) }},
	},
	{
		name:    "a collector that takes untagged manifests, a DELETE of one and then a push of the same",
		prepare: untaggedSmall, untagged: true,
		names: []string{"collector", "client"},
		actors: []func(*actor){collector(0), func(a *actor) {
			_ = a.deleteManifest(1, "a", imageSmall)
			_ = a.push(1, "a", "t", imageSmall)
		}},
	},
	{
		name: "a collector that takes untagged manifests, and a tag that moves, with a history",
		prepare: func(a *actor) {
			_ = a.upload(0, "a", blob1)
			_ = a.push(0, "a", "u", imageOne)
			taggedSmall(a)
		}, untagged: true, history: true,
		names:  []string{"collector", "pusher"},
		actors: []func(*actor){collector(0), func(a *actor) { _ = a.push(1, "a", "t", imageOne) }},
	},
	{
		name:    "a collector that takes untagged manifests, and an upload and a push of one",
		prepare: untaggedSmall, untagged: true, wild: true,
		names: []string{"collector", "pusher"},
		actors: []func(*actor){collector(0), func(a *actor) {
			_ = a.upload(1, "a", blob0)
			_ = a.push(1, "a", "t", imageSmall)
		}},
	},
	{
		name:    "a collector whose rule takes a tag, and a push of the same again",
		prepare: taggedSmall, rule: true, long: true,
		names:  []string{"collector", "pusher"},
		actors: []func(*actor){collector(0), func(a *actor) { _ = a.push(1, "a", "t", imageSmall) }},
	},
	{
		name:    "two pushes that move a tag from where it is",
		prepare: func(a *actor) { _ = a.upload(0, "a", blob1); _ = a.push(0, "a", "u", imageOne); taggedSmall(a) },
		names:   []string{"pusher 1", "pusher 2"},
		actors: []func(*actor){
			func(a *actor) { a.moveOnce(0) },
			func(a *actor) { a.moveOnce(1) },
		},
	},
}

func taggedSmall(a *actor) { _ = a.upload(0, "a", blob0); _ = a.push(0, "a", "t", imageSmall) }

// untaggedSmall leaves a manifest to which no tag leads.
func untaggedSmall(a *actor) {
	taggedSmall(a)
	_ = a.deleteTag(0, "a", "t")
}

// moveOnce moves the tag t from one image to another, which only one can do.
func (a *actor) moveOnce(at int) {
	if a.pushIf(at, "a", "t", imageOne, imageSmall) != nil {
		return
	}
	for _, other := range a.w.actors {
		if other.moved {
			a.w.violate("I1: %s moved a tag from where it was not any more", a.name)
		}
	}
	a.moved = true
}

func TestAllSchedulesOfSmallCases(t *testing.T) {
	for _, c := range smallCases {
		if !c.wild || *allSmall {
			t.Run(c.name, func(t *testing.T) { c.try(t) })
		}
		if c.tame || *allSmall {
			c.faults = true
			t.Run(c.name+", with a fault", func(t *testing.T) { c.try(t) })
		}
	}
}

func (c smallCase) try(t *testing.T) {
	var e explorer
	began := time.Now()
	o := e.explore(t, c, *mostSmall)
	t.Logf("%d schedules, %d with a fault, %d crashes, %d cut, %d calls, %v", e.runs, e.faulty, e.crashes, e.cut, e.calls, time.Since(began).Round(time.Second))
	if o != nil {
		t.Error(o)
	}
}

// Schedules taken by chance have to be among those that were tried, but for the order of independent calls.
func TestTheExplorerLeavesOutNothingElse(t *testing.T) {
	for _, c := range smallCases {
		if c.wild || c.long {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			e := explorer{seen: map[string]bool{}}
			if o := e.explore(t, c, *mostSmall); o != nil {
				t.Fatal(o)
			}
			met := map[string]bool{}
			for seed := range uint64(500) {
				r := rand.New(rand.NewPCG(seed, 1))
				var taken []choice
				o := inBubble(t, 1, func() *world {
					w := c.begin()
					taken = w.wander(r, c)
					return w
				})
				if !e.seen[form(taken)] {
					t.Fatalf("not among the %d schedules tried: %v", len(e.seen), o)
				}
				met[form(taken)] = true
			}
			t.Logf("met %d of %d different schedules", len(met), len(e.seen))
		})
	}
}

// wander takes choices by chance.
func (w *world) wander(r *rand.Rand, c smallCase) (taken []choice) {
	stay := []float64{0, 0.8, 0.97}[r.IntN(3)] // with the same actor
	for {
		calls, over := w.ready()
		if over {
			return taken
		}
		if len(calls) == 0 {
			w.untilArrival()
			continue
		}
		choices := c.choices(w, calls)
		next := choices[r.IntN(len(choices))]
		if r.Float64() < stay && len(taken) > 0 {
			for _, c := range choices {
				if c.actor == taken[len(taken)-1].actor {
					next = c
				}
			}
		}
		taken = append(taken, next)
		w.take(next, calls)
	}
}
