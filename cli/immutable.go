package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/longshore-registry/longshore/config"
	"github.com/longshore-registry/longshore/registry"
)

// immutableRule is a rule as the configuration has it: "releases/** tags=^v[0-9]".
type immutableRule struct {
	text string
	rule registry.ImmutableRule
}

// String is the rule as it was written.
func (r immutableRule) String() string { return r.text }

// MarshalText is String.
func (r immutableRule) MarshalText() ([]byte, error) { return []byte(r.text), nil }

// UnmarshalText reads a rule.
func (r *immutableRule) UnmarshalText(text []byte) error {
	words := strings.Fields(string(text))
	if len(words) == 0 {
		return errors.New("an empty rule")
	}
	if strings.Contains(words[0], "=") {
		return fmt.Errorf("%q: a rule begins with a pattern for repositories, such as **", words[0])
	}
	var pattern config.Glob
	if err := pattern.UnmarshalText([]byte(words[0])); err != nil {
		return err
	}
	rule := registry.ImmutableRule{Repositories: pattern}
	for _, word := range words[1:] {
		value, ok := strings.CutPrefix(word, "tags=")
		if !ok || value == "" || rule.Tags != nil {
			return fmt.Errorf("%q: after the pattern a rule has one tags=REGEX, or nothing", word)
		}
		var err error
		if rule.Tags, err = regexp.Compile(value); err != nil {
			return fmt.Errorf("%q: %w", word, err)
		}
	}
	*r = immutableRule{strings.Join(words, " "), rule}
	return nil
}

// immutableRules are those of the registry.
func immutableRules(rules []immutableRule) []registry.ImmutableRule {
	var all []registry.ImmutableRule
	for _, r := range rules {
		all = append(all, r.rule)
	}
	return all
}
