package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/registry"
)

// ofCommand are the keys that our own commands write below, such as check, which may be killed.
var ofCommand = regexp.MustCompile(`^(check/[a-z2-7]{26}|budgets-[a-z2-7]{26}|conformance/[a-z2-7]{12})[/-]`)

// weekOld is how old leftovers are that are dropped if nothing else is said.
const weekOld = 7 * 24 * time.Hour

func (p program) leftoversCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "leftovers [config.yml]",
		Short: "Find what unfinished uploads have left in the store, and remove it",
		Long: `List the streams that were begun in the store and neither finished nor cancelled, such as multipart uploads of clients that
went away. They take space, and no listing of a bucket shows them. Nothing is changed without --drop.

  old      began longer ago than --older-than: --drop removes it
  young    an upload may still be under way
  foreign  no registry begins such a key: another program's, and never removed

The exit code is 1 if the store could not be asked, or something could not be removed.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: configFiles,
	}
	output := addFormat(c, "table", "json")
	age := c.Flags().Duration("older-than", weekOld, "what began longer ago is old")
	drop := c.Flags().Bool("drop", false, "remove what is old")
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		l, err := p.load(args)
		if err != nil {
			return err
		}
		if least := registry.LeftoverAge(l.Uploads.Life); *age < least {
			return usageError{fmt.Errorf("--older-than %v: uploads live for %v (uploads.life) and what began in their last minute may go on, so give %v or more",
				*age, l.Uploads.Life, least)}
		}
		store, err := l.driver.open(ctx)
		if err != nil {
			return l.placed(err)
		}
		defer closeDriver(store)
		sweep := drivers.ExtrasOf(store).Sweep
		if sweep == nil {
			return adviceError{fmt.Errorf("the driver %s has no way to find leftovers", l.driver.Name),
				"a rule of the store's own may remove them; see the driver's page in docs"}
		}
		r := leftoversReport{Store: l.driver.place(), OlderThan: age.String(), Drop: *drop, Leftovers: []leftover{}}
		tell := func(one leftover) {
			if output.value != "json" {
				fmt.Fprintln(p.stdout, one)
			}
		}
		err = r.sweep(ctx, sweep, time.Now().Add(-*age), tell)
		return p.printLeftovers(r, err, output.value)
	}
	return c
}

// leftoversReport is the answer of longshore leftovers.
type leftoversReport struct {
	Store     string     `json:"store"`
	OlderThan string     `json:"olderThan"`
	Drop      bool       `json:"drop"`
	Leftovers []leftover `json:"leftovers"`
	Old       tally      `json:"old"`     // dropped and failed ones included
	Dropped   tally      `json:"dropped"` // what was removed
	Failed    int        `json:"failed"`
	Error     string     `json:"error,omitempty"` // why the listing is not complete
}

// tally counts streams.
type tally struct {
	Count   int   `json:"count"`
	Bytes   int64 `json:"bytes"`             // of those whose size is known
	Unknown int   `json:"unknown,omitempty"` // how many have no known size
}

func (t *tally) add(l leftover) {
	t.Count++
	if l.Size < 0 {
		t.Unknown++
	} else {
		t.Bytes += l.Size
	}
}

// String is the tally for people.
func (t tally) String() string {
	s := fmt.Sprintf("%s, %s", plural(t.Count, "stream"), bytesText(t.Bytes))
	if t.Unknown > 0 {
		s += fmt.Sprintf(" and what %d of unknown size have", t.Unknown)
	}
	return s
}

// leftover is one stream.
type leftover struct {
	Key   string    `json:"key,omitempty"`
	ID    string    `json:"id"`
	Began time.Time `json:"began"`
	Size  int64     `json:"size"` // bytes, -1 if that is not known
	State string    `json:"state"`
	Error string    `json:"error,omitempty"`
}

// String is the leftover as lines of a table.
func (l leftover) String() string {
	s := fmt.Sprintf("%-8s %s %10s  %s  %s", l.State, l.Began.UTC().Format(time.RFC3339), bytesText(l.Size), l.Key, l.ID)
	if l.Error != "" {
		s += fmt.Sprintf("\n%-8s → %s", "", l.Error)
	}
	return s
}

// sweep lists all and drops what is old if that is wanted. Its error is the listing's, or the context's.
func (r *leftoversReport) sweep(ctx context.Context, store drivers.Sweeper, before time.Time, tell func(leftover)) error {
	for found, err := range store.Leftovers(ctx) {
		if err != nil {
			r.Error = err.Error()
			return err
		}
		l := leftover{Key: found.Key, ID: found.ID, Began: found.Began, Size: found.Size, State: "old"}
		switch {
		case !registry.OwnsLeftover(found) && !ofCommand.MatchString(found.Key):
			l.State = "foreign"
		case found.Began.After(before):
			l.State = "young"
		default:
			r.Old.add(l)
			if r.Drop {
				r.drop(ctx, store, found, &l)
			}
		}
		r.Leftovers = append(r.Leftovers, l)
		tell(l)
	}
	return nil
}

func (r *leftoversReport) drop(ctx context.Context, store drivers.Sweeper, found drivers.Leftover, l *leftover) {
	if err := store.Drop(ctx, found); err != nil {
		l.State, l.Error = "failed", err.Error()
		r.Failed++
		return
	}
	l.State = "dropped"
	r.Dropped.add(*l)
}

// printLeftovers prints the end of the report; err is that of the listing. It returns what the command does.
func (p program) printLeftovers(r leftoversReport, err error, form string) error {
	if form == "json" {
		if printErr := p.printJSON(r); printErr != nil {
			return printErr
		}
		if err != nil || r.Failed > 0 {
			return errReported
		}
		return nil
	}
	if len(r.Leftovers) > 0 {
		fmt.Fprintln(p.stdout)
	}
	switch {
	case r.Drop:
		fmt.Fprintf(p.stdout, "dropped: %v\n", r.Dropped)
	case r.Old.Count > 0:
		fmt.Fprintf(p.stdout, "old: %v; --drop removes them\n", r.Old)
	default:
		fmt.Fprintf(p.stdout, "nothing in %s is left over for longer than %s\n", r.Store, r.OlderThan)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return adviceError{errors.New("interrupted"), "run it again for the rest"}
	case err != nil:
		return adviceError{fmt.Errorf("the store did not list everything: %w", err), fixFor(err, "let the credentials list multipart uploads; see the driver's page in docs")}
	case r.Failed > 0:
		return adviceError{fmt.Errorf("%s could not be removed", plural(r.Failed, "stream")), "look at the reasons above, and run it again"}
	}
	return nil
}

// bytesText is a size for people; "?" for one that is not known.
func bytesText(n int64) string {
	if n < 0 {
		return "?"
	}
	size, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if size < 1024 {
			break
		}
		size, unit = size/1024, next
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", size, unit)
}
