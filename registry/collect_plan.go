package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// plan is what shall go from a repository, each with its reason.
type plan struct {
	tags      map[string]string
	manifests map[digest.Digest]string
	entries   map[string]string // keys below _referrers/ and _parents/ of what is not there
	links     map[string]drivers.Entry
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
	return p
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
	return nil
}

// renew gives the manifests that shall go, and those whose tags shall go, the identity of a new push: a push that found one complete
// before, and only wrote a tag anew, sees so that it has to look again. It is part of announcing.
func (c *collector) renew(ctx context.Context, s *seenRepo, p *plan) (map[digest.Digest]string, error) {
	renewed := map[digest.Digest]string{}
	all := maps.Clone(p.manifests)
	for tag := range p.tags {
		all[s.tags[tag].digest] = ""
	}
	for d := range all {
		m := s.manifests[d]
		if m == nil {
			continue
		}
		key := manifestKey(s.name, d)
		o, err := readObject(ctx, c.driver, key)
		if errors.Is(err, drivers.ErrNotFound) || err == nil && o.info.ETag != m.etag {
			continue
		} else if err != nil {
			return nil, err
		}
		full, err := decodeManifest(d, o.body)
		if err != nil {
			return nil, err
		}
		full.id = nonce()
		body, err := full.encode()
		if err != nil {
			return nil, err
		}
		if err := c.putIfMatch(ctx, key, body, m.etag); err == nil {
			renewed[d] = full.id
		} else if !errors.Is(err, drivers.ErrPrecondition) {
			return nil, err
		}
	}
	return renewed, nil
}

// carryOut deletes what the plan says while the announcement is in force.
func (c *collector) carryOut(ctx context.Context, until time.Time, s *seenRepo, p *plan) error {
	ctx, cancel := c.within(ctx, until)
	defer cancel()
	remove := func(kind RemovalKind, keys []string, reason func(string) string) map[string]error {
		if len(keys) == 0 || !c.inForce(until) {
			return nil
		}
		slices.Sort(keys)
		failed := c.deleteKeys(ctx, keys)
		for _, key := range keys {
			c.removed(Removal{Kind: kind, Key: key, Reason: reason(key), Err: failed[key]})
		}
		return failed
	}
	keys, err := c.keepTags(ctx, s, p)
	if err != nil {
		return err
	}
	failed := remove(RemovedTag, keys, func(key string) string { return p.tags[strings.TrimPrefix(key, tagsPrefix(s.name))] })
	if len(failed) > 0 {
		return nil // their manifests stay with them
	}
	if err := c.removeManifests(s, p, remove); err != nil {
		return err
	}
	remove(RemovedEntry, slices.Collect(maps.Keys(p.entries)), func(key string) string { return p.entries[key] })
	remove(RemovedLink, slices.Collect(maps.Keys(p.links)), func(string) string { return "no manifest here names it" })
	return nil
}

// keepTags writes the history of the tags that go, and returns their keys.
func (c *collector) keepTags(ctx context.Context, s *seenRepo, p *plan) (keys []string, err error) {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelCollect)
	for tag := range p.tags {
		key := tagKey(s.name, tag)
		keys = append(keys, key)
		if subjectOf(tag) != "" {
			continue // its manifest goes too
		}
		g.Go(func() error {
			o, err := readObject(gctx, c.driver, key)
			if errors.Is(err, drivers.ErrNotFound) {
				return nil
			} else if err != nil {
				return err
			}
			t, err := decodeTag(key, o.body)
			if err != nil {
				return err
			}
			_, err = c.keepTag(gctx, s.name, tag, t, change{at: c.now(), how: TagExpired, by: c.o.By})
			return err
		})
	}
	return keys, g.Wait()
}

// removeManifests removes an index before its children and a subject before what refers to it, so that nothing is ever there without what it needs.
func (c *collector) removeManifests(s *seenRepo, p *plan, remove func(RemovalKind, []string, func(string) string) map[string]error) error {
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
		var entries, manifests, parents []string
		reasons := map[string]string{}
		for d, reason := range left {
			if waits[d] {
				continue
			}
			m := s.manifests[d]
			if m.subject != "" {
				entries = append(entries, referrerKey(s.name, m.subject, d))
			}
			manifests = append(manifests, manifestKey(s.name, d))
			reasons[manifestKey(s.name, d)] = reason
			for _, child := range m.children {
				parents = append(parents, parentKey(s.name, child, d))
			}
			delete(left, d)
		}
		if len(manifests) == 0 {
			return fmt.Errorf("repository %s: manifests name each other", s.name)
		}
		of := func(what string) func(string) string { return func(string) string { return what } }
		if failed := remove(RemovedEntry, entries, of("its manifest goes")); len(failed) > 0 {
			return nil
		}
		if failed := remove(RemovedManifest, manifests, func(key string) string { return reasons[key] }); len(failed) > 0 {
			p.links = nil // they may be named still
			return nil
		}
		remove(RemovedEntry, parents, of("its index went"))
	}
	return nil
}

// tellPlan reports a plan in a dry run.
func (c *collector) tellPlan(s *seenRepo, p *plan) {
	var all []Removal
	for tag, reason := range p.tags {
		all = append(all, Removal{Kind: RemovedTag, Key: tagKey(s.name, tag), Reason: reason})
	}
	for d, reason := range p.manifests {
		all = append(all, Removal{Kind: RemovedManifest, Key: manifestKey(s.name, d), Reason: reason})
	}
	for key, reason := range p.entries {
		all = append(all, Removal{Kind: RemovedEntry, Key: key, Reason: reason})
	}
	for key := range p.links {
		all = append(all, Removal{Kind: RemovedLink, Key: key, Reason: "no manifest here names it"})
	}
	slices.SortFunc(all, func(a, b Removal) int { return cmp.Compare(a.Key, b.Key) })
	c.removed(all...)
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range p.links {
		c.would[key] = true
	}
}
