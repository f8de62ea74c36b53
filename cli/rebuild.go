package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/registry"
)

func (p program) rebuildCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "rebuild [config.yml]",
		Short: "Put back what was lost in the store, from manifests and data",
		Long: `Put back what a lifecycle rule, a script or half a backup has removed from the store, as far as manifests and the bytes of blobs say it: the lines
of the catalogue, the referrers, the records of blobs and the repositories' links to them, and the store's format record.

Clients can push and pull meanwhile, but no garbage is collected: stop collections before, with gc.interval: 0, since one could take for garbage what
was lost from sight. It can be broken off at any time and run again, and then does what is left.

  --dry-run   writes nothing, and lists each thing with its reason
  --offline   takes the newest data too: only while nothing serves this store
  --all-data  reads all bytes that no blob has, not only those of the size of a missing blob

The exit code is 1 if an image is still incomplete, or the store refused something; each incomplete image is listed.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: configFiles,
	}
	output := addFormat(c, "table", "json")
	o := registry.RebuildOptions{}
	c.Flags().BoolVarP(&o.DryRun, "dry-run", "n", false, "write nothing, and list what would be done")
	c.Flags().BoolVar(&o.Offline, "offline", false, "nothing else uses the store: take data that an upload could still be about to name")
	c.Flags().BoolVar(&o.AllData, "all-data", false, "read all data that no blob has")
	verbose := c.Flags().BoolP("verbose", "v", false, "list each thing that is done")
	c.RunE = func(c *cobra.Command, args []string) error {
		return p.onStore(c, args, func(ctx context.Context, r *registry.Registry, l loaded) error {
			show := rebuildOutput{&storeWork{out: p.stdout, json: output.value == "json", each: o.DryRun || *verbose, progress: p.showProgress()}}
			gc := collectOptions(l)
			o.Lag, o.Sole, o.By = gc.Lag, gc.Sole, gc.By
			o.Rebuilt, o.Incomplete, o.Progress = show.rebuilt, show.incomplete, show.doing
			began := time.Now()
			report, err := r.Rebuild(ctx, o)
			show.end(report, time.Since(began), err)
			return rebuildResult(ctx, report, err)
		})
	}
	return c
}

// rebuildResult is what the command says at its end.
func rebuildResult(ctx context.Context, report registry.RebuildReport, err error) error {
	if err == nil && !report.Whole() {
		return adviceError{
			fmt.Errorf("incomplete: %s; missing: %s", plural(report.Incomplete, "manifest"), plural(report.Missing, "blob")),
			"push these images again, or bring their data back from a backup and run it again; docs/rebuild.md says what else there is",
		}
	}
	return storeWorkError(ctx, err, report.Failed, "set gc.sole, and see that no collection begins meanwhile")
}

// rebuildOutput tells of a rebuild.
type rebuildOutput struct{ *storeWork }

// rebuilt is told of each thing.
func (o rebuildOutput) rebuilt(one registry.Rebuilt) {
	o.thing(one, one.Err, fmt.Sprintf("%-12s %10s  %s  %s", one.Kind, sizeOrNothing(one.Bytes), one.Key, one.Reason), "not done")
}

// incomplete is told of each image that lacks something.
func (o rebuildOutput) incomplete(image registry.IncompleteImage) {
	if o.json {
		o.line(struct {
			Kind string `json:"kind"`
		}{"incomplete"}, image)
		return
	}
	o.progress.clear()
	tags := "no tag leads to it"
	if len(image.Tags) > 0 {
		tags = strings.Join(image.Tags, ", ")
	}
	fmt.Fprintf(o.out, "incomplete: %s@%s (%s)\n", image.Repository, image.Manifest, tags)
	for _, d := range image.Blobs {
		fmt.Fprintf(o.out, "            blob     %s\n", d)
	}
	for _, d := range image.Children {
		fmt.Fprintf(o.out, "            manifest %s\n", d)
	}
}

// doing is told how far it is.
func (o rebuildOutput) doing(p registry.RebuildProgress) {
	o.at(fmt.Sprintf("%s: %d listed, %d done, %s hashed", p.Phase, p.Seen, p.Done, bytesText(p.Hashed)))
}

// end prints the report.
func (o rebuildOutput) end(r registry.RebuildReport, took time.Duration, err error) {
	if o.reported(r, took, err) {
		return
	}
	for _, note := range r.Notes {
		fmt.Fprintf(o.out, "note: %s\n", note)
	}
	what := "done"
	if r.DryRun {
		what = "would be done"
	}
	var all []string
	for _, kind := range slices.Sorted(maps.Keys(r.Done)) {
		all = append(all, fmt.Sprintf("%d %s", r.Done[kind], kind))
	}
	if len(all) == 0 {
		all = []string{"nothing"}
	}
	fmt.Fprintf(o.out, "%s: %s\nmissing: %s, incomplete: %s\nhashed: %s of %s, %d keys listed, %v\n",
		what, strings.Join(all, ", "), plural(r.Missing, "blob"), plural(r.Incomplete, "manifest"),
		bytesText(r.Hashed), plural(r.Objects, "object"), r.Listed, took.Round(time.Millisecond))
}
