package cli

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/access/accounts"
)

func (p program) userCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "user",
		Short: "Add, list, change and remove users",
		Long: `Add, list, change and remove the users that are kept in the store. Replicas that serve it see the change within
access.refresh, which is 5 seconds.

The first user locks the registry: from then on clients need credentials. It is an administrator.`,
		Args: noSuchCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.userAddCommand(), p.userListCommand(), p.userPasswdCommand(),
		p.userChangeCommand("disable", "Let a user log in no more, and its API keys neither", "disabled", func(u *accounts.User) { u.Disabled = true }),
		p.userChangeCommand("enable", "Let a user log in again", "enabled", func(u *accounts.User) { u.Disabled = false }),
		p.userRemoveCommand())
	return c
}

func (p program) userAddCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "add [config.yml] NAME",
		Short: "Add a user; the first one locks the registry",
		Long: `Add a user. The password is asked for on the terminal, read from standard input, or made.

The first user locks the registry, without a restart: within 5 seconds clients need credentials. It is an administrator.`,
		Example: `  longshore user add alice
  pass show registry/bob | longshore user add config.yml bob --group dev --password-stdin`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: configFiles,
	}
	flags := addPasswordFlags(c)
	u := accounts.User{}
	c.Flags().BoolVar(&u.Admin, "admin", false, "an administrator, who may do everything")
	c.Flags().StringSliceVar(&u.Groups, "group", nil, "a group of the user, for rules; may be repeated")
	c.Flags().BoolVar(&u.MustChange, "must-change", false, "the password has to be changed before anything else can be done")
	c.RunE = func(c *cobra.Command, args []string) error {
		file, name := fileAnd(args)
		u.Name = name
		if err := accounts.CheckName(name); err != nil {
			return usageError{err}
		}
		return p.onAccounts(c, file, func(ctx context.Context, a account) error {
			first, err := a.HasUsers(ctx)
			if err != nil {
				return err
			}
			first = !first
			password, made, err := p.password(flags)
			if err != nil {
				return err
			}
			if err := a.AddUser(ctx, u, password, a.by); err != nil {
				return fmt.Errorf("user %s: %w", name, err)
			}
			a.done("user add %s", name)
			fmt.Fprintf(p.stdout, "added %s\n", name)
			if made {
				fmt.Fprintf(p.stdout, "password: %s\n", password)
			}
			if first {
				fmt.Fprintf(p.stdout, "%s is the first user, and an administrator. The registry needs credentials now.\n", name)
			}
			fmt.Fprintf(p.stdout, "docker login %s -u %s\n", a.l.loginHost(), name)
			return nil
		})
	}
	return c
}

// loginHost is how a client on this machine names the registry.
func (l loaded) loginHost() string {
	if u, err := url.Parse(l.HTTP.PublicURL); err == nil && u.Host != "" {
		return u.Host
	}
	host, port, err := net.SplitHostPort(l.HTTP.Addr)
	if err != nil || host == "" || host == "0.0.0.0" || host == "::" {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func (p program) userListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "list [config.yml]",
		Short:             "List the users",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: configFiles,
	}
	output := addFormat(c, "table", "json")
	c.RunE = func(c *cobra.Command, args []string) error {
		return p.onAccounts(c, args, func(ctx context.Context, a account) error {
			users, err := a.Users(ctx)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return p.printJSON(append([]accounts.User{}, users...))
			}
			w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
			for _, u := range users {
				fmt.Fprintf(w, "%s\t%s\t%s\tpassword of %s\n", u.Name, strings.Join(u.Groups, ","), userMarks(u), moment(u.Changed))
			}
			return w.Flush()
		})
	}
	return c
}

// userMarks are what is special about a user.
func userMarks(u accounts.User) string {
	var marks []string
	for _, m := range []struct {
		is   bool
		mark string
	}{{u.Admin, "admin"}, {u.Disabled, "disabled"}, {u.MustChange, "must change password"}} {
		if m.is {
			marks = append(marks, m.mark)
		}
	}
	return strings.Join(marks, ", ")
}

func (p program) userPasswdCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "passwd [config.yml] NAME",
		Short: "Give a user another password",
		Long: `Give a user another password, which is asked for on the terminal, read from standard input, or made. The one before ends within 5 seconds, and with it the
refresh tokens that clients have. API keys stay as they are.`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: configFiles,
	}
	flags := addPasswordFlags(c)
	mustChange := c.Flags().Bool("must-change", false, "the user has to change it before anything else can be done")
	c.RunE = func(c *cobra.Command, args []string) error {
		file, name := fileAnd(args)
		return p.onAccounts(c, file, func(ctx context.Context, a account) error {
			if _, err := a.User(ctx, name); err != nil {
				return fmt.Errorf("user %s: %w", name, err)
			}
			password, made, err := p.password(flags)
			if err != nil {
				return err
			}
			if err := a.SetPassword(ctx, name, password, *mustChange); err != nil {
				return fmt.Errorf("user %s: %w", name, err)
			}
			a.done("user passwd %s", name)
			fmt.Fprintf(p.stdout, "changed the password of %s\n", name)
			if made {
				fmt.Fprintf(p.stdout, "password: %s\n", password)
			}
			return nil
		})
	}
	return c
}

func (p program) userChangeCommand(verb, short, past string, change func(*accounts.User)) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " [config.yml] NAME",
		Short:             short,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: configFiles,
		RunE: func(c *cobra.Command, args []string) error {
			file, name := fileAnd(args)
			return p.onAccounts(c, file, func(ctx context.Context, a account) error {
				if err := a.ChangeUser(ctx, name, change); err != nil {
					return fmt.Errorf("user %s: %w", name, err)
				}
				a.done("user %s %s", verb, name)
				fmt.Fprintf(p.stdout, "%s %s\n", past, name)
				return nil
			})
		},
	}
}

func (p program) userRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "rm [config.yml] NAME",
		Short:             "Remove a user with all its API keys",
		Long:              "Remove a user with all its API keys. Images stay. The registry goes on to need credentials, also without any user.",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: configFiles,
		RunE: func(c *cobra.Command, args []string) error {
			file, name := fileAnd(args)
			return p.onAccounts(c, file, func(ctx context.Context, a account) error {
				if err := a.RemoveUser(ctx, name); err != nil {
					return fmt.Errorf("user %s: %w", name, err)
				}
				a.done("user rm %s", name)
				fmt.Fprintf(p.stdout, "removed %s\n", name)
				return nil
			})
		},
	}
}
