package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/config"
)

// checkReport is the answer of longshore check.
type checkReport struct {
	OK       bool            `json:"ok"` // nothing failed; there may be warnings
	Config   string          `json:"config,omitempty"`
	Problems config.Problems `json:"problems,omitempty"` // of the configuration; then there are no results
	Driver   string          `json:"driver,omitempty"`
	Store    string          `json:"store,omitempty"`
	Results  []result        `json:"results,omitempty"`
}

func (p program) checkCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "check [config.yml]",
		Short: "Say what is wrong with the configuration, and test the store",
		Long: `Say what is wrong with the configuration, by line. If nothing is, open the store and try all that the
registry needs of it, under keys that begin with "check/". Nothing is left behind.

The exit code is 1 if the configuration or the store fails, and 0 if there are only warnings.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: configFiles,
	}
	output := addFormat(c, "table", "json")
	timeout := c.Flags().Duration("timeout", time.Minute, "how long each step may take")
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		l, err := p.load(args)
		var problems config.Problems
		if errors.As(err, &problems) && output.value == "json" {
			if err := p.printJSON(checkReport{Problems: problems}); err != nil {
				return err
			}
			return errReported
		}
		if err != nil {
			return err
		}
		r := checkReport{OK: true, Config: l.origin(), Driver: l.driver.Name, Store: l.driver.place()}
		if output.value != "json" {
			fmt.Fprintf(p.stdout, "configuration: %s\nstore: %s, %s\n\n", r.Config, r.Driver, r.Store)
		}
		check(ctx, l, *timeout, func(step result) {
			r.OK = r.OK && step.Status != failed
			r.Results = append(r.Results, step)
			if output.value != "json" {
				fmt.Fprintln(p.stdout, step)
			}
		})
		if output.value == "json" {
			if err := p.printJSON(r); err != nil {
				return err
			}
		}
		switch {
		case ctx.Err() != nil:
			return adviceError{errors.New("interrupted"), "what the check had written is removed"}
		case r.OK:
			return nil
		case output.value == "json":
			return errReported
		}
		return adviceError{errors.New("the store is not ready for a registry"), "correct what failed and run longshore check again"}
	}
	return c
}

// status is how a step of the check ended.
type status string

const (
	passed status = "ok"
	warned status = "warn"
	failed status = "fail"
)

// result is what a step of the check found.
type result struct {
	Name   string `json:"name"`
	Status status `json:"status"`
	Detail string `json:"detail"`        // what was found
	Fix    string `json:"fix,omitempty"` // what to do about it
}

// String is the result as lines of a table.
func (r result) String() string {
	detail := strings.ReplaceAll(r.Detail, "\n", " ")
	s := fmt.Sprintf("%-5s %-14s %s", r.Status, r.Name, detail)
	if r.Fix != "" {
		s += fmt.Sprintf("\n%-20s → %s", "", r.Fix)
	}
	return s
}

// check opens the store and tries it, telling each step's result as it is known.
func check(ctx context.Context, l loaded, timeout time.Duration, tell func(result)) {
	opening, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began := time.Now()
	store, err := l.driver.open(opening)
	if err != nil {
		tell(result{"open", failed, l.placed(err).Error(), fixFor(err, "correct the settings below storage."+l.driver.Name)})
		return
	}
	defer closeDriver(store)
	tell(result{"open", passed, took(began), ""})
	newProbe(store, l.settings, timeout, tell).run(ctx)
}

// took is the time since began for people.
func took(began time.Time) string { return rounded(time.Since(began)) }

// rounded is d with three digits or so.
func rounded(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Microsecond).String()
}
