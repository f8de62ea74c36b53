package bench

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]Target{
		"localhost:5000":                    {Name: "localhost:5000"},
		"http://127.0.0.1:5000/":            {Name: "127.0.0.1:5000"},
		"[::1]:5000,pid=3,pid=4":            {Name: "[::1]:5000", PIDs: []int{3, 4}},
		"https://ann:pw@reg.io/a,name=mine": {Name: "mine", User: "ann", Password: "pw"},
	} {
		got, err := ParseTarget(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got.URL = nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"localhost:5000": "http://localhost:5000", "127.0.0.1": "http://127.0.0.1", "[::1]:5000": "http://[::1]:5000",
		"reg.io": "https://reg.io", "ann:pw@localhost/x/": "http://localhost/x", "http://reg.io:5000": "http://reg.io:5000",
	} {
		if got, err := ParseTarget(text); err != nil || got.URL.String() != want {
			t.Errorf("%s: %v, %v, want %s", text, got.URL, err, want)
		}
	}
	for _, text := range []string{"", "ftp://a:secret@reg.io", "http://", "reg.io,pid=x", "reg.io,pid=-1", "reg.io,size=3", "reg.io,name=", "http://reg.io?a:secret", "http://a:secret@%zz"} {
		if _, err := ParseTarget(text); err == nil || strings.Contains(err.Error(), "a:secret@") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestValidate(t *testing.T) {
	to := Target{Name: "a"}
	for want, change := range map[string]func(*Options){
		"targets: at least one":    func(o *Options) { o.Targets = nil },
		"two are called a":         func(o *Options) { o.Targets = []Target{to, to} },
		`there is no "pulll"`:      func(o *Options) { o.Work = []string{"pulll"} },
		"work: at least one":       func(o *Options) { o.Work = nil },
		"layer size: at least 32":  func(o *Options) { o.LayerSize = 31 },
		"clients: at least one":    func(o *Options) { o.Clients = 0 },
		"rounds: at least one":     func(o *Options) { o.Rounds = 0 },
		"repository: the name":     func(o *Options) { o.Repository = "" },
		"count: 0 for no bound":    func(o *Options) { o.Count = -1 },
		"time: more than nothing":  func(o *Options) { o.Time = 0 },
		"images, tags, page, crow": func(o *Options) { o.Page = 0 },
	} {
		o := short(to)
		change(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestQuantile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		sorted []time.Duration
		q      float64
		want   time.Duration
	}{
		{nil, 0.5, 0}, {hundred[:1], 0.5, 1}, {hundred[:1], 0.99, 1}, {hundred[:2], 0.5, 1}, {hundred[:3], 0.5, 2},
		{hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100}, {hundred[:50], 0.99, 50},
	} {
		if got := quantile(c.sorted, c.q); got != c.want {
			t.Errorf("%v of %d values: %d, want %d", c.q, len(c.sorted), got, c.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}} {
		if got := Median(c.values); got != c.want {
			t.Errorf("%v: %v, want %v", c.values, got, c.want)
		}
	}
}

// twoTargets is a report whose second target is twice as fast in each round, while the machine gets slower.
func twoTargets() *Report {
	round := func(done int64) Sample {
		return Sample{
			Done: done, Bytes: done * 1e6, Elapsed: time.Second, P50: time.Millisecond, P99: 5 * time.Millisecond, Max: time.Second,
			Processor: time.Duration(done) * 3 * time.Millisecond, Peak: done << 20, Calls: done * 9,
		}
	}
	a := &Result{Work: "push", Target: "a", Unit: "images", Rounds: []Sample{round(100), round(50), round(10)}}
	b := &Result{Work: "push", Target: "<b>", Unit: "images", Rounds: []Sample{round(200), round(100), round(20)}}
	b.Rounds[1].Failed, b.Rounds[1].Failures = 2, []string{"took too long"}
	summarize([]*Result{a, b})
	o := short()
	return &Report{Options: o.summary(), Results: []*Result{a, b}, Left: []Left{{Target: "a", Repository: "r", Manifests: 1234, Blobs: 5, Why: "no"}}}
}

func TestSummarize(t *testing.T) {
	r := twoTargets()
	a, b := r.Result("push", "a"), r.Result("push", "<b>")
	if a.Rate != 50 || b.Rate != 100 || a.Ratio != 1 || b.Ratio != 2 || b.MBps != 100 {
		t.Errorf("rates %v and %v, ratios %v and %v, %v MB/s", a.Rate, b.Rate, a.Ratio, b.Ratio, b.MBps)
	}
	if b.Processor != 3*time.Millisecond || b.Peak != 200<<20 || b.Calls != 9 || b.Done != 320 || b.Failed != 2 {
		t.Errorf("%+v", b)
	}
	if r.Result("push", "c") != nil || r.Failed() != 2 {
		t.Errorf("%d failed", r.Failed())
	}
	summarize([]*Result{{}, {Rounds: []Sample{{}}}}) // nothing done
}

func TestTable(t *testing.T) {
	want := `  work  target  rate/s  MB/s      p50      p99  ratio  failed  processor  memory  calls
  push       a      50    50     1 ms     5 ms     1×       0       3 ms  105 MB    9.0
  push     <b>     100   100     1 ms     5 ms     2×       2       3 ms  210 MB    9.0
3 clients, 2 rounds of 1m0s, layers of 1 kB; images have 2; medians over the rounds
failed: push, <b>: took too long
left: a: 1,234 manifests and 5 blobs in r: no
`
	if got := twoTargets().Table(); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("got\n%s", got)
	}
}

func TestHTML(t *testing.T) {
	page, err := twoTargets().HTML()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<td>push</td><td>&lt;b&gt;</td><td>100</td>", "push new images", "1,234 manifests", "<svg", "210 MB"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page has no %s", want)
		}
	}
	for _, not := range []string{"<b>", "<script", "http://127", "src="} {
		if strings.Contains(string(page), not) {
			t.Errorf("the page has %s", not)
		}
	}
}

func TestJSON(t *testing.T) {
	text, err := json.Marshal(twoTargets())
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text, &back); err != nil || back.Result("push", "<b>").Rate != 100 {
		t.Errorf("%v: %s", err, text)
	}
}

// TestChart looks whether it is XML, with nothing drawn outside.
func TestChart(t *testing.T) {
	svg := Chart("a & b", []Group{{Title: "<x>", Bars: []Bar{{Label: "one", Value: 3, Text: "3", First: true}, {Label: "two", Value: 0, Text: "0"}}}, {Title: "nothing"}})
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v:\n%s", err, svg)
		}
	}
	if !strings.Contains(svg, `width="440.0"`) || strings.Contains(svg, "NaN") || !strings.Contains(svg, "&lt;x&gt;") {
		t.Errorf("%s", svg)
	}
}

func TestFigures(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 0.004: "0.004", 0.25: "0.25", 1: "1", 1.5: "1.50", 12.34: "12.3", 12: "12", 999.6: "1,000", 123456.7: "123,457"} {
		if got := Figure(n); got != want {
			t.Errorf("%v is written %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "-", 1500: "1.50 µs", 12 * time.Millisecond: "12 ms", 90 * time.Second: "90 s"} {
		if got := Span(d); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
	for n, want := range map[int64]string{1 << 30: "1 GiB", 2_000_000: "2 MB", 4096: "4 KiB", 33: "33 bytes", 5000: "5 kB"} {
		if got := size(n); got != want {
			t.Errorf("%d is written %s, want %s", n, got, want)
		}
	}
}

// TestProcesses watches this one spend some processor time.
func TestProcesses(t *testing.T) {
	w, err := WatchProcesses(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLayers(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	before, err := Processor(os.Getpid())
	for now := before; err == nil && now == before; now, err = Processor(os.Getpid()) {
		if _, err := l.next(); err != nil {
			t.Fatal(err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	processor, peak, err := w.End()
	if err != nil || processor < tick || peak < 1<<20 {
		t.Errorf("%v, %d bytes, %v", processor, peak, err)
	}
	if _, err := WatchProcesses(1 << 30); err == nil {
		t.Error("a process that is not there is watched")
	}
}
