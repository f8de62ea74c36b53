package report

import (
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// sample has a case of each kind.
func sample() *Report {
	return &Report{
		Driver: "s3", Store: "http://store/<bucket>", Began: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Took: 61 * time.Second,
		Results: []conformance.Result{
			{Name: "Put/stores", Took: 20 * time.Millisecond},
			{Name: "Put/replaces <all>", Took: time.Millisecond, Failed: true, Messages: []string{"got <1> & \x01 more", "want 2"}},
			{Name: "File/opens", NotRun: "the driver has no such ability"},
		},
		Abilities: []drivers.Ability{{Name: "copy", State: "ignored", Detail: "<odd>"}},
		Latencies: []Latency{{What: "stat", Count: 3, P50: 1500 * time.Microsecond, P99: 2 * time.Millisecond}},
		Speeds:    []Speed{{What: "read", Streams: 4, MBs: 123.4}},
	}
}

func TestTable(t *testing.T) {
	table := sample().Table()
	for _, want := range []string{
		"FAIL  Put/replaces <all> (1ms)\n", "Put                               1      1        0\n", "not run: 1, the driver has no such ability\n",
		"copy                       ignored  <odd>\n", "stat                       1.5ms       2ms\n", "1 passed, 1 failed, 1 not run, in 1m1s\n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
}

func TestJUnit(t *testing.T) {
	text, err := sample().JUnit()
	if err != nil {
		t.Fatal(err)
	}
	var suite junitSuite
	if err := xml.Unmarshal(text, &suite); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if suite.Tests != 3 || suite.Failures != 1 || suite.Skipped != 1 || suite.Time != "61.000" || len(suite.Cases) != 3 {
		t.Errorf("%+v", suite)
	}
	failed := suite.Cases[1]
	if failed.Class != "conformance.Put" || failed.Name != "replaces <all>" || failed.Failure == nil || !strings.Contains(failed.Failure.Text, "want 2") {
		t.Errorf("%+v", failed)
	}
}

func TestHTML(t *testing.T) {
	text, err := sample().HTML()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"http://store/&lt;bucket&gt;", "replaces &lt;all&gt;", "got &lt;1&gt; &amp;", "&lt;odd&gt;", "<b class=\"bad\">1 failed</b>", "123"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, never := range []string{"http://www", "https://", "<script"} {
		if strings.Contains(string(text), never) {
			t.Errorf("%q in the page", never)
		}
	}
}

func TestMeasure(t *testing.T) {
	d := memory.New(memory.Options{})
	latencies, speeds, err := Measure(t.Context(), d, 5, 3<<20, func(string) {})
	if err != nil || len(latencies) != 5 || len(speeds) != 4 {
		t.Fatalf("%v, %v, %v", latencies, speeds, err)
	}
	for _, l := range latencies {
		if l.P50 <= 0 || l.P99 < l.P50 || l.Count != 5 {
			t.Errorf("%+v", l)
		}
	}
}

func TestAble(t *testing.T) {
	d := memory.New(memory.Options{})
	states := make(map[string]string)
	for _, a := range Able(t.Context(), d, d) {
		states[a.Name] = a.State
	}
	if states["put if absent"] != "yes" || states["put if match"] != "yes" || states["consistent listing"] != "yes" || states["presigned URLs"] != "no" {
		t.Errorf("%v", states)
	}
	if err := race(func(int) error { return nil }, drivers.ErrExists); err == nil || !strings.Contains(err.Error(), "of 16 at once 16") {
		t.Errorf("all won: %v", err)
	}
	if err := race(func(int) error { return drivers.ErrExists }, drivers.ErrExists); err == nil {
		t.Error("nobody won")
	}
	broken := errors.New("broken")
	if err := race(func(int) error { return broken }, drivers.ErrExists); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	lagging := memory.New(memory.Options{}) // another store altogether
	if err := listed(t.Context(), d, lagging); err == nil || !strings.Contains(err.Error(), "20 of 40 listings were behind") {
		t.Errorf("%v", err)
	}
}
