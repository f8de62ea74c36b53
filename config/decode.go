package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// loadFile reads the file into the schema.
func (l *loader) loadFile() {
	data := l.Text
	if data == nil {
		var p *Problem
		if data, p = readFile(l.File); p != nil {
			l.problem(l.root, *p)
			return
		}
	}
	doc, p := parseYAML(data, l.text)
	if p != nil {
		l.problem(l.root, *p)
		return
	}
	if doc != nil {
		l.decode(l.root, doc)
	}
}

// at is the source of a YAML node.
func (l *loader) at(y *yaml.Node) Source {
	if l.variable != "" {
		return Source{Env: l.variable}
	}
	return Source{File: l.text.name, Line: y.Line, Column: y.Column}
}

// fault records a problem at a YAML node.
func (l *loader) fault(n *node, y *yaml.Node, message, hint string) {
	s := l.at(y)
	l.problem(n, Problem{Source: s, Path: n.path, Message: message, Hint: hint, Excerpt: l.text.excerptOf(n, s)})
}

// excerptOf is excerpt, but shows nothing of a line that may hold nothing but a secret.
func (t *text) excerptOf(n *node, s Source) string {
	if n.secret {
		return ""
	}
	return t.excerpt(s.Line, s.Column)
}

// keyExcerpt is the line up to a key and no further: the value of a key that nobody knows may be a secret.
func (t *text) keyExcerpt(key *yaml.Node) string {
	if key.Line < 1 || key.Line > len(t.lines) {
		return ""
	}
	end := key.Column - 1 + utf8.RuneCountInString(key.Value)
	if key.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		end += 2
	}
	return t.render(prefixOf(t.lines[key.Line-1], end)+":", key.Line, key.Column)
}

// decode reads y into n.
func (l *loader) decode(n *node, y *yaml.Node) {
	if y.Kind == yaml.AliasNode {
		y = y.Alias
	}
	if y.Style&yaml.TaggedStyle != 0 && !strings.HasPrefix(y.Tag, "!!") {
		l.fault(n, y, fmt.Sprintf("the tag %s means nothing here", printable(y.Tag)), "leave it out")
		return
	}
	switch n.kind {
	case leaf:
		l.decodeLeaf(n, y)
	case list:
		l.decodeList(n, y)
	case choice:
		l.decodeChoice(n, y)
	case sections:
		l.decodeSections(n, y)
	case table:
		l.decodeTable(n, y)
	default:
		l.decodeSection(n, y)
	}
}

// null reports whether a key stands there without a value.
func null(y *yaml.Node) bool {
	return y.Kind == yaml.ScalarNode && y.Tag == "!!null"
}

func (l *loader) decodeLeaf(n *node, y *yaml.Node) {
	switch {
	case null(y):
		hint := "give it one, or remove the line to have the default"
		if n.value.Kind() == reflect.String {
			hint = `give it one, write "" for an empty text, or remove the line to have the default`
		}
		l.fault(n, y, "has no value", hint)
		return
	case y.Kind == yaml.MappingNode && n.value.Type() == documentType:
		text, err := l.document(y)
		if err == nil {
			err = l.set(n, []string{text}, l.at(y))
		}
		if err != nil {
			l.fault(n, y, err.Error(), "")
			return
		}
		n.parts = partsOf(n.path, y, l.at)
		return
	case y.Kind == yaml.MappingNode && strings.HasPrefix(l.sourceText(y), "{"):
		l.fault(n, y, "takes one "+n.typeName()+", not keys", "put quotes around a value that begins with {")
		return
	case y.Kind == yaml.MappingNode:
		l.fault(n, y, "takes one "+n.typeName()+", not keys", "check the indentation")
		return
	case y.Kind != yaml.ScalarNode:
		l.fault(n, y, "takes one "+n.typeName()+", not a list", "remove the - or the brackets")
		return
	}
	value, err := l.expand(y)
	if err == nil {
		err = l.set(n, []string{value}, l.at(y))
	}
	if err != nil {
		l.fault(n, y, err.Error(), "")
	}
}

// maxDepth is how deep a document can be. An alias that is part of what it stands for is deeper.
const maxDepth = 100

// document is y as YAML of its own, with variables put in.
func (l *loader) document(y *yaml.Node) (string, error) {
	filled, err := l.filled(y, 0)
	if err != nil {
		return "", err
	}
	text, err := yaml.Marshal(filled)
	return string(text), err
}

// filled is a copy of y with variables put in and aliases followed. What is put in is not looked at again by who reads it.
func (l *loader) filled(y *yaml.Node, depth int) (*yaml.Node, error) {
	if depth > maxDepth {
		return nil, errors.New("is nested too deeply")
	}
	if y.Kind == yaml.AliasNode {
		y = y.Alias
	}
	c := &yaml.Node{Kind: y.Kind, Style: y.Style, Tag: y.Tag, Value: y.Value}
	if y.Kind == yaml.ScalarNode {
		value, err := l.expand(y)
		if err != nil {
			return nil, err
		}
		if value != y.Value {
			c.Value, c.Tag, c.Style = strings.ReplaceAll(value, "${", "$${"), "!!str", yaml.DoubleQuotedStyle
		}
		return c, nil
	}
	for _, item := range y.Content {
		f, err := l.filled(item, depth+1)
		if err != nil {
			return nil, err
		}
		c.Content = append(c.Content, f)
	}
	return c, nil
}

// sourceText is the line from the node on.
func (l *loader) sourceText(y *yaml.Node) string {
	if y.Line < 1 || y.Line > len(l.text.lines) {
		return ""
	}
	line := l.text.lines[y.Line-1]
	return line[len(prefixOf(line, y.Column-1)):]
}

func (l *loader) decodeList(n *node, y *yaml.Node) {
	var texts []string
	switch {
	case null(y):
		l.fault(n, y, "has no value", "write [] for an empty list, or remove the line to have the default")
		return
	case y.Kind == yaml.ScalarNode:
		// As in the environment; and what ${NAME} stands for may hold commas.
		value, err := l.expand(y)
		if err == nil {
			err = l.set(n, split(value), l.at(y))
		}
		if err != nil {
			l.fault(n, y, err.Error(), "")
		}
		return
	case y.Kind != yaml.SequenceNode:
		l.fault(n, y, "takes a "+n.typeName()+", not keys", "write [a, b], or a line that begins with - for each")
		return
	}
	good := true
	for _, item := range y.Content {
		if item.Kind == yaml.AliasNode {
			item = item.Alias
		}
		if item.Kind != yaml.ScalarNode || null(item) {
			l.fault(n, item, "each item of the list has to be one value", "")
			good = false
			continue
		}
		value, err := l.expand(item)
		if err == nil {
			_, err = n.checked(value)
		}
		if err != nil {
			l.fault(n, item, err.Error(), "")
			good = false
			continue
		}
		texts = append(texts, value)
	}
	if good {
		if err := l.set(n, texts, l.at(y)); err != nil {
			l.fault(n, y, err.Error(), "")
		}
	}
}

// entry is one "key: value" of a mapping.
type entry struct {
	key   *yaml.Node
	value *yaml.Node
	child *node
}

// entries are those of a mapping whose keys n knows; the others are reported.
func (l *loader) entries(n *node, y *yaml.Node) []entry {
	var all []entry
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			l.fault(n, key, "a key has to be a word", "")
			continue
		}
		if key.Tag == "!!merge" {
			l.fault(n, key, "merging with << is not supported", "write the keys out")
			continue
		}
		if before, twice := seen[key.Value]; twice {
			s := l.at(key)
			l.problem(n, Problem{
				Source: s, Path: join(n.path, key.Value),
				Message: fmt.Sprintf("is set twice, on line %d and on line %d", before.Line, key.Line),
				Hint:    "keep one of them",
				Excerpt: l.text.keyExcerpt(before) + "\n" + l.text.keyExcerpt(key),
			})
			continue
		}
		seen[key.Value] = key
		child := n.find(key.Value)
		if child == nil {
			l.unknown(n, key)
			continue
		}
		all = append(all, entry{key, value, child})
	}
	return all
}

// join is the path of a key, which may be anything that somebody wrote.
func join(path, key string) string {
	key = prefixOf(printable(key), 60)
	if path == "" {
		return key
	}
	return path + "." + key
}

// unknown reports a key that n does not have.
func (l *loader) unknown(n *node, key *yaml.Node) {
	s := l.at(key)
	path := join(n.path, key.Value)
	p := Problem{Source: s, Path: path, Message: "unknown key", Hint: l.hint(n, path, key.Value)}
	p.Excerpt = l.text.keyExcerpt(key)
	l.problem(n, p)
}

// hint says what to write instead of an unknown key: what the caller knows of it, a key that is spelt
// like it, or the place where it belongs.
func (l *loader) hint(n *node, path, key string) string {
	if h, ok := l.Hints[path]; ok {
		return h
	}
	near := nearest(key, n.keys())
	var elsewhere []string
	l.root.walk(func(other *node) {
		if other.parent != nil && other.parent != n && plain(other.key) == plain(key) {
			elsewhere = append(elsewhere, other.path)
		}
	})
	switch {
	case near != "" && len(elsewhere) > 0 && len(elsewhere) < 4:
		return fmt.Sprintf("did you mean %s, or %s?", near, words(elsewhere, "or"))
	case near != "":
		return fmt.Sprintf("did you mean %s?", near)
	case len(elsewhere) > 0 && len(elsewhere) < 4:
		return "it belongs elsewhere: " + words(elsewhere, "or")
	}
	if h := l.hintBelow(n, key); h != "" {
		return h
	}
	where := "here"
	if n.path != "" {
		where = "below " + n.path
	}
	return fmt.Sprintf("known %s: %s", where, words(n.keys(), "and"))
}

// hintBelow looks for the key in other sections, with a slip allowed.
func (l *loader) hintBelow(n *node, key string) string {
	byKey := map[string]string{}
	var known []string
	l.root.walk(func(other *node) {
		if other.parent != nil && other.parent != n {
			byKey[other.key] = other.path
			known = append(known, other.key)
		}
	})
	if near := nearest(key, known); near != "" {
		return fmt.Sprintf("did you mean %s?", byKey[near])
	}
	return ""
}

func (l *loader) decodeSection(n *node, y *yaml.Node) {
	if null(y) {
		return // all lines below it are comments
	}
	if y.Kind != yaml.MappingNode {
		what := "a list"
		if y.Kind == yaml.ScalarNode {
			what = "a single value"
		}
		if n.path == "" {
			l.fault(n, y, "the file holds "+what+" where keys are expected", fmt.Sprintf("begin with one of %s, then a colon", words(n.keys(), "or")))
			return
		}
		l.fault(n, y, "holds "+what+" where keys are expected", "put one of "+words(n.keys(), "or")+" below it")
		return
	}
	n.source = l.at(y)
	for _, e := range l.entries(n, y) {
		l.decode(e.child, e.value)
	}
}

func (l *loader) decodeChoice(n *node, y *yaml.Node) {
	_, replaced := l.chosen[n]
	switch {
	case null(y):
		return
	case y.Kind == yaml.ScalarNode:
		name, err := l.expand(y)
		if err == nil && n.find(name) == nil {
			err = n.notAnAlternative(name)
		}
		if err != nil {
			l.fault(n, y, err.Error(), "")
		} else if !replaced {
			n.choose(name)
			n.source = l.at(y)
		}
		return
	case y.Kind != yaml.MappingNode:
		l.fault(n, y, "holds a list where one key is expected", "put one of "+words(n.keys(), "or")+" below it")
		return
	}
	entries := l.entries(n, y)
	if len(entries) > 1 {
		first, second := entries[0], entries[1]
		s := l.at(second.key)
		l.problem(n, Problem{
			Source: s, Path: n.path,
			Message: fmt.Sprintf("has %s on line %d and %s on line %d, but takes one of them",
				first.key.Value, first.key.Line, second.key.Value, second.key.Line),
			Hint:    "remove one",
			Excerpt: l.text.keyExcerpt(first.key) + "\n" + l.text.keyExcerpt(second.key),
		})
	}
	for _, e := range entries {
		if replaced && l.chosen[n] != e.child.key {
			continue // the environment put another one in its place
		}
		if !replaced {
			n.choose(e.child.key)
			n.source = l.at(e.key)
		}
		l.decode(e.child, e.value)
	}
	if len(entries) > 1 && !replaced {
		n.choose("") // so that nothing is said of what one of them lacks
	}
}

// notAnAlternative says so, with the names that exist.
func (n *node) notAnAlternative(name string) error {
	message := fmt.Sprintf("%q is not one of %s", name, words(n.keys(), "or"))
	if near := nearest(name, n.keys()); near != "" {
		message += fmt.Sprintf("; did you mean %s?", near)
	}
	return errors.New(message)
}

// reference is $${ or ${NAME} or the beginning of one.
var reference = regexp.MustCompile(`\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{`)

// expand is the text of a scalar with ${NAME} replaced.
func (l *loader) expand(y *yaml.Node) (string, error) {
	var missing, broken []string
	value := reference.ReplaceAllStringFunc(y.Value, func(match string) string {
		if match == "$${" {
			return "${"
		}
		if match == "${" {
			broken = append(broken, match)
			return ""
		}
		name := match[2 : len(match)-1]
		l.used[name] = true
		v, set := l.env[name]
		if !set && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
		return v
	})
	if len(missing) > 0 {
		return "", fmt.Errorf("the environment has no variable %s", words(missing, "or"))
	}
	if len(broken) > 0 {
		return "", errors.New("${ has to be followed by the name of a variable and }; write $${ for a plain ${")
	}
	return value, nil
}
