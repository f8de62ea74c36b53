package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTally(t *testing.T) {
	const p = `"Package":"` + module + `drivers/fs"`
	for _, tc := range []struct {
		name   string
		events []string
		totals string
		shown  string // is part of what is printed
	}{
		{"a test passes", []string{
			`{"Action":"start",` + p + `}`,
			`{"Action":"run",` + p + `,"Test":"TestA"}`,
			`{"Action":"pass",` + p + `,"Test":"TestA","Elapsed":0.1}`,
			`{"Action":"pass",` + p + `,"Elapsed":0.2}`,
		}, "1 passed, 0 failed", "pass   drivers/fs (200ms)"},
		{"a slow test has its line", []string{
			`{"Action":"run",` + p + `,"Test":"TestA"}`,
			`{"Action":"pass",` + p + `,"Test":"TestA","Elapsed":2.5}`,
		}, "1 passed, 0 failed", "pass   drivers/fs TestA (2.5s)"},
		{"only the subtests count", []string{
			`{"Action":"run",` + p + `,"Test":"TestA"}`,
			`{"Action":"run",` + p + `,"Test":"TestA/x"}`,
			`{"Action":"run",` + p + `,"Test":"TestA/y"}`,
			`{"Action":"pass",` + p + `,"Test":"TestA/x"}`,
			`{"Action":"pass",` + p + `,"Test":"TestA/y"}`,
			`{"Action":"pass",` + p + `,"Test":"TestA"}`,
		}, "2 passed, 0 failed", ""},
		{"a fault counts once", []string{
			`{"Action":"run",` + p + `,"Test":"TestA"}`,
			`{"Action":"run",` + p + `,"Test":"TestA/x"}`,
			`{"Action":"output",` + p + `,"Test":"TestA/x","Output":"=== RUN   TestA/x\n"}`,
			`{"Action":"output",` + p + `,"Test":"TestA/x","Output":"    a_test.go:3: got 1, want 2\n"}`,
			`{"Action":"fail",` + p + `,"Test":"TestA/x"}`,
			`{"Action":"fail",` + p + `,"Test":"TestA"}`,
			`{"Action":"fail",` + p + `}`,
		}, "0 passed, 1 failed", "FAIL   drivers/fs TestA/x (0s)\n           a_test.go:3: got 1, want 2\n"},
		{"a parent fails by itself", []string{
			`{"Action":"run",` + p + `,"Test":"TestA"}`,
			`{"Action":"run",` + p + `,"Test":"TestA/x"}`,
			`{"Action":"pass",` + p + `,"Test":"TestA/x"}`,
			`{"Action":"fail",` + p + `,"Test":"TestA"}`,
			`{"Action":"fail",` + p + `}`,
		}, "1 passed, 1 failed", "FAIL   drivers/fs TestA"},
		{"a slash in the name of a subtest", []string{
			`{"Action":"start",` + p + `}`,
			`{"Action":"run",` + p + `,"Test":"TestA"}`,
			`{"Action":"run",` + p + `,"Test":"TestA/x/y"}`,
			`{"Action":"run",` + p + `,"Test":"TestA/x/z"}`,
			`{"Action":"pass",` + p + `,"Test":"TestA/x/y"}`,
			`{"Action":"fail",` + p + `,"Test":"TestA/x/z"}`,
			`{"Action":"fail",` + p + `,"Test":"TestA"}`,
			`{"Action":"fail",` + p + `}`,
		}, "1 passed, 1 failed", ""},
		{"a test that runs twice", []string{
			`{"Action":"start",` + p + `}`,
			`{"Action":"run",` + p + `,"Test":"TestA"}`,
			`{"Action":"run",` + p + `,"Test":"TestA/x"}`,
			`{"Action":"fail",` + p + `,"Test":"TestA/x"}`,
			`{"Action":"fail",` + p + `,"Test":"TestA"}`,
			`{"Action":"run",` + p + `,"Test":"TestA"}`,
			`{"Action":"run",` + p + `,"Test":"TestA/x"}`,
			`{"Action":"pass",` + p + `,"Test":"TestA/x"}`,
			`{"Action":"fail",` + p + `,"Test":"TestA"}`,
			`{"Action":"fail",` + p + `}`,
			`{"Action":"start",` + p + `}`,
			`{"Action":"output",` + p + `,"Output":"panic before its first test\n"}`,
			`{"Action":"fail",` + p + `}`,
		}, "1 passed, 3 failed", "panic before its first test"},
		{"a skipped test", []string{
			`{"Action":"run",` + p + `,"Test":"TestA"}`,
			`{"Action":"skip",` + p + `,"Test":"TestA"}`,
			`{"Action":"pass",` + p + `}`,
		}, "0 passed, 0 failed, 1 skipped", "SKIP   drivers/fs TestA"},
		{"a package without tests", []string{
			`{"Action":"skip",` + p + `}`,
		}, "0 passed, 0 failed", ""},
		{"a package does not build", []string{
			`{"ImportPath":"x [x.test]","Action":"build-output","Output":"a.go:1:1: undefined: y\n"}`,
			`{"ImportPath":"x [x.test]","Action":"build-fail"}`,
			`{"Action":"start",` + p + `}`,
			`{"Action":"fail",` + p + `,"FailedBuild":"x [x.test]"}`,
		}, "0 passed, 1 failed", "a.go:1:1: undefined: y"},
		{"a package ends early", []string{
			`{"Action":"run",` + p + `,"Test":"TestA"}`,
			`{"Action":"run",` + p + `,"Test":"TestA/x"}`,
			`{"Action":"output",` + p + `,"Test":"TestA/x","Output":"panic: no\n"}`,
			`{"Action":"output",` + p + `,"Output":"exit status 2\n"}`,
			`{"Action":"fail",` + p + `}`,
		}, "0 passed, 1 failed", "FAIL   drivers/fs TestA/x (0s)\n       panic: no\nFAIL   drivers/fs TestA (0s)\nFAIL   drivers/fs (0s)\n       exit status 2\n"},
		{"a package ends before its first test", []string{
			`{"Action":"output",` + p + `,"Output":"no MinIO\n"}`,
			`{"Action":"fail",` + p + `}`,
		}, "0 passed, 1 failed", "no MinIO"},
		{"a measurement", []string{
			`{"Action":"output",` + p + `,"Test":"TestA","Output":"    a_test.go:3: measured: 12 requests\n"}`,
		}, "0 passed, 0 failed", "drivers/fs TestA: 12 requests"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out strings.Builder
			tally := newTally(&out)
			if err := tally.read(strings.NewReader(strings.Join(tc.events, "\n"))); err != nil {
				t.Fatal(err)
			}
			if got := tally.totals(); got != tc.totals {
				t.Errorf("totals %q, want %q", got, tc.totals)
			}
			if !strings.Contains(out.String(), tc.shown) {
				t.Errorf("printed %q, want %q in it", out.String(), tc.shown)
			}
		})
	}
}

func TestRequired(t *testing.T) {
	file := filepath.Join(t.TempDir(), "required.txt")
	const list = "# the drivers\ndrivers/fs TestA\n\ndrivers/fs TestA/x\ndrivers/minio TestA\n"
	if err := os.WriteFile(file, []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	tally := newTally(&out)
	tally.ran[testName{module + "drivers/fs", "TestA"}] = true
	tally.ran[testName{module + "drivers/fs", "TestA/x"}] = true
	if err := checkRequired(tally, file); err != nil {
		t.Fatal(err)
	}
	if want := "FAIL   drivers/minio TestA did not run\n"; out.String() != want || tally.failed != 1 {
		t.Errorf("printed %q, %d failed, want %q and 1", out.String(), tally.failed, want)
	}
}

func TestBadStream(t *testing.T) {
	if err := newTally(&strings.Builder{}).read(strings.NewReader("go: no such tool\n")); err == nil {
		t.Error("no error")
	}
}
