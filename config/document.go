package config

import (
	"errors"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Document is a part of the configuration that somebody else reads, as YAML. Any value in it may be a secret, so it
// prints as "***", and of its settings Load tells the names alone. In the file it is written as keys; a variable holds it
// as a text. ${NAME} in the file's values stands for a variable.
type Document string

// String is "***", or "" if d is empty.
func (d Document) String() string {
	if d == "" {
		return ""
	}
	return "***"
}

// GoString is String in quotes, for %#v.
func (d Document) GoString() string { return strconv.Quote(d.String()) }

// UnmarshalText takes YAML that holds keys, or nothing.
func (d *Document) UnmarshalText(text []byte) error {
	var keys map[string]any
	if err := yaml.Unmarshal(text, &keys); err != nil {
		return errors.New("is not YAML that holds keys")
	}
	*d = Document(text)
	return nil
}

// partsOf are the keys below a mapping of a Document, those of inner mappings in place of these. What they hold is masked.
func partsOf(path string, y *yaml.Node, at func(*yaml.Node) Source) []Key {
	var keys []Key
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		inner := path + "." + key.Value
		if value.Kind == yaml.MappingNode && len(value.Content) > 0 {
			keys = append(keys, partsOf(inner, value, at)...)
			continue
		}
		keys = append(keys, Key{Path: inner, Type: "the reader's own", Value: "***", Source: at(key)})
	}
	return keys
}

// partsOfText are those of a Document that is a text from one source, such as a variable.
func partsOfText(n *node, s Source) []Key {
	if n.value.Type() != documentType {
		return nil
	}
	var y yaml.Node
	if err := yaml.Unmarshal([]byte(n.value.String()), &y); err != nil || len(y.Content) == 0 {
		return nil // checked when it was set; an empty one has no content
	}
	return partsOf(n.path, y.Content[0], func(*yaml.Node) Source { return s })
}
