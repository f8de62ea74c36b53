package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/bench"
)

// remaining is what profiles say of each path, written by people.
//
//go:embed remaining.md
var remaining string

// page is docs/performance.md as it grows.
type page struct {
	lab    *lab
	began  time.Time
	lines  []line
	groups []bench.Group
	notes  []string
}

func newPage(l *lab) *page { return &page{lab: l, began: time.Now()} }

func (p *page) add(_ row, o outcome) {
	p.lines = append(p.lines, o.lines...)
	p.groups = append(p.groups, o.groups...)
	p.notes = append(p.notes, o.notes...)
}

const chartName = "performance.svg"

// write writes the page and its chart into a folder.
func (p *page) write(folder string) error {
	if err := os.WriteFile(filepath.Join(folder, chartName), []byte(bench.Chart("Longshore beside others", p.groups)), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "performance.md"), []byte(p.markdown()), 0o644)
}

func (p *page) markdown() string {
	var b strings.Builder
	b.WriteString("# Performance\n\n<!-- Written by `make bench`: bench/peers. The last part is bench/peers/remaining.md. -->\n\n")
	b.WriteString("All figures are of one run of\n\n    make bench\n\n")
	fmt.Fprintf(&b, "on %s, in %v. %s\n\n", machine(), time.Since(p.began).Round(time.Minute), p.lab.who())
	b.WriteString("Each figure is the median over three or five rounds, in which the registries took turns; the ratio is Longshore's figure to that of the better peer, unless it says otherwise. " +
		"Client, registry, store and proxies share the processors. Nothing here is a test: a slower machine fails nothing.\n\n")
	b.WriteString("| work | target | Longshore | peers | ratio | met? |\n| --- | --- | --- | --- | --- | --- |\n")
	met, missed := 0, 0
	for _, l := range p.lines {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", l.work, l.target, l.longshore, l.peers, l.ratio, l.met)
		switch l.met {
		case "yes":
			met++
		case "no":
			missed++
		}
	}
	fmt.Fprintf(&b, "\n%d of %d targets are met.\n\n", met, met+missed)
	fmt.Fprintf(&b, "![The figures as bars](%s)\n\n", chartName)
	b.WriteString("## What the figures are\n\n")
	for _, n := range p.notes {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	b.WriteString("- A store at 20 ms is MinIO behind a proxy that waits so long before it passes a request on.\n")
	b.WriteString("- Processor is the time of the registry's process alone, user and system, divided by the operations; the system counts it in steps of 10 ms.\n")
	b.WriteString("- `longshore bench` measures the same workloads on any registry; see [bench.md](bench.md).\n\n")
	b.WriteString(remaining)
	return b.String()
}

// machine describes what all ran on.
func machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("a virtual machine with %d cores (%s), %s, %s", runtime.NumCPU(), model, runtime.Version(), time.Now().UTC().Format(time.DateOnly))
}

// who names the registries and their versions.
func (l *lab) who() string {
	version := "of an unknown version"
	if out, err := exec.Command(l.distribution, "--version").Output(); err == nil {
		fields := strings.Fields(string(out))
		version = fields[len(fields)-1]
	}
	text := "The peers are CNCF distribution " + version
	if l.zot != "" {
		return text + " and zot, built without its extensions; all with their defaults, and without a log of requests."
	}
	return text + " with its defaults, and without a log of requests. zot was not measured: its Go module could not be had where this was made. " +
		"In an earlier run beside each other on such a machine, zot needed 61 requests to the store for a push where distribution needed 62, pushed 1.2 images a second where that pushed 2.8 (20 ms to the store), " +
		"answered 7,600 manifest GETs a second from a folder where that answered 6,200, and took 176 ms of processor for a pushed blob of 100 MiB where that took 188, 0.46 ms for a pulled one of 1 MiB (2.34) and 40 ms for one of 100 MiB (41)."
}
