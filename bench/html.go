package bench

import (
	"bytes"
	_ "embed"
	"html/template"
	"slices"
	"time"
)

//go:embed report.html
var page string

// HTML is the report as one page that needs no other file and no script.
func (r *Report) HTML() ([]byte, error) {
	t, err := template.New("report").Funcs(template.FuncMap{
		"figure": Figure, "span": Span, "times": times, "megabytes": megabytes,
		"seconds": func(d time.Duration) time.Duration { return d.Round(time.Second) },
	}).Parse(page)
	if err != nil {
		return nil, err
	}
	processes, calls := r.watched()
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{
		"R": r, "Processes": processes, "Calls": calls, "Notes": r.notes(), "About": r.about(),
		"Charts": r.charts(processes),
	})
	return b.Bytes(), err
}

// about is what the workloads of the report do.
func (r *Report) about() (all []Workload) {
	for _, one := range r.Results {
		w, ok := find(one.Work)
		if ok && !slices.ContainsFunc(all, func(x Workload) bool { return x.Name == w.Name }) {
			all = append(all, w)
		}
	}
	return all
}

// charts draws rates, times and, where they were measured, processor and memory. What [Chart] returns is escaped.
func (r *Report) charts(processes bool) (all []template.HTML) {
	draw := func(title string, value func(*Result) float64, text func(*Result) string) {
		all = append(all, template.HTML(Chart(title, r.groups(value, text))))
	}
	draw("Operations a second (longer is better)", func(x *Result) float64 { return x.Rate }, func(x *Result) string { return Figure(x.Rate) })
	draw("Median time of an operation (shorter is better)", func(x *Result) float64 { return float64(x.P50) }, func(x *Result) string { return Span(x.P50) })
	draw("Time that 99 of 100 operations stay below (shorter is better)", func(x *Result) float64 { return float64(x.P99) }, func(x *Result) string { return Span(x.P99) })
	if processes {
		draw("Processor time for an operation (shorter is better)", func(x *Result) float64 { return float64(x.Processor) }, func(x *Result) string { return Span(x.Processor) })
		draw("Memory, the most at a time (shorter is better)", func(x *Result) float64 { return float64(x.Peak) }, func(x *Result) string { return megabytes(x.Peak) })
	}
	return all
}

// groups are the bars of a chart: a group for each workload, a bar for each target.
func (r *Report) groups(value func(*Result) float64, text func(*Result) string) (groups []Group) {
	for _, one := range r.Results {
		if len(groups) == 0 || groups[len(groups)-1].Title != one.Work {
			groups = append(groups, Group{Title: one.Work})
		}
		g := &groups[len(groups)-1]
		g.Bars = append(g.Bars, Bar{Label: one.Target, Value: value(one), Text: text(one), First: len(g.Bars) == 0})
	}
	return groups
}
