package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/config"
	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/conformance/report"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/prefix"
)

// conformanceFlags are those of longshore conformance.
type conformanceFlags struct {
	run        string
	quick      bool
	listKeys   int
	oneProcess bool
	racyCommit bool
	maxKey     int
	timeout    time.Duration
	requests   int
	size       string
	streams    int
	html       string
	junit      string
	second     bool

	// What validate makes of them.
	choose *regexp.Regexp
	bytes  int64
}

func (p program) conformanceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "conformance [config.yml]",
		Short: "Prove that a store does what a registry needs, and measure it",
		Long: `Run the suite that every storage driver has to pass against your own store, find out which optional abilities
it has, and measure it. All objects are made in a folder of their own, which is named at the beginning and removed
at the end; nothing else in the store is written or removed. Ctrl-C stops it and removes the folder, too; a second
one ends the program at once.

The exit code is 1 if a case failed or something was left in the store.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: configFiles,
	}
	var f conformanceFlags
	output := addFormat(c, "table", "json")
	c.Flags().StringVar(&f.run, "run", "", "only the cases whose name this regular expression matches; nothing else is found out then")
	c.Flags().BoolVar(&f.quick, "quick", false, "shorter races and listings, nothing is measured")
	c.Flags().IntVar(&f.listKeys, "list-keys", 3000, "how many objects the cases on listings make")
	c.Flags().BoolVar(&f.oneProcess, "one-process", false, "leave out the cases that start this program a second time")
	c.Flags().BoolVar(&f.racyCommit, "racy-commit", false, "the store may confirm two commits of one upload at the same moment and keep one")
	c.Flags().IntVar(&f.maxKey, "max-key", drivers.MaxKey, "the longest key in bytes that the store takes below the configured prefix")
	c.Flags().DurationVar(&f.timeout, "timeout", 5*time.Minute, "how long a case may take")
	c.Flags().IntVar(&f.requests, "requests", 100, "how many small requests of each kind are measured")
	c.Flags().StringVar(&f.size, "size", "64MiB", "the size of the large objects that are measured")
	c.Flags().IntVar(&f.streams, "streams", 4, "how many large objects at once are measured, after one alone")
	c.Flags().StringVar(&f.html, "html", "", "write a report for people to this file")
	c.Flags().StringVar(&f.junit, "junit", "", "write a report as JUnit's XML to this file")
	c.Flags().BoolVar(&f.second, "second-process", false, "")
	_ = c.Flags().MarkHidden("second-process") // the flag is there
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(c.Context(), endings()...)
		defer stop()
		context.AfterFunc(ctx, stop)   // a second signal ends the program
		signal.Ignore(syscall.SIGPIPE) // a reader of the output that goes away, as head does, would end it too
		defer signal.Reset(syscall.SIGPIPE)
		if err := f.validate(c.Flags().Changed("list-keys")); err != nil {
			return usageError{err}
		}
		l, err := p.load(args)
		if err != nil {
			return err
		}
		if f.second {
			return secondProcess(ctx, l)
		}
		return p.conformance(ctx, l, f, output.value == "json")
	}
	return c
}

// endings are signals after which the folder is removed. SIGHUP is for a terminal that was closed, unless nohup was to outlive it.
func endings() []os.Signal {
	all := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		all = append(all, syscall.SIGHUP)
	}
	return all
}

// leastKeys is more than fits on one page of any store.
const leastKeys = 1100

// validate completes the flags. An error names the flag.
func (f *conformanceFlags) validate(listKeysGiven bool) (err error) {
	if f.choose, err = regexp.Compile(f.run); err != nil {
		return fmt.Errorf("--run: %w", err)
	}
	if f.quick && !listKeysGiven {
		f.listKeys = leastKeys
	}
	size, err := config.ParseSize(f.size)
	f.bytes = int64(size)
	switch {
	case !slices.ContainsFunc(conformance.Names(), f.choose.MatchString):
		return fmt.Errorf("--run: no case is called like %q", f.run)
	case err != nil:
		return fmt.Errorf("--size: %w", err)
	case f.bytes == 0:
		return errors.New("--size: at least one byte")
	case f.listKeys < leastKeys:
		return fmt.Errorf("--list-keys: with fewer than %d objects a listing is one page", leastKeys)
	case f.maxKey < leastMaxKey || f.maxKey > drivers.MaxKey:
		return fmt.Errorf("--max-key: from %d to %d bytes; a registry needs no fewer", leastMaxKey, drivers.MaxKey)
	case f.timeout <= 0 || f.requests < 1 || f.streams < 1:
		return errors.New("--timeout, --requests, --streams: more than nothing")
	}
	return nil
}

// secondProcess is what this program does when the suite has started it.
func secondProcess(ctx context.Context, l loaded) error {
	return conformance.Second(ctx, func(ctx context.Context, folder string) (drivers.Driver, error) {
		d, err := l.driver.open(ctx)
		if err != nil {
			return nil, err
		}
		return prefix.New(d, folder)
	})
}

func (p program) conformance(ctx context.Context, l loaded, f conformanceFlags, asJSON bool) error {
	if err := f.writable(); err != nil {
		return err
	}
	t, err := newTrial(ctx, l)
	if err != nil {
		return err
	}
	defer closeDriver(t.base)
	r := &report.Report{
		Version: thisVersion().Version, Driver: l.driver.Name, Store: l.driver.place(), Began: time.Now(), Folder: t.folder, Notes: t.notes(f),
		Results: []conformance.Result{},
	}
	if i, ok := t.base.(interface{ Identity() string }); ok {
		r.Identity = i.Identity()
	}
	show := p.showProgress()
	show.line("store: %s, %s; in the folder %s", r.Driver, r.Store, t.folder)
	quiet := context.AfterFunc(ctx, func() { show.line("interrupted; the folder is being removed, a second time leaves it there") })
	defer quiet()
	conformance.Execute(ctx, t.config(ctx, f, l.file), conformance.Watch{
		Choose: f.choose.MatchString, Limit: f.timeout, Begin: show.begin,
		End: func(n, of int, one conformance.Result) {
			r.Results = append(r.Results, one)
			show.end(n, of, one)
		},
	})
	measured := t.measure(ctx, r, f, show)
	r.Interrupted = ctx.Err() != nil
	show.doing("removing the folder")
	cleared := t.removeAll(context.WithoutCancel(ctx), r)
	r.Took = time.Since(r.Began)
	show.clear()
	written := p.write(r, f, asJSON)
	return errors.Join(conclude(r, measured, cleared), written)
}

// conclude is the error of the command, the worst one first.
func conclude(r *report.Report, measured, cleared error) error {
	_, failed, _ := r.Count()
	if cleared == nil && len(r.Left) > 0 {
		cleared = errors.New("they are there still")
	}
	switch {
	case len(r.Left) > 0:
		return adviceError{fmt.Errorf("%s below %s could not be removed: %w", plural(len(r.Left), "object"), r.Folder, cleared), "remove the folder by hand"}
	case cleared != nil:
		return adviceError{fmt.Errorf("the folder %s could not be removed: %w", r.Folder, cleared), "remove it by hand, with longshore leftovers where uploads are left"}
	case r.Interrupted:
		return adviceError{errors.New("interrupted"), "what the suite had written is removed"}
	case failed > 0:
		return adviceError{fmt.Errorf("%s failed", plural(failed, "case")), "the store or its driver does not do what the registry relies on; do not keep images there before that is understood"}
	case measured != nil:
		return fmt.Errorf("measuring the store: %w", measured)
	}
	return nil
}

// files are those that are to be written, and what goes into them.
func (f conformanceFlags) files(r *report.Report) map[string]func() ([]byte, error) {
	all := map[string]func() ([]byte, error){f.html: r.HTML, f.junit: r.JUnit}
	delete(all, "")
	return all
}

// writable says early what would be lost at the end.
func (f conformanceFlags) writable() error {
	for name := range f.files(nil) {
		if err := writableFile(name); err != nil {
			return adviceError{fmt.Errorf("the report can't be written: %w", err), "give --html and --junit another path"}
		}
	}
	return nil
}

func writableFile(name string) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	return file.Close()
}

// write writes the report where it is wanted.
func (p program) write(r *report.Report, f conformanceFlags, asJSON bool) error {
	var err error
	if asJSON {
		err = p.printJSON(r)
	} else {
		_, err = fmt.Fprint(p.stdout, r.Table())
	}
	for name, text := range f.files(r) {
		content, textErr := text()
		if textErr == nil {
			textErr = os.WriteFile(name, content, 0o644)
		}
		err = errors.Join(err, textErr)
	}
	return err
}
