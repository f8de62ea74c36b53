package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
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
	listKeys   int
	quick      bool
	oneProcess bool
	requests   int
	size       string
	html       string
	junit      string
	second     bool
}

func (p program) conformanceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "conformance [config.yml]",
		Short: "Prove that a store does what a registry needs, and measure it",
		Long: `Run the suite that every storage driver has to pass against your own store, find out which optional abilities
it has, and measure it. All objects are made in a folder of their own, which is removed at the end; nothing
else in the store is read or touched.

The exit code is 1 if a case failed or something was left in the store.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: configFiles,
	}
	var f conformanceFlags
	output := addFormat(c, "table", "json")
	c.Flags().StringVar(&f.run, "run", "", "only the cases whose name this regular expression matches; nothing is measured then")
	c.Flags().BoolVar(&f.quick, "quick", false, "shorter races and listings, nothing is measured")
	c.Flags().IntVar(&f.listKeys, "list-keys", 3000, "how many objects the cases on listings make")
	c.Flags().BoolVar(&f.oneProcess, "one-process", false, "leave out the cases that start this program a second time")
	c.Flags().IntVar(&f.requests, "requests", 100, "how many small requests of each kind are measured")
	c.Flags().StringVar(&f.size, "size", "64MiB", "the size of the large objects that are measured")
	c.Flags().StringVar(&f.html, "html", "", "write a report for people to this file")
	c.Flags().StringVar(&f.junit, "junit", "", "write a report as JUnit's XML to this file")
	c.Flags().BoolVar(&f.second, "second-process", false, "")
	_ = c.Flags().MarkHidden("second-process") // the flag is there
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		l, err := p.load(args)
		if err != nil {
			return err
		}
		if f.second {
			return conformance.Second(ctx, func(ctx context.Context, folder string) (drivers.Driver, error) {
				d, err := l.driver.open(ctx)
				if err != nil {
					return nil, err
				}
				return prefix.New(d, folder)
			})
		}
		return p.conformance(ctx, l, f, output.value == "json")
	}
	return c
}

// leastKeys is more than fits on one page of any store.
const leastKeys = 1100

// trial is one run of the suite.
type trial struct {
	l      loaded
	base   drivers.Driver // on the whole store
	folder string         // of this run
	shared bool           // other handles and processes see the same store

	mu      sync.Mutex
	n       int
	folders map[drivers.Driver]string
	opened  []drivers.Driver
}

func (p program) conformance(ctx context.Context, l loaded, f conformanceFlags, asJSON bool) error {
	choose, err := regexp.Compile(f.run)
	if err != nil {
		return usageError{fmt.Errorf("--run: %w", err)}
	}
	if f.listKeys < leastKeys {
		return usageError{fmt.Errorf("--list-keys: with fewer than %d objects a listing is one page", leastKeys)}
	}
	size, err := config.ParseSize(f.size)
	if err != nil {
		return usageError{fmt.Errorf("--size: %w", err)}
	}
	base, err := l.driver.open(ctx)
	if err != nil {
		return adviceError{fmt.Errorf("the store cannot be opened: %w", l.placed(err)), fixFor(err, "run longshore check with the same configuration, which tests the store step by step")}
	}
	t := &trial{l: l, base: base, folder: "conformance/" + strings.ToLower(rand.Text()[:12]), folders: make(map[drivers.Driver]string)}
	defer closeDriver(base)
	if t.shared, err = t.isShared(ctx); err != nil {
		return fmt.Errorf("trying the store: %w", err)
	}
	r := &report.Report{Version: thisVersion().Version, Driver: l.driver.Name, Store: l.driver.place(), Began: time.Now(), Folder: t.folder}
	if i, ok := base.(interface{ Identity() string }); ok {
		r.Identity = i.Identity()
	}
	progress := p.progressLine(asJSON)
	progress.say("store: %s, %s; in the folder %s", r.Driver, r.Store, t.folder)
	c := t.config(f, l.file)
	conformance.Execute(ctx, c, conformance.Watch{Choose: choose.MatchString, End: func(n, _ int, one conformance.Result) {
		r.Results = append(r.Results, one)
		progress.result(n, one)
		t.closeOpened()
		if err := t.clear(ctx); err != nil { // it is tried again at the end
			progress.say("clearing up after %s: %v", one.Name, err)
		}
	}})
	var measured error
	if ctx.Err() == nil && !f.quick && f.run == "" {
		measured = t.measure(ctx, r, f.requests, int64(size), progress)
	}
	r.Took = time.Since(r.Began)
	cleared := t.clear(context.WithoutCancel(ctx))
	r.Left = t.left(context.WithoutCancel(ctx))
	progress.end()
	if err := p.write(r, f, asJSON); err != nil {
		return err
	}
	_, failed, _ := r.Count()
	switch {
	case ctx.Err() != nil:
		return adviceError{errors.New("interrupted"), "what the suite had written is removed"}
	case cleared != nil || len(r.Left) > 0:
		return adviceError{fmt.Errorf("%d objects are left below %s: %w", len(r.Left), t.folder, cleared), "remove them by hand"}
	case measured != nil:
		return fmt.Errorf("measuring the store: %w", measured)
	case failed > 0:
		return adviceError{fmt.Errorf("%s failed", plural(failed, "case")), "the store or its driver does not do what the registry relies on; do not keep images there before that is understood"}
	}
	return nil
}

// closeDriver closes d if it can be closed.
func closeDriver(d drivers.Driver) {
	if c, ok := d.(interface{ Close() }); ok {
		c.Close()
	}
}

// isShared finds out whether a second handle sees what the first has written.
func (t *trial) isShared(ctx context.Context) (bool, error) {
	key := t.folder + "/shared"
	if err := t.base.Put(ctx, key, nil); err != nil {
		return false, err
	}
	other, err := t.l.driver.open(ctx)
	if err != nil {
		return false, err
	}
	defer closeDriver(other)
	_, err = other.Stat(ctx, key)
	if errors.Is(err, drivers.ErrNotFound) {
		return false, nil
	}
	return true, err
}

// config is the suite's.
func (t *trial) config(f conformanceFlags, file string) conformance.Config {
	c := conformance.Config{
		Open:     func(tb testing.TB) drivers.Driver { return t.open(tb, t.next()) },
		ListKeys: f.listKeys, Second: []string{"conformance", "--second-process"},
	}
	if file != "" {
		c.Second = append(c.Second, file)
	}
	if f.quick {
		c.ListKeys, c.Repeat = leastKeys, 2
	}
	if t.shared {
		c.Reopen = func(tb testing.TB, d drivers.Driver) drivers.Driver { return t.open(tb, t.folderOf(d)) }
		if !f.oneProcess {
			c.Where = func(_ testing.TB, d drivers.Driver) string { return t.folderOf(d) }
		}
	}
	x := drivers.ExtrasOf(t.base)
	c.Extras = conformance.Extras{Absent: x.Absent != nil, Match: x.Match != nil, Signer: x.Signer != nil, Files: x.Files != nil, Sweep: x.Sweep != nil}
	c.MaxKey = t.longest() - len(t.folder) - len("/0000/")
	return c
}

// longest is the length of the longest key that the driver takes, which its own prefix shortens. Nothing is asked of the store for a key that is too
// long.
func (t *trial) longest() int {
	fits := func(n int) bool {
		key := strings.Repeat("k/", n/2)[:n-n%2]
		if n%2 == 1 {
			key += "k"
		} else {
			key = key[:n-2] + "kk"
		}
		_, err := t.base.Stat(context.Background(), key)
		return !errors.Is(err, drivers.ErrInvalid)
	}
	low, high := 256, drivers.MaxKey // the longest that fits is between them
	for low < high {
		middle := (low + high + 1) / 2
		if fits(middle) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

// next is a folder that no other case has.
func (t *trial) next() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
	return fmt.Sprintf("%s/%04d", t.folder, t.n)
}

func (t *trial) folderOf(d drivers.Driver) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.folders[d]
}

// open opens the store again, or uses the one handle that there is, below a folder.
func (t *trial) open(tb testing.TB, folder string) drivers.Driver {
	tb.Helper()
	d := t.base
	if t.shared {
		var err error
		if d, err = t.l.driver.open(tb.Context()); err != nil {
			tb.Fatal(err)
		}
		t.mu.Lock()
		t.opened = append(t.opened, d)
		t.mu.Unlock()
	}
	below, err := prefix.New(d, folder)
	if err != nil {
		tb.Fatal(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.folders[below] = folder
	return below
}

// keptOpen is how many handles wait for a case that may still use them: the one with many keys is used by several.
const keptOpen = 8

// closeOpened closes handles of cases that are over.
func (t *trial) closeOpened() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.opened) > keptOpen {
		closeDriver(t.opened[0])
		t.opened = t.opened[1:]
	}
}

// clear removes all that cases have left, but the many keys for listings, which stay to the end.
func (t *trial) clear(ctx context.Context) error {
	if x := drivers.ExtrasOf(t.base); x.Sweep != nil {
		for l, err := range x.Sweep.Leftovers(ctx) {
			if err != nil {
				return err
			}
			if strings.HasPrefix(l.Key, t.folder+"/") {
				if err := x.Sweep.Drop(ctx, l); err != nil {
					return err
				}
			}
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return nil
}

// left removes the folder, and returns what could not be removed.
func (t *trial) left(ctx context.Context) (left []string) {
	for range 3 { // a listing may lag
		var keys []string
		for e, err := range t.base.List(ctx, t.folder+"/", "", "") {
			if err != nil {
				return append(keys, err.Error())
			}
			keys = append(keys, e.Key)
		}
		if len(keys) == 0 {
			return nil
		}
		left = keys
		for batch := range slices.Chunk(keys, 1000) {
			if err := t.base.Delete(ctx, batch...); err != nil {
				left = append(left, err.Error())
			}
		}
	}
	return left
}

// measure fills in what is not the suite's.
func (t *trial) measure(ctx context.Context, r *report.Report, requests int, size int64, progress *progress) error {
	folder := t.next()
	d, err := prefix.New(t.base, folder)
	if err != nil {
		return err
	}
	other := d
	if t.shared {
		again, err := t.l.driver.open(ctx)
		if err != nil {
			return err
		}
		defer closeDriver(again)
		if other, err = prefix.New(again, folder); err != nil {
			return err
		}
	}
	progress.doing("abilities of the store")
	r.Abilities = report.Able(ctx, d, other)
	if able, ok := t.base.(drivers.Able); ok { // the prefix hides it
		r.Abilities = append(r.Abilities, able.Abilities(ctx, t.folder+"/")...)
	}
	r.Latencies, r.Speeds, err = report.Measure(ctx, d, requests, size, progress.doing)
	return err
}

// write writes the report where it is wanted.
func (p program) write(r *report.Report, f conformanceFlags, asJSON bool) error {
	for file, text := range map[string]func() ([]byte, error){f.html: r.HTML, f.junit: r.JUnit} {
		if file == "" {
			continue
		}
		content, err := text()
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return err
		}
	}
	if asJSON {
		return p.printJSON(r)
	}
	_, err := fmt.Fprint(p.stdout, r.Table())
	return err
}

// progress tells on stderr how far it is: on a terminal one line that changes, elsewhere only what matters.
type progress struct {
	p        program
	terminal bool
	quiet    bool
}

func (p program) progressLine(quiet bool) *progress {
	return &progress{p: p, terminal: isTerminal(p.stderr), quiet: quiet}
}

// say prints a line that stays.
func (g *progress) say(format string, args ...any) {
	if g.quiet {
		return
	}
	g.end()
	fmt.Fprintf(g.p.stderr, format+"\n", args...)
}

// doing is what happens now.
func (g *progress) doing(what string) {
	if g.terminal && !g.quiet {
		fmt.Fprintf(g.p.stderr, "\r\x1b[K%.100s", what)
	}
}

// result is told of each case.
func (g *progress) result(n int, r conformance.Result) {
	if r.Failed {
		g.say("failed: %s", r.Name)
	}
	g.doing(fmt.Sprintf("%d cases, last: %s", n, r.Name))
}

// end clears the line that changes.
func (g *progress) end() {
	if g.terminal && !g.quiet {
		fmt.Fprint(g.p.stderr, "\r\x1b[K")
	}
}
