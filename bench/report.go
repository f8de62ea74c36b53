package bench

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a run has measured. Its JSON is for programs: durations are nanoseconds.
type Report struct {
	Began   time.Time     `json:"began"`
	Took    time.Duration `json:"took"`
	Options Summary       `json:"options"`
	Results []*Result     `json:"results"` // by workload, then target
	Left    []Left        `json:"left,omitempty"`
}

// Summary is the options that tell what the figures are figures of.
type Summary struct {
	Targets    []string      `json:"targets"`
	Rounds     int           `json:"rounds"`
	Time       time.Duration `json:"time"`
	Count      int           `json:"count,omitempty"`
	Clients    int           `json:"clients"`
	Layers     int           `json:"layers"`
	LayerSize  int64         `json:"layerSize"`
	Tags       int           `json:"tags"`
	Page       int           `json:"page"`
	Crowd      int           `json:"crowd"`
	Direct     bool          `json:"direct"`
	Repository string        `json:"repository"`
}

func (o Options) summary() Summary {
	s := Summary{
		Rounds: o.Rounds, Time: o.Time, Count: o.Count, Clients: o.Clients, Layers: o.Layers, LayerSize: o.LayerSize,
		Tags: o.Tags, Page: o.Page, Crowd: o.Crowd, Direct: o.Direct, Repository: o.Repository,
	}
	for _, t := range o.Targets {
		s.Targets = append(s.Targets, t.Name)
	}
	return s
}

// Result is what came of a workload on a target: medians over its rounds, sums of the failures, and the peak of the memory.
type Result struct {
	Work   string   `json:"work"`
	Target string   `json:"target"`
	Unit   string   `json:"unit"`
	Rounds []Sample `json:"rounds"`

	Rate      float64       `json:"rate"`  // operations a second
	MBps      float64       `json:"mbps"`  // 10^6 bytes a second
	Ratio     float64       `json:"ratio"` // of the rate to that of the first target, median over the rounds; 0 if unknown
	P50       time.Duration `json:"p50"`
	P99       time.Duration `json:"p99"`
	First     time.Duration `json:"first,omitempty"`     // to the first byte of a blob
	Processor time.Duration `json:"processor,omitempty"` // for each operation
	Peak      int64         `json:"peak,omitempty"`      // bytes
	Calls     float64       `json:"calls,omitempty"`     // for each operation
	Done      int64         `json:"done"`
	Failed    int64         `json:"failed"`
	Failures  []string      `json:"failures,omitempty"`
}

// summarize completes the results of one workload, of which the first is what the others are compared with.
func summarize(results []*Result) {
	for _, r := range results {
		for _, s := range r.Rounds {
			r.Done += s.Done
			r.Failed += s.Failed
			r.Peak = max(r.Peak, s.Peak)
			for _, f := range s.Failures {
				if len(r.Failures) < fewFailures && !slices.Contains(r.Failures, f) {
					r.Failures = append(r.Failures, f)
				}
			}
		}
		r.Rate = over(r.Rounds, Sample.Rate)
		r.MBps = over(r.Rounds, func(s Sample) float64 { return perSecond(float64(s.Bytes)/1e6, s.Elapsed) })
		r.P50 = time.Duration(over(r.Rounds, func(s Sample) float64 { return float64(s.P50) }))
		r.P99 = time.Duration(over(r.Rounds, func(s Sample) float64 { return float64(s.P99) }))
		r.First = time.Duration(over(r.Rounds, func(s Sample) float64 { return float64(s.First) }))
		r.Processor = time.Duration(over(r.Rounds, func(s Sample) float64 { return each1(float64(s.Processor), s.Done) }))
		r.Calls = over(r.Rounds, func(s Sample) float64 { return each1(float64(s.Calls), s.Done) })
		r.Ratio = ratio(r.Rounds, results[0].Rounds, Sample.Rate)
	}
}

func each1(total float64, n int64) float64 {
	if n == 0 {
		return 0
	}
	return total / float64(n)
}

// over is the median over rounds.
func over(rounds []Sample, of func(Sample) float64) float64 {
	all := make([]float64, len(rounds))
	for i, s := range rounds {
		all[i] = of(s)
	}
	return Median(all)
}

// ratio is the median over the rounds of what two targets did in the same round.
func ratio(a, b []Sample, of func(Sample) float64) float64 {
	var all []float64
	for i := range min(len(a), len(b)) {
		if base := of(b[i]); base > 0 {
			all = append(all, of(a[i])/base)
		}
	}
	return Median(all)
}

// Median is the middle of the values, or the mean of the two in the middle; 0 if there are none. The values need no order.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// Result is that of a workload on a target, or nil.
func (r *Report) Result(work, target string) *Result {
	for _, one := range r.Results {
		if one.Work == work && one.Target == target {
			return one
		}
	}
	return nil
}

// Failed is the number of operations that failed.
func (r *Report) Failed() (n int64) {
	for _, one := range r.Results {
		n += one.Failed
	}
	return n
}

// watched says which of the columns that not all runs have have something in them.
func (r *Report) watched() (processes, calls bool) {
	for _, one := range r.Results {
		processes = processes || one.Peak > 0
		calls = calls || one.Calls > 0
	}
	return processes, calls
}

// Table is the report for a terminal.
func (r *Report) Table() string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	processes, calls := r.watched()
	head := "work\ttarget\trate/s\tMB/s\tp50\tp99\tratio\tfailed\t"
	if processes {
		head += "processor\tmemory\t"
	}
	if calls {
		head += "calls\t"
	}
	fmt.Fprintln(t, head) // a strings.Builder takes all
	for _, one := range r.Results {
		line := fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t",
			one.Work, one.Target, Figure(one.Rate), Figure(one.MBps), Span(one.P50), Span(one.P99), times(one.Ratio), one.Failed)
		if processes {
			line += fmt.Sprintf("%s\t%s\t", Span(one.Processor), megabytes(one.Peak))
		}
		if calls {
			line += fmt.Sprintf("%.1f\t", one.Calls)
		}
		fmt.Fprintln(t, line)
	}
	_ = t.Flush() // likewise
	for _, line := range r.notes() {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// notes are the lines below the table.
func (r *Report) notes() (lines []string) {
	o := r.Options
	lines = append(lines, fmt.Sprintf("%d clients, %d rounds of %v, layers of %s; images have %d; medians over the rounds",
		o.Clients, o.Rounds, o.Time, size(o.LayerSize), o.Layers))
	for _, one := range r.Results {
		for _, f := range one.Failures {
			lines = append(lines, fmt.Sprintf("failed: %s, %s: %s", one.Work, one.Target, f))
		}
	}
	for _, l := range r.Left {
		lines = append(lines, fmt.Sprintf("left: %s: %s manifests and %s blobs in %s: %s", l.Target, Figure(float64(l.Manifests)), Figure(float64(l.Blobs)), l.Repository, l.Why))
	}
	return lines
}

// Figure writes a number with three digits, or all before the point.
func Figure(n float64) string {
	switch {
	case n == 0:
		return "0"
	case n < 0.01:
		return fmt.Sprintf("%.1g", n)
	case n < 1:
		return fmt.Sprintf("%.2f", n)
	case n < 10:
		return strings.TrimSuffix(fmt.Sprintf("%.2f", n), ".00")
	case n < 100:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0")
	}
	text := fmt.Sprintf("%.0f", n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Span writes a duration with three digits.
func Span(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < time.Millisecond:
		return Figure(float64(d)/float64(time.Microsecond)) + " µs"
	case d < time.Second:
		return Figure(float64(d)/float64(time.Millisecond)) + " ms"
	}
	return Figure(d.Seconds()) + " s"
}

func times(ratio float64) string {
	if ratio == 0 {
		return "-"
	}
	return Figure(ratio) + "×"
}

func megabytes(bytes int64) string {
	if bytes == 0 {
		return "-"
	}
	return Figure(float64(bytes)/1e6) + " MB"
}

// size writes bytes in the unit that they are a multiple of.
func size(bytes int64) string {
	for _, u := range []struct {
		n    int64
		name string
	}{{1 << 30, "GiB"}, {1e9, "GB"}, {1 << 20, "MiB"}, {1e6, "MB"}, {1 << 10, "KiB"}, {1e3, "kB"}} {
		if bytes%u.n == 0 && bytes > 0 {
			return fmt.Sprintf("%d %s", bytes/u.n, u.name)
		}
	}
	return fmt.Sprintf("%d bytes", bytes)
}
