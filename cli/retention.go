package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/config"
	"github.com/longshore-registry/longshore/registry"
)

// retentionRule is a rule as the configuration has it: "ci/** tags=^pr- last=10 younger=30d".
type retentionRule struct {
	text string
	rule registry.RetentionRule
}

// String is the rule as it was written.
func (r retentionRule) String() string { return r.text }

// MarshalText is String.
func (r retentionRule) MarshalText() ([]byte, error) { return []byte(r.text), nil }

// UnmarshalText reads a rule. One that keeps no tag at all is an error: it is more likely a slip.
func (r *retentionRule) UnmarshalText(text []byte) error {
	words := strings.Fields(string(text))
	if len(words) == 0 {
		return errors.New("an empty rule")
	}
	var pattern config.Glob
	if err := pattern.UnmarshalText([]byte(words[0])); err != nil {
		return err
	}
	if strings.Contains(words[0], "=") {
		return fmt.Errorf("%q: a rule begins with a pattern for repositories, such as **", words[0])
	}
	rule := registry.RetentionRule{Repositories: pattern}
	keeps := false
	for _, word := range words[1:] {
		key, value, ok := strings.Cut(word, "=")
		if !ok || value == "" {
			return fmt.Errorf("%q is not one of tags=, last=, younger=, pulled=, always= with a value", word)
		}
		var err error
		keeps = keeps || key != "tags"
		switch key {
		case "tags":
			rule.Tags, err = regexp.Compile(value)
		case "always":
			var re *regexp.Regexp
			re, err = regexp.Compile(value)
			rule.Always = append(rule.Always, re)
		case "last":
			if rule.Last, err = strconv.Atoi(value); err == nil && rule.Last < 1 {
				err = errors.New("last has to be 1 at least")
			}
		case "younger":
			rule.Younger, err = parseDays(value)
		case "pulled":
			rule.Pulled, err = parseDays(value)
		default:
			err = errors.New("use tags=, last=, younger=, pulled= or always=")
		}
		if err != nil {
			return fmt.Errorf("%q: %w", word, err)
		}
	}
	if !keeps {
		return errors.New("the rule keeps no tag: say what stays with last=, younger=, pulled= or always=")
	}
	*r = retentionRule{strings.Join(words, " "), rule}
	return nil
}

// parseDays reads a duration, which may be in days.
func parseDays(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 1 || n > 36500 {
			return 0, fmt.Errorf("%q is not a number of days such as 30d", text)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%q is not longer than nothing", text)
	}
	return d, err
}

// tracksPulls says for which repositories a rule asks when tags were pulled; nil for none.
func tracksPulls(rules []retentionRule) func(string) bool {
	any := false
	for _, r := range rules {
		any = any || r.rule.Pulled > 0
	}
	if !any {
		return nil
	}
	return func(repo string) bool {
		for _, r := range rules {
			if r.rule.Concerns(repo) {
				return r.rule.Pulled > 0
			}
		}
		return false
	}
}
