package simulation

import (
	"math"
	"slices"
	"sync"
	"time"
)

// history is what clients did and were told. From it follows what a read may answer, whatever happened within the store.
type history struct {
	mu     sync.Mutex
	clock  int // orders beginnings and ends
	writes map[register][]*write

	unfinished map[string]bool // repositories of which a deletion was broken off
}

// register is something that has one value at a time: a tag, a manifest in a repository, a blob in a repository.
type register struct {
	kind string // tag, manifest, blob
	repo string
	name string // of the tag, or a digest
}

const (
	tagKind      = "tag"
	manifestKind = "manifest"
	blobKind     = "blob"

	present = "present"
	absent  = ""
)

// write is a request that gives a register a value, or a try.
type write struct {
	value      string
	only       string // not "": the register loses its value if it is this one
	start, end int
	done       bool // it was acknowledged; otherwise it may have had its effect or not, at any time between start and end
	forever    bool // what it takes away can't be had back
	at         time.Time
}

const never = math.MaxInt

func (h *history) now() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	return h.clock
}

// begin notes that a request begins that may change r.
func (h *history) begin(r register, value, only string) *write {
	start := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	w := &write{value: value, only: only, start: start, end: never}
	if h.writes == nil {
		h.writes = map[register][]*write{}
	}
	h.writes[r] = append(h.writes[r], w)
	return w
}

// end notes that the request was answered, or that its client has given up.
func (h *history) end(done bool, all ...*write) {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range all {
		w.end, w.done, w.at = now, done, time.Now()
	}
}

// forget takes back a request that surely had no effect.
func (h *history) forget(all ...*write) {
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range all {
		w.start, w.end, w.done = never, now, false
	}
}

// mayBe reports whether a read that began and ended then may find the value.
func (h *history) mayBe(r register, value string, start, end int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	writes := h.writes[r]
	// after says whether something surely changed value between a point and the read.
	changed := func(value string, after int) bool {
		for _, w := range writes {
			if w.done && w.start > after && w.end < start && (w.only == "" || w.only == value) {
				return true
			}
		}
		return false
	}
	if value == absent && !changed(absent, -1) {
		return true
	}
	for _, w := range writes {
		if w.start > end {
			continue
		}
		if w.only == "" {
			if w.value == value && !changed(value, w.end) {
				return true
			}
			continue
		}
		if value != absent {
			continue
		}
		for _, before := range writes { // that w may have found
			if before.only == "" && before.value == w.only && before.start < w.end && !changed(absent, max(before.end, w.end)) {
				return true
			}
		}
	}
	return false
}

// must reports whether every read that began and ended then finds the value.
func (h *history) must(r register, value string, start, end int) bool {
	if !h.mayBe(r, value, start, end) {
		return false
	}
	for _, other := range h.values(r) {
		if other != value && h.mayBe(r, other, start, end) {
			return false
		}
	}
	return true
}

func (h *history) values(r register) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := []string{absent}
	for _, w := range h.writes[r] {
		all = append(all, w.value)
	}
	return all
}

// lately reports whether the value was acknowledged so lately that it stays for that reason alone.
func (h *history) lately(r register, value string, life time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.writes[r] {
		if w.done && w.value == value && time.Since(w.at) < life {
			return true
		}
	}
	return false
}

// longAgo reports whether anyone has tried to write the register longer ago than age.
func (h *history) longAgo(r register, age time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.writes[r] {
		if w.end != never && time.Since(w.at) > age {
			return true
		}
	}
	return false
}

// tried reports whether any request could have given the register the value before that point.
func (h *history) tried(r register, value string, before int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.writes[r] {
		if w.value == value && w.only == "" && w.start < before {
			return true
		}
	}
	return false
}

// lostSince reports whether a request to take the value away may have had its effect after the last one that surely gave it, and had ended by then.
func (h *history) lostSince(r register, value string, then int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.writes[r] {
		if w.value != absent || w.start == never {
			continue
		}
		restored := false
		for _, again := range h.writes[r] {
			restored = restored || again.done && again.value == value && again.start > w.end && again.end <= then
		}
		if !restored {
			return true
		}
	}
	return false
}

// past reports whether the register had the value, was told to have another one by a later request, and both so lately that less time than
// life has passed since. Requests that took it away while it was given are none that count: what they found there is not known.
func (h *history) past(r register, value string, life time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	writes := h.writes[r]
	for _, w := range writes {
		if !w.done || w.value != value || time.Since(w.at) > life {
			continue
		}
		ended, unclear := false, false
		for _, other := range writes {
			ended = ended || other.done && other.value != value && (other.only == "" || other.only == value) && other.start > w.end
			unclear = unclear || other.value == absent && other.start != never && other.start < w.end && other.end > w.start
		}
		if ended && !unclear {
			return true
		}
	}
	return false
}

// goneForever reports whether the register may have lost its value in a way that can't be undone.
func (h *history) goneForever(r register) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.writes[r] {
		if w.forever && w.start != never {
			return true
		}
	}
	return false
}

// overlapped reports whether anything else was done to the register while a request with those writes was under way.
func (h *history) overlapped(r register, own ...*write) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, other := range h.writes[r] {
		if other.start < own[0].end && other.end > own[0].start && !slices.Contains(own, other) {
			return true
		}
	}
	return false
}

// brokenOff reports whether a deletion of the repository did not come to its end: it may have got no further than the catalogue.
func (h *history) brokenOff(repo string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.unfinished[repo]
}

func (h *history) breakOff(repo string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.unfinished == nil {
		h.unfinished = map[string]bool{}
	}
	h.unfinished[repo] = true
}
