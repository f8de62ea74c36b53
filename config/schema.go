package config

import (
	"encoding"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// kind is what a node of the schema holds.
type kind int

const (
	section  kind = iota // keys
	choice               // a OneOf: its children are the alternatives
	leaf                 // a scalar
	list                 // a sequence of scalars
	sections             // a sequence of sections
	table                // keys of anybody's choice, each with a scalar
)

// node is one key of the schema, bound to the field that it fills.
type node struct {
	key      string
	path     string // keys joined by "."; "" for the root
	kind     kind
	doc      string
	enum     []string
	min, max string
	bytes    bool // an integer that is a size
	secret   bool
	parent   *node
	children []*node
	value    reflect.Value // the field; settable

	source Source // of a leaf or list
	parts  []Key  // what is known of the keys in a Document

	template *node // of sections: a section that is not in the list, for the names of its keys
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
	sizeType     = reflect.TypeFor[Size]()
	globType     = reflect.TypeFor[Glob]()
	oneOfType    = reflect.TypeFor[OneOf]()
	documentType = reflect.TypeFor[Document]()
)

// schemaOf binds a tree of nodes to the struct that into points to. An error is a fault in
// the program, not in anybody's configuration.
func schemaOf(into any) (*node, error) {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("config: %T is not a pointer to a struct", into)
	}
	root := &node{kind: section, value: v.Elem()}
	return root, root.addFields(v.Elem())
}

// addFields makes a child of each exported field; an embedded struct's fields count as the
// section's own.
func (n *node) addFields(v reflect.Value) error {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		key, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if !field.IsExported() || key == "-" {
			continue
		}
		if field.Anonymous && key == "" && field.Type.Kind() == reflect.Struct {
			if err := n.addFields(v.Field(i)); err != nil {
				return err
			}
			continue
		}
		if key == "" {
			key = snake(field.Name)
		}
		child := n.child(key, v.Field(i))
		child.doc = field.Tag.Get("doc")
		child.min, child.max = field.Tag.Get("min"), field.Tag.Get("max")
		child.bytes = field.Tag.Get("unit") == "bytes"
		child.secret = field.Tag.Get("secret") == "true"
		if e := field.Tag.Get("enum"); e != "" {
			child.enum = strings.Split(e, ",")
		}
		if err := child.bind(); err != nil {
			return err
		}
	}
	return nil
}

// child appends an empty node.
func (n *node) child(key string, v reflect.Value) *node {
	c := &node{key: key, path: key, parent: n, value: v}
	if n.path != "" {
		c.path = n.path + "." + key
	}
	n.children = append(n.children, c)
	return c
}

// bind finds out what the node's type is, and goes on below it.
func (n *node) bind() error {
	switch t := n.value.Type(); {
	case t == oneOfType:
		n.kind = choice
		for _, a := range n.value.Interface().(OneOf).Among {
			config := reflect.ValueOf(a.Config)
			if config.Kind() != reflect.Pointer || config.IsNil() || config.Elem().Kind() != reflect.Struct {
				return fmt.Errorf("config: %s: the alternative %s has no pointer to a struct", n.path, a.Name)
			}
			c := n.child(a.Name, config.Elem())
			c.kind, c.doc = section, a.Doc
			if err := c.addFields(c.value); err != nil {
				return err
			}
		}
	case scalarType(t):
		n.kind = leaf
		n.secret = n.secret || hides(t)
	case t.Kind() == reflect.Slice && scalarType(t.Elem()):
		n.kind = list
		n.secret = n.secret || hides(t.Elem())
	case t.Kind() == reflect.Struct:
		n.kind = section
		return n.addFields(n.value)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		n.kind = sections
		n.template = &node{key: n.key, path: n.path + "[]", kind: section, value: reflect.New(t.Elem()).Elem()}
		n.template.setDefaults()
		return n.template.addFields(n.template.value)
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String && scalarType(t.Elem()):
		n.kind = table
		n.secret = n.secret || hides(t.Elem())
	default:
		return fmt.Errorf("config: %s: type %s is not supported", n.path, t)
	}
	return n.checkTags()
}

// checkTags reports a min, max or enum that no value of the type could have.
func (n *node) checkTags() error {
	for _, text := range append([]string{n.min, n.max}, n.enum...) {
		if text == "" {
			continue
		}
		if _, err := n.parse(text); err != nil {
			return fmt.Errorf("config: %s: the tag's value %q: %w", n.path, text, err)
		}
	}
	return nil
}

// scalarType reports whether parse can make a t of a text.
func scalarType(t reflect.Type) bool {
	if t == prefixType || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return false
}

// hides reports whether t is a kind of text that prints as something else: a secret.
func hides(t reflect.Type) bool {
	if t.Kind() != reflect.String {
		return false
	}
	v := reflect.New(t).Elem()
	v.SetString("a probe")
	s, ok := v.Interface().(fmt.Stringer)
	return ok && s.String() != "a probe"
}

// snake turns a field's name into a key: PublicURL into public_url.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		startsWord := unicode.IsUpper(r) && i > 0 &&
			(!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]))
		if startsWord {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// walk calls f for n and everything below it, in the order of the fields.
func (n *node) walk(f func(*node)) {
	f(n)
	for _, c := range n.children {
		c.walk(f)
	}
}

// find is the child with that key, or nil.
func (n *node) find(key string) *node {
	for _, c := range n.children {
		if c.key == key {
			return c
		}
	}
	return nil
}

// keys are those of the children.
func (n *node) keys() []string {
	all := make([]string, len(n.children))
	for i, c := range n.children {
		all[i] = c.key
	}
	return all
}

// env is the node's environment variable.
func (n *node) env(prefix string) string {
	return prefix + "_" + strings.ToUpper(strings.ReplaceAll(n.path, ".", "_"))
}

// chosen is the alternative of a choice that counts, or nil.
func (n *node) chosen() *node {
	return n.find(n.value.Interface().(OneOf).Chosen)
}

// choose picks an alternative by name.
func (n *node) choose(name string) {
	o := n.value.Interface().(OneOf)
	o.Chosen = name
	n.value.Set(reflect.ValueOf(o))
}
