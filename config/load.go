package config

import (
	"errors"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Options say where a configuration comes from.
type Options struct {
	// File is the path of a YAML file, or "" for none.
	File string

	// Text is what the file holds, where it has been read already; File is only its name then.
	Text []byte

	// Env is the environment, in the form of os.Environ.
	Env []string

	// Prefix begins the names of the variables that count, without the "_": "LONGSHORE".
	Prefix string

	// Ignore says which variables with the prefix belong to somebody else. Those that Kubernetes
	// sets for services are left out in any case. Nil means none.
	Ignore func(name string) bool

	// Hints answer unknown keys that people bring from elsewhere: the path of such a key, and what
	// to do instead, as a part of a sentence.
	Hints map[string]string
}

// Key is one setting.
type Key struct {
	Path   string `json:"path"`  // "http.addr"
	Env    string `json:"env"`   // the name of its variable; "" for what is in a list of sections, which is set as a whole
	Type   string `json:"type"`  // in words: "duration", "list of networks"
	Value  string `json:"value"` // as it would be written; a secret that is set is "***"
	Source Source `json:"source"`

	Doc      string `json:"-"`
	Min, Max string `json:"-"` // "" for none
}

// Keys lists the settings of the struct that of points to, in the order of its fields, with the values it
// holds. Each alternative of a OneOf is in it. The error is a fault of the struct.
func Keys(of any, prefix string) ([]Key, error) {
	root, err := schemaOf(of)
	if err != nil {
		return nil, err
	}
	return root.list(prefix, true), nil
}

// Load fills the struct that into points to, which holds the defaults, from the file and the
// environment. It returns the settings that count now, each with its source; of a OneOf those
// of the chosen alternative. Everything that is wrong with the configuration comes as one error
// of type [Problems]; any other error is a fault of the struct.
func Load(into any, o Options) ([]Key, error) {
	root, err := schemaOf(into)
	if err != nil {
		return nil, err
	}
	l := &loader{Options: o, root: root, env: map[string]string{}, used: map[string]bool{}, faulty: map[*node]bool{}}
	for _, pair := range o.Env {
		if name, value, ok := strings.Cut(pair, "="); ok {
			l.env[name] = value
		}
	}
	l.text = &text{name: o.File}
	root.walk(func(n *node) {
		secret := func(n *node) {
			if n.secret {
				l.text.secrets = append(l.text.secrets, n.key)
			}
		}
		secret(n)
		if n.template != nil {
			n.template.walk(secret)
		}
	})
	l.chooseFromEnv()
	if o.File != "" {
		l.loadFile()
	}
	l.loadEnv()
	l.validate(root)
	return root.list(o.Prefix, false), l.problems.err()
}

// loader is the state of one Load.
type loader struct {
	Options
	root     *node
	text     *text
	env      map[string]string
	used     map[string]bool // variables that the file refers to as ${NAME}
	chosen   map[*node]string
	faulty   map[*node]bool // nodes at or below which something is wrong: not validated
	variable string         // the one whose YAML is being read, "" while it is the file's
	problems Problems
}

// problem records what is wrong with n or below it.
func (l *loader) problem(n *node, p Problem) {
	for ; n != nil; n = n.parent {
		l.faulty[n] = true
	}
	l.problems = append(l.problems, p)
}

// set parses the texts into the node. A leaf takes one.
func (l *loader) set(n *node, texts []string, s Source) error {
	if n.kind == leaf {
		v, err := n.checked(texts[0])
		if err == nil {
			n.value.Set(v)
			n.source = s
			n.parts = partsOfText(n, s)
		}
		return err
	}
	if n.kind == table {
		return n.setTable(texts, s)
	}
	all := reflect.MakeSlice(n.value.Type(), 0, len(texts))
	for _, t := range texts {
		v, err := n.checked(t)
		if err != nil {
			return err
		}
		all = reflect.Append(all, v)
	}
	n.value.Set(all)
	n.source = s
	return nil
}

// checked is parse within the bounds of the tags. What is wrong with a secret does not repeat it.
func (n *node) checked(text string) (reflect.Value, error) {
	v, err := n.parse(text)
	if err == nil {
		err = n.bound(v)
	}
	if err != nil && n.secret && text != "" {
		err = errors.New(strings.ReplaceAll(err.Error(), text, "***"))
	}
	return v, err
}

// subject is a message of Validate that begins with the key it is about.
var subject = regexp.MustCompile(`^([a-z0-9_]+(?:\.[a-z0-9_]+)*): (?s:(.+))$`)

// validate calls the Validate methods of sections in which nothing is wrong yet, inner ones first.
func (l *loader) validate(n *node) {
	switch n.kind {
	case choice:
		c := n.chosen()
		if c == nil {
			if !l.faulty[n] {
				l.problem(n, Problem{Source: Source{File: l.File}, Path: n.path, Message: "is not set", Hint: "set one of " + words(n.keys(), "or") + " below it"})
			}
			return
		}
		l.validate(c)
		return
	case leaf, list, table:
		return
	}
	for _, c := range n.children {
		l.validate(c)
	}
	v, ok := n.value.Addr().Interface().(interface{ Validate() error })
	if !ok || l.faulty[n] {
		return
	}
	for _, err := range parts(v.Validate()) {
		l.problem(n, l.invalid(n, err))
	}
}

// parts are the errors that were joined into err.
func parts(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || !strings.Contains(err.Error(), "\n") {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, parts(e)...)
	}
	return all
}

// invalid places an error of n's Validate at the key that it names.
func (l *loader) invalid(n *node, err error) Problem {
	p := Problem{Path: n.path, Message: err.Error(), Source: l.nearestSource(n)}
	m := subject.FindStringSubmatch(err.Error())
	if m == nil {
		return p
	}
	named := n.below(m[1])
	if named == nil {
		// A driver may begin with its own name, "minio.bucket", or with the whole path.
		if rest, ok := strings.CutPrefix(m[1], n.key+"."); ok {
			named = n.below(rest)
		}
		if rest, ok := strings.CutPrefix(m[1], n.path+"."); ok && n.path != "" {
			named = n.below(rest)
		}
	}
	if named == nil {
		return p
	}
	p.Path, p.Message = named.path, m[2]
	if s := named.source; s != (Source{}) {
		p.Source = s
		if s.Env == "" && s.File == l.text.name {
			p.Excerpt = l.text.excerptOf(named, s)
		}
	}
	if named.source == (Source{}) && (named.kind == leaf || named.kind == list) && !named.inList() {
		p.Hint = "set it in the file, or as " + named.env(l.Prefix)
	}
	return p
}

// below is the node at a relative path, or nil.
func (n *node) below(path string) *node {
	for key := range strings.SplitSeq(path, ".") {
		if n = n.find(key); n == nil {
			return nil
		}
	}
	return n
}

// nearestSource is where the section was opened, or the first value in it that was set.
func (l *loader) nearestSource(n *node) Source {
	found := n.source
	n.walk(func(c *node) {
		if found == (Source{}) {
			found = c.source
		}
	})
	return found
}

// list is the settings at and below n. With all, those of alternatives that were not chosen too.
func (n *node) list(prefix string, all bool) []Key {
	var keys []Key
	switch n.kind {
	case leaf, list, table, sections:
		k := Key{
			Path: n.path, Env: n.env(prefix), Type: n.typeName(), Value: format(n.value, n.bytes),
			Source: n.source, Doc: n.doc, Min: n.min, Max: n.max,
		}
		switch {
		case n.kind == sections:
			k.Value = ""
		case n.secret && !n.value.IsZero():
			k.Value = "***"
		}
		if n.inList() {
			k.Env = ""
		}
		keys = append(append(keys, k), n.parts...)
		if n.template != nil && all {
			keys = append(keys, n.template.list(prefix, all)...)
		}
		for _, c := range n.children {
			keys = append(keys, c.list(prefix, all)...)
		}
	case choice:
		name := n.value.Interface().(OneOf).Chosen
		keys = append(keys, Key{
			Path: n.path, Env: n.env(prefix), Type: words(n.keys(), "or"), Value: name, Source: n.source, Doc: n.doc,
		})
		for _, c := range n.children {
			if all || c.key == name {
				keys = append(keys, c.list(prefix, all)...)
			}
		}
	default:
		for _, c := range n.children {
			keys = append(keys, c.list(prefix, all)...)
		}
	}
	return keys
}

// sortedNames are the names of the variables, in order, so that messages are the same each time.
func (l *loader) sortedNames() []string {
	return slices.Sorted(maps.Keys(l.env))
}
