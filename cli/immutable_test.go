package cli

import (
	"strings"
	"testing"
)

func TestImmutableRules(t *testing.T) {
	for text, want := range map[string]string{
		"**":                       "",
		"releases/** tags=^v[0-9]": "",
		"  a/*   tags=.  ":         "",
		"":                         "an empty rule",
		"tags=^v":                  "begins with a pattern for repositories",
		"a/[b]":                    "only *, ** and ? are special",
		"a ^v":                     "one tags=REGEX",
		"a tags=":                  "one tags=REGEX",
		"a tags=x tags=y":          "one tags=REGEX",
		"a tags=[":                 "missing closing ]",
		"a repositories=b":         "one tags=REGEX",
	} {
		var r immutableRule
		err := r.UnmarshalText([]byte(text))
		if want == "" {
			if err != nil || r.String() != strings.Join(strings.Fields(text), " ") {
				t.Errorf("%q: %v, %q", text, err, r)
			}
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", text, err, want)
		}
	}
}
