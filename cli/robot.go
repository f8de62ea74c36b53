package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/access/accounts"
)

func (p program) robotCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "robot",
		Short: "Add, list and remove robots: accounts of programs",
		Long: `Add, list and remove robots: accounts of programs. A robot may do what it was made for and nothing else, and logs in as robot$NAME with its
secret. The first account, be it a user or a robot, locks the registry.`,
		Args: noSuchCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.robotAddCommand(), p.robotListCommand(), p.robotRotateCommand(), p.robotRemoveCommand())
	return c
}

// grantFlag collects what a robot or key may do: --allow pull,push=team/**.
type grantFlag struct{ grants []access.Grant }

func (g *grantFlag) Type() string { return "ACTIONS=REPOSITORIES" }

func (g *grantFlag) String() string {
	var all []string
	for _, one := range g.grants {
		all = append(all, grantText(one))
	}
	return strings.Join(all, " ")
}

func grantText(g access.Grant) string {
	var actions []string
	for _, a := range g.Actions {
		actions = append(actions, string(a))
	}
	text := strings.Join(actions, ",")
	if g.Repositories != "" {
		text += "=" + g.Repositories
	}
	return text
}

// Set takes one grant.
func (g *grantFlag) Set(text string) error {
	actions, repositories, _ := strings.Cut(text, "=")
	one := access.Grant{Repositories: repositories}
	for a := range strings.SplitSeq(actions, ",") {
		action := access.Action(strings.TrimSpace(a))
		if !slices.Contains(access.Actions, action) {
			return fmt.Errorf("%q is none of pull, push, tag-move, delete, catalogue; write pull,push=team/**", a)
		}
		one.Actions = append(one.Actions, action)
	}
	g.grants = append(g.grants, one)
	return nil
}

// lifeFlag is how long an account counts: 90d, 12h.
type lifeFlag struct{ life time.Duration }

func (f *lifeFlag) Type() string { return "duration" }

func (f *lifeFlag) String() string {
	if f.life == 0 {
		return ""
	}
	return f.life.String()
}

// Set takes a duration, which may be in days.
func (f *lifeFlag) Set(text string) (err error) {
	f.life, err = parseDays(text)
	return err
}

// end is when the time is over; zero if none was given.
func (f *lifeFlag) end() time.Time {
	if f.life == 0 {
		return time.Time{}
	}
	return time.Now().Add(f.life).UTC().Truncate(time.Second)
}

const grantUsage = "what it may do: actions of pull, push, tag-move, delete, and a pattern for repositories; may be repeated"

func (p program) robotAddCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "add [config.yml] NAME --allow ACTIONS=REPOSITORIES",
		Short: "Add a robot and print its secret, once",
		Example: `  longshore robot add ci --allow pull,push,tag-move=team/** --allow pull=base/*
  longshore robot add deploy --allow pull=** --expires 90d`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: configFiles,
	}
	var grants grantFlag
	var life lifeFlag
	c.Flags().Var(&grants, "allow", grantUsage)
	c.Flags().Var(&life, "expires", "after how long it ends, such as 90d; never without it")
	c.RunE = func(c *cobra.Command, args []string) error {
		file, name := fileAnd(args)
		if len(grants.grants) == 0 {
			return usageError{errors.New("what may it do? Say it with --allow pull,push=team/**")}
		}
		return p.onAccounts(c, file, func(ctx context.Context, a account) error {
			secret, err := a.AddRobot(ctx, accounts.Robot{Name: name, Scope: grants.grants, Expires: life.end()}, a.by)
			if err != nil {
				return fmt.Errorf("robot %s: %w", name, err)
			}
			a.done("robot add %s: %s", name, grants.String())
			p.tellRobot(a, name, secret)
			return nil
		})
	}
	return c
}

// tellRobot tells a robot's secret, for the only time. In a shell the $ has to be quoted.
func (p program) tellRobot(a account, name, secret string) {
	fmt.Fprintf(p.stdout, "user:   %s%s\nsecret: %s\n", accounts.RobotLogin, name, secret)
	fmt.Fprintf(p.stderr, "The secret is not shown again. docker login %s -u '%s%s' --password-stdin\n", a.l.loginHost(), accounts.RobotLogin, name)
}

func (p program) robotListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "list [config.yml]",
		Short:             "List the robots, what they may do and when they were used last",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: configFiles,
	}
	output := addFormat(c, "table", "json")
	c.RunE = func(c *cobra.Command, args []string) error {
		return p.onAccounts(c, args, func(ctx context.Context, a account) error {
			robots, err := a.Robots(ctx)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return p.printJSON(append([]accounts.Robot{}, robots...))
			}
			w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
			for _, r := range robots {
				state := ending(r.Expires)
				if r.Disabled {
					state = "disabled"
				}
				fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\n", accounts.RobotLogin, r.Name, (&grantFlag{r.Scope}).String(), state, lastUse(r.Used))
			}
			return w.Flush()
		})
	}
	return c
}

// ending says when something ends.
func ending(t time.Time) string {
	switch {
	case t.IsZero():
		return "never ends"
	case t.Before(time.Now()):
		return "ended " + moment(t)
	}
	return "until " + moment(t)
}

func lastUse(t time.Time) string {
	if t.IsZero() {
		return "not used"
	}
	return "used " + moment(t)
}

func (p program) robotRotateCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "rotate [config.yml] NAME",
		Short:             "Give a robot another secret and print it, once; the one before ends within 5 seconds",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: configFiles,
		RunE: func(c *cobra.Command, args []string) error {
			file, name := fileAnd(args)
			return p.onAccounts(c, file, func(ctx context.Context, a account) error {
				name := strings.TrimPrefix(name, accounts.RobotLogin)
				secret, err := a.RotateRobot(ctx, name)
				if err != nil {
					return fmt.Errorf("robot %s: %w", name, err)
				}
				a.done("robot rotate %s", name)
				p.tellRobot(a, name, secret)
				return nil
			})
		},
	}
}

func (p program) robotRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "rm [config.yml] NAME",
		Short:             "Remove a robot",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: configFiles,
		RunE: func(c *cobra.Command, args []string) error {
			file, name := fileAnd(args)
			return p.onAccounts(c, file, func(ctx context.Context, a account) error {
				name := strings.TrimPrefix(name, accounts.RobotLogin)
				if err := a.RemoveRobot(ctx, name); err != nil {
					return fmt.Errorf("robot %s: %w", name, err)
				}
				a.done("robot rm %s", name)
				fmt.Fprintf(p.stdout, "removed %s%s\n", accounts.RobotLogin, name)
				return nil
			})
		},
	}
}
