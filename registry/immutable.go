package registry

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// ImmutableRule says which tags stay where they are once they are there.
type ImmutableRule struct {
	// Repositories matches the names of the repositories that the rule is for; nil: all. Printed with %v it has to tell one rule
	// from another.
	Repositories interface{ Match(name string) bool }

	Tags *regexp.Regexp // the tags; nil: all
}

// fixed reports whether a rule keeps the tag where it is, once it is there.
func (r *Registry) fixed(repo, tag string) bool {
	return slices.ContainsFunc(r.immutable, func(rule ImmutableRule) bool {
		return (rule.Repositories == nil || rule.Repositories.Match(repo)) && (rule.Tags == nil || rule.Tags.MatchString(tag))
	})
}

// warnOfRules says what rules are worth on a store without put-if-absent.
func (r *Registry) warnOfRules() {
	if len(r.immutable) > 0 {
		r.log.Warn("immutable tags are looked at before they are written, and the store can't do both in one step: of two pushes at the same moment the later one counts", "setting", "tags.immutable")
	}
}

// tagFixed is the answer to who wants to move or delete such a tag.
func tagFixed(repo, tag string, at digest.Digest) *Error {
	return errorf(Denied, "tag %s is immutable (tags.immutable): it stays where it is, at %s; use another tag", tag, at).with("name", repo).with("tag", tag).with("digest", at)
}

// tagsOf names the tags that point at d, at anything if d is "". Records that this process knows by the listing's etag need not be read.
func (r *Registry) tagsOf(ctx context.Context, repo string, d digest.Digest) (map[string]tagRecord, error) {
	all := map[string]tagRecord{}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	prefix := tagsPrefix(repo)
	for entry, err := range r.driver.List(gctx, prefix, "", "") {
		if err != nil {
			return nil, errors.Join(err, g.Wait())
		}
		g.Go(func() error {
			t, err := r.listedTag(gctx, entry)
			if errors.Is(err, drivers.ErrNotFound) || err == nil && d != "" && t.Digest != d {
				return nil
			} else if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			all[entry.Key[len(prefix):]] = t
			return nil
		})
	}
	return all, g.Wait()
}

// checkFixed returns DENIED if a rule keeps one of the tags.
func (r *Registry) checkFixed(repo string, tags map[string]tagRecord) error {
	var fixed []string
	for tag := range tags {
		if r.fixed(repo, tag) {
			fixed = append(fixed, tag)
		}
	}
	if len(fixed) == 0 {
		return nil
	}
	first := slices.Min(fixed)
	return tagFixed(repo, first, tags[first].Digest)
}
