package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// says runs a command of p, whose exit code and words have to be those. With json in the line, each line of stdout has to be JSON.
func says(t *testing.T, p program, stdout, stderr *bytes.Buffer, line string, code int, words []string) {
	t.Helper()
	if got := p.run(strings.Fields(line)); got != code {
		t.Errorf("exit code %d, want %d", got, code)
	}
	said := stdout.String() + stderr.String()
	for _, want := range words {
		if !strings.Contains(said, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(line, "json") {
		for one := range strings.Lines(stdout.String()) {
			if !json.Valid([]byte(one)) {
				t.Errorf("not JSON: %s", one)
			}
		}
	}
	if t.Failed() {
		t.Log(said)
	}
}
