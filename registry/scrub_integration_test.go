//go:build integration

package registry

import "testing"

// TestScrubOnMinIO damages a store, scrubs and repairs it, and pushes again what was lost.
func TestScrubOnMinIO(t *testing.T) {
	s := newScrubbed(t, openMinIO(t), &clock{})
	found, report := scrub(t, s.r, ScrubOptions{Bytes: true})
	if wantFound(t, found); report.Verified != 3 {
		t.Errorf("%+v", report)
	}
	s.corrupt(s.layer)
	s.remove(s.data(s.long))
	s.put(tagKey("a", "t"), "x")
	s.remove(referrerKey("a", s.image, s.signature), catalogKey("b"))
	s.put(linkKey("a", "sha256:1111111111111111111111111111111111111111111111111111111111111111"), "")
	s.clk.later(2 * grace)
	want := []string{
		"bytes " + recordKey(s.layer), "missing data " + recordKey(s.long), "tag " + tagKey("a", "t"), "missing repository " + catalogKey("b"),
		"missing referrer " + referrerKey("a", s.image, s.signature),
		"dangling link " + linkKey("a", "sha256:1111111111111111111111111111111111111111111111111111111111111111"),
	}
	for _, o := range []ScrubOptions{{Bytes: true}, {Bytes: true, Repair: true}} {
		found, _ = scrub(t, s.r, o)
		wantFound(t, found, want...)
	}
	s.again("b", s.layer)
	s.again("a", s.long)
	pushTag(t, s.r, "a", "t", s.body)
	found, report = scrub(t, s.r, ScrubOptions{Bytes: true, DropQuarantined: true})
	if report.Open > 0 || len(found) != 3 || len(keys(t, s.d, quarantinePrefix)) > 0 {
		t.Errorf("%+v, %v", report, found)
	}
	s.pull()
}
