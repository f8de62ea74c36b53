package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/counting"
	"github.com/longshore-registry/longshore/drivers/minio"
	"github.com/longshore-registry/longshore/drivers/prefix"
	"github.com/longshore-registry/longshore/drivers/s3"
	"github.com/longshore-registry/longshore/registry"
	"github.com/longshore-registry/longshore/registry/api"
	"github.com/longshore-registry/longshore/registry/budget"
)

func (p program) budgetsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "budgets [config.yml]",
		Short: "Count what the registry's work costs the store, in requests",
		Long: `Push and pull images of random bytes, and print how many requests each kind of work costs the configured store beside what
docs/design.md allows. All is done in a registry of its own, below a key that begins with "budgets-", and removed at the end.

The exit code is 1 if a budget is passed.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: configFiles,
	}
	output := addFormat(c, "table", "json")
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		l, err := p.load(args)
		if err != nil {
			return err
		}
		results, err := p.budgets(ctx, l)
		if err != nil {
			return err
		}
		return p.printBudgets(l, results, output.value)
	}
	return c
}

func (p program) budgets(ctx context.Context, l loaded) (results []budget.Result, err error) {
	var wire budget.Wire
	var store budget.Store
	onWire := budget.Store{Requests: wire.Requests, Part: budget.WirePart}
	switch c := l.driver.Config.(type) {
	case *minio.Config:
		c.Transport, store = wire.Transport, onWire
	case *s3.Config:
		c.Transport, store = wire.Transport, onWire
	}
	d, err := l.driver.open(ctx)
	if err != nil {
		return nil, l.placed(err)
	}
	defer closeDriver(d)
	if store.Requests == nil {
		counted := counting.New(d, counting.Options{})
		d, store = counted, budget.Calls(counted)
	}
	inner, err := prefix.New(d, "budgets-"+strings.ToLower(rand.Text()))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, deleteAll(context.WithoutCancel(ctx), inner)) }()
	log := p.newLogger(logSettings{Level: "error", Format: l.Log.Format})
	r, err := registry.Open(ctx, inner, registryOptions(l.settings, log))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	options := apiOptions(l.settings, log)
	options.PublicURL, options.Redirect.Enabled = "", false
	return budget.Measure(ctx, api.New(r, options), store, "budget", budget.Options{})
}

func deleteAll(ctx context.Context, d drivers.Driver) error {
	var keys []string
	for entry, err := range d.List(ctx, "", "", "") {
		if err != nil {
			return err
		}
		keys = append(keys, entry.Key)
	}
	return d.Delete(ctx, keys...)
}

func (p program) printBudgets(l loaded, results []budget.Result, output string) error {
	met := !slices.ContainsFunc(results, func(r budget.Result) bool { return !r.Met() })
	if output == "json" {
		if err := p.printJSON(results); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(p.stdout, "requests to the store: %s, %s\n\n", l.driver.Name, l.driver.place())
		w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "WORK\tREQUESTS\tALLOWED\t\tOF WHICH")
		for _, r := range results {
			verdict := "ok"
			if !r.Met() {
				verdict = "OVER"
			}
			var kinds []string
			for _, kind := range slices.Sorted(maps.Keys(r.Requests)) {
				kinds = append(kinds, fmt.Sprintf("%d %s", r.Requests[kind], kind))
			}
			fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\n", r.Work, r.Total, r.Limit, verdict, strings.Join(kinds, ", "))
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if !met {
		return errReported
	}
	return nil
}
