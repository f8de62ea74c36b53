package cli

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/access/accounts"
)

func (p program) keyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Add, list and revoke API keys of users",
		Long: `Add, list and revoke API keys: further passwords of a user that can be narrowed, end by themselves and can be revoked one by one. A key is sent as the password,
with any name, or as a bearer token.`,
		Args: noSuchCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.keyAddCommand(), p.keyListCommand(), p.keyRevokeCommand())
	return c
}

func (p program) keyAddCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "add [config.yml] USER",
		Short:             "Add an API key for a user and print it, once",
		Example:           `  longshore key add alice --note laptop --expires 365d --allow pull=**`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: configFiles,
	}
	var grants grantFlag
	var life lifeFlag
	note := c.Flags().String("note", "", "what it is for")
	c.Flags().Var(&grants, "allow", grantUsage+"; without it all that the user may")
	c.Flags().Var(&life, "expires", "after how long it ends, such as 90d; never without it")
	c.RunE = func(c *cobra.Command, args []string) error {
		file, user := fileAnd(args)
		return p.onAccounts(c, file, func(ctx context.Context, a account) error {
			k, secret, err := a.AddKey(ctx, accounts.Key{User: user, Note: *note, Scope: grants.grants, Expires: life.end()}, a.by)
			if err != nil {
				return fmt.Errorf("user %s: %w", user, err)
			}
			a.done("key add %s for %s: %s", k.ID, user, grants.String())
			fmt.Fprintf(p.stdout, "id:  %s\nkey: %s\n", k.ID, secret)
			fmt.Fprintf(p.stderr, "The key is not shown again. docker login %s -u %s --password-stdin\n", a.l.loginHost(), user)
			return nil
		})
	}
	return c
}

func (p program) keyListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "list [config.yml]",
		Short:             "List API keys, what they may do and when they were used last",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: configFiles,
	}
	output := addFormat(c, "table", "json")
	user := c.Flags().String("user", "", "only those of this user")
	c.RunE = func(c *cobra.Command, args []string) error {
		return p.onAccounts(c, args, func(ctx context.Context, a account) error {
			keys, err := a.Keys(ctx, *user)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return p.printJSON(append([]accounts.Key{}, keys...))
			}
			w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
			for _, k := range keys {
				scope := "all that the user may"
				if k.Scope != nil {
					scope = (&grantFlag{k.Scope}).String()
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.User, k.Note, scope, ending(k.Expires), lastUse(k.Used))
			}
			return w.Flush()
		})
	}
	return c
}

func (p program) keyRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "revoke [config.yml] ID",
		Short:             "End an API key within 5 seconds",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: configFiles,
		RunE: func(c *cobra.Command, args []string) error {
			file, id := fileAnd(args)
			return p.onAccounts(c, file, func(ctx context.Context, a account) error {
				if err := a.RevokeKey(ctx, id); err != nil {
					return fmt.Errorf("key %s: %w", id, err)
				}
				a.done("key revoke %s", id)
				fmt.Fprintf(p.stdout, "revoked %s\n", id)
				return nil
			})
		},
	}
}
