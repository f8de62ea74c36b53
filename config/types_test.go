package config_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/config"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]config.Size{
		"0": 0, "7": 7, "7b": 7, "64KB": 64000, "64 KiB": 64 << 10, "4mib": 4 << 20, "1.5GiB": 3 << 29, "0.5KB": 500, "2TB": 2e12,
		"8388607TiB": 8388607 << 40, "9223372036854775807": 1<<63 - 1,
		"": -1, "-1": -1, "+1": -1, "1..2KB": -1, "1.-5KB": -1, "KB": -1, "4 M": -1, "0.3": -1, "1e3": -1, "8388608TiB": -1, "9223372036854775808": -1, "1 2": -1,
	} {
		got, err := config.ParseSize(text)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
}

func FuzzSize(f *testing.F) {
	f.Add(int64(1 << 20))
	f.Add(int64(64000))
	f.Fuzz(func(t *testing.T, n int64) {
		if n < 0 {
			return
		}
		if got, err := config.ParseSize(config.Size(n).String()); err != nil || int64(got) != n {
			t.Errorf("%d is written %s and read %d, %v", n, config.Size(n), got, err)
		}
	})
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"*", "a", true}, {"*", "a/b", false}, {"**", "a/b", true}, {"a/*", "a/b", true}, {"a/*", "a/b/c", false},
		{"a/**", "a/b/c", true}, {"a/**", "a", false}, {"**/c", "a/b/c", true}, {"*/b/*", "a/b/c", true}, {"a?c", "abc", true}, {"a?c", "a/c", false},
		{"**b*c", "ab/bxc", true}, {"*a*b", "xaxb", true}, {"", "", true}, {"", "a", false}, {"a*", "a", true},
	} {
		if got := config.Glob(c.pattern).Match(c.name); got != c.want {
			t.Errorf("%q on %q: %t", c.pattern, c.name, got)
		}
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("a*b**c?d", "axb/xcyd")
	f.Add("**a*b**c", "a/ab/c")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		// A small alphabet makes matches likely; long inputs only make the regexp slow.
		narrow := func(r rune) rune {
			if strings.ContainsRune("ab/*?", r) {
				return r
			}
			return rune("ab/"[r%3])
		}
		pattern, name = strings.Map(narrow, pattern), strings.Map(narrow, name)
		if len(pattern) > 12 || len(name) > 20 {
			return
		}
		re := regexp.MustCompile("^" + strings.NewReplacer(`\*\*`, `.*`, `\*`, `[^/]*`, `\?`, `[^/]`).Replace(regexp.QuoteMeta(pattern)) + "$")
		if got, want := config.Glob(pattern).Match(name), re.MatchString(name); got != want {
			t.Errorf("%q on %q: got %t, want %t", pattern, name, got, want)
		}
	})
}

func TestDocument(t *testing.T) {
	type section struct {
		Config config.Document `yaml:"config"`
	}
	type all struct {
		Plugin section `yaml:"plugin"`
	}
	load := func(text string, env ...string) (string, error) {
		var a all
		_, err := config.Load(&a, config.Options{File: "f.yml", Text: []byte(text), Env: env, Prefix: "P"})
		return string(a.Plugin.Config), err
	}
	for _, test := range []struct {
		text string
		env  []string
		want string
	}{
		{"plugin: {config: {a: 1, b: [x, 'y'], c: {d: true}}}", nil, "{a: 1, b: [x, 'y'], c: {d: true}}"},
		{"plugin:\n  config:\n    secret: ${S}\n", []string{"S=a ${b}: c"}, "secret: \"a $${b}: c\""},
		{"{}", []string{"P_PLUGIN_CONFIG=a: 1"}, "a: 1"},
		{"plugin: {config: {}}", nil, "{}"},
	} {
		got, err := load(test.text, test.env...)
		if err != nil || got != test.want {
			t.Errorf("%s: %q, %v; want %q", test.text, got, err, test.want)
		}
	}
	for text, want := range map[string]string{
		"plugin: {config: [a]}":                 "not a list",
		"plugin: {config: word}":                "is not YAML that holds keys",
		"plugin:\n  config:\n    a: ${MISSING}": "no variable MISSING",
		"plugin: {config: &x {a: *x}}":          "nested too deeply",
	} {
		if _, err := load(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if d := config.Document("a: secret"); fmt.Sprintf("%v %+v %#v %s", d, d, d, d) != `*** *** "***" ***` {
		t.Errorf("%v %+v %#v %s", d, d, d, d)
	}
}

// TestDocumentKeys tells which keys a document has, where each is from, and nothing of what they hold.
func TestDocumentKeys(t *testing.T) {
	type all struct {
		Config config.Document `yaml:"config"`
	}
	for _, test := range []struct {
		name, text, env string
		want            []string
	}{
		{"keys", "config:\n  bucket: images\n  auth:\n    user: me\n    password: hush\n  hosts: [hush, b]\n", "",
			[]string{"config *** f.yml:2", "config.bucket *** f.yml:2", "config.auth.user *** f.yml:4", "config.auth.password *** f.yml:5", "config.hosts *** f.yml:6"}},
		{"a variable", "{}", "P_CONFIG={auth: {password: hush}}", []string{"config *** env P_CONFIG", "config.auth.password *** env P_CONFIG"}},
		{"a variable in place of keys", "config: {a: hush}", "P_CONFIG=b: hush", []string{"config *** env P_CONFIG", "config.b *** env P_CONFIG"}},
		{"an anchor", "config:\n  a: &x {b: hush}\n  c: *x\n", "", []string{"config *** f.yml:2", "config.a.b *** f.yml:2", "config.c.b *** f.yml:2"}},
		{"none", "config: {}", "", []string{"config *** f.yml:1"}},
		{"nothing", "{}", "", []string{"config  default"}},
	} {
		var a all
		keys, err := config.Load(&a, config.Options{File: "f.yml", Text: []byte(test.text), Env: []string{test.env}, Prefix: "P"})
		var got []string
		for _, k := range keys {
			got = append(got, fmt.Sprintf("%s %s %s", k.Path, k.Value, k.Source))
		}
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, %v; want %q", test.name, got, err, test.want)
		}
	}
}
