package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// leftShown is how many objects are named that could not be removed.
const leftShown = 20

// Table is the report for a terminal. Cases that passed are counted only.
func (r *Report) Table() string {
	var b strings.Builder
	for _, c := range r.failures() {
		fmt.Fprintf(&b, "FAIL  %s (%s)\n", c.Name, short(c.Took))
		for _, m := range c.Messages {
			fmt.Fprintf(&b, "        %s\n", strings.ReplaceAll(strings.TrimSpace(m), "\n", "\n        "))
		}
	}
	fmt.Fprintf(&b, "%-28s %6s %6s %8s\n", "method", "passed", "failed", "not run")
	for _, g := range r.groups() {
		fmt.Fprintf(&b, "%-28s %6d %6d %8d\n", g.Name, g.Passed, g.Failed, g.NotRun)
	}
	for _, one := range r.reasons() {
		fmt.Fprintf(&b, "not run: %d, %s\n", one.Count, one.Why)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	for _, part := range []struct {
		heading   string
		abilities []drivers.Ability
	}{{"the store", r.common()}, {"what stores of its kind differ in", r.special()}} {
		if len(part.abilities) > 0 {
			fmt.Fprintf(&b, "\n%s\n", part.heading)
		}
		for _, a := range part.abilities {
			fmt.Fprintln(&b, strings.TrimRight(fmt.Sprintf("  %-36s %-8s %s", a.Name, a.State, a.Detail), " "))
		}
	}
	if len(r.Latencies) > 0 {
		fmt.Fprintf(&b, "\n%-26s %7s %9s %9s\n", "small requests", "count", "p50", "p99")
		for _, l := range r.Latencies {
			fmt.Fprintf(&b, "  %-24s %7d %9s %9s\n", l.What, l.Count, short(l.P50), short(l.P99))
		}
	}
	if len(r.Speeds) > 0 {
		fmt.Fprintf(&b, "\n%-26s %7s %9s\n", "large objects", "streams", "MB/s")
		for _, s := range r.Speeds {
			fmt.Fprintf(&b, "  %-24s %7d %9.0f\n", fmt.Sprintf("%s %s", s.What, size(s.Bytes)), s.Streams, s.MBs)
		}
	}
	for i, key := range r.Left {
		if i == leftShown {
			fmt.Fprintf(&b, "left: … and %d more\n", len(r.Left)-i)
			break
		}
		fmt.Fprintf(&b, "left: %s\n", key)
	}
	passed, failed, notRun := r.Count()
	fmt.Fprintf(&b, "\n%d passed, %d failed, %d not run, in %v\n", passed, failed, notRun, r.Took.Round(time.Second))
	return b.String()
}

// short is a duration with three digits.
func short(d time.Duration) string {
	for _, unit := range []time.Duration{time.Microsecond, time.Millisecond, time.Second} {
		if d < 1000*unit {
			return d.Round(unit / 100).String()
		}
	}
	return d.Round(time.Second).String()
}

// size is a number of bytes in MiB or, if that is less than one, in KiB.
func size(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
