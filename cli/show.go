package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/config"
)

func (p program) configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Look at the configuration",
		Args:  noSuchCommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.showCommand())
	return c
}

func (p program) showCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "show [config.yml]",
		Short: "Print the settings that count, each with its source",
		Long: `Print the settings that count, each with its source: default, a line of the file, or a variable of the
environment. Secrets are masked. With -o yaml the answer is a configuration file.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: configFiles,
	}
	output := addFormat(c, "table", "yaml", "json")
	c.RunE = func(_ *cobra.Command, args []string) error {
		l, err := p.load(args)
		if err != nil {
			return err
		}
		switch output.value {
		case "json":
			return p.printJSON(l.keys)
		case "yaml":
			_, err := fmt.Fprint(p.stdout, asYAML(l.keys))
			return err
		}
		w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "SETTING\tVALUE\tSOURCE")
		for _, k := range l.keys {
			fmt.Fprintf(w, "%s\t%s\t%s\n", k.Path, shown(k), k.Source)
		}
		return w.Flush()
	}
	return c
}

// shown is a value in a table: one that is empty is seen all the same.
func shown(k config.Key) string {
	switch {
	case k.Value != "":
		return k.Value
	case k.Type == "list of sections":
		return "-"
	case strings.HasPrefix(k.Type, "list "):
		return "[]"
	case strings.HasPrefix(k.Type, "keys, "):
		return "{}"
	}
	return `""`
}

// asYAML writes settings as a configuration file, with the sources as comments.
func asYAML(keys []config.Key) string {
	var b strings.Builder
	var open []string // the sections that the last line was in
	dash := -1        // the depth of an item of a list that has no line yet
	line := func(depth int, format string, args ...any) {
		indent := []byte(strings.Repeat("  ", depth))
		if dash >= 0 {
			indent[2*dash] = '-'
			dash = -1
		}
		fmt.Fprintf(&b, "%s%s\n", indent, fmt.Sprintf(format, args...))
	}
	for i, k := range keys {
		elements := strings.Split(k.Path, ".")
		last := len(elements) - 1
		if i+1 < len(keys) && (strings.HasPrefix(keys[i+1].Path, k.Path+".") || strings.HasPrefix(keys[i+1].Path, k.Path+"[")) {
			continue // a choice, or a list of sections: what is in it follows
		}
		for depth, name := range elements[:last] {
			if depth >= len(open) || open[depth] != name {
				open = append(open[:min(depth, len(open))], name)
				base, item, isItem := strings.Cut(name, "[")
				if !isItem || item == "0]" {
					line(depth, "%s:", base)
				}
				if isItem {
					dash = depth
				}
			}
		}
		open = open[:last]
		value := fmt.Sprintf("%q", strings.ReplaceAll(k.Value, "${", "$${"))
		if strings.HasPrefix(k.Type, "list ") {
			value = "[" + quoteEach(k.Value) + "]"
		}
		if strings.HasPrefix(k.Type, "keys, ") {
			value = "{" + quotePairs(k.Value) + "}"
		}
		line(last, "%s: %s # %s", elements[last], value, k.Source)
	}
	return b.String()
}

// quotePairs quotes the parts of a=1,b=2.
func quotePairs(list string) string {
	if list == "" {
		return ""
	}
	parts := strings.Split(list, ",")
	for i, part := range parts {
		key, value, _ := strings.Cut(part, "=")
		parts[i] = fmt.Sprintf("%q: %q", key, value)
	}
	return strings.Join(parts, ", ")
}

// quoteEach quotes the parts of a list.
func quoteEach(list string) string {
	if list == "" {
		return ""
	}
	parts := strings.Split(list, ",")
	for i, part := range parts {
		parts[i] = fmt.Sprintf("%q", part)
	}
	return strings.Join(parts, ", ")
}
