package main

import (
	"context"
	"fmt"
	"time"

	"github.com/longshore-registry/longshore/bench"
)

// row is something to be measured: a line or a few of the page's table.
type row struct {
	name, about string
	measure     func(ctx context.Context, b *bay) (outcome, error)
}

func rows() []row {
	return []row{
		{"requests", "requests to the store", requests},
		{"push-far", "push 1 MB images, 20 ms to the store, 4 clients", pushFar},
		{"push-s3", "push blobs of 100 MiB to MinIO", pushS3},
		{"commit", "closing PUT of an upload to MinIO", commits},
		{"push-folder", "push blobs of 100 MiB to a folder", pushFolder},
		{"push-small", "push 1 MB images to a folder, durable, 4 clients", pushSmall},
		{"pull-folder", "pull blobs from a folder", pullFolder},
		{"pull-s3", "pull a blob of 100 MiB from MinIO through the registry, 50 MB/s for each connection, one client", pullS3},
		{"manifests", "manifests by tag from a folder, 4 clients", manifestsFolder},
		{"manifests-minio", "manifests by tag from MinIO, 4 clients", manifestsMinIO},
		{"manifests-far", "manifests by tag, 20 ms to the store, 4 clients", manifestsFar},
		{"crowd", "1,000 clients pull one new tag at once, MinIO", crowd},
		{"pages", "pages of tags and repositories", pages},
		{"memory", "memory", memoryUse},
		{"start", "start on a folder of a million objects", start},
	}
}

// outcome is what came of a row.
type outcome struct {
	lines  []line
	groups []bench.Group // for the chart
	notes  []string      // sentences below the table
}

// line is one of the table.
type line struct {
	work, target, longshore, peers, ratio string
	met                                   string // yes, no or ""
}

// String is for a terminal.
func (l line) String() string {
	return fmt.Sprintf("%s | %s | %s | %s | %s | %s", l.work, l.target, l.longshore, l.peers, l.ratio, l.met)
}

func met(ok bool) string {
	if ok {
		return "yes"
	}
	return "no"
}

// options are those of a row: rounds of some seconds.
func (b *bay) options(seconds int, work []string, targets ...bench.Target) bench.Options {
	o := bench.Defaults()
	o.Targets, o.Work = targets, work
	o.Time = time.Duration(seconds) * time.Second
	o.Images = 1
	o.Keep = true // the whole store goes
	if b.quick {
		o.Rounds, o.Time = 1, time.Second
	}
	return o
}

// bench measures. That operations fail is an error.
func (b *bay) bench(ctx context.Context, o bench.Options) (*bench.Report, error) {
	r, err := bench.Run(ctx, o, bench.Watch{})
	if err == nil && r.Failed() > 0 {
		for _, one := range r.Results {
			if one.Failed > 0 {
				return r, fmt.Errorf("%s at %s: %d of %d operations failed: %v", one.Work, one.Target, one.Failed, one.Failed+one.Done, one.Failures)
			}
		}
	}
	return r, err
}

// targets are those of servers, Longshore first.
func targets(first server, others ...server) (all []bench.Target) {
	all = append(all, first.Target)
	for _, s := range others {
		all = append(all, s.Target)
	}
	return all
}

// sides are the results of a workload: Longshore's, and those of the other registries.
type sides struct {
	ours   *bench.Result
	others []*bench.Result
}

func sidesOf(r *bench.Report, work string) (s sides) {
	for _, one := range r.Results {
		switch {
		case one.Work != work:
		case one.Target == longshoreName:
			s.ours = one
		default:
			s.others = append(s.others, one)
		}
	}
	return s
}

// named is the result of one of the others, or nil.
func (s sides) named(target string) *bench.Result {
	for _, one := range s.others {
		if one.Target == target {
			return one
		}
	}
	return nil
}

// text writes a figure of each of the others.
func (s sides) text(figure func(*bench.Result) string) string {
	text := ""
	for _, one := range s.others {
		if text != "" {
			text += ", "
		}
		text += one.Target + " " + figure(one)
	}
	return text
}

// least and most are the smallest and the largest figure of the others; 0 if there are none.
func (s sides) least(figure func(*bench.Result) float64) (least float64) {
	for i, one := range s.others {
		if f := figure(one); i == 0 || f < least {
			least = f
		}
	}
	return least
}

func (s sides) most(figure func(*bench.Result) float64) (most float64) {
	for _, one := range s.others {
		most = max(most, figure(one))
	}
	return most
}

// group is a group of the chart, with a bar for each side.
func (s sides) group(title string, value func(*bench.Result) float64, text func(*bench.Result) string) bench.Group {
	g := bench.Group{Title: title}
	for _, one := range append([]*bench.Result{s.ours}, s.others...) {
		g.Bars = append(g.Bars, bench.Bar{Label: one.Target, Value: value(one), Text: text(one), First: one.Target == longshoreName})
	}
	return g
}

// Figures of a result.
func rate(r *bench.Result) float64         { return r.Rate }
func rateText(r *bench.Result) string      { return bench.Figure(r.Rate) + "/s" }
func megabytes(r *bench.Result) float64    { return r.MBps }
func megabytesText(r *bench.Result) string { return bench.Figure(r.MBps) + " MB/s" }
func processor(r *bench.Result) float64    { return float64(r.Processor) }
func processorText(r *bench.Result) string { return bench.Span(r.Processor) }
func callsText(r *bench.Result) string     { return bench.Figure(r.Calls) }
func medianText(r *bench.Result) string    { return bench.Span(r.P50) }
func medianOf(r *bench.Result) float64     { return float64(r.P50) }
func firstByteText(r *bench.Result) string { return bench.Span(r.First) }
func times(a, b float64) string            { return bench.Figure(divided(a, b)) + "×" }
func divided(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// pair starts Longshore and the other registries on MinIO, all behind counting proxies.
func (b *bay) pair(ctx context.Context, delay time.Duration) (ours server, others []server, err error) {
	return b.on(func() (store, error) { return b.onMinIOFar(ctx, delay) })
}

// on starts Longshore and the other registries, each on a store of its own.
func (b *bay) on(next func() (store, error)) (ours server, others []server, err error) {
	to, err := next()
	if err != nil {
		return ours, nil, err
	}
	if ours, err = b.longshore(to); err != nil {
		return ours, nil, err
	}
	others, err = b.peers(next)
	return ours, others, err
}
