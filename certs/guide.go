package certs

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"text/template"
)

// Guide tells how clients are made to trust a registry with a CA of its own.
type Guide struct {
	Host        string // as clients write it: host or host:port
	Fingerprint string // of the CA; "" where it is not known
}

// Recipe is what to do for one kind of client.
type Recipe struct {
	Name     string // for --client: lower case, one word
	Title    string
	Before   string // what to know first, "" for nothing
	Commands string // to paste, line by line; or the content of a file that Before names
	After    string // "" for nothing
}

//go:embed recipes.txt
var recipesText string

// safeHost is what may stand in a command that people paste into a shell.
var safeHost = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(:[0-9]{1,5})?$|^\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?$`)

// CheckHostPort reports whether text is a host, or a host and a port, as clients write them before the name of a repository.
func CheckHostPort(text string) error {
	if len(text) > 260 || !safeHost.MatchString(text) {
		return fmt.Errorf("%q is not host:port, such as nas.lan:5000", text)
	}
	return nil
}

// URL is that of a path of the registry over plain HTTP, from which a client that trusts nothing yet can read.
func (g Guide) URL(path string) string { return "http://" + g.Host + path }

// name is the host without its port, as part of a file's name.
func (g Guide) name() string {
	host := g.Host
	if h, _, err := net.SplitHostPort(g.Host); err == nil {
		host = h
	}
	return strings.NewReplacer(":", "-", "[", "", "]", "").Replace(host)
}

// Recipes are those for all kinds of clients, the most frequent first. Host has to have passed CheckHostPort. The texts are in
// recipes.txt: a line "# NAME TITLE" begins each; lines that begin with ">" are commands, those before and after them are words.
func (g Guide) Recipes() ([]Recipe, error) {
	t, err := template.New("recipes").Option("missingkey=error").Parse(recipesText)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, map[string]string{"Host": g.Host, "CA": g.URL("/ca.crt"), "Name": g.name()}); err != nil {
		return nil, err
	}
	var all []Recipe
	for line := range strings.Lines(b.String()) {
		line = strings.TrimSuffix(line, "\n")
		if head, ok := strings.CutPrefix(line, "# "); ok {
			name, title, _ := strings.Cut(head, " ")
			all = append(all, Recipe{Name: name, Title: title})
			continue
		}
		if len(all) == 0 || line == "" {
			continue
		}
		r := &all[len(all)-1]
		if command, ok := strings.CutPrefix(line, "> "); ok {
			r.Commands += command + "\n"
		} else if r.Commands == "" {
			r.Before = strings.TrimSpace(r.Before + " " + line)
		} else {
			r.After = strings.TrimSpace(r.After + " " + line)
		}
	}
	for i := range all {
		all[i].Commands = strings.TrimSuffix(all[i].Commands, "\n")
	}
	return all, nil
}

// WriteText writes the recipes of the named client, or all for "". It is an error if there is none of that name.
func (g Guide) WriteText(w io.Writer, client string) error {
	all, err := g.Recipes()
	if err != nil {
		return err
	}
	var b strings.Builder
	var known []string
	for _, r := range all {
		known = append(known, r.Name)
		if client != "" && client != r.Name {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", r.Title)
		for _, words := range []string{r.Before, "", r.After} {
			if words == "" && r.Commands != "" {
				fmt.Fprintf(&b, "\n%s\n\n", indent(r.Commands))
				r.Commands = ""
			} else if words != "" {
				fmt.Fprintf(&b, "  %s\n", words)
			}
		}
	}
	if b.Len() == 0 {
		return fmt.Errorf("there is nothing about %q; the clients are %s", client, strings.Join(known, ", "))
	}
	_, err = io.WriteString(w, b.String())
	return err
}

func indent(s string) string { return "    " + strings.ReplaceAll(s, "\n", "\n    ") }
