package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// slow is from how many seconds on a test that passed gets a line of its own.
const slow = 2

// maxLines is how many lines of a failed test are shown, counted from its end.
const maxLines = 300

// maxLine is how many bytes of a line are shown.
const maxLine = 2000

// A testName is a test within its package; the package itself has an empty test.
type testName struct{ pkg, test string }

func (name testName) String() string {
	return strings.TrimSpace(strings.TrimPrefix(name.pkg, module) + " " + name.test)
}

// A tally counts tests. A test with subtests counts only if it failed by itself, so that each fault counts once.
type tally struct {
	out io.Writer

	passed, failed, skipped int

	begun     map[testName]bool
	ran       map[testName]bool // those that passed or failed
	hasTests  map[testName]bool // tests that have subtests, and packages that have tests
	hasFault  map[testName]bool // tests and packages of which a part failed in their present run, so that they need not be counted
	underWay  map[testName]bool
	took      map[testName]time.Duration
	ended     map[testName]string            // pass, fail or skip; the worst of several runs
	attrs     map[testName]map[string]string // what tests say of themselves with testing.T.Attr
	lines     map[testName][]string          // what the tests under way have printed
	buildLogs map[string][]string            // by import path
}

func newTally(out io.Writer) *tally {
	return &tally{
		out:       out,
		begun:     map[testName]bool{},
		ran:       map[testName]bool{},
		hasTests:  map[testName]bool{},
		hasFault:  map[testName]bool{},
		underWay:  map[testName]bool{},
		took:      map[testName]time.Duration{},
		ended:     map[testName]string{},
		attrs:     map[testName]map[string]string{},
		lines:     map[testName][]string{},
		buildLogs: map[string][]string{},
	}
}

// event is a line of go test -json, as `go doc test2json` and `go help buildjson` describe it.
type event struct {
	Action      string
	Package     string
	ImportPath  string
	Test        string
	Elapsed     float64 // seconds
	Output      string
	FailedBuild string
	Key, Value  string // of an attribute
}

// read counts the tests of one stream of events. An error means that the stream could not be understood.
func (t *tally) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if err := json.Unmarshal(line, &e); err != nil {
				return fmt.Errorf("%w in %q", err, line)
			}
			t.add(e)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (t *tally) add(e event) {
	name := testName{e.Package, e.Test}
	switch e.Action {
	case "start": // of a package
		delete(t.hasFault, name)
	case "run":
		t.hasTests[t.parent(name)] = true
		t.begun[name] = true
		t.underWay[name] = true
		delete(t.hasFault, name)
	case "output":
		t.lines[name] = append(t.lines[name], e.Output)
		if _, what, ok := strings.Cut(e.Output, "measured:"); ok {
			fmt.Fprintf(t.out, "       %s:%s\n", name, strings.TrimRight(what, "\n"))
		}
	case "attr":
		if t.attrs[name] == nil {
			t.attrs[name] = map[string]string{}
		}
		t.attrs[name][e.Key] = e.Value
	case "build-output":
		t.buildLogs[e.ImportPath] = append(t.buildLogs[e.ImportPath], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			t.endUnfinished(e.Package)
		}
		t.end(name, e)
		delete(t.lines, name)
		delete(t.underWay, name)
	}
}

// parent is the test that name is a subtest of, or the package. A slash may also be part of a subtest's own name.
func (t *tally) parent(name testName) testName {
	for i := strings.LastIndexByte(name.test, '/'); i > 0; i = strings.LastIndexByte(name.test[:i], '/') {
		if above := (testName{name.pkg, name.test[:i]}); t.begun[above] {
			return above
		}
	}
	return testName{pkg: name.pkg}
}

// endUnfinished fails the tests of a package that were under way as its process ended, which it may have done by a panic.
func (t *tally) endUnfinished(pkg string) {
	var names []testName
	for name := range t.underWay {
		if name.pkg == pkg {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b testName) int { return cmp.Compare(b.test, a.test) }) // subtests first
	for _, name := range names {
		t.end(name, event{Action: "fail"})
		delete(t.lines, name)
		delete(t.underWay, name)
	}
}

// end counts a test or a package that has come to its end.
func (t *tally) end(name testName, e event) {
	took := time.Duration(e.Elapsed * float64(time.Second)).Round(10 * time.Millisecond)
	isTest := name.test != ""
	t.took[name] = took
	if was := t.ended[name]; was == "" || was == "pass" || e.Action == "fail" {
		t.ended[name] = e.Action
	}
	switch e.Action {
	case "pass":
		t.ran[name] = true
		if isTest && !t.hasTests[name] {
			t.passed++
		}
		if e.Elapsed >= slow || !isTest {
			fmt.Fprintf(t.out, "pass   %s (%s)\n", name, took)
		}
	case "skip":
		if isTest { // a package is skipped if it has no tests
			t.skipped++
			t.show("SKIP", name, took, t.lines[name])
		}
	case "fail":
		t.ran[name] = true
		if isTest {
			t.hasFault[t.parent(name)] = true
		}
		if !t.hasFault[name] {
			t.failed++
		}
		t.show("FAIL", name, took, append(t.buildLogs[e.FailedBuild], t.lines[name]...))
	}
}

func (t *tally) show(what string, name testName, took time.Duration, lines []string) {
	fmt.Fprintf(t.out, "%s   %s (%s)\n", what, name, took)
	if cut := len(lines) - maxLines; cut > 0 {
		fmt.Fprintf(t.out, "       (%d lines left out)\n", cut)
		lines = lines[cut:]
	}
	for _, line := range lines {
		line = strings.TrimRight(line, "\n")
		if bare := strings.TrimSpace(line); strings.HasPrefix(bare, "=== ") || strings.HasPrefix(bare, "--- ") || bare == "FAIL" || strings.HasPrefix(bare, "FAIL\t") {
			continue // what the line above says already
		}
		if len(line) > maxLine {
			line = line[:maxLine] + "…"
		}
		fmt.Fprintf(t.out, "       %s\n", line)
	}
}

// fault counts a failure that is not a test's.
func (t *tally) fault(format string, args ...any) {
	t.failed++
	fmt.Fprintf(t.out, "FAIL   "+format+"\n", args...)
}

// totals is the line to end with.
func (t *tally) totals() string {
	s := fmt.Sprintf("%d passed, %d failed", t.passed, t.failed)
	if t.skipped > 0 {
		s += fmt.Sprintf(", %d skipped", t.skipped)
	}
	return s
}
