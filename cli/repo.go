package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/registry"
)

func (p program) repoCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "repo",
		Short: "Delete a whole repository, or restore one",
		Args:  noSuchCommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.repoDeleteCommand(), p.repoRestoreCommand())
	return c
}

func (p program) repoDeleteCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "delete [config.yml] REPOSITORY",
		Short: "Delete a repository with all its tags and manifests",
		Long: `Delete a repository with all its tags and manifests. Nothing of it can be pulled from then on. For history.keep it can be restored; then a collection frees
its space. Repositories below it in name stay. A deletion that was interrupted goes on when it is asked for again.`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: configFiles,
	}
	forever := c.Flags().Bool("forever", false, "delete it although no history is kept (history.keep: 0), so that it can't be restored")
	c.RunE = func(c *cobra.Command, args []string) error {
		file, repo := fileAnd(args)
		if err := registry.CheckName(repo); err != nil {
			return usageError{err}
		}
		return p.onStore(c, file, func(ctx context.Context, r *registry.Registry, l loaded) error {
			if l.History.Keep == 0 && !*forever {
				return adviceError{errors.New("no history is kept (history.keep), so the repository could not be restored"), "add --forever if that is meant"}
			}
			err := r.DeleteRepository(ctx, repo)
			switch {
			case registry.HasCode(err, registry.NameUnknown):
				return adviceError{err, "the name has to be whole, such as team/app"}
			case registry.HasCode(err, registry.Denied):
				return adviceError{err, "delete it with a configuration without that rule"}
			case ctx.Err() != nil:
				return adviceError{errors.New("interrupted"), "run it again for the rest"}
			case err != nil:
				return err
			}
			if l.History.Keep == 0 {
				fmt.Fprintf(p.stdout, "deleted %s\n", repo)
				return nil
			}
			fmt.Fprintf(p.stdout, "deleted %s; longshore repo restore brings it back until %s\n", repo, moment(time.Now().Add(l.History.Keep)))
			return nil
		})
	}
	return c
}

func (p program) repoRestoreCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "restore [config.yml] REPOSITORY",
		Short: "Undo the deletion of a repository",
		Long: `Undo the last deletion of a repository: its blobs, manifests and tags are there again. Tags that were pushed since stay as they are. It works for history.keep
after the deletion. When it fails half way, what it has restored is whole, and it can be run again.`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: configFiles,
	}
	output := addFormat(c, "table", "json")
	c.RunE = func(c *cobra.Command, args []string) error {
		file, repo := fileAnd(args)
		if err := registry.CheckName(repo); err != nil {
			return usageError{err}
		}
		return p.onStore(c, file, func(ctx context.Context, r *registry.Registry, l loaded) error {
			restored, err := r.RestoreRepository(ctx, repo, "")
			if registry.HasCode(err, registry.NameUnknown) {
				return adviceError{err, fmt.Sprintf("what was deleted is kept for %v (history.keep)", l.History.Keep)}
			} else if err != nil {
				return adviceError{err, "what was restored stays; run it again for the rest"}
			}
			if output.value == "json" {
				return p.printJSON(restored)
			}
			fmt.Fprintf(p.stdout, "restored %s: %s, %s, %s\n", repo, plural(len(restored.Tags), "tag"), plural(restored.Manifests, "manifest"), plural(restored.Blobs, "blob"))
			for _, tag := range restored.Kept {
				fmt.Fprintf(p.stdout, "%s:%s was pushed since, and stays\n", repo, tag)
			}
			return nil
		})
	}
	return c
}
