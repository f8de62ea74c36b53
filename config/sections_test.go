package config_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/config"
)

type ruleSection struct {
	Repositories config.Glob       `yaml:"repositories" doc:"which"`
	Allow        []string          `yaml:"allow" enum:"pull,push"`
	Networks     []netip.Prefix    `yaml:"networks"`
	Claims       map[string]string `yaml:"claims"`
	Key          secret            `yaml:"key"`
	Inner        struct{ Depth int }
}

// SetDefaults is for items of a list.
func (r *ruleSection) SetDefaults() { r.Inner.Depth = 3 }

func (r ruleSection) Validate() error {
	if r.Repositories == "" {
		return errorf("repositories: required")
	}
	return nil
}

type ruled struct {
	Access struct {
		Rules  []ruleSection `doc:"in order"`
		Labels map[string]int
	}
	Other string
}

func loadRules(t *testing.T, file string, env ...string) (*ruled, []config.Key, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	s := new(ruled)
	keys, err := config.Load(s, config.Options{File: path, Prefix: "LONGSHORE", Env: env})
	if err != nil {
		err = errors.New(strings.ReplaceAll(err.Error(), path, "CONFIG"))
	}
	return s, keys, err
}

func TestListsOfSections(t *testing.T) {
	const file = `access:
  labels: {a: 1, b.c: "2"}
  rules:
    - {repositories: "team/**", allow: [pull, push], networks: [10.0.0.0/8]}
    - repositories: ci/*
      claims:
        kubernetes.io.namespace: ${NS}
      key: hush
      inner: {depth: 1}
`
	s, keys, err := loadRules(t, file, "NS=prod")
	if err != nil {
		t.Fatal(err)
	}
	r := s.Access.Rules
	if len(r) != 2 || r[0].Repositories != "team/**" || len(r[0].Allow) != 2 || r[0].Inner.Depth != 3 || r[1].Claims["kubernetes.io.namespace"] != "prod" ||
		r[1].Key != "hush" || r[1].Inner.Depth != 1 || s.Access.Labels["b.c"] != 2 {
		t.Errorf("got %+v, %v", r, s.Access.Labels)
	}
	var got []string
	for _, k := range keys {
		got = append(got, fmt.Sprintf("%s=%s %d", k.Path, k.Value, k.Source.Line))
	}
	for _, want := range []string{"access.rules= 4", "access.rules[0].repositories=team/** 4", "access.rules[1].claims=kubernetes.io.namespace=prod 7", "access.rules[1].key=*** 8", "access.labels=a=1,b.c=2 2"} {
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("%s is missing in\n%s", want, strings.Join(got, "\n"))
		}
	}
	// A variable replaces the whole list.
	s, keys, err = loadRules(t, file, "NS=x", `LONGSHORE_ACCESS_RULES=[{repositories: a, claims: "x=1,y=2"}]`, "LONGSHORE_ACCESS_LABELS=z=9")
	if err != nil || len(s.Access.Rules) != 1 || s.Access.Rules[0].Claims["y"] != "2" || len(s.Access.Labels) != 1 || s.Access.Labels["z"] != 9 {
		t.Errorf("got %+v, %v", s.Access, err)
	}
	for _, k := range keys {
		if strings.HasPrefix(k.Path, "access.rules[0].repositories") && (k.Source.Env != "LONGSHORE_ACCESS_RULES" || k.Env != "") {
			t.Errorf("got %+v", k)
		}
	}
	if s, _, err = loadRules(t, file, "NS=x", "LONGSHORE_ACCESS_RULES="); err != nil || len(s.Access.Rules) != 0 {
		t.Errorf("an empty variable: %+v, %v", s.Access, err)
	}
}

func TestProblemsInListsOfSections(t *testing.T) {
	for _, test := range []struct{ name, file, env, want string }{
		{"typo", "access: {rules: [{repositores: a}]}\n", "", `
CONFIG:1:19: access.rules[0].repositores: unknown key; did you mean repositories?
    1 | access: {rules: [{repositores:
      |                   ^`},
		{"a word that is not one of some", "access:\n  rules:\n    - repositories: a\n    - {repositories: a, allow: [pull, fly]}\n", "", `
CONFIG:4:39: access.rules[1].allow: "fly" is not one of pull or push
    4 |     - {repositories: a, allow: [pull, fly]}
      |                                       ^`},
		{"validated", "access:\n  rules:\n    - {allow: [pull]}\n", "", `
CONFIG:3:7: access.rules[0].repositories: required`},
		{"not a list", "access: {rules: {repositories: a}}\n", "", `
CONFIG:1:17: access.rules: takes a list of sections, not one; begin it with -
    1 | access: {rules: {repositories: a}}
      |                 ^`},
		{"a word", "access: {rules: a}\n", "", `
CONFIG:1:17: access.rules: takes a list of sections; below it, begin each with - and one of repositories, allow, networks, claims, key or inner
    1 | access: {rules: a}
      |                 ^`},
		{"an item that is a word", "access: {rules: [a]}\n", "", `
CONFIG:1:18: access.rules[0]: each item of the list has to be a section; begin it with one of repositories, allow, networks, claims, key or inner, then a colon
    1 | access: {rules: [a]}
      |                  ^`},
		{"nothing", "access: {rules: }\n", "", `
CONFIG:1:17: access.rules: has no value; write [] for an empty list, or remove the line to have the default
    1 | access: {rules: }
      |                 ^`},
		{"a key in a table twice", "access: {labels: {a: 1, a: 2}}\n", "", `
CONFIG:1:28: access.labels: a is set twice
    1 | access: {labels: {a: 1, a: 2}}
      |                            ^`},
		{"a table's value", "access: {labels: {a: x}}\n", "", `
CONFIG:1:22: access.labels: "x" is not a whole number
    1 | access: {labels: {a: x}}
      |                      ^`},
		{"a table that is a list", "access: {labels: [a]}\n", "", `
CONFIG:1:18: access.labels: takes keys, each with a number; write {key: value}, or each key on a line of its own
    1 | access: {labels: [a]}
      |                  ^`},
		{"a list in a table", "access: {labels: {a: [1]}}\n", "", `
CONFIG:1:22: access.labels: each key takes one value
    1 | access: {labels: {a: [1]}}
      |                      ^`},
		{"a secret in a line", "access: {rules: [{key: hush, allow: fly}]}\n", "", `
CONFIG:1:37: access.rules[0].allow: "fly" is not one of pull or push
    1 | access: {rules: [{key: ***, allow: fly}]}
      |                                    ^`},
		{"a variable that is no YAML", "{}", "LONGSHORE_ACCESS_RULES=[", `
env LONGSHORE_ACCESS_RULES: access.rules: is not YAML that holds a list, such as [{repositories: …}]`},
		{"a variable with a typo", "{}", "LONGSHORE_ACCESS_RULES=[{repositories: a, alow: pull}]", `
env LONGSHORE_ACCESS_RULES: access.rules[0].alow: unknown key; did you mean allow?`},
		{"a variable of an item", "{}", "LONGSHORE_ACCESS_RULES_REPOSITORIES=x", `
env LONGSHORE_ACCESS_RULES_REPOSITORIES: sets nothing that is known; unset it, or look up the name in the reference`},
		{"a table's variable", "{}", "LONGSHORE_ACCESS_LABELS=a", `
env LONGSHORE_ACCESS_LABELS: access.labels: "a" is not key=value`},
	} {
		var env []string
		if test.env != "" {
			env = []string{test.env}
		}
		_, _, err := loadRules(t, test.file, env...)
		if got := fmt.Sprint(err); got != strings.TrimPrefix(test.want, "\n") {
			t.Errorf("%s: got\n%s\nwant%s", test.name, got, test.want)
		}
	}
}

func TestKeysOfListsOfSections(t *testing.T) {
	keys, err := config.Keys(new(ruled), "LONGSHORE")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, k := range keys {
		got = append(got, strings.Join([]string{k.Path, k.Env, k.Type, k.Value, k.Doc}, "|"))
	}
	want := `access.rules|LONGSHORE_ACCESS_RULES|list of sections||in order
access.rules[].repositories||pattern||which
access.rules[].allow||list of pull or push||
access.rules[].networks||list of networks||
access.rules[].claims||keys, each with a text||
access.rules[].key||secret||
access.rules[].inner.depth||number|3|
access.labels|LONGSHORE_ACCESS_LABELS|keys, each with a number||
other|LONGSHORE_OTHER|text||`
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}
