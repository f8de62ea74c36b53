package drivers_test

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

var keyGrammar = regexp.MustCompile(`\A[A-Za-z0-9._-]{1,255}(/[A-Za-z0-9._-]{1,255})*\z`)

// FuzzCheckKey compares with the rules of the package comment.
func FuzzCheckKey(f *testing.F) {
	for _, key := range []string{"", "a", "a/b", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "...", "a..b", "a b", "a\x00", "é", "a\n", "~", strings.Repeat("a", 255), strings.Repeat("a", 256), strings.Repeat("a/", 511) + "ab", strings.Repeat("a/", 512) + "a"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		elements := strings.Split(key, "/")
		want := keyGrammar.MatchString(key) && len(key) <= drivers.MaxKey && !slices.Contains(elements, ".") && !slices.Contains(elements, "..")
		err := drivers.CheckKey("test", "fuzz", key)
		if (err == nil) != want || err != nil && !errors.Is(err, drivers.ErrInvalid) {
			t.Errorf("%q: %v, want %t", key, err, want)
		}
	})
}
