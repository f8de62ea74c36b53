package registry

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

const reposPrefix = "repos/"

// splitRepoKey takes repos/<name>/_<section>/<rest> apart. No part of a name begins with '_'.
func splitRepoKey(key string) (repo, section, rest string, ok bool) {
	s, ok := strings.CutPrefix(key, reposPrefix)
	if !ok {
		return "", "", "", false
	}
	i := strings.Index(s, "/_")
	if i < 0 {
		return "", "", "", false
	}
	section, rest, _ = strings.Cut(s[i+2:], "/")
	return s[:i], section, rest, true
}

// bounds cuts the listing of repos/ into pieces of about the same size, to list them side by side. A repository is never cut: a link that is put
// aside while one of its sections has been listed and the other not would be seen in neither.
type bounds struct {
	stride, count int
	keys          []string
}

// add is told of each key of a repository, in order.
func (b *bounds) add(repo string) {
	const most = 64
	b.stride = max(b.stride, 5000)
	b.count++
	end := repoPrefix(repo) + "~"
	if b.count < b.stride || len(b.keys) > 0 && b.keys[len(b.keys)-1] == end {
		return
	}
	b.count = 0
	if b.keys = append(b.keys, end); len(b.keys) < most {
		return
	}
	for i := range most / 2 {
		b.keys[i] = b.keys[2*i+1]
	}
	b.keys = b.keys[:most/2]
	b.stride *= 2
}

// eachLink calls do for each repository's link to a blob, one at a time, in no order.
func (c *collector) eachLink(ctx context.Context, do func(repo string, d digest.Digest, entry drivers.Entry)) error {
	const sideBySide = 8
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(sideBySide)
	after := ""
	for _, upto := range append(c.bounds.keys[:len(c.bounds.keys):len(c.bounds.keys)], "") {
		from := after
		g.Go(func() error {
			return c.listLinks(gctx, from, upto, func(repo string, d digest.Digest, entry drivers.Entry) {
				mu.Lock()
				defer mu.Unlock()
				do(repo, d, entry)
			})
		})
		after = upto
	}
	return g.Wait()
}

// listLinks is eachLink for the keys after from, up to and with upto ("": all).
func (c *collector) listLinks(ctx context.Context, from, upto string, do func(string, digest.Digest, drivers.Entry)) error {
	for skip := from; ; {
		next, err := c.listLinksOnce(ctx, skip, upto, do)
		if err != nil || next == "" {
			return err
		}
		skip = next
	}
}

// listLinksOnce lists until it pays to skip what is not a link; then it returns after which key to go on.
func (c *collector) listLinksOnce(ctx context.Context, from, upto string, do func(string, digest.Digest, drivers.Entry)) (next string, err error) {
	const page = 1000
	others := 0
	for entry, err := range c.driver.List(ctx, reposPrefix, from, "") {
		if err != nil {
			return "", err
		}
		if upto != "" && entry.Key > upto {
			return "", nil
		}
		if err := c.saw(ctx, 1); err != nil {
			return "", err
		}
		repo, section, rest, ok := splitRepoKey(entry.Key)
		if !ok {
			continue
		}
		aside, deleted := strings.CutPrefix(rest, "all/blobs/") // of a repository that can be had back
		if deleted = deleted && section == "deleted"; deleted {
			rest = aside
		}
		if deleted || section == "blobs" {
			others = 0
			if d, ok := linkedDigest(rest); ok {
				do(repo, d, entry)
			}
			continue
		}
		if others++; others == page {
			return repoPrefix(repo) + "~", nil // after all of this repository's, and before repositories below it
		}
	}
	return "", nil
}

// surveyed is a repository as the survey found it.
type surveyed struct {
	name        string
	fingerprint uint64 // of its listing, and of the rules
	announced   bool   // it has an announcement
	leading     int    // keys of what keeps other things: manifests, history, what was deleted
	tags        int
}

// collectRepositories looks through each repository that has changed or in which something has become old, then through the catalogue for empty
// ones.
func (c *collector) collectRepositories(ctx context.Context) error {
	known, err := c.loadSettledRepos(ctx)
	if err != nil {
		return err
	}
	repos, err := c.survey(ctx, known)
	if err != nil {
		return err
	}
	const sideBySide = 4
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(sideBySide)
	for _, repo := range repos {
		g.Go(func() error {
			due, err := c.collectRepository(gctx, repo)
			if err == nil {
				known.set(repo, due)
			} else if gctx.Err() != nil || errors.Is(err, ErrCollecting) {
				return err
			} else {
				c.fail(err)
			}
			return c.broken()
		})
	}
	err = g.Wait()
	if !c.o.DryRun {
		err = errors.Join(err, c.saveSettledRepos(ctx, known))
	}
	if err != nil {
		return err
	}
	return c.collectCatalog(ctx)
}

// survey lists everything once and finds the repositories that have to be looked at.
func (c *collector) survey(ctx context.Context, known *settledRepos) (repos []surveyed, err error) {
	rules := fmt.Sprint(c.o.Grace, c.o.Untagged, c.o.Retention, c.historyKeep, c.immutable)
	var now surveyed
	h := fnv.New64a()
	finish := func() {
		now.fingerprint = h.Sum64()
		if now.name != "" && (now.announced || !known.settled(now, c.began)) {
			repos = append(repos, now)
		}
	}
	for entry, err := range c.driver.List(ctx, reposPrefix, "", "") {
		if err != nil {
			return nil, err
		}
		if err := c.saw(ctx, 1); err != nil {
			return nil, err
		}
		repo, section, _, ok := splitRepoKey(entry.Key)
		if !ok {
			continue
		}
		c.bounds.add(repo)
		if repo != now.name {
			finish()
			now = surveyed{name: repo}
			h.Reset()
			_, _ = io.WriteString(h, rules)
		}
		switch section {
		case "condemned":
			now.announced = true
			continue
		case "manifests", "history", "deleted":
			now.leading++
		case "tags":
			now.tags++
		}
		_, _ = io.WriteString(h, entry.Key+"\n"+entry.ETag+"\n")
	}
	finish()
	known.forgetOthers()
	return repos, nil
}

// collectRepository removes what a repository does not need: tags and manifests by the rules, and links that no manifest names. It decides,
// announces, decides again with what is there then, and removes what is in both decisions. due is when something may have to go of what is there
// now; longAgo if that is not known, zero if never.
func (c *collector) collectRepository(ctx context.Context, found surveyed) (due time.Time, err error) {
	var before *seenRepo
	for {
		seen, err := c.look(ctx, found.name, before)
		if err != nil {
			return longAgo, err
		}
		plan := seen.decide()
		if !c.o.DryRun {
			plan.cut(seen)
		}
		if err := c.findLinks(ctx, seen, plan); err != nil {
			return longAgo, err
		}
		switch {
		case c.o.DryRun:
			c.tellPlan(seen, plan)
			return longAgo, nil
		case plan.empty() && found.announced:
			return seen.dueSince(found), c.removeVoid(ctx, repoCondemnedKey(found.name))
		case plan.empty():
			return seen.dueSince(found), nil
		}
		failed := c.failures()
		done, err := c.takeAway(ctx, seen, plan)
		if err != nil || !done || !plan.more || c.failures() > failed {
			return longAgo, err
		}
		before = seen
	}
}

// takeAway announces and does what is left of the plan after a second look. done is false if it could not.
func (c *collector) takeAway(ctx context.Context, first *seenRepo, plan *plan) (done bool, err error) {
	key := repoCondemnedKey(first.name)
	until := c.now().Add(min(max(announceTime, 2*first.took+announceTime/2), longestAnnouncement) + c.o.Lag)
	held, err := c.announce(ctx, key, c.o.By, until)
	if err != nil || !held {
		return false, err
	}
	unsure := false
	defer func() {
		if !unsure {
			c.withdraw(ctx, until, []string{key})
		}
	}()
	if err := c.wait(ctx, c.o.Lag); err != nil {
		return false, err
	}
	if busy, err := c.othersDelete(ctx, first.name); err != nil || busy {
		return false, err
	}
	renewed, err := c.renew(ctx, first, plan)
	if err != nil {
		return false, err
	}
	second, err := c.look(ctx, first.name, first)
	if err != nil {
		return false, err
	}
	now := second.decide().and(second, plan, first, renewed)
	if err := c.findLinks(ctx, second, now); err != nil {
		return false, err
	}
	if !c.inForce(until) {
		c.remark("repository %s: to look at it takes %v, too long for an announcement; it is left as it is", first.name, second.took)
		return false, nil
	}
	unsure, err = c.carryOut(ctx, until, second, now)
	return true, err
}

// collectCatalog removes the lines of repositories that have nothing any more.
func (c *collector) collectCatalog(ctx context.Context) error {
	for entry, err := range c.driver.List(ctx, catalogPrefix, "", "") {
		if err != nil {
			return err
		}
		if err := c.saw(ctx, 1); err != nil {
			return err
		}
		if !c.old(entry.ModTime) {
			continue
		}
		if err := c.collectLine(ctx, catalogName(entry.Key)); err != nil {
			if ctx.Err() != nil {
				return err
			}
			c.fail(err)
		}
		if err := c.broken(); err != nil {
			return err
		}
	}
	return nil
}

// collectLine removes the line of a repository if that is empty. A push that puts something into it meanwhile puts the line after it has
// waited, or its manifest is seen here.
func (c *collector) collectLine(ctx context.Context, repo string) error {
	if empty, err := c.empty(ctx, repo); err != nil || !empty {
		return err
	}
	gone := Removal{Kind: RemovedRepository, Key: catalogKey(repo), Reason: "the repository is empty"}
	if c.o.DryRun {
		c.removed(gone)
		return nil
	}
	until := c.now().Add(announceTime + c.o.Lag)
	held, err := c.announce(ctx, repoCondemnedKey(repo), c.o.By, until)
	if err != nil || !held {
		return err
	}
	defer func() {
		if gone.Err == nil || surelyThere(gone.Err) {
			c.withdraw(ctx, until, []string{repoCondemnedKey(repo)})
		}
	}()
	if err := c.wait(ctx, c.o.Lag); err != nil {
		return err
	}
	if empty, err := c.empty(ctx, repo); err != nil || !empty {
		return err
	}
	done, err := c.note(ctx, deletions{Until: until.UTC(), Repositories: []string{repo}})
	if err != nil {
		return err
	}
	if !c.inForce(until) {
		done(ctx)
		return nil
	}
	dctx, cancel := c.within(ctx, until)
	defer cancel()
	gone.Err = c.driver.Delete(dctx, catalogKey(repo))
	c.removed(gone)
	if gone.Err != nil {
		return nil
	}
	if err := c.healCatalog(ctx, repo); err != nil {
		return err
	}
	done(ctx)
	return nil
}
