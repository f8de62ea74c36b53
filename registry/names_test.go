package registry

import (
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// The grammars as the OCI distribution spec has them.
var (
	nameGrammar = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagGrammar  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// compareGrammars compares the hand-written grammars with the spec's.
func compareGrammars(t *testing.T, text string) {
	t.Helper()
	if got, want := validName(text), nameGrammar.MatchString(text); got != want {
		t.Errorf("name %q: %t, want %t", text, got, want)
	}
	if got, want := validTag(text), tagGrammar.MatchString(text); got != want {
		t.Errorf("tag %q: %t, want %t", text, got, want)
	}
	d, err := digest.Parse(text)
	want := err == nil && (d.Algorithm() == digest.SHA256 || d.Algorithm() == digest.SHA512)
	if got := validDigest(text); got != want {
		t.Errorf("digest %q: %t, want %t", text, got, want)
	}
}

// TestGrammars tries all short texts of the characters that matter, and some long ones.
func TestGrammars(t *testing.T) {
	const longest = 6
	var try func(text string)
	try = func(text string) {
		compareGrammars(t, text)
		if len(text) < longest {
			for _, c := range []string{"a", "9", "A", "/", ".", "_", "-"} {
				try(text + c)
			}
		}
	}
	try("")
	for _, text := range []string{
		strings.Repeat("a", 127), strings.Repeat("a", 128), strings.Repeat("a", 129), "a\n", "ä", "a b", "a:b", "a\x00",
		"sha256:" + strings.Repeat("a", 64), "sha256:" + strings.Repeat("a", 63), "sha256:" + strings.Repeat("A", 64), "sha256:" + strings.Repeat("g", 64),
		"sha512:" + strings.Repeat("0", 128), "sha512:" + strings.Repeat("0", 64), "sha384:" + strings.Repeat("0", 96), "sha256" + strings.Repeat("a", 64),
		"md5:" + strings.Repeat("0", 32), "sha256:", "sha256", ":", "sha256:" + strings.Repeat("a", 64) + "\n", "sha256:" + strings.Repeat("a", 63) + ":",
	} {
		compareGrammars(t, text)
	}
}

func FuzzGrammars(f *testing.F) {
	for _, text := range []string{"a/b-c__d.e", "v1.2.3", "sha256:" + strings.Repeat("a", 64)} {
		f.Add(text)
	}
	f.Fuzz(compareGrammars)
}
