package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/config"
	"github.com/longshore-registry/longshore/drivers/counting"
	"github.com/longshore-registry/longshore/registry"
)

func (p program) scrubCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "scrub [config.yml]",
		Short: "Look for what is corrupt, missing or dangling in the store, and repair it",
		Long: `Read all records, manifests and tags, compare them with each other and with what is in the store, and list what is wrong. Clients can push and
pull meanwhile, through any number of replicas. Nothing is written without --repair.

  --bytes   reads the bytes of all blobs, too, and compares their digests
  --repair  puts right what can be; what is corrupt is moved below quarantine/, so that pushing it again heals it
  --drop-quarantined  removes what is there

docs/scrub.md has each finding, and what to do about it. The exit code is 1 if there is damage left or something could not be read.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: configFiles,
	}
	output := addFormat(c, "table", "json")
	var o registry.ScrubOptions
	c.Flags().BoolVar(&o.Bytes, "bytes", false, "read the bytes of blobs, and compare their digests")
	limit := c.Flags().String("rate", "", "read no more bytes of blobs than that in a second, such as 50MB/s")
	c.Flags().IntVar(&o.Readers, "readers", 4, "how many blobs are read side by side")
	c.Flags().BoolVar(&o.Repair, "repair", false, "repair what can be, and move what is corrupt below quarantine/")
	c.Flags().BoolVar(&o.DropQuarantined, "drop-quarantined", false, "remove what is below quarantine/, with the bytes of the blobs")
	c.Flags().DurationVar(&o.Pause, "pause", 5*time.Second, "how much later all is looked at again that seems wrong")
	c.RunE = func(c *cobra.Command, args []string) error {
		var err error
		if o.Rate, err = parseRate(*limit); err != nil {
			return usageError{fmt.Errorf("--rate: %w", err)}
		}
		if o.Readers < 1 || o.Pause <= 0 {
			return usageError{errors.New("--readers and --pause have to be more than nothing")}
		}
		return p.scrub(c.Context(), args, o, output.value == "json")
	}
	return c
}

// parseRate reads a size with or without "/s"; "" is no bound.
func parseRate(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := config.ParseSize(strings.TrimSuffix(text, "/s"))
	if err == nil && n <= 0 {
		err = errors.New("it has to be more than nothing")
	}
	return int64(n), err
}

func (p program) scrub(ctx context.Context, args []string, o registry.ScrubOptions, asJSON bool) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := p.load(args)
	if err != nil {
		return err
	}
	opened, err := l.driver.open(ctx)
	if err != nil {
		return l.placed(err)
	}
	defer closeDriver(opened)
	store := counting.New(opened, counting.Options{})
	// To open a registry makes the record if there is none. A scrub is not to make a registry of an empty bucket.
	if there, err := registry.Exists(ctx, store); err != nil {
		return l.placed(err)
	} else if !there {
		return adviceError{errors.New("the store has no format record, which every registry has"),
			"check that this is the right bucket, folder or prefix; if it is, longshore rebuild makes the record anew"}
	}
	r, err := registry.Open(ctx, store, registryOptions(l.settings, p.newLogger(l.Log)))
	if err != nil {
		return l.placed(err)
	}
	defer r.Close()
	show := scrubOutput{&storeWork{out: p.stdout, json: asJSON, progress: p.showProgress()}}
	gc := collectOptions(l)
	o.By, o.Sole, o.Found, o.Progress = gc.By, gc.Sole, show.found, show.doing
	began := time.Now()
	report, err := r.Scrub(ctx, o)
	show.end(report, store.Counts().Total(), time.Since(began), err)
	return scrubResult(ctx, report, err)
}

// scrubResult is what the command says at its end.
func scrubResult(ctx context.Context, r registry.ScrubReport, err error) error {
	switch {
	case ctx.Err() != nil:
		return adviceError{errors.New("interrupted: what was not reached is not in the report"), "run it again"}
	case err != nil:
		return storeWorkError(ctx, err, 0, "set gc.sole for this process alone, and see to it that no collection runs meanwhile")
	case r.Open == 0:
		return nil
	}
	advice := "see docs/scrub.md for what to do about each"
	if !r.Repair {
		advice = "run it again with --repair, and see docs/scrub.md for what to do about the rest"
	}
	if r.Findings[registry.FoundMissingBlob]+r.Findings[registry.FoundRecord] > 0 {
		advice += "; longshore rebuild finds blobs whose bytes are there"
	}
	return adviceError{fmt.Errorf("%s left", plural(r.Open, "damaged thing")), advice}
}

// scrubOutput tells of a scrub.
type scrubOutput struct{ *storeWork }

// found is told of each finding.
func (o scrubOutput) found(f registry.Finding) {
	if o.json {
		o.line(f, problem(f.Err))
		return
	}
	o.progress.clear()
	state := "damage"
	switch {
	case f.Done != "":
		state = string(f.Done)
	case !f.Open:
		state = "note"
	}
	fmt.Fprintf(o.out, "%-18s %-11s  %s\n", f.Kind, state, f.Key)
	more := func(text string) { fmt.Fprintf(o.out, "%-18s %-11s  → %s\n", "", "", text) }
	more(f.Reason)
	if f.Recent && !f.Open && f.Done == "" {
		more("it is recent: a push may be under way, or its process has died")
	}
	if len(f.Images) > 0 {
		const shown = 5
		some := strings.Join(f.Images[:min(shown, len(f.Images))], ", ")
		if n := len(f.Images) + f.More; n > shown {
			some += fmt.Sprintf(", and %d more", n-shown)
		}
		more("images: " + some)
	}
	if f.Err != nil {
		more(f.Err.Error())
	}
}

// doing is told how far it is.
func (o scrubOutput) doing(p registry.ScrubProgress) {
	text := fmt.Sprintf("%s: %d", p.Phase, p.Seen)
	if p.Of > 0 {
		text += fmt.Sprintf(" of %d", p.Of)
	}
	if p.Total > 0 {
		text += fmt.Sprintf(", %s of %s", bytesText(p.Bytes), bytesText(p.Total))
	}
	text += ", " + plural(p.Found, "finding")
	o.at(text)
}

// end prints the report.
func (o scrubOutput) end(r registry.ScrubReport, requests int, took time.Duration, err error) {
	all := struct {
		registry.ScrubReport
		Requests int `json:"requests"` // to the store
	}{r, requests}
	if o.reported(all, took, err) {
		return
	}
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(r.Findings)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", r.Findings[kind], kind))
	}
	if len(kinds) == 0 {
		kinds = []string{"nothing"}
	}
	fmt.Fprintf(o.out, "found: %s; %d repaired or moved, %d left\n", strings.Join(kinds, ", "), r.Repaired, r.Open)
	fmt.Fprintf(o.out, "looked at: %d repositories, %d tags, %d manifests, %d links, %d blobs of %s\n",
		r.Repositories, r.Tags, r.Manifests, r.Links, r.Blobs, bytesText(r.BlobBytes))
	if r.Unnamed.Count > 0 {
		fmt.Fprintf(o.out, "no blob has %d objects of %s: uploads under way, or what a collection will remove\n", r.Unnamed.Count, bytesText(r.Unnamed.Bytes))
	}
	if r.Verified > 0 {
		fmt.Fprintf(o.out, "read: the bytes of %d blobs, %s\n", r.Verified, bytesText(r.ReadBlobs))
	}
	fmt.Fprintf(o.out, "cost: %d requests, %d keys listed, %d small objects read of %s, %v\n",
		requests, r.Listed, r.Objects, bytesText(r.Read), took.Round(time.Millisecond))
}
