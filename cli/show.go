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
	case strings.HasPrefix(k.Type, "list "):
		return "[]"
	}
	return `""`
}

// asYAML writes settings as a configuration file, with the sources as comments.
func asYAML(keys []config.Key) string {
	var b strings.Builder
	var open []string // the sections that the last line was in
	for i, k := range keys {
		elements := strings.Split(k.Path, ".")
		last := len(elements) - 1
		if i+1 < len(keys) && strings.HasPrefix(keys[i+1].Path, k.Path+".") {
			continue // a choice: its alternative follows as a section
		}
		for depth, name := range elements[:last] {
			if depth >= len(open) || open[depth] != name {
				open = append(open[:min(depth, len(open))], name)
				fmt.Fprintf(&b, "%s%s:\n", strings.Repeat("  ", depth), name)
			}
		}
		open = open[:last]
		value := fmt.Sprintf("%q", strings.ReplaceAll(k.Value, "${", "$${"))
		if strings.HasPrefix(k.Type, "list ") {
			value = "[" + quoteEach(k.Value) + "]"
		}
		fmt.Fprintf(&b, "%s%s: %s # %s\n", strings.Repeat("  ", last), elements[last], value, k.Source)
	}
	return b.String()
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
