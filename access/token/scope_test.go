package token

import (
	"reflect"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/access"
)

func TestParseScope(t *testing.T) {
	for _, test := range []struct {
		text string
		want Scope // the zero value: an error
	}{
		{"repository:team/app:pull", Scope{"repository", "", "team/app", []string{"pull"}}},
		{"repository:team/app:pull,push", Scope{"repository", "", "team/app", []string{"pull", "push"}}},
		{"repository:team/app:pull,pull,push", Scope{"repository", "", "team/app", []string{"pull", "push"}}},
		{"repository:localhost:5000/team/app:*", Scope{"repository", "", "localhost:5000/team/app", []string{"*"}}},
		{"repository:[::1]:5000/app:pull", Scope{"repository", "", "[::1]:5000/app", []string{"pull"}}},
		{"repository(plugin):team/app:pull", Scope{"repository", "plugin", "team/app", []string{"pull"}}},
		{"registry:catalog:*", Scope{"registry", "", "catalog", []string{"*"}}},
		{"repository:a:tag-move", Scope{"repository", "", "a", []string{"tag-move"}}},
		{"", Scope{}},
		{"repository", Scope{}},
		{"repository:a", Scope{}},
		{"repository:a:", Scope{}},
		{"repository:a:pull,", Scope{}},
		{"repository:a:PULL", Scope{}},
		{"repository::pull", Scope{}},
		{":a:pull", Scope{}},
		{"repository(:a:pull", Scope{}},
		{"repository():a:pull", Scope{}},
		{"repository(plug in):a:pull", Scope{}},
		{"Repository:a:pull", Scope{}},
		{"repository:a b:pull", Scope{}},
		{"repository:a\x00:pull", Scope{}},
		{"repository:ä:pull", Scope{}},
		{"repository:" + strings.Repeat("a", maxScope) + ":pull", Scope{}},
	} {
		got, err := ParseScope(test.text)
		if (err != nil) != (test.want.Type == "") || err == nil && !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: got %+v, %v", test.text, got, err)
		}
	}
}

func TestParseScopes(t *testing.T) {
	got := parseScopes([]string{"repository:a:pull repository:b:pull", "nonsense", " repository:a:push,pull ", "registry:catalog:*", "repository(plugin):a:pull"})
	var texts []string
	for _, s := range got {
		texts = append(texts, s.String())
	}
	if want := "repository:a:pull,push repository:b:pull registry:catalog:* repository(plugin):a:pull"; strings.Join(texts, " ") != want {
		t.Errorf("got %q, want %q", texts, want)
	}
	if got := parseScopes([]string{strings.Repeat("repository:a:pull ", 3), strings.Repeat("x:y:z,", 9)}); len(got) != 1 {
		t.Errorf("got %v", got)
	}
	var many []string
	for n := range 1000 {
		many = append(many, "repository:a"+strings.Repeat("a", n%200)+":pull")
	}
	if got := parseScopes(many); len(got) != maxScopes {
		t.Errorf("%d scopes were taken", len(got))
	}
}

func TestActions(t *testing.T) {
	for text, want := range map[string][]access.Action{
		"repository:a:pull":        {access.Pull},
		"repository:a:push":        {access.Push, access.TagMove},
		"repository:a:*":           {access.Pull, access.Push, access.TagMove, access.Delete},
		"repository:a:pull,delete": {access.Pull, access.Delete},
		"repository:a:admin":       nil,
		"repository:a:catalogue":   nil,
		"registry:catalog:*":       {access.Catalogue},
		"registry:catalog:pull":    nil,
		"registry:a:*":             nil,
		"other:catalog:*":          nil,
	} {
		s, err := ParseScope(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := actions(s); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

func FuzzScope(f *testing.F) {
	for _, text := range []string{"repository:localhost:5000/a:pull,push", "repository(plugin):a:*", "registry:catalog:*", "::", "a(b):c:d,e", "repository:a:pull repository:b:push"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := ParseScope(text); err == nil {
			again, err := ParseScope(s.String())
			if err != nil || !reflect.DeepEqual(again, s) {
				t.Errorf("%q is %+v, and written again %+v, %v", text, s, again, err)
			}
			if actions(s) != nil && s.Type != repositoryType && s.Type != registryType {
				t.Errorf("%q gives rights", text)
			}
		}
		for _, s := range parseScopes([]string{text, text}) {
			if len(s.Actions) == 0 || strings.ContainsAny(s.Name, " \t\r\n\"") {
				t.Errorf("%q has %+v in it", text, s)
			}
		}
	})
}
