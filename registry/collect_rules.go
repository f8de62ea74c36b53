package registry

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// RetentionRule says which tags of some repositories are removed: those that Tags matches and that nothing else in the rule keeps. Tags younger
// than the grace period, and those that Options.Immutable keeps, stay in any case. Manifests that no tag leads to any more go too, even if CollectOptions.Untagged is 0.
type RetentionRule struct {
	// Repositories matches the names of the repositories that the rule is for; nil: all. Printed with %v it has to tell one rule
	// from another.
	Repositories interface{ Match(name string) bool }

	Tags    *regexp.Regexp   // the tags that the rule may remove; nil: all
	Last    int              // keeps that many of the newest of them
	Younger time.Duration    // keeps what was pushed since
	Pulled  time.Duration    // keeps what was pulled by its tag since; see Options.TrackPulls
	Always  []*regexp.Regexp // keeps what one of these matches
}

// Concerns reports whether the rule is for that repository.
func (r *RetentionRule) Concerns(repo string) bool {
	return r.Repositories == nil || r.Repositories.Match(repo)
}

// ruleFor is the first rule for a repository, nil if there is none.
func (c *collector) ruleFor(repo string) *RetentionRule {
	for i := range c.o.Retention {
		if rule := &c.o.Retention[i]; rule.Concerns(repo) {
			return rule
		}
	}
	return nil
}

// choose adds the tags that go.
func (r *RetentionRule) choose(s *seenRepo, goes map[string]string) {
	type candidate struct {
		tag  string
		time time.Time
	}
	var all []candidate
	for tag, t := range s.tags {
		if subjectOf(tag) == "" && (r.Tags == nil || r.Tags.MatchString(tag)) {
			all = append(all, candidate{tag, t.time})
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(b.time.Compare(a.time), cmp.Compare(a.tag, b.tag))
	})
	for i, t := range all {
		always := slices.ContainsFunc(r.Always, func(re *regexp.Regexp) bool { return re.MatchString(t.tag) })
		if i < r.Last || always || s.c.fixed(s.name, t.tag) || !s.expired(t.time, r.Younger) {
			continue
		}
		if pulled := s.pulled[t.tag]; r.Pulled > 0 && !pulled.IsZero() && !s.expired(pulled, r.Pulled) {
			continue
		}
		goes[t.tag] = fmt.Sprintf("a rule for the repository: pushed %s, %d are newer", t.time.UTC().Format(time.RFC3339), i)
	}
}
