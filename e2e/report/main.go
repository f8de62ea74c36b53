// Command report runs go test, shows how it goes, and ends with the totals alone on the last line:
//
//	report [-require FILE] [-stores FILE -table PAGE] 'test -race ./...' 'test -tags e2e ./e2e'
//
// Each argument is one command line of the go tool, split at spaces. The exit status is 1 if a test or a build failed, if a
// test was skipped, or if a test that FILE names did not run. FILE has one "package test" to a line, the package as a
// folder of this module; lines that begin with # are comments.
//
// With -table it writes a page of what was proved on which store; FILE of -stores says how readStores wants it.
//
// Of the tests that pass, it shows those that took seconds and whatever they log after the word "measured:".
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// module is what package paths begin with in the output of go test.
const module = "github.com/longshore-registry/longshore/"

func main() {
	require := flag.String("require", "", "`file` that names the tests that have to run")
	stores := flag.String("stores", "", "`file` that names the stores of -table")
	table := flag.String("table", "", "`file` for a page of what was proved on which store")
	flag.Parse()
	t := newTally(os.Stdout)
	for _, line := range flag.Args() {
		if err := run(t, line); err != nil {
			t.fault("go %s: %v", line, err)
		}
	}
	if *require != "" {
		if err := checkRequired(t, *require); err != nil {
			t.fault("%v", err)
		}
	}
	if *table != "" {
		if err := writeTable(t, *stores, *table); err != nil {
			t.fault("%v", err)
		}
	}
	fmt.Println(t.totals())
	if t.failed+t.skipped > 0 {
		os.Exit(1)
	}
}

// run adds the tests of one go command to t. It fails if the command does although no test did.
func run(t *tally, line string) error {
	fmt.Fprintf(t.out, "\n$ go %s\n", line)
	args := strings.Fields(line)
	if len(args) == 0 || args[0] != "test" {
		return fmt.Errorf("want a command that begins with test")
	}
	cmd := exec.Command("go", append([]string{"test", "-json"}, args[1:]...)...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	failed := t.failed
	if err := t.read(stdout); err != nil {
		_, _ = io.Copy(io.Discard, stdout) // lets the command end; what it says is lost already
		_ = cmd.Wait()
		return err
	}
	if err := cmd.Wait(); err != nil && t.failed == failed {
		return err
	}
	return nil
}

func writeTable(t *tally, stores, file string) error {
	rows, err := readStores(stores)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(t.table(rows, time.Now())), 0o644)
}

func checkRequired(t *tally, file string) error {
	body, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		pkg, test, ok := strings.Cut(line, " ")
		if !ok {
			return fmt.Errorf("%s: %q is not a package and a test", file, line)
		}
		if !t.ran[testName{module + pkg, strings.TrimSpace(test)}] {
			t.fault("%s %s did not run", pkg, test)
		}
	}
	return nil
}
