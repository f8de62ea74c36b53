package config

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// fileSuffix makes the name of a variable that holds the path of a file with the value.
const fileSuffix = "_FILE"

// variables are the nodes that a variable can set, by its name.
func (l *loader) variables() map[string]*node {
	all := map[string]*node{}
	l.root.walk(func(n *node) {
		if n.kind != section && !n.inList() {
			all[n.env(l.Prefix)] = n
		}
	})
	return all
}

// match finds the node that a variable sets, and whether by a file's name. A key that ends in
// _file itself goes first.
func match(name string, known map[string]*node) (n *node, byFile bool) {
	if n := known[name]; n != nil {
		return n, false
	}
	if base, ok := strings.CutSuffix(name, fileSuffix); ok && known[base] != nil {
		return known[base], true
	}
	return nil, false
}

// chooseFromEnv decides which alternative the environment picks of each OneOf, before the file is read,
// for it replaces the file's. An empty variable picks nothing: compose files pass those on for what is not set.
func (l *loader) chooseFromEnv() {
	l.chosen = map[*node]string{}
	by := map[*node]string{} // the variable that did it
	known := l.variables()
	names := l.sortedNames()
	for _, name := range names {
		n, byFile := match(name, known)
		if n == nil || n.kind != choice {
			continue
		}
		if alternative, err := l.envText(name, byFile); err == nil && n.find(alternative) != nil {
			l.chosen[n], by[n] = alternative, name
		}
	}
	explicit := maps.Clone(l.chosen)
	for _, name := range names {
		n, _ := match(name, known)
		if n == nil || l.env[name] == "" {
			continue
		}
		for c := n; c.parent != nil; c = c.parent {
			if c.parent.kind != choice || explicit[c.parent] != "" {
				continue
			}
			before := l.chosen[c.parent]
			if before != "" && before != c.key {
				l.problem(c.parent, Problem{
					Source: Source{Env: name}, Path: c.parent.path,
					Message: fmt.Sprintf("belongs to %s, but %s belongs to %s", c.key, by[c.parent], before),
					Hint:    fmt.Sprintf("unset one of them, or set %s=%s to decide", c.parent.env(l.Prefix), c.key),
				})
				continue
			}
			l.chosen[c.parent], by[c.parent] = c.key, name
		}
	}
	for n, name := range l.chosen {
		n.choose(name)
		n.source = Source{Env: by[n]}
	}
}

// loadEnv sets what variables set, and reports those that set nothing.
func (l *loader) loadEnv() {
	known := l.variables()
	for _, name := range l.sortedNames() {
		if !strings.HasPrefix(name, l.Prefix+"_") {
			continue
		}
		n, byFile := match(name, known)
		switch {
		case n == nil:
			l.unknownVariable(name, known)
		case !n.counts():
			// A key of an alternative that was not chosen; chooseFromEnv has said so where it matters.
		default:
			l.setFromEnv(n, name, byFile)
		}
	}
}

// counts reports whether n lies in chosen alternatives only.
func (n *node) counts() bool {
	for ; n.parent != nil; n = n.parent {
		if n.parent.kind == choice && n.parent.chosen() != n {
			return false
		}
	}
	return true
}

func (l *loader) setFromEnv(n *node, name string, byFile bool) {
	bad := func(message, hint string) {
		l.problem(n, Problem{Source: Source{Env: name}, Path: n.path, Message: message, Hint: hint})
	}
	if _, both := l.env[n.env(l.Prefix)]; byFile && both {
		bad(fmt.Sprintf("%s is set too", n.env(l.Prefix)), "unset one of them")
		return
	}
	value, err := l.envText(name, byFile)
	if err != nil {
		message := err.Error()
		if n.secret { // somebody may have put the secret itself where its file's name belongs
			message = strings.ReplaceAll(message, l.env[name], "***")
		}
		bad(message, "")
		return
	}
	switch n.kind {
	case choice:
		if value != "" && n.find(value) == nil {
			bad(n.notAnAlternative(value).Error(), "")
		}
	case list, table:
		err = l.set(n, split(value), Source{Env: name})
	case sections:
		err = l.setSections(n, value, name)
	default:
		err = l.set(n, []string{value}, Source{Env: name})
	}
	if err == errEmpty {
		bad("is empty", "unset it, or give it a value")
	} else if err != nil {
		bad(err.Error(), "")
	}
}

// envText is the value of a variable, or of the file that it names.
func (l *loader) envText(name string, byFile bool) (string, error) {
	value := l.env[name]
	if !byFile {
		return value, nil
	}
	data, err := os.ReadFile(value)
	if err != nil {
		return "", fmt.Errorf("the file %s: %w", value, cause(err))
	}
	if len(data) > maxFile {
		return "", fmt.Errorf("the file %s is larger than 1 MiB", value)
	}
	// Editors and echo end a file with a line break that no secret has.
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
}

// unknownVariable reports a variable that begins like ours and sets nothing.
func (l *loader) unknownVariable(name string, known map[string]*node) {
	if l.used[name] || serviceLink(l.Prefix, name, l.env[name]) || l.Ignore != nil && l.Ignore(name) {
		return
	}
	p := Problem{Source: Source{Env: name}, Message: "sets nothing that is known"}
	// Without the prefix, which is the same in all and would make short names look alike.
	var names []string
	for k := range known {
		names = append(names, strings.TrimPrefix(k, l.Prefix+"_"))
	}
	slices.Sort(names)
	rest := strings.TrimPrefix(name, l.Prefix+"_")
	base, byFile := strings.CutSuffix(rest, fileSuffix)
	suggest := func(name, suffix string) { p.Hint = fmt.Sprintf("did you mean %s_%s%s?", l.Prefix, name, suffix) }
	if n := l.sectionOf(name); n != nil {
		p.Message = "is a section and has no value of its own"
		p.Hint = "set " + words(n.childVariables(l.Prefix), "or")
	} else if near := nearest(base, names); byFile && near != "" {
		suggest(near, fileSuffix)
	} else if near := nearest(rest, names); near != "" {
		suggest(near, "")
	} else if near := abbreviated(rest, names); near != "" {
		suggest(near, "")
	} else {
		p.Hint = "unset it, or look up the name in the reference"
	}
	l.problem(nil, p)
}

// sectionOf is the section that a variable would set if sections had values.
func (l *loader) sectionOf(name string) *node {
	var found *node
	l.root.walk(func(n *node) {
		if n.kind == section && n.parent != nil && n.env(l.Prefix) == name {
			found = n
		}
	})
	return found
}

// childVariables are those of a section's keys.
func (n *node) childVariables(prefix string) []string {
	var all []string
	for _, c := range n.children {
		if c.kind != section {
			all = append(all, c.env(prefix))
		}
	}
	return all
}

// abbreviated is the shortest known name that has all words of name in their order: somebody left a
// section out.
func abbreviated(name string, known []string) string {
	best := ""
	for _, k := range known {
		rest := strings.Split(name, "_")
		for word := range strings.SplitSeq(k, "_") {
			if len(rest) > 0 && word == rest[0] {
				rest = rest[1:]
			}
		}
		if len(rest) == 0 && (best == "" || len(k) < len(best)) {
			best = k
		}
	}
	return best
}

// Kubernetes gives every container variables for every service of its namespace, and a
// service called longshore, or longshore-web, makes them look like ours.
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
var (
	serviceName = regexp.MustCompile(`^(_[A-Z0-9]+)*_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	servicePort = regexp.MustCompile(`^(tcp|udp|sctp)://`)
)

// serviceLink reports whether a variable is one that Kubernetes sets for a service.
func serviceLink(prefix, name, value string) bool {
	rest := strings.TrimPrefix(name, prefix)
	return serviceName.MatchString(rest) || strings.HasSuffix(rest, "_PORT") && (rest == "_PORT" || servicePort.MatchString(value))
}
