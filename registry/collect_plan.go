package registry

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
)

// plan is what shall go from a repository, each with its reason.
type plan struct {
	tags      map[string]string
	manifests map[digest.Digest]string
	entries   map[string]string // keys below _referrers/ and _parents/ of what is not there
	links     map[string]drivers.Entry
	more      bool // this is not all
}

func (p *plan) empty() bool {
	return len(p.tags)+len(p.manifests)+len(p.entries)+len(p.links) == 0
}

// and is what is in both plans and has stayed as it was: renewed has what the collector itself made of manifests. Links are found anew.
func (p *plan) and(s *seenRepo, first *plan, before *seenRepo, renewed map[digest.Digest]string) *plan {
	maps.DeleteFunc(p.manifests, func(d digest.Digest, _ string) bool {
		_, both := first.manifests[d]
		return !both || s.manifests[d].id != renewed[d]
	})
	maps.DeleteFunc(p.tags, func(tag, _ string) bool {
		_, both := first.tags[tag]
		if !both || s.tags[tag].etag != before.tags[tag].etag {
			return true
		}
		m := s.manifests[s.tags[tag].digest]
		return m != nil && m.id != renewed[s.tags[tag].digest]
	})
	p.links = first.links
	p.settle(s)
	return p
}

// settle takes out of the plan what something leads to that is not in it.
func (p *plan) settle(s *seenRepo) {
	for tag, t := range s.tags {
		if _, goes := p.tags[tag]; !goes {
			delete(p.manifests, t.digest)
		}
	}
	for again := true; again; {
		again = false
		for d, m := range s.manifests {
			if _, goes := p.manifests[d]; !goes {
				for _, child := range m.children {
					if _, goes := p.manifests[child]; goes {
						delete(p.manifests, child)
						again = true
					}
				}
			} else if _, goes := p.manifests[m.subject]; s.manifests[m.subject] != nil && !goes {
				delete(p.manifests, d)
				again = true
			}
		}
	}
}

// How much goes under one announcement, so that it does not last.
const (
	manifestsAtOnce = 2000 // and as many tags
	linksAtOnce     = 20_000
)

// cut leaves in the plan what can go under one announcement.
func (p *plan) cut(s *seenRepo) {
	if len(p.tags) <= manifestsAtOnce && len(p.manifests) <= manifestsAtOnce {
		return
	}
	p.more = true
	if len(p.tags) > manifestsAtOnce {
		for _, tag := range slices.Sorted(maps.Keys(p.tags))[manifestsAtOnce:] {
			delete(p.tags, tag)
		}
		p.settle(s)
	}
	left := manifestsAtOnce
	for _, some := range p.rounds(s) {
		for _, d := range some {
			if left--; left < 0 {
				delete(p.manifests, d)
			}
		}
	}
	p.settle(s)
}

// rounds is the order in which manifests go: an index before its children and a subject before what refers to it, so that nothing is ever
// there without what it needs.
func (p *plan) rounds(s *seenRepo) (all [][]digest.Digest) {
	left := maps.Clone(p.manifests)
	for len(left) > 0 {
		waits := map[digest.Digest]bool{}
		for d := range left {
			for _, child := range s.manifests[d].children {
				waits[child] = true
			}
			if _, there := left[s.manifests[d].subject]; there {
				waits[d] = true
			}
		}
		var round []digest.Digest
		for d := range left {
			if !waits[d] {
				round = append(round, d)
			}
		}
		if len(round) == 0 {
			return all // they name each other, which digests can't
		}
		for _, d := range round {
			delete(left, d)
		}
		slices.Sort(round)
		all = append(all, round)
	}
	return all
}

// decide says which tags and manifests go.
func (s *seenRepo) decide() *plan {
	p := &plan{tags: map[string]string{}, manifests: map[digest.Digest]string{}, entries: map[string]string{}}
	if s.untagged == 0 {
		return p
	}
	if s.rule != nil {
		s.rule.choose(s, p.tags)
		for tag := range p.tags {
			s.held[s.tags[tag].digest] = s.held[s.tags[tag].digest] || s.c.historyKeep > 0
		}
	}
	kept := s.reach(p.tags)
	for tag, t := range s.tags {
		subject := subjectOf(tag)
		if _, there := s.manifests[subject]; subject != "" && !(there && kept[subject]) && s.expired(t.time, s.untagged) {
			p.tags[tag] = "it belongs to a manifest that is not there any more"
		}
	}
	for d, m := range s.manifests {
		if kept[d] {
			continue
		}
		p.manifests[d] = "no tag leads to it"
		if m.subject != "" {
			p.manifests[d] = "it refers to " + m.subject.String() + ", which is not kept"
		}
	}
	return p
}

// reach finds the manifests that stay: tagged, young, or held by the history; what such an index names; what refers to one
// that stays.
func (s *seenRepo) reach(without map[string]string) map[digest.Digest]bool {
	referrers := map[digest.Digest][]digest.Digest{} // by subject
	kept := map[digest.Digest]bool{}
	var todo []digest.Digest
	keep := func(d digest.Digest) {
		if s.manifests[d] != nil && !kept[d] {
			kept[d] = true
			todo = append(todo, d)
		}
	}
	for d, m := range s.manifests {
		if m.subject != "" {
			referrers[m.subject] = append(referrers[m.subject], d)
		}
		if s.held[d] || !s.expired(m.pushed, s.untagged) {
			keep(d)
		}
	}
	for tag, t := range s.tags {
		subject := subjectOf(tag)
		switch _, goes := without[tag]; {
		case goes:
		case subject != "" && s.expired(t.time, s.untagged):
			referrers[subject] = append(referrers[subject], t.digest)
		default:
			keep(t.digest)
		}
	}
	for d, m := range s.aside {
		for _, one := range append(referrers[d], m.children...) {
			keep(one)
		}
	}
	for len(todo) > 0 {
		d := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, child := range s.manifests[d].children {
			keep(child)
		}
		for _, r := range referrers[d] {
			keep(r)
		}
	}
	return kept
}

// findLinks adds the old links that no manifest names that stays. In the second look, where p has links of the first, it keeps those that
// are the same still. It adds entries of what is not there, too.
func (c *collector) findLinks(ctx context.Context, s *seenRepo, p *plan) error {
	before := p.links
	p.links = map[string]drivers.Entry{}
	named := map[uint64]bool{}
	for d, m := range s.manifests {
		if _, goes := p.manifests[d]; goes {
			continue
		}
		for _, n := range m.names {
			named[n] = true
		}
	}
	for _, m := range s.aside {
		for _, n := range m.names {
			named[n] = true
		}
	}
	prefix := repoPrefix(s.name) + "blobs/"
	for entry, err := range c.driver.List(ctx, prefix, "", "") {
		if err != nil {
			return err
		}
		if err := c.saw(ctx, 1); err != nil {
			return err
		}
		d, ok := linkedDigest(strings.TrimPrefix(entry.Key, prefix))
		if !ok || named[digestNumber(d)] || !s.expired(entry.ModTime, 0) {
			continue
		}
		if before != nil && before[entry.Key].ETag != entry.ETag {
			continue
		}
		p.links[entry.Key] = entry
		if before == nil && len(p.links) == linksAtOnce && !c.o.DryRun {
			p.more = true
			break
		}
	}
	return c.findEntries(ctx, s, p)
}

// findEntries adds entries of referrers and of indexes that are not there.
func (c *collector) findEntries(ctx context.Context, s *seenRepo, p *plan) error {
	p.entries = map[string]string{}
	for _, section := range []string{"parents/", "referrers/"} {
		for entry, err := range c.driver.List(ctx, repoPrefix(s.name)+section, "", "") {
			if err != nil {
				return err
			}
			if err := c.saw(ctx, 1); err != nil {
				return err
			}
			d, err := parseDigestElement(entry.Key[strings.LastIndexByte(entry.Key, '/')+1:])
			if err != nil || s.manifests[d] != nil || !s.expired(entry.ModTime, 0) {
				continue
			}
			p.entries[entry.Key] = "its manifest is not there"
		}
	}
	for _, key := range s.past {
		p.entries[key] = "the history is not kept for so long"
	}
	for tag, pulled := range s.pulled {
		if s.tags[tag] == nil && s.expired(pulled, 0) {
			p.entries[repoPrefix(s.name)+pulledSection+tag] = "its tag is not there"
		}
	}
	return c.findDeletions(ctx, s, p)
}
