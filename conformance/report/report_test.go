package report

import (
	"context"
	"encoding/xml"
	"errors"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// sample has a case of each kind.
func sample() *Report {
	return &Report{
		Version: "1.2.3", Driver: "s3", Store: "http://store/<bucket>", Identity: "access_key, <me>", Folder: "conformance/abc",
		Began: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Took: 61 * time.Second, Interrupted: true,
		Notes: []string{"a <note>"}, Left: []string{"conformance/abc/<left>"},
		Results: []conformance.Result{
			{Name: "Put/stores", Took: 20 * time.Millisecond},
			{Name: "Put/replaces <all>", Took: time.Millisecond, Failed: true, Messages: []string{"got <1> & \x01 more", "want 2"}},
			{Name: "File/opens", NotRun: "the driver has no such ability"},
			{Name: "Faults/one", NotRun: "needs a <proxy>"},
			{Name: "Faults/other", NotRun: "needs a <proxy>", Took: time.Second},
			{Name: "Put/says", Messages: []string{"by the <way>"}},
		},
		Abilities: []drivers.Ability{{Name: putIfMatch, State: "ignored", Detail: "<odd>"}, {Name: "sign", State: "yes"}},
		Latencies: []Latency{{What: "stat", Count: 3, P50: 1500 * time.Microsecond, P99: 2 * time.Millisecond}},
		Speeds:    []Speed{{What: "read", Streams: 4, Bytes: 64 << 20, MBs: 123.4}},
	}
}

func TestTable(t *testing.T) {
	table := sample().Table()
	for _, want := range []string{
		"FAIL  Put/replaces <all> (1ms)\n        got <1> & \x01 more\n        want 2\n", "Put                               2      1        0\n",
		"not run: 2, needs a <proxy>\nnot run: 1, the driver has no such ability\nnote: a <note>\n",
		"\nthe store\n  put if match                         ignored  <odd>\n\nwhat stores of its kind differ in\n  sign                                 yes\n",
		"stat                           3     1.5ms       2ms\n", "read 64 MiB                    4       123\n",
		"left: conformance/abc/<left>\n\n2 passed, 1 failed, 3 not run, in 1m1s\n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
}

func TestTableNamesSomeOfWhatIsLeft(t *testing.T) {
	r := &Report{Left: slices.Repeat([]string{"key"}, leftShown+3)}
	if table := r.Table(); strings.Count(table, "left: key\n") != leftShown || !strings.Contains(table, "left: … and 3 more\n") {
		t.Error(table)
	}
}

// decimal is a time in JUnit's XML.
var decimal = regexp.MustCompile(`^[0-9]+\.[0-9]{3}$`)

// TestJUnit reads the report as strictly as its strictest readers do.
func TestJUnit(t *testing.T) {
	text, err := sample().JUnit()
	if err != nil {
		t.Fatal(err)
	}
	if !utf8.Valid(text) || !strings.HasPrefix(string(text), xml.Header) {
		t.Errorf("it begins with %.50q", text)
	}
	// Which attributes and elements each element has to have, and may.
	rules := map[string]struct{ must, may, within []string }{
		"testsuite":  {must: []string{"name", "tests", "failures", "errors", "skipped", "time", "timestamp"}, within: []string{""}},
		"properties": {within: []string{"testsuite"}},
		"property":   {must: []string{"name", "value"}, within: []string{"properties"}},
		"testcase":   {must: []string{"classname", "name", "time"}, within: []string{"testsuite"}},
		"failure":    {must: []string{"message"}, within: []string{"testcase"}},
		"skipped":    {must: []string{"message"}, within: []string{"testcase"}},
	}
	counts, suite := map[string]int{}, map[string]string{}
	path := []string{""}
	var failure strings.Builder
	for d := xml.NewDecoder(strings.NewReader(string(text))); ; {
		token, err := d.Token()
		if token == nil {
			if len(path) != 1 {
				t.Errorf("ends within %q: %v", path, err)
			}
			break
		}
		switch e := token.(type) {
		case xml.StartElement:
			attributes := map[string]string{}
			for _, a := range e.Attr {
				attributes[a.Name.Local] = a.Value
			}
			rule, ok := rules[e.Name.Local]
			if !ok || !slices.Contains(rule.within, path[len(path)-1]) || !slices.Equal(slices.Sorted(maps.Keys(attributes)), slices.Sorted(slices.Values(rule.must))) {
				t.Errorf("%s in %q with %v", e.Name.Local, path, attributes)
			}
			if at, timed := attributes["time"]; timed && !decimal.MatchString(at) {
				t.Errorf("%s: time %q", e.Name.Local, at)
			}
			if e.Name.Local == "testsuite" {
				suite = attributes
			}
			counts[e.Name.Local]++
			path = append(path, e.Name.Local)
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			if path[len(path)-1] == "failure" {
				failure.Write(e)
			}
		}
	}
	for attribute, element := range map[string]string{"tests": "testcase", "failures": "failure", "skipped": "skipped"} {
		if n, err := strconv.Atoi(suite[attribute]); err != nil || n != counts[element] || n == 0 {
			t.Errorf("%s=%q, and there are %d", attribute, suite[attribute], counts[element])
		}
	}
	if _, err := time.Parse("2006-01-02T15:04:05", suite["timestamp"]); err != nil || suite["time"] != "61.000" {
		t.Errorf("%v, time %q", err, suite["time"])
	}
	if !strings.Contains(failure.String(), "got <1> & ") || !strings.Contains(failure.String(), "want 2") {
		t.Errorf("failure %q", failure.String())
	}
}

func TestHTML(t *testing.T) {
	text, err := sample().HTML()
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, want := range []string{
		"http://store/&lt;bucket&gt;", "replaces &lt;all&gt;", "got &lt;1&gt; &amp;", "&lt;odd&gt;", "<b class=\"bad\">1 failed</b>", "123", "&lt;me&gt;",
		"a &lt;note&gt;", "conformance/abc/&lt;left&gt;", "2 not run: needs a &lt;proxy&gt;", "by the &lt;way&gt;", "interrupted",
		"prefers-color-scheme: dark", "<details open>\n<summary>Put ", "64 MiB",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	// Nothing is fetched: no script, no link, no picture, no font.
	if found := regexp.MustCompile(`(?i)<(script|link|img|iframe|object|embed|base)|\b(src|href)\s*=|url\(|@import`).FindString(page); found != "" {
		t.Errorf("%q in the page", found)
	}
	if strings.Index(page, "<h2>The store</h2>") > strings.Index(page, "put if match") || strings.Index(page, "put if match") > strings.Index(page, "<h2>What stores of its kind differ in</h2>") {
		t.Error("the abilities are not below their headings")
	}
	passed := &Report{Results: []conformance.Result{{Name: "Put/stores"}}}
	if text, err := passed.HTML(); err != nil || strings.Contains(string(text), "Failed") || strings.Contains(string(text), "<details open>") || strings.Contains(string(text), "<title>failed") {
		t.Errorf("nothing failed: %v\n%s", err, text)
	}
}

func TestMeasure(t *testing.T) {
	d := memory.New(memory.Options{})
	var told []string
	latencies, speeds, err := Measure(t.Context(), d, "f/", Amounts{Requests: 5, Size: 3<<20 + 1, Streams: 3}, func(s string) { told = append(told, s) })
	if err != nil || len(latencies) != 6 || len(speeds) != 4 || len(told) != 10 {
		t.Fatalf("%v, %v, %q, %v", latencies, speeds, told, err)
	}
	for _, l := range latencies {
		if l.P50 <= 0 || l.P99 < l.P50 || l.Count != 5 {
			t.Errorf("%+v", l)
		}
	}
	for i, s := range speeds {
		if s.MBs <= 0 || s.Streams != []int{1, 1, 3, 3}[i] || s.Bytes != 3<<20+1 {
			t.Errorf("%+v", s)
		}
	}
	if info, err := d.Stat(t.Context(), "f/large-2"); err != nil || info.Size != 3<<20+1 {
		t.Errorf("%+v, %v", info, err)
	}
	for e := range d.List(t.Context(), "", "", "") {
		if !strings.HasPrefix(e.Key, "f/") {
			t.Errorf("%q is outside", e.Key)
		}
	}
	if _, speeds, err := Measure(t.Context(), d, "g/", Amounts{Requests: 1, Size: 1, Streams: 1}, func(string) {}); err != nil || len(speeds) != 2 {
		t.Errorf("one stream: %v, %v", speeds, err)
	}
}

func TestMeasureSaysWhatFails(t *testing.T) {
	for _, c := range []struct{ op, want string }{{"put", "put 4 KiB: "}, {"stat", "stat: "}, {"list", "list 100: "}, {"delete", "delete: "}, {"commit", "write with 1 streams: "}} {
		d := memory.New(memory.Options{Hook: func(_ context.Context, op, _ string) (o memory.Outcome) {
			if op == c.op {
				o.Err = errors.New("out of order")
			}
			return o
		}})
		if _, _, err := Measure(t.Context(), d, "f/", Amounts{Requests: 2, Size: 1 << 20, Streams: 1}, func(string) {}); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v", c.op, err)
		}
	}
}

// byName are abilities by their names.
func byName(all []drivers.Ability) map[string]drivers.Ability {
	m := make(map[string]drivers.Ability)
	for _, a := range all {
		m[a.Name] = a
	}
	return m
}

func TestAble(t *testing.T) {
	d := memory.New(memory.Options{})
	all := Able(t.Context(), d, d, "f/")
	got := byName(all)
	for name, want := range map[string]string{
		putIfAbsent: "yes", putIfMatch: "yes", consistentListing: "yes", presignedURLs: "no", findLeftovers: "yes",
		conditionalMultipart: "unknown", serverSideCopy: "unknown", minimumPart: "unknown", checksumTrailers: "unknown",
	} {
		if got[name].State != want {
			t.Errorf("%s: %+v, want %s", name, got[name], want)
		}
	}
	if all[0].Name != putIfAbsent || all[2].Name != conditionalMultipart || len(all) != 9 {
		t.Errorf("%v", all)
	}
	for e := range d.List(t.Context(), "", "", "") {
		if !strings.HasPrefix(e.Key, "f/") {
			t.Errorf("%q is outside", e.Key)
		}
	}
}

// odd is a store that takes conditions and does not heed them, signs what it likes, and lists late.
type odd struct {
	*memory.Driver
	absent, match error
	url           string
}

func (o odd) PutIfAbsent(context.Context, string, []byte) error        { return o.absent }
func (o odd) PutIfMatch(context.Context, string, []byte, string) error { return o.match }
func (o odd) SignURL(context.Context, string, time.Duration) (string, error) {
	return o.url, nil
}
func (o odd) List(context.Context, string, string, string) iter.Seq2[drivers.Entry, error] {
	return func(func(drivers.Entry, error) bool) {}
}
func (o odd) Abilities(context.Context, string) []drivers.Ability {
	return []drivers.Ability{{Name: "colour", State: "yes"}, {Name: minimumPart, State: "no"}}
}

func TestAbleOfAnOddStore(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer server.Close()
	o := odd{Driver: memory.New(memory.Options{}), match: drivers.ErrPrecondition, url: server.URL}
	all := Able(t.Context(), o, o, "f/")
	got := byName(all)
	for name, want := range map[string]drivers.Ability{
		putIfAbsent:       {State: "ignored", Detail: "of 16 at once 16 succeeded"},
		putIfMatch:        {State: "no", Detail: "of 16 at once none succeeded"},
		consistentListing: {State: "no", Detail: "20 of 40 listings were behind"},
		presignedURLs:     {State: "no", Detail: "the URL is answered with status 403 and 0 bytes, not with 10"},
		minimumPart:       {State: "no"},
	} {
		if want.Name = name; got[name] != want {
			t.Errorf("%+v, want %+v", got[name], want)
		}
	}
	if last := all[len(all)-1]; last.Name != "colour" {
		t.Errorf("last is %+v", last)
	}
	o.absent, o.url = errors.New("out of order"), "http://127.0.0.1:1/?signature=secret"
	got = byName(Able(t.Context(), o, o, "f/"))
	if a := got[putIfAbsent]; a.State != "unknown" || a.Detail != "out of order" {
		t.Errorf("%+v", a)
	}
	if a := got[presignedURLs]; a.State != "unknown" || strings.Contains(a.Detail, "secret") || !strings.Contains(a.Detail, "the URL can't be opened from here: dial") {
		t.Errorf("%+v", a)
	}
}
