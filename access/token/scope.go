package token

import (
	"fmt"
	"slices"
	"strings"

	"github.com/longshore-registry/longshore/access"
)

// Scope is a resource that a client wants a token for, with what it wants to do there, as the scopes of Docker's token protocol name it:
// "repository:team/app:pull,push", "registry:catalog:*".
// https://distribution.github.io/distribution/spec/auth/scope/
type Scope struct {
	Type    string   // "repository", "registry"
	Class   string   // of repository(plugin); else ""
	Name    string   // may have colons, in the port of a host
	Actions []string // as they are written; never empty
}

// The resources that we know.
const (
	repositoryType = "repository"
	registryType   = "registry"
	catalogName    = "catalog"
	allActions     = "*"
)

// maxScopes is how many resources a client may ask for at once: docker names two, and each makes the token longer.
const maxScopes = 100

// maxScope is the length of a scope in bytes.
const maxScope = 1 << 10

// ParseScope reads one scope.
func ParseScope(text string) (Scope, error) {
	bad := func(what string) (Scope, error) { return Scope{}, fmt.Errorf("a scope %s", what) }
	if len(text) > maxScope {
		return bad("is too long")
	}
	first, last := strings.IndexByte(text, ':'), strings.LastIndexByte(text, ':')
	if first == last {
		return bad("is written type:name:actions")
	}
	s := Scope{Type: text[:first], Name: text[first+1 : last]}
	if kind, class, has := strings.Cut(s.Type, "("); has {
		class, closed := strings.CutSuffix(class, ")")
		if !closed || !isWord(class) {
			return bad("has a class of letters, as in repository(plugin)")
		}
		s.Type, s.Class = kind, class
	}
	if !isWord(s.Type) {
		return bad("has a type of letters")
	}
	if s.Name == "" || strings.ContainsFunc(s.Name, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return bad("has a name without blanks")
	}
	for action := range strings.SplitSeq(text[last+1:], ",") {
		if action != allActions && !isWord(action) {
			return bad("has actions of letters, or *")
		}
		if !slices.Contains(s.Actions, action) {
			s.Actions = append(s.Actions, action)
		}
	}
	return s, nil
}

// isWord reports whether s is a word of lower-case letters, digits and dashes.
func isWord(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || 'z' < r) && (r < '0' || '9' < r) && r != '-' })
}

// String writes the scope as ParseScope reads it.
func (s Scope) String() string {
	class := ""
	if s.Class != "" {
		class = "(" + s.Class + ")"
	}
	return s.Type + class + ":" + s.Name + ":" + strings.Join(s.Actions, ",")
}

// parseScopes reads the values of all scope parameters, each of which may have several scopes. What is none is left out, and what is asked for twice is
// one.
func parseScopes(parameters []string) []Scope {
	var all []Scope
	for _, p := range parameters {
		for text := range strings.FieldsSeq(p) {
			s, err := ParseScope(text)
			if err != nil {
				continue
			}
			i := slices.IndexFunc(all, func(o Scope) bool { return o.Type == s.Type && o.Class == s.Class && o.Name == s.Name })
			if i < 0 {
				if len(all) == maxScopes {
					return all
				}
				all = append(all, s)
				continue
			}
			for _, a := range s.Actions {
				if !slices.Contains(all[i].Actions, a) {
					all[i].Actions = append(all[i].Actions, a)
				}
			}
		}
	}
	return all
}

// actions are ours for those of a scope or of a token. Docker's clients know no tag-move: who asks for push means it, and gets it where the policy lets
// tags be moved.
func actions(s Scope) []access.Action {
	var all []access.Action
	add := func(some ...access.Action) {
		for _, a := range some {
			if !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	for _, a := range s.Actions {
		switch {
		case s.Type == registryType && s.Name == catalogName && a == allActions:
			add(access.Catalogue)
		case s.Type != repositoryType:
		case a == allActions:
			add(access.Pull, access.Push, access.TagMove, access.Delete)
		case a == string(access.Push):
			add(access.Push, access.TagMove)
		case a == string(access.Pull), a == string(access.TagMove), a == string(access.Delete):
			add(access.Action(a))
		}
	}
	return all
}

// isRepository reports whether name has only what names of repositories have. Whether it is one is asked when it is used.
func isRepository(name string) bool {
	return len(name) <= 255 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || 'z' < r) && (r < '0' || '9' < r) && !strings.ContainsRune("._/-", r)
	})
}
