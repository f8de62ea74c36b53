package config

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decodeSections reads a list of sections.
func (l *loader) decodeSections(n *node, y *yaml.Node) {
	switch {
	case null(y):
		l.fault(n, y, "has no value", "write [] for an empty list, or remove the line to have the default")
		return
	case y.Kind == yaml.MappingNode:
		l.fault(n, y, "takes a list of sections, not one", "begin it with -")
		return
	case y.Kind != yaml.SequenceNode:
		l.fault(n, y, "takes a list of sections", "below it, begin each with - and one of "+words(n.template.keys(), "or"))
		return
	}
	n.source = l.at(y)
	n.children = nil
	n.value.Set(reflect.MakeSlice(n.value.Type(), len(y.Content), len(y.Content)))
	for i, item := range y.Content {
		c := n.child("", n.value.Index(i))
		c.key = fmt.Sprintf("%s[%d]", n.key, i)
		c.path = fmt.Sprintf("%s[%d]", n.path, i)
		c.kind = section
		c.setDefaults()
		if err := c.addFields(c.value); err != nil { // the template has the same fields, and schemaOf would have failed
			l.fault(n, item, err.Error(), "")
			return
		}
		if item.Kind == yaml.AliasNode {
			item = item.Alias
		}
		if item.Kind != yaml.MappingNode {
			l.fault(c, item, "each item of the list has to be a section", "begin it with one of "+words(n.template.keys(), "or")+", then a colon")
			continue
		}
		l.decodeSection(c, item)
	}
}

// setDefaults gives an item of a list of sections what its type says: it may have a method SetDefaults.
func (n *node) setDefaults() {
	if d, ok := n.value.Addr().Interface().(interface{ SetDefaults() }); ok {
		d.SetDefaults()
	}
}

// decodeTable reads keys of anybody's choice.
func (l *loader) decodeTable(n *node, y *yaml.Node) {
	if y.Kind == yaml.ScalarNode && !null(y) { // as in the environment
		value, err := l.expand(y)
		if err == nil {
			err = l.set(n, split(value), l.at(y))
		}
		if err != nil {
			l.fault(n, y, err.Error(), "")
		}
		return
	}
	if y.Kind != yaml.MappingNode {
		l.fault(n, y, "takes "+n.typeName(), "write {key: value}, or each key on a line of its own")
		return
	}
	all := reflect.MakeMap(n.value.Type())
	good := true
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, item := y.Content[i], y.Content[i+1]
		if item.Kind == yaml.AliasNode {
			item = item.Alias
		}
		k := reflect.ValueOf(key.Value).Convert(n.value.Type().Key())
		var v reflect.Value
		var err error
		switch {
		case key.Kind != yaml.ScalarNode:
			err = fmt.Errorf("a key has to be a word")
		case all.MapIndex(k).IsValid():
			err = fmt.Errorf("%s is set twice", printable(key.Value))
		case item.Kind != yaml.ScalarNode || null(item):
			err = fmt.Errorf("each key takes one value")
		default:
			var value string
			if value, err = l.expand(item); err == nil {
				v, err = n.checked(value)
			}
		}
		if err != nil {
			l.fault(n, item, err.Error(), "")
			good = false
			continue
		}
		all.SetMapIndex(k, v)
	}
	if good {
		n.value.Set(all)
		n.source = l.at(y)
	}
}

// setTable is set for a table: each text is key=value.
func (n *node) setTable(texts []string, s Source) error {
	all := reflect.MakeMap(n.value.Type())
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return fmt.Errorf("%q is not key=value", text)
		}
		v, err := n.checked(value)
		if err != nil {
			return err
		}
		all.SetMapIndex(reflect.ValueOf(key).Convert(n.value.Type().Key()), v)
	}
	n.value.Set(all)
	n.source = s
	return nil
}

// setSections reads a list of sections from a variable, which holds it as YAML.
func (l *loader) setSections(n *node, value, variable string) error {
	if value == "" { // as with other lists
		value = "[]"
	}
	var y yaml.Node
	if err := yaml.Unmarshal([]byte(value), &y); err != nil || len(y.Content) != 1 {
		return fmt.Errorf("is not YAML that holds a list, such as [{%s: …}]", n.template.keys()[0])
	}
	before := l.text
	l.text, l.variable = &text{name: variable, secrets: before.secrets}, variable
	l.decode(n, y.Content[0])
	l.text, l.variable = before, ""
	return nil
}

// inList reports whether n is below an item of a list of sections, so that no variable sets it alone.
func (n *node) inList() bool { return strings.Contains(n.path, "[") }
