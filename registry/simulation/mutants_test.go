//go:build !race

package simulation

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// mutants are protocols with one fault each. The checker has to find every one.
var mutants = []struct {
	name     string
	violates string
	breakage
	first string // the small case that is tried first: the one that was made for it
}{
	{"a collector does not announce blobs", "I1:", breakage{calls: skipPut(isCollector, func(_, key string) bool { return isBlobAnnouncement(key) })}, uploadOfUnlinked},
	{"a collector does not announce a repository", "I1:", breakage{calls: skipPut(isCollector, func(_, key string) bool { return isRepoAnnouncement(key) })}, uploadOfUnnamed},
	{"clients do not wait for announcements of blobs", "I1:", breakage{calls: seeNothing(isClient, isBlobAnnouncement)}, uploadOfUnlinked},
	{"clients do not wait for announcements of repositories", "I1:", breakage{calls: seeNothing(isClient, isRepoAnnouncement)}, uploadOfUnnamed},
	{"a collector deletes data before its record", "I1:", breakage{calls: dataBeforeRecord}, uploadOfUnlinked},
	{"a collector does not list links again", "I1:", breakage{calls: listOnce("repos/")}, uploadOfUnlinked},
	{"a collector does not list manifests again", "I1:", breakage{calls: listOnceWithin("/_manifests/")}, "a collector, and a manifest that names old blobs"},
	{"a collector does not list a repository's links again", "I1:", breakage{calls: listOnceWithin("/_blobs/")}, uploadOfUnnamed},
	{"an upload puts its record before the data", "I1:", breakage{calls: recordBeforeData}, ""},
	{"a link that was there is not put again", "I1:", breakage{calls: skipPut(isClient, func(op, key string) bool { return op == "put" && isLink(key) })}, uploadOfUnnamed},
	{"a manifest is put after the last look at its blobs", "I1:", breakage{calls: manifestLate}, ""},
	{"a tag is put before its manifest's blobs are looked at", "I1:", breakage{calls: tagEarly}, ""},
	{"a mount reads the record before the announcement", "I1:", breakage{calls: recordBeforeAnnouncement}, uploadOfUnlinked},
	{"a mount that fails takes its link away", "I1:", breakage{calls: linkTakenBack}, ""},
	{"DELETE does not look for tags again", "I", breakage{calls: deleteLooksOnce}, "a DELETE of a manifest, and a push of the same with another tag"},
	{"a push does not look whether its manifest is still there", "I1:", breakage{calls: noLastLook}, "a DELETE of a manifest, and a push of the same"},
	{"a collector leaves the data of blobs", "I4:", breakage{calls: leaveData}, ""},
	{"a collector takes young links", "I1:", breakage{calls: youngIsOld("repos/")}, ""},
	{"a collector takes young data", "I1:", breakage{calls: youngData}, ""},
	{"a collector takes another record for the one that it has listed", "I1:", breakage{calls: recordNotCompared}, "a collector, and another one that does not see it and is followed by an upload of the blob that it took"},
	{"a collector does not list tags again", "I1:", breakage{calls: listOnceWithin("/_tags/")}, "a collector whose rule takes a tag, and a push of the same again"},
	{"a collector does not look at the history", "I1:", breakage{calls: blind(isHistory)}, ""},
	{"a collector does not look at what was deleted", "I1:", breakage{calls: blind(func(prefix string) bool { return has(prefix, "/_deleted/") })}, ""},
	{"a collector does not give manifests another identity", "I1:", breakage{calls: identityKept}, "a collector whose rule takes a tag, and a push of the same again"},
	{"a collector's deletion does not end with its announcement", "I1:", breakage{calls: unbounded}, "a collector whose announcements may become void, and an upload of a blob that nobody has any more"},
	{"a collector settles days too early", "I4:", breakage{calls: stateChanged(func(s map[string]any) { s["settled"] = "2999-01-01" })}, ""},
	{"a collector forgets what records name", "I1:", breakage{calls: stateChanged(func(s map[string]any) { s["named"] = nil })}, ""},
	{"clocks differ by more than they may", "I1:", breakage{clocks: farApart}, ""},
	{"uploads and mounts do not wait for announcements of repositories", "I1:", breakage{calls: seeNothing(isDoing(uploading, mounting), isRepoAnnouncement)}, uploadOfUnnamed},
	{"a push does not wait before it looks at its blobs", "I1:", breakage{calls: seeNoAnnouncement(false)}, "a collector, and a manifest that names old blobs"},
	{"a push does not wait when it has put a tag over another", "I1:", breakage{calls: seeNoAnnouncement(true)}, "a collector that takes untagged manifests, and an upload and a push of one"},
	{"DELETE does not wait for announcements", "I1:", breakage{calls: seeNothing(isDoing(deleting), isRepoAnnouncement)}, "a collector, a DELETE of a blob and then an upload of the same"},
	{"DELETE does not announce itself", "I1:", breakage{calls: skipPut(isDoing(deleting), func(_, key string) bool { return has(key, "/_deleting/") })}, "a collector, a DELETE of a blob and then an upload of the same"},
	{"a collector does not look for DELETEs", "I1:", breakage{calls: blind(func(prefix string) bool { return has(prefix, "/_deleting/") })}, "a collector, a DELETE of a blob and then an upload of the same"},
	{"the history is written after the tag", "I1:", breakage{calls: historyLate}, "a collector that takes untagged manifests, and a tag that moves, with a history"},
	{"deleted manifests are not kept", "I1:", breakage{calls: skipPut(isDoing(deleting), func(_, key string) bool { return has(key, "/_deleted/one/") })}, ""},
	{"a restoration does not link blobs", "I1:", breakage{calls: skipPut(isDoing(restoring), func(_, key string) bool { return isLink(key) })}, ""},
	{"If-Match is ignored", "I1:", breakage{calls: matchIgnored}, "two pushes that move a tag from where it is"},
	{"a referrer is not entered", "I1:", breakage{calls: skipPut(isClient, func(_, key string) bool { return has(key, "/_referrers/") })}, ""},
	{"a repository is not entered in the catalogue", "I1:", breakage{calls: skipPut(isClient, func(_, key string) bool { return strings.HasPrefix(key, "catalog/") })}, ""},
}

// TestTheCheckerFindsBrokenProtocols runs the small cases, then random schedules, with each mutant until one violates the invariant.
func TestTheCheckerFindsBrokenProtocols(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			if by, why := findMutant(t, m.violates, m.first, m.breakage); why == "" {
				t.Error("nothing violates an invariant")
			} else {
				t.Logf("found by %s: %s", by, why)
			}
		})
	}
}

// findMutant returns by which schedule a mutant was found, and how.
func findMutant(t *testing.T, violates, first string, b breakage) (by, why string) {
	found := func(o *outcome) string {
		i := slices.IndexFunc(o.violations, func(v string) bool { return strings.HasPrefix(v, violates) })
		if i < 0 {
			return ""
		}
		return o.violations[i]
	}
	random := func(from, to uint64) bool {
		for seed := from; seed < to; seed++ {
			o := inBubble(t, seed, func() *world { return runRandom(seed, b) })
			if why = found(o); why != "" {
				by = fmt.Sprintf("seed %d", seed)
				return true
			}
		}
		return false
	}
	small := func(c smallCase, faults bool) bool {
		c.broken, c.faults = b, faults
		e := explorer{goOn: func(o *outcome) bool { return found(o) == "" }}
		if o := e.explore(t, c, *mostSmall); o != nil {
			by, why = fmt.Sprintf("schedule %d of %q", e.runs, c.name), found(o)
		}
		return why != ""
	}
	if i := slices.IndexFunc(smallCases, func(c smallCase) bool { return c.name == first }); i >= 0 && small(smallCases[i], false) {
		return by, why
	}
	const soon = 4000 // most are found so, and sooner
	if random(0, soon) {
		return by, why
	}
	for _, faults := range []bool{false, true} {
		for _, c := range smallCases {
			if !c.wild && (!faults || c.tame) && small(c, faults) {
				return by, why
			}
		}
	}
	random(soon, 20_000)
	return by, why
}
