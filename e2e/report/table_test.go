package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	lines := []string{
		`{"Action":"run","Package":"M/drivers/x","Test":"TestConformance"}`,
		`{"Action":"run","Package":"M/drivers/x","Test":"TestConformance/Put/a"}`,
		`{"Action":"pass","Package":"M/drivers/x","Test":"TestConformance/Put/a","Elapsed":0.1}`,
		`{"Action":"run","Package":"M/drivers/x","Test":"TestConformance/Put/b"}`,
		`{"Action":"fail","Package":"M/drivers/x","Test":"TestConformance/Put/b","Elapsed":0.1}`,
		`{"Action":"fail","Package":"M/drivers/x","Test":"TestConformance","Elapsed":3.21}`,
		`{"Action":"run","Package":"M/e2e","Test":"TestOCIConformance/x"}`,
		`{"Action":"attr","Package":"M/e2e","Test":"TestOCIConformance/x","Key":"server","Value":"Store 1.2"}`,
		`{"Action":"run","Package":"M/e2e","Test":"TestOCIConformance/x/1.1"}`,
		`{"Action":"attr","Package":"M/e2e","Test":"TestOCIConformance/x/1.1","Key":"results","Value":"47 passed, 0 failed"}`,
		`{"Action":"pass","Package":"M/e2e","Test":"TestOCIConformance/x/1.1","Elapsed":4}`,
		`{"Action":"pass","Package":"M/e2e","Test":"TestOCIConformance/x","Elapsed":5}`,
		`{"Action":"run","Package":"M/e2e","Test":"TestPushAndPull/x"}`,
		`{"Action":"pass","Package":"M/e2e","Test":"TestPushAndPull/x","Elapsed":6}`,
		`{"Action":"run","Package":"M/e2e","Test":"TestClients/x/helm"}`,
		`{"Action":"fail","Package":"M/e2e","Test":"TestClients/x/helm","Elapsed":6}`,
		`{"Action":"run","Package":"M/e2e","Test":"TestClients/xx/oras"}`,
		`{"Action":"pass","Package":"M/e2e","Test":"TestClients/xx/oras","Elapsed":6}`,
		`{"Action":"attr","Package":"M/cli","Test":"TestOfServers/x","Key":"abilities","Value":"absent: yes; copy: unknown; odd: no"}`,
		`{"Action":"attr","Package":"M/cli","Test":"TestOfServers/x","Key":"cases","Value":"99 passed, 0 failed"}`,
		`{"Action":"pass","Package":"M/cli","Test":"TestOfServers/x","Elapsed":7.06}`,
		`{"Action":"attr","Package":"M/cli","Test":"TestOfServers/y","Key":"abilities","Value":"absent: no; copy: ignored"}`,
		`{"Action":"fail","Package":"M/cli","Test":"TestOfServers/y","Elapsed":7}`,
		`{"Action":"attr","Package":"M/e2e","Test":"TestRoughStore/x","Key":"rough","Value":"200 images"}`,
		`{"Action":"attr","Package":"M/registry/budget","Test":"TestFS","Key":"requests","Value":"push: 7 of 9; pull: 3 of 3"}`,
		`{"Action":"attr","Package":"M/registry/budget","Test":"TestSwift","Key":"requests","Value":"push: 8 of 9; mount: 1 of 2"}`,
	}
	tally := newTally(io.Discard)
	if err := tally.read(strings.NewReader(strings.ReplaceAll(strings.Join(lines, "\n"), "M/", module))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "stores.txt")
	if err := os.WriteFile(file, []byte("# a comment\nx | drivers/x TestConformance | cli TestOfServers/x | x on Store\n"+
		"y | drivers/y TestConformance | cli TestOfServers/y | y\nz | drivers/z TestConformance | cli TestOfServers/z | z\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rows, err := readStores(file)
	if err != nil {
		t.Fatal(err)
	}
	page := tally.table(rows, time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC))
	for _, want := range []string{
		"on 2 January 2026.",
		"| x on Store | Store 1.2 | 1 passed, 1 failed, 3.2s | 47 passed, 0 failed, 4s | not run | crane, helm failed |\n",
		"| y | none | not run | not run | not run | not run |\n",
		"| store | cases | absent | copy |\n| --- | --- | --- | --- |\n" +
			"| x on Store | 99 passed, 0 failed, 7.1s | yes | unknown |\n" +
			"| y | failed | no | ignored |\n" +
			"| z | not run |  |  |\n",
		"| x | 200 images |\n",
		"| work | fs | swift |\n| --- | --- | --- |\n| push | 7 of 9 | 8 of 9 |\n| pull | 3 of 3 |\n| mount |  | 1 of 2 |\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
}

func TestBadStores(t *testing.T) {
	for _, text := range []string{"x | drivers/x TestConformance | x", "x | drivers/x | cli TestOfServers/x | x"} {
		file := filepath.Join(t.TempDir(), "stores.txt")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if rows, err := readStores(file); err == nil {
			t.Errorf("%q: read as %v", text, rows)
		}
	}
}
