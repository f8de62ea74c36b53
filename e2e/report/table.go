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
	name    string   // for people
	store   string   // its name in package e2e
	suite   testName // the drivers' suite over it
	command testName // longshore conformance on it
}

// readStores reads the rows of a file: store, package and test of the suite, package and test of the command, then a name for
// people, separated by "|".
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
		if len(cells) != 4 {
			return nil, fmt.Errorf("%s: %q has not four cells", file, line)
		}
		row := storeRow{store: strings.TrimSpace(cells[0]), name: strings.TrimSpace(cells[3])}
		for i, to := range []*testName{&row.suite, &row.command} {
			pkg, test, ok := strings.Cut(strings.TrimSpace(cells[i+1]), " ")
			if !ok {
				return nil, fmt.Errorf("%s: %q is not a package and a test", file, cells[i+1])
			}
			*to = testName{module + pkg, test}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// e2e is the package of the tests with clients.
const e2e = module + "e2e"

const storesPage = `# Stores

What was run on each store, by the command

    make stores

on %s. CI runs the same with every change, and more: ` + "`make test`" + ` starts all servers, and fails if a suite did not run, or a case of it was skipped.

The drivers' suite is that of [drivers.md](drivers.md), with the cases that make a store fail. The OCI suite is the conformance suite of the distribution spec, for version
1.1 and for what is merged for the next one, with everything switched on but sparse manifests. The clients push, pull, list and delete on fs and on MinIO; on all
stores crane pushes and pulls an index of two platforms, and an image of 300 MB goes in and out. Times are of a machine with two cores that did other things as well.

| store | server | drivers' suite | OCI 1.1 | OCI, next version | clients |
| --- | --- | --- | --- | --- | --- |
`

// table is the page of what was proved on which store.
func (t *tally) table(rows []storeRow, when time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, storesPage, when.UTC().Format("2 January 2006"))
	for _, r := range rows {
		oci := testName{e2e, "TestOCIConformance/" + r.store}
		line(&b, r.name, cmp.Or(t.attrs[oci]["server"], "none"), t.suite(r.suite),
			t.told(testName{e2e, oci.test + "/1.1"}, "results"), t.told(testName{e2e, oci.test + "/dev"}, "results"), t.clients(r.store))
	}
	t.abilities(&b, rows)
	t.rough(&b)
	t.requests(&b)
	return b.String()
}

// line writes a line of a table.
func line(b *strings.Builder, cells ...string) {
	fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
}

// suite is the cell of a test whose cases count.
func (t *tally) suite(name testName) string {
	if !t.ran[name] {
		return "not run"
	}
	passed, failed := 0, 0
	for other, status := range t.ended {
		switch {
		case other.pkg != name.pkg || !strings.HasPrefix(other.test, name.test+"/") || t.hasTests[other]:
		case status == "pass":
			passed++
		default: // what was skipped has to be run
			failed++
		}
	}
	if failed == 0 && t.ended[name] != "pass" {
		failed = 1 // by itself
	}
	return fmt.Sprintf("%d passed, %d failed, %v", passed, failed, t.short(name))
}

// told is the cell of a test that says how many cases passed.
func (t *tally) told(name testName, attr string) string {
	switch {
	case !t.ran[name]:
		return "not run"
	case t.ended[name] == "pass":
		return fmt.Sprintf("%s, %v", cmp.Or(t.attrs[name][attr], "passed"), t.short(name))
	}
	return "failed"
}

func (t *tally) short(name testName) time.Duration { return t.took[name].Round(100 * time.Millisecond) }

// clients is the cell of those that worked on a store, and of those that did not.
func (t *tally) clients(store string) string {
	all := map[string]string{}
	for name, status := range t.ended {
		if client, ok := strings.CutPrefix(name.test, "TestClients/"+store+"/"); ok && name.pkg == e2e && !strings.Contains(client, "/") {
			all[client] = status
		}
	}
	// The same client does more in TestClients, where that runs.
	if status := t.ended[testName{e2e, "TestPushAndPull/" + store}]; status != "" && (status != "pass" || all["crane"] == "") {
		all["crane"] = status
	}
	var names []string
	for client, status := range all {
		if status != "pass" {
			client += " failed"
		}
		names = append(names, client)
	}
	slices.Sort(names)
	return cmp.Or(strings.Join(names, ", "), "not run")
}

// abilities writes what longshore conformance says of each store, as far as it says it of all.
func (t *tally) abilities(b *strings.Builder, rows []storeRow) {
	states := make([]map[string]string, len(rows)) // by ability
	var names []string
	for i, r := range rows {
		states[i] = map[string]string{}
		said := t.attrs[r.command]["abilities"]
		if said == "" {
			continue
		}
		var here []string
		for one := range strings.SplitSeq(said, "; ") {
			name, state, _ := strings.Cut(one, ": ")
			states[i][name] = state
			here = append(here, name)
		}
		if names == nil {
			names = here
		}
		names = slices.DeleteFunc(names, func(name string) bool { return !slices.Contains(here, name) })
	}
	if names == nil {
		return
	}
	b.WriteString(`
What ` + "`longshore conformance`" + ` ([conformance.md](conformance.md)) says of them. "Unknown" is what the driver has no request for.

`)
	line(b, slices.Concat([]string{"store", "cases"}, names)...)
	line(b, slices.Repeat([]string{"---"}, len(names)+2)...)
	for i, r := range rows {
		cells := []string{r.name, t.told(r.command, "cases")}
		for _, name := range names {
			cells = append(cells, states[i][name])
		}
		line(b, cells...)
	}
}

// requests writes what the tests of budgets say with the attribute "requests", a column for each.
func (t *tally) requests(b *strings.Builder) {
	const pkg = module + "registry/budget"
	stores := []string{"work"}
	var works []string
	counts := map[string][]string{} // of each work, a cell for each store
	for _, test := range []string{"TestMemory", "TestFS", "TestMinIO", "TestS3", "TestGCS", "TestSwift"} {
		said := t.attrs[testName{pkg, test}]["requests"]
		if said == "" {
			continue
		}
		for one := range strings.SplitSeq(said, "; ") {
			work, count, _ := strings.Cut(one, ": ")
			if counts[work] == nil {
				works = append(works, work)
			}
			for len(counts[work]) < len(stores)-1 {
				counts[work] = append(counts[work], "")
			}
			counts[work] = append(counts[work], count)
		}
		stores = append(stores, strings.ToLower(strings.TrimPrefix(test, "Test")))
	}
	if works == nil {
		return
	}
	b.WriteString(`
Requests to the store, of those that the budget allows ([design.md](design.md)). A large layer's parts are in both numbers. Of memory and fs, calls of the driver are counted.

`)
	line(b, stores...)
	line(b, slices.Repeat([]string{"---"}, len(stores))...)
	for _, work := range works {
		line(b, append([]string{work}, counts[work]...)...)
	}
}

// rough writes what the tests say with the attribute "rough".
func (t *tally) rough(b *strings.Builder) {
	var lines []string
	for name := range t.attrs {
		if said := t.attrs[name]["rough"]; said != "" {
			lines = append(lines, fmt.Sprintf("| %s | %s |\n", strings.TrimPrefix(name.test, "TestRoughStore/"), said))
		}
	}
	if len(lines) == 0 {
		return
	}
	slices.Sort(lines)
	b.WriteString(`
A store that takes 50 ms for each request, answers every seventh with 503 and resets every fiftieth connection half way. Eight clients at a time push
images to one replica and pull them from another; they try nothing twice.

| driver | |
| --- | --- |
` + strings.Join(lines, ""))
}
