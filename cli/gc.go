package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/registry"
)

// swiftLag is how long listings of Swift are taken to lag if nothing else is said.
const swiftLag = 2 * time.Minute

func (p program) gcCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "gc [config.yml]",
		Aliases: []string{"garbage-collect"},
		Short:   "Remove what nothing refers to, while clients push",
		Long: `Remove blobs that no manifest names, bytes that no blob has, abandoned uploads and, by the rules in the configuration, tags and
manifests. Clients can push and pull meanwhile, through any number of replicas. What is younger than gc.grace stays.

It can be broken off at any time; the next collection does the rest. serve does the same by itself at each gc.interval.

  --dry-run  removes nothing, and lists each thing with its reason

The exit code is 1 if the store refused something, or another process collects at the moment.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: configFiles,
	}
	output := addFormat(c, "table", "json")
	dry := c.Flags().BoolP("dry-run", "n", false, "remove nothing, and list what would be removed")
	verbose := c.Flags().BoolP("verbose", "v", false, "list each thing that is removed")
	c.RunE = func(c *cobra.Command, args []string) error {
		return p.onStore(c, args, func(ctx context.Context, r *registry.Registry, l loaded) error {
			show := gcOutput{&storeWork{out: p.stdout, json: output.value == "json", each: *dry || *verbose, progress: p.showProgress()}}
			o := collectOptions(l)
			o.DryRun, o.Removed, o.Progress = *dry, show.removed, show.doing
			began := time.Now()
			report, err := r.Collect(ctx, o)
			show.end(report, time.Since(began), err)
			return storeWorkError(ctx, err, report.Failed, "set gc.sole for this process alone")
		})
	}
	return c
}

// collectOptions are the settings of a collection.
func collectOptions(l loaded) registry.CollectOptions {
	o := registry.CollectOptions{
		Grace:    l.GC.Grace,
		Untagged: l.GC.Untagged,
		Lag:      l.GC.ListingLag,
		Sole:     l.GC.Sole,
		Memory:   int64(l.GC.Memory),
	}
	if host, err := os.Hostname(); err == nil {
		o.By = fmt.Sprintf("%s/%d", host, os.Getpid())
	}
	if o.Lag == 0 && l.driver.Name == "swift" {
		o.Lag = swiftLag
	}
	for _, r := range l.GC.Retention {
		o.Retention = append(o.Retention, r.rule)
	}
	return o
}

// gcOutput tells of a collection.
type gcOutput struct{ *storeWork }

// removed is told of each thing.
func (o gcOutput) removed(one registry.Removal) {
	o.thing(one, one.Err, fmt.Sprintf("%-12s %10s  %s  %s", one.Kind, sizeOrNothing(one.Bytes), one.Key, one.Reason), "not removed")
}

func sizeOrNothing(n int64) string {
	if n == 0 {
		return ""
	}
	return bytesText(n)
}

// doing is told how far it is.
func (o gcOutput) doing(p registry.CollectProgress) {
	o.at(fmt.Sprintf("%s: %d listed, %d removed, %s freed", p.Phase, p.Seen, p.Removed, bytesText(p.Bytes)))
}

// end prints the report.
func (o gcOutput) end(r registry.CollectReport, took time.Duration, err error) {
	if o.reported(r, took, err) {
		return
	}
	for _, note := range r.Notes {
		fmt.Fprintf(o.out, "note: %s\n", note)
	}
	what := "removed"
	if r.DryRun {
		what = "would be removed"
	}
	fmt.Fprintf(o.out, "%s: %s\nbytes: %s, %d keys listed, %v\n", what, tallies(r), bytesText(r.Bytes), r.Listed, took.Round(time.Millisecond))
}

// tallies is what was removed in words.
func tallies(r registry.CollectReport) string {
	var all []string
	for _, kind := range slices.Sorted(maps.Keys(r.Removed)) {
		t := r.Removed[kind]
		name := string(kind)
		switch {
		case t.Count == 1, kind == registry.RemovedData:
		case strings.HasSuffix(name, "y"):
			name = strings.TrimSuffix(name, "y") + "ies"
		default:
			name += "s"
		}
		all = append(all, fmt.Sprintf("%d %s", t.Count, name))
	}
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, ", ")
}

// collectInBackground collects as the settings say, until the function that it returns is called, which waits for the end.
func collectInBackground(ctx context.Context, r *registry.Registry, l loaded, log *slog.Logger) (stop func()) {
	if l.GC.Interval == 0 {
		return func() {}
	}
	o := collectOptions(l)
	o.Removed = func(one registry.Removal) {
		switch {
		case one.Err != nil:
			log.Warn("garbage was not removed", "kind", string(one.Kind), "key", one.Key, "reason", one.Reason, "err", one.Err)
		case one.Kind == registry.RemovedTag:
			log.Info("a tag was removed by a rule", "key", one.Key, "reason", one.Reason)
		default:
			log.Debug("garbage was removed", "kind", string(one.Kind), "key", one.Key, "reason", one.Reason, "bytes", one.Bytes)
		}
	}
	o.Progress = func(p registry.CollectProgress) {
		log.Debug("garbage is being collected", "phase", p.Phase, "listed", p.Seen, "removed", p.Removed)
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.CollectEvery(ctx, l.GC.Interval, o, func(report registry.CollectReport, err error) {
			if errors.Is(err, registry.ErrSole) {
				log.Warn("no garbage is collected: this store has no put-if-absent and put-if-match, so only one process may collect; let that one have gc.sole, or run longshore gc")
				return
			}
			if err != nil {
				log.Error("garbage collection failed", "removed", tallies(report), "bytes", report.Bytes, "err", err)
				return
			}
			log.Info("garbage collected", "removed", tallies(report), "bytes", report.Bytes, "listed", report.Listed)
		})
	}()
	return func() {
		cancel()
		<-ended
	}
}
