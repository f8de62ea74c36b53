package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/config"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// rootCommand has all commands below it.
func (p program) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "longshore",
		Short: "A container registry whose only state is an object store",
		Long: `Longshore is a container registry whose only state is an object store.

  longshore serve               images in ./longshore-data, on port 5000
  longshore check config.yml    says what is wrong with a configuration or its store
  longshore serve config.yml    serves with that configuration

Each key of the configuration can be set from the environment too:
http.addr is LONGSHORE_HTTP_ADDR.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       thisVersion().Version,
		Args:          noSuchCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(p.serveCommand(), p.checkCommand(), p.doctorCommand(), p.conformanceCommand(), p.benchCommand(), p.configCommand(), p.budgetsCommand(), p.gcCommand(), p.rebuildCommand(), p.scrubCommand(), p.leftoversCommand(), p.tagCommand(), p.repoCommand(), p.trustCommand(), p.userCommand(), p.robotCommand(), p.keyCommand(), p.authCommand(), p.versionCommand())
	checkUsage(root)
	return root
}

// noSuchCommand is the Args of a command that only has commands below it.
func noSuchCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	c.SuggestionsMinimumDistance = 2
	hint := ""
	near := c.SuggestionsFor(args[0])
	if begun := slices.DeleteFunc(slices.Clone(near), func(name string) bool { return !strings.HasPrefix(name, args[0]) }); len(begun) > 0 {
		near = begun // serv is serve, though it is not far from user
	}
	if len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q%s", args[0], hint)
}

// configFiles completes the name of a configuration file.
func configFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yml", "yaml"}, cobra.ShellCompDirectiveFilterFileExt
}

// checkUsage makes the errors of each command's Args usage errors.
func checkUsage(c *cobra.Command) {
	if args := c.Args; args != nil {
		c.Args = func(c *cobra.Command, given []string) error {
			if err := args(c, given); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, child := range c.Commands() {
		checkUsage(child)
	}
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

// adviceError is a failure with what to do about it.
type adviceError struct {
	error
	advice string // a sentence, without a full stop
}

func (e adviceError) Unwrap() error { return e.error }

// errReported ends a command that has said what is wrong already.
var errReported = errors.New("failed")

// report prints err with a next step and returns the exit code for it.
func (p program) report(command *cobra.Command, err error) int {
	var usage usageError
	var problems config.Problems
	var advice adviceError
	var crashed crash
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errReported):
	case errors.As(err, &crashed):
		fmt.Fprintf(p.stderr, "longshore: %v\n\n%s\nPlease report it, with these lines.\n", crashed, crashed.stack)
	case errors.As(err, &usage):
		fmt.Fprintf(p.stderr, "longshore: %v\nSee %s --help.\n", err, command.CommandPath())
		return exitUsage
	case errors.As(err, &problems):
		fmt.Fprintf(p.stderr, "%v\n\nlongshore: the configuration has %s.\n", problems, plural(len(problems), "problem"))
		fmt.Fprintln(p.stderr, "Correct that and try again; docs/configuration.md lists all settings.")
	case errors.As(err, &advice):
		fmt.Fprintf(p.stderr, "longshore: %v\n%s.\n", err, upperFirst(advice.advice))
	default:
		fmt.Fprintf(p.stderr, "longshore: %v\nRun longshore check with the same configuration, which tests the store step by step.\n", err)
	}
	return exitFailed
}

func plural(n int, thing string) string {
	if n == 1 {
		return "one " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// format is the flag -o, which takes certain words only.
type format struct {
	value   string
	allowed []string
}

func (f *format) String() string { return f.value }

func (f *format) Type() string { return "format" }

func (f *format) Set(s string) error {
	for _, a := range f.allowed {
		if a == s {
			f.value = s
			return nil
		}
	}
	return fmt.Errorf("use one of %s", strings.Join(f.allowed, ", "))
}

// addFormat gives a command the flag -o; the first format is the default.
func addFormat(c *cobra.Command, allowed ...string) *format {
	f := &format{value: allowed[0], allowed: allowed}
	c.Flags().VarP(f, "output", "o", "the form of the answer: "+strings.Join(allowed, ", "))
	return f
}
