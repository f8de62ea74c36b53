package registry

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// RetentionRule says which tags of some repositories are removed. A tag that Tags matches goes unless one of the others
// keeps it. Tags younger than the grace period stay.
type RetentionRule struct {
	Repositories func(name string) bool // nil: all

	Tags    *regexp.Regexp   // the tags that the rule may remove; nil: all
	Last    int              // keeps that many of the newest of them
	Younger time.Duration    // keeps what was pushed since
	Always  []*regexp.Regexp // keeps what one of these matches
}

// ruleFor is the first rule for a repository, nil if there is none.
func (c *collector) ruleFor(repo string) *RetentionRule {
	for i := range c.o.Retention {
		if rule := &c.o.Retention[i]; rule.Repositories == nil || rule.Repositories(repo) {
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
		if i < r.Last || always || !s.c.expired(t.time, r.Younger) {
			continue
		}
		goes[t.tag] = fmt.Sprintf("a rule for the repository removes it: pushed %s, %d newer", t.time.UTC().Format(time.RFC3339), i)
	}
}
