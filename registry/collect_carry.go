package registry

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// renew gives the manifests that shall go, and those whose tags shall go, the identity of a new push: a push that found one complete
// before, and only wrote a tag anew, sees so that it has to look again. It is part of announcing.
func (c *collector) renew(ctx context.Context, s *seenRepo, p *plan) (map[digest.Digest]string, error) {
	renewed := map[digest.Digest]string{}
	all := maps.Clone(p.manifests)
	for tag := range p.tags {
		all[s.tags[tag].digest] = ""
	}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelCollect)
	for d := range all {
		m := s.manifests[d]
		if m == nil {
			continue
		}
		g.Go(func() error {
			id, err := c.renewOne(gctx, manifestKey(s.name, d), d, m.etag)
			if id != "" {
				mu.Lock()
				defer mu.Unlock()
				renewed[d] = id
			}
			return err
		})
	}
	return renewed, g.Wait()
}

// renewOne returns the new identity, "" if the manifest is not any more what it was.
func (c *collector) renewOne(ctx context.Context, key string, d digest.Digest, etag string) (string, error) {
	o, err := readObject(ctx, c.driver, key)
	if errors.Is(err, drivers.ErrNotFound) || err == nil && o.info.ETag != etag {
		return "", nil
	} else if err != nil {
		return "", err
	}
	m, err := decodeManifest(d, o.body)
	if err != nil {
		return "", err
	}
	m.id = nonce()
	body, err := m.encode()
	if err != nil {
		return "", err
	}
	if err := c.putIfMatch(ctx, key, body, etag); errors.Is(err, drivers.ErrPrecondition) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	return m.id, nil
}

// carryOut deletes what the plan says while the announcement is in force. unsure: some of that may have its effect yet, so the announcement
// has to stay.
func (c *collector) carryOut(ctx context.Context, until time.Time, s *seenRepo, p *plan) (unsure bool, err error) {
	ctx, cancel := c.within(ctx, until)
	defer cancel()
	remove := func(kind RemovalKind, keys []string, reason func(string) string) map[string]error {
		if len(keys) == 0 || !c.inForce(until) {
			return nil
		}
		slices.Sort(keys)
		failed := c.deleteKeys(ctx, keys)
		late := false
		for _, key := range keys {
			err := failed[key]
			unsure = unsure || err != nil && !surelyThere(err)
			if errors.Is(err, errNoTime) {
				late = true
				continue
			}
			c.removed(Removal{Kind: kind, Key: key, Reason: reason(key), Err: err})
		}
		if late {
			c.remark("repository %s: the store is so slow that the time to delete ran out; the rest is left for the next collection", s.name)
		}
		return failed
	}
	keys, err := c.keepTags(ctx, s, p)
	if err != nil {
		return false, err
	}
	failed := remove(RemovedTag, keys, func(key string) string { return p.tags[strings.TrimPrefix(key, tagsPrefix(s.name))] })
	if len(failed) > 0 {
		return unsure, nil // their manifests stay with them, and what these name
	}
	c.removeManifests(s, p, remove)
	remove(RemovedEntry, slices.Collect(maps.Keys(p.entries)), func(key string) string { return p.entries[key] })
	remove(RemovedLink, slices.Collect(maps.Keys(p.links)), func(string) string { return "no manifest here names it" })
	return unsure, nil
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

// removeManifests removes manifests with their entries, round by round.
func (c *collector) removeManifests(s *seenRepo, p *plan, remove func(RemovalKind, []string, func(string) string) map[string]error) {
	of := func(what string) func(string) string { return func(string) string { return what } }
	for _, round := range p.rounds(s) {
		var entries, manifests, parents []string
		reasons := map[string]string{}
		for _, d := range round {
			m := s.manifests[d]
			if m.subject != "" {
				entries = append(entries, referrerKey(s.name, m.subject, d))
			}
			manifests = append(manifests, manifestKey(s.name, d))
			reasons[manifestKey(s.name, d)] = p.manifests[d]
			for _, child := range m.children {
				parents = append(parents, parentKey(s.name, child, d))
			}
		}
		if failed := remove(RemovedEntry, entries, of("its manifest goes")); len(failed) > 0 {
			p.links = nil // the manifests name them still
			return
		}
		if failed := remove(RemovedManifest, manifests, func(key string) string { return reasons[key] }); len(failed) > 0 {
			p.links = nil
			return
		}
		remove(RemovedEntry, parents, of("its index went"))
	}
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
	for key := range p.entries { // links of a deleted repository are among them
		c.would[key] = true
	}
}
