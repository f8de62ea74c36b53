// Package report finds out, beside the conformance suite, what a store can do and how fast it is, and writes what came of it all: as a
// table, as HTML, or as JUnit's XML.
package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/drivers"
)

// Report is what a run of the suite found out about a store.
type Report struct {
	Version     string               `json:"version"` // of longshore
	Driver      string               `json:"driver"`
	Store       string               `json:"store"`              // where it is, without secrets
	Identity    string               `json:"identity,omitempty"` // whose credentials were used, without secrets
	Began       time.Time            `json:"began"`
	Took        time.Duration        `json:"took"`                  // nanoseconds in JSON
	Folder      string               `json:"folder"`                // where all objects were
	Interrupted bool                 `json:"interrupted,omitempty"` // it is not whole
	Notes       []string             `json:"notes,omitempty"`       // what was done otherwise than usual, and why
	Left        []string             `json:"left,omitempty"`        // what could not be removed
	Results     []conformance.Result `json:"results"`
	Abilities   []drivers.Ability    `json:"abilities,omitempty"`
	Latencies   []Latency            `json:"latencies,omitempty"`
	Speeds      []Speed              `json:"speeds,omitempty"`
}

// Latency is how long small requests took.
type Latency struct {
	What  string        `json:"what"`
	Count int           `json:"count"`
	P50   time.Duration `json:"p50"` // nanoseconds in JSON
	P99   time.Duration `json:"p99"` // of fewer than 100 that of the slowest
}

// Speed is how fast the bytes of large objects went.
type Speed struct {
	What    string  `json:"what"`
	Streams int     `json:"streams"`
	Bytes   int64   `json:"bytes"`         // of each stream
	MBs     float64 `json:"mb_per_second"` // of all streams together; a MB is 1,000,000 bytes
}

// Count is how many cases passed, failed, and were not run.
func (r *Report) Count() (passed, failed, notRun int) {
	for _, g := range r.groups() {
		passed, failed, notRun = passed+g.Passed, failed+g.Failed, notRun+g.NotRun
	}
	return passed, failed, notRun
}

// group is the cases of one method.
type group struct {
	Name                   string
	Passed, Failed, NotRun int
	Cases                  []conformance.Result
}

func (r *Report) groups() (all []*group) {
	for _, c := range r.Results {
		method, _, _ := strings.Cut(c.Name, "/")
		i := slices.IndexFunc(all, func(g *group) bool { return g.Name == method })
		if i < 0 {
			i = len(all)
			all = append(all, &group{Name: method})
		}
		g := all[i]
		g.Cases = append(g.Cases, c)
		switch {
		case c.NotRun != "":
			g.NotRun++
		case c.Failed:
			g.Failed++
		default:
			g.Passed++
		}
	}
	return all
}

// reason is why cases were not run.
type reason struct {
	Why   string
	Count int
}

// reasons are the most frequent ones first.
func (r *Report) reasons() (all []reason) {
	for _, c := range r.Results {
		if c.NotRun == "" {
			continue
		}
		i := slices.IndexFunc(all, func(one reason) bool { return one.Why == c.NotRun })
		if i < 0 {
			i = len(all)
			all = append(all, reason{Why: c.NotRun})
		}
		all[i].Count++
	}
	slices.SortStableFunc(all, func(a, b reason) int { return cmp.Compare(b.Count, a.Count) })
	return all
}

// failures are the cases that failed.
func (r *Report) failures() (all []conformance.Result) {
	for _, c := range r.Results {
		if c.Failed {
			all = append(all, c)
		}
	}
	return all
}
