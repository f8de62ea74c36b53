package config

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"
)

// Source is where a value, or a fault, comes from. The zero value means the default.
type Source struct {
	File   string `json:"file,omitempty"`   // as it was named
	Line   int    `json:"line,omitempty"`   // from 1; 0: the file as a whole
	Column int    `json:"column,omitempty"` // in characters from 1; 0: the line as a whole
	Env    string `json:"env,omitempty"`    // the name of a variable
}

// String is "default", "config.yml:3" or "env NAME".
func (s Source) String() string {
	switch {
	case s.Env != "":
		return "env " + s.Env
	case s.File == "":
		return "default"
	case s.Line == 0:
		return s.File
	}
	return fmt.Sprintf("%s:%d", s.File, s.Line)
}

// position is String with the column, for messages.
func (s Source) position() string {
	if s.Env == "" && s.Column > 0 {
		return fmt.Sprintf("%s:%d:%d", s.File, s.Line, s.Column)
	}
	return s.String()
}

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Source  Source `json:"source"`
	Path    string `json:"path,omitempty"`    // of the key: http.adr
	Message string `json:"message"`           // what is wrong
	Hint    string `json:"hint,omitempty"`    // what to do
	Excerpt string `json:"excerpt,omitempty"` // the line and a caret below; secrets are masked
}

// String is the problem for people: one line, and the excerpt below it.
func (p Problem) String() string {
	var b strings.Builder
	if p.Source != (Source{}) {
		b.WriteString(p.Source.position() + ": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	if p.Excerpt != "" {
		b.WriteString("\n" + p.Excerpt)
	}
	return b.String()
}

// Problems are all faults of a configuration, those of the file first, in the order of its lines.
type Problems []Problem

// Error lists the problems, one below the other.
func (ps Problems) Error() string {
	all := make([]string, len(ps))
	for i, p := range ps {
		all[i] = p.String()
	}
	return strings.Join(all, "\n")
}

// err is nil if there are none.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	sort.SliceStable(ps, func(i, j int) bool {
		a, b := ps[i].Source, ps[j].Source
		if (a.File == "") != (b.File == "") {
			return a.File != ""
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		if a.Column != b.Column {
			return a.Column < b.Column
		}
		return a.Env < b.Env
	})
	return ps
}

// text is a file's content, for excerpts.
type text struct {
	name    string
	lines   []string
	secrets []string // keys whose values are never shown
}

// excerptWidth is the most of a line that is shown, in characters: one line of a terminal with the number before it.
const excerptWidth = 100

// excerpt is the line and a caret below the column, or the line alone for column 0.
func (t *text) excerpt(line, column int) string {
	if line < 1 || line > len(t.lines) {
		return ""
	}
	return t.render(t.lines[line-1], line, column)
}

// render is excerpt of a line of which only a part may be shown.
func (t *text) render(whole string, line, column int) string {
	before := prefixOf(whole, column-1)
	shown, lead := t.mask(whole), t.mask(before)
	if !strings.HasPrefix(shown, lead) { // the caret is inside what is masked
		lead = prefixOf(shown, utf8.RuneCountInString(lead))
	}
	if cut := utf8.RuneCountInString(lead) - excerptWidth*2/3; cut > 0 {
		skip := len(prefixOf(shown, cut))
		shown, lead = "…"+shown[skip:], "…"+lead[skip:]
	}
	if utf8.RuneCountInString(shown) > excerptWidth {
		shown = prefixOf(shown, excerptWidth) + "…"
	}
	number := fmt.Sprintf("%5d | ", line)
	out := number + printable(shown)
	if column > 0 {
		// Tabs stay tabs, so that the caret stands where the terminal puts the character.
		pad := strings.Map(func(r rune) rune {
			if r == '\t' {
				return r
			}
			return ' '
		}, lead)
		out += "\n" + strings.Repeat(" ", len(number)-2) + "| " + pad + "^"
	}
	return out
}

// prefixOf is the first n characters of s.
func prefixOf(s string, n int) string {
	for i := range s {
		if n <= 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// printable replaces what would play tricks on a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return '�'
		}
		return r
	}, s)
}

// pair finds "key: value" within a line, block or flow style.
var pair = regexp.MustCompile(`(["']?)([\pL\pN_.-]+)(["']?\s*:\s+)("(?:[^"\\]|\\.)*"?|'[^']*'?|[^,{}\[\]#]+)`)

// mask hides the values of secrets, and of keys that look like a misspelt secret.
func (t *text) mask(line string) string {
	return pair.ReplaceAllStringFunc(line, func(match string) string {
		m := pair.FindStringSubmatch(match)
		if strings.HasPrefix(m[4], "${") || !t.isSecret(m[2]) {
			return match
		}
		value := strings.TrimRight(m[4], " ")
		return m[1] + m[2] + m[3] + "***" + m[4][len(value):]
	})
}

// isSecret errs on the side of caution: whoever writes passwrod means a password.
func (t *text) isSecret(key string) bool {
	if nearest(key, t.secrets) != "" {
		return true
	}
	for _, word := range []string{"secret", "password", "passwd", "token", "credential", "privatekey"} {
		if strings.Contains(plain(key), word) {
			return true
		}
	}
	return false
}
