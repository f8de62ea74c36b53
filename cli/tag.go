package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/registry"
)

func (p program) tagCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "tag",
		Short: "List tags, tell what they pointed at before, and restore that",
		Long: `List tags, tell what they pointed at before, and restore that.

What a tag pointed at is kept for history.keep after it was moved or deleted, with its manifest and blobs. The commands work
on the store of the configuration; replicas that serve it see the change at once.`,
		Args: noSuchCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.tagListCommand(), p.tagHistoryCommand(), p.tagRestoreCommand())
	return c
}

// tagReference reads REPO:TAG.
func tagReference(text string) (repo, tag string, err error) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 || strings.Contains(text, "@") {
		return "", "", usageError{fmt.Errorf("%q is not REPOSITORY:TAG", text)}
	}
	repo, tag = text[:i], text[i+1:]
	if err := registry.CheckName(repo); err != nil {
		return "", "", usageError{err}
	}
	if err := registry.CheckTag(tag); err != nil {
		return "", "", usageError{err}
	}
	return repo, tag, nil
}

func (p program) tagListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "list [config.yml] REPOSITORY",
		Short:             "List a repository's tags with what they point at",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: configFiles,
	}
	output := addFormat(c, "table", "json")
	deleted := c.Flags().Bool("deleted", false, "list the tags that are not there now and can be restored")
	c.RunE = func(c *cobra.Command, args []string) error {
		file, repo := fileAnd(args)
		if err := registry.CheckName(repo); err != nil {
			return usageError{err}
		}
		return p.onStore(c, file, func(ctx context.Context, r *registry.Registry, _ loaded) error {
			list := tagList{Name: repo, Tags: []any{}}
			table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
			tell := func(row string, one any) {
				list.Tags = append(list.Tags, one)
				if output.value == "table" {
					fmt.Fprintln(table, row)
				}
			}
			var err error
			if *deleted {
				err = eachDeletedTag(ctx, r, repo, tell)
			} else {
				err = eachTag(ctx, r, repo, tell)
			}
			if registry.HasCode(err, registry.NameUnknown) {
				return adviceError{err, "longshore tag list --deleted tells whether it had tags lately"}
			} else if err != nil {
				return err
			}
			if output.value == "json" {
				return p.printJSON(list)
			}
			return table.Flush()
		})
	}
	return c
}

// tagList is the answer of longshore tag list.
type tagList struct {
	Name string `json:"name"`
	Tags []any  `json:"tags"`
}

const tagPage = 1000

func eachTag(ctx context.Context, r *registry.Registry, repo string, tell func(string, any)) error {
	for last, more := "", true; more; {
		tags, rest, err := r.Tags(ctx, repo, last, tagPage)
		if err != nil {
			return err
		}
		for _, tag := range tags {
			t, err := r.Tag(ctx, repo, tag)
			if registry.HasCode(err, registry.ManifestUnknown) {
				continue // deleted just now
			} else if err != nil {
				return err
			}
			tell(fmt.Sprintf("%s\t%s\t%s\t%s", tag, t.Digest, moment(t.Pushed), t.By), t)
		}
		if more = rest; more {
			last = tags[len(tags)-1]
		}
	}
	return nil
}

func eachDeletedTag(ctx context.Context, r *registry.Registry, repo string, tell func(string, any)) error {
	for last, more := "", true; more; {
		tags, next, err := r.PastTags(ctx, repo, last, tagPage)
		if err != nil {
			return err
		}
		for _, tag := range tags {
			past, _, err := r.TagHistory(ctx, repo, tag, "", 1)
			if err != nil {
				return err
			}
			for _, one := range past {
				tell(fmt.Sprintf("%s\t%s\t%s\t%s", tag, one.Digest, moment(one.Ended), one.How), struct {
					Name string `json:"name"`
					registry.PastTag
				}{tag, one})
			}
		}
		last, more = next, next != ""
	}
	return nil
}

// moment is a time for people.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func (p program) tagHistoryCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "history [config.yml] REPOSITORY:TAG",
		Short: "Tell what a tag pointed at before, when, and by whom",
		Long: `Tell what a tag points at and what it pointed at before, the latest first: digest, from when, until when, what ended it, and who did. It is kept for
history.keep after it ended.`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: configFiles,
	}
	output := addFormat(c, "table", "json")
	most := c.Flags().Int("most", 100, "the most entries of the past to tell of")
	c.RunE = func(c *cobra.Command, args []string) error {
		file, text := fileAnd(args)
		repo, tag, err := tagReference(text)
		if err != nil {
			return err
		}
		return p.onStore(c, file, func(ctx context.Context, r *registry.Registry, l loaded) error {
			answer := tagHistory{Name: repo, Tag: tag}
			if t, err := r.Tag(ctx, repo, tag); err == nil {
				answer.Now = &t
			} else if !registry.HasCode(err, registry.ManifestUnknown) {
				return err
			}
			if answer.History, _, err = r.TagHistory(ctx, repo, tag, "", max(*most, 1)); err != nil {
				return err
			}
			if answer.Now == nil && len(answer.History) == 0 {
				return adviceError{fmt.Errorf("there is no tag %s:%s, and none was lately", repo, tag), fmt.Sprintf("what tags pointed at is kept for %v (history.keep)", l.History.Keep)}
			}
			if output.value == "json" {
				return p.printJSON(answer)
			}
			return p.printHistory(answer)
		})
	}
	return c
}

// tagHistory is the answer of longshore tag history.
type tagHistory struct {
	Name    string             `json:"name"`
	Tag     string             `json:"tag"`
	Now     *registry.Tag      `json:"now"` // nil if the tag was deleted
	History []registry.PastTag `json:"history"`
}

func (p program) printHistory(h tagHistory) error {
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	if h.Now != nil {
		fmt.Fprintf(table, "%s\tfrom %s\tuntil now\t%s\n", h.Now.Digest, moment(h.Now.Pushed), by(h.Now.By))
	}
	for _, one := range h.History {
		fmt.Fprintf(table, "%s\tfrom %s\tuntil %s\t%s%s %s\n", one.Digest, moment(one.Pushed), moment(one.Ended), by(one.By), one.How, by(one.EndedBy))
	}
	return table.Flush()
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return "by " + who + " "
}

func (p program) tagRestoreCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "restore [config.yml] REPOSITORY:TAG",
		Short: "Point a tag at what it pointed at before",
		Long: `Point a tag at what it pointed at before: the latest that it does not point at now, or the digest of --to. It works for tags that were moved or deleted,
also with their manifest or their repository. What the tag points at now goes to its history, so a restoration can be undone by another.`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: configFiles,
	}
	to := c.Flags().String("to", "", "the digest to restore, one of the tag's history")
	c.RunE = func(c *cobra.Command, args []string) error {
		file, text := fileAnd(args)
		repo, tag, err := tagReference(text)
		if err != nil {
			return err
		}
		d := digest.Digest("")
		if *to != "" {
			if d, err = registry.ParseDigest(*to); err != nil {
				return usageError{err}
			}
		}
		return p.onStore(c, file, func(ctx context.Context, r *registry.Registry, _ loaded) error {
			restored, err := r.RestoreTag(ctx, repo, tag, d, "")
			if registry.HasCode(err, registry.ManifestUnknown) || registry.HasCode(err, registry.Denied) {
				return adviceError{err, "longshore tag history tells what the tag pointed at"}
			} else if err != nil {
				return err
			}
			fmt.Fprintf(p.stdout, "%s:%s points at %s\n", repo, tag, restored)
			return nil
		})
	}
	return c
}
