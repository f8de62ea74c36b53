//go:build !race

package simulation

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

// mutants are protocols with one fault each. The checker has to find every one.
var mutants = []struct {
	name     string
	violates string
	breaks   func(drivers.Driver) drivers.Driver
}{
	{"a collector does not announce blobs", "I1:", skipPut(isCollector, func(_, key string) bool { return isBlobAnnouncement(key) })},
	{"a collector does not announce a repository", "I1:", skipPut(isCollector, func(_, key string) bool { return isRepoAnnouncement(key) })},
	{"clients do not wait for announcements of blobs", "I1:", seeNothing(isBlobAnnouncement)},
	{"clients do not wait for announcements of repositories", "I1:", seeNothing(isRepoAnnouncement)},
	{"a collector deletes data before its record", "I1:", dataBeforeRecord},
	{"a collector does not list links again", "I1:", listOnce("repos/")},
	{"a collector does not list manifests again", "I1:", listOnceWithin("/_manifests/")},
	{"a collector does not list a repository's links again", "I1:", listOnceWithin("/_blobs/")},
	{"an upload puts its record before the data", "I1:", recordBeforeData},
	{"a link that was there is not put again", "I1:", skipPut(isClient, func(op, key string) bool { return op == "put" && isLink(key) })},
	{"a manifest is put after the last look at its blobs", "I1:", manifestLate},
	{"a tag is put before its manifest's blobs are looked at", "I1:", tagEarly},
	{"a mount reads the record before the announcement", "I1:", recordBeforeAnnouncement},
	{"a mount that fails takes its link away", "I1:", linkTakenBack},
	{"DELETE does not look for tags again", "I", deleteLooksOnce},
	{"a push does not look whether its manifest is still there", "I1:", noLastLook},
	{"a collector leaves the data of blobs", "I4:", leaveData},
	{"a collector takes young links", "I1:", youngIsOld("repos/")},
}

// TestTheCheckerFindsBrokenProtocols runs the small cases, then random schedules, with each mutant until one violates the invariant.
func TestTheCheckerFindsBrokenProtocols(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			if by, why := findMutant(t, m.violates, m.breaks); why == "" {
				t.Error("nothing violates an invariant")
			} else {
				t.Logf("found by %s: %s", by, why)
			}
		})
	}
}

// findMutant returns by which schedule a mutant was found, and how.
func findMutant(t *testing.T, violates string, breaks func(drivers.Driver) drivers.Driver) (by, why string) {
	found := func(o *outcome) string {
		i := slices.IndexFunc(o.violations, func(v string) bool { return strings.HasPrefix(v, violates) })
		if i < 0 {
			return ""
		}
		return o.violations[i]
	}
	for _, faults := range []bool{false, true} {
		for _, c := range smallCases {
			if c.wild || faults && !c.tame {
				continue
			}
			c.mutant, c.faults = breaks, faults
			e := explorer{goOn: func(o *outcome) bool { return found(o) == "" }}
			if o := e.explore(t, c, *mostSmall); o != nil {
				return fmt.Sprintf("schedule %d of %q", e.runs, c.name), found(o)
			}
		}
	}
	const most = 5_000
	for seed := range uint64(most) {
		if o := inBubble(t, seed, func() *world { return runRandom(seed, breaks) }); found(o) != "" {
			return fmt.Sprintf("seed %d", seed), found(o)
		}
	}
	return "", ""
}
