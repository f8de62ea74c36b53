package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// A storeRow says which tests prove a store.
type storeRow struct {
	name  string   // for people
	store string   // its name in package e2e
	suite testName // the drivers' suite over it
}

// readStores reads the rows of a file: store, package and test of the suite, then a name for people, separated by "|".
func readStores(file string) ([]storeRow, error) {
	body, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var rows []storeRow
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.Split(line, "|")
		if len(cells) != 3 {
			return nil, fmt.Errorf("%s: %q has not three cells", file, line)
		}
		pkg, test, ok := strings.Cut(strings.TrimSpace(cells[1]), " ")
		if !ok {
			return nil, fmt.Errorf("%s: %q is not a package and a test", file, cells[1])
		}
		rows = append(rows, storeRow{store: strings.TrimSpace(cells[0]), suite: testName{module + pkg, test}, name: strings.TrimSpace(cells[2])})
	}
	return rows, nil
}

// counts are the tests below one.
type counts struct {
	passed, failed int
	took           time.Duration
	ran            bool
}

// below counts the tests below name that have no others below them.
func (t *tally) below(name testName) counts {
	c := counts{took: t.took[name], ran: t.ran[name]}
	for other, status := range t.ended {
		if other.pkg != name.pkg || !strings.HasPrefix(other.test, name.test+"/") || t.hasTests[other] {
			continue
		}
		if status == "pass" {
			c.passed++
		} else {
			c.failed++
		}
	}
	if c.passed+c.failed == 0 && c.ran { // it is a test by itself
		if t.ended[name] == "pass" {
			c.passed = 1
		} else {
			c.failed = 1
		}
	}
	return c
}

// cell is a result in a table.
func (c counts) cell() string {
	if !c.ran {
		return "not run"
	}
	return fmt.Sprintf("%d passed, %d failed, %v", c.passed, c.failed, c.took.Round(100*time.Millisecond))
}

// table is the page of what was proved on which store.
func (t *tally) table(rows []storeRow, when time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Stores

What was run on each store, by the command

    make stores

on %s. CI runs the same with every change: `+"`make test`"+` starts all servers, and fails if one of these suites did not run.

The drivers' suite is that of [drivers.md](drivers.md). The OCI suite is the conformance suite of the distribution spec, for version 1.1 and for what is merged
for the next one, with everything switched on but sparse manifests. crane pushes and pulls an index of two platforms, and an image of 300 MB goes in and out.
Times are of a machine with two cores that did other things as well.

| store | server | drivers' suite | OCI 1.1 | OCI, next version | push and pull |
| --- | --- | --- | --- | --- | --- |
`, when.UTC().Format("2 January 2006"))
	const e2e = module + "e2e"
	for _, r := range rows {
		server := cmp.Or(t.attrs[testName{e2e, "TestOCIConformance/" + r.store}]["server"], "none")
		cells := []string{r.name, server, t.below(r.suite).cell()}
		for _, test := range []string{"TestOCIConformance/" + r.store + "/1.1", "TestOCIConformance/" + r.store + "/dev"} {
			name := testName{e2e, test}
			switch {
			case !t.ran[name]:
				cells = append(cells, "not run")
			case t.ended[name] == "pass":
				cells = append(cells, fmt.Sprintf("%s, %v", cmp.Or(t.attrs[name]["results"], "passed"), t.took[name].Round(100*time.Millisecond)))
			default:
				cells = append(cells, "failed")
			}
		}
		cells = append(cells, t.below(testName{e2e, "TestPushAndPull/" + r.store}).cell())
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	var rough []string
	for name := range t.attrs {
		if line := t.attrs[name]["rough"]; line != "" {
			rough = append(rough, fmt.Sprintf("| %s | %s |\n", strings.TrimPrefix(name.test, "TestRoughStore/"), line))
		}
	}
	if len(rough) > 0 {
		slices.Sort(rough)
		b.WriteString(`
A store that takes 50 ms for each request, answers every seventh with 503 and resets every fiftieth connection half way; the images are pushed to one
replica and pulled from another, by a client that tries nothing twice:

| driver | |
| --- | --- |
` + strings.Join(rough, ""))
	}
	return b.String()
}
