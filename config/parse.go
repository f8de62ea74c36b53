package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds the file, in bytes: whoever names a disk image by mistake gets an answer.
const maxFile = 1 << 20

// readFile returns the file's bytes or the problem with it.
func readFile(name string) ([]byte, *Problem) {
	bad := func(message, hint string) ([]byte, *Problem) {
		return nil, &Problem{Source: Source{File: name}, Message: message, Hint: hint}
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return bad("there is no such file", similarFile(name))
	}
	if errors.Is(err, fs.ErrPermission) {
		return bad("may not be read by this user", "check the owner and the mode of the file and its folders")
	}
	if err != nil {
		return bad(cause(err).Error(), "name a file that can be read")
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return bad("is a folder, not a file", "name the file in it (Docker makes a folder where the source of a mount does not exist)")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return bad(cause(err).Error(), "name a file that can be read")
	}
	if len(data) > maxFile {
		return bad("is larger than 1 MiB", "that is hardly a configuration; check the name")
	}
	return data, nil
}

// cause strips the path from an error that already stands behind the path.
func cause(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// similarFile names a file in the same folder that may have been meant.
func similarFile(name string) string {
	entries, err := os.ReadDir(filepath.Dir(name))
	if err != nil {
		return "its folder " + filepath.Dir(name) + " does not exist either, or may not be read"
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	near := nearest(filepath.Base(name), names)
	base := strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	for _, other := range []string{base + ".yml", base + ".yaml"} {
		if _, err := os.Stat(filepath.Join(filepath.Dir(name), other)); err == nil {
			near = other
		}
	}
	if near == "" || near == filepath.Base(name) {
		return "check the path, which counts from the working folder"
	}
	return "did you mean " + filepath.Join(filepath.Dir(name), near) + "?"
}

// parseYAML makes one document of data. A nil node without problems is a file of comments.
func parseYAML(data []byte, t *text) (*yaml.Node, *Problem) {
	bad := func(line, column int, message, hint string) (*yaml.Node, *Problem) {
		return nil, &Problem{
			Source: Source{File: t.name, Line: line, Column: column}, Message: message, Hint: hint,
			Excerpt: t.excerpt(line, column),
		}
	}
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		return bad(0, 0, "is UTF-16 text", "save it as UTF-8")
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // the BOM that Windows editors put first
	t.lines = strings.Split(lineBreaks.Replace(string(data)), "\n")
	if len(bytes.TrimSpace(data)) == 0 {
		return bad(0, 0, "is empty", "leave the file out to use the defaults, or write {} into it")
	}
	for i, line := range t.lines {
		column := 0
		for at, r := range line {
			column++
			if _, size := utf8.DecodeRuneInString(line[at:]); r == utf8.RuneError && size == 1 {
				return bad(i+1, column, "is not UTF-8 text", "save it as UTF-8")
			}
			if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || r == 0xfeff {
				return bad(i+1, column, fmt.Sprintf("a control character (%U)", r), "delete it")
			}
		}
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	if err := d.Decode(&first); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, t.explainYAML(err)
	}
	if err := d.Decode(&second); err == nil {
		return bad(second.Line, second.Column, "a second document begins here", "one file holds one configuration: delete the line --- or what follows it")
	} else if !errors.Is(err, io.EOF) {
		return nil, t.explainYAML(err)
	}
	if len(first.Content) == 0 {
		return nil, nil
	}
	return first.Content[0], nil
}

// lineBreaks are all that YAML 1.1 ends a line with.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

// yamlError is the parser's message, with a line unless it is the first.
var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntaxHints say in which way a line is usually broken when the parser complains in these words.
var syntaxHints = []struct{ says, hint string }{
	{"mapping values are not allowed", `put quotes around a value that contains ": ", or check the indentation`},
	{"did not find expected key", "check the indentation and the quotes of this line and the next"},
	{"did not find expected '-'", "check the indentation: every line of a list begins with - in the same column"},
	{"cannot start any token", "put quotes around a value that begins with @, ` or %"},
	{"could not find expected ':'", "a key needs a colon and a space behind it"},
	{"did not find expected ',' or", "a { or [ is not closed"},
	{"unexpected end of stream", "a quote is not closed"},
	{"escape character", `in double quotes a backslash has to be written \\, or use single quotes`},
	{"alphabetic or numeric character", "put quotes around a value that begins with * or &"},
	{"unknown anchor", "put quotes around a value that begins with *"},
	{"directive", "put quotes around a value that begins with %"},
}

// explainYAML places the parser's complaint and adds what to do.
func (t *text) explainYAML(err error) *Problem {
	p := &Problem{Source: Source{File: t.name, Line: 1}, Message: "is not valid YAML: " + err.Error()}
	if m := yamlError.FindStringSubmatch(err.Error()); m != nil {
		p.Message = "is not valid YAML: " + m[2]
		if line, err := strconv.Atoi(m[1]); err == nil {
			p.Source.Line = min(max(line, 1), len(t.lines))
		}
	}
	for _, h := range syntaxHints {
		if strings.Contains(p.Message, h.says) {
			p.Hint = h.hint
			break
		}
	}
	// The parser blames anything but the tab, and not always the right line.
	for i, line := range t.lines {
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if at := strings.IndexByte(indent, '\t'); at >= 0 && indent != line {
			p.Source.Line, p.Source.Column = i+1, at+1
			p.Message, p.Hint = "a tab in the indentation", "YAML is indented with spaces"
			break
		}
	}
	p.Excerpt = t.excerpt(p.Source.Line, p.Source.Column)
	return p
}
