package daemon

import (
	"os"
	"strings"
	"testing"
)

func TestFindSaysWhatIsMissing(t *testing.T) {
	t.Setenv("LONGSHORE_TOOLS", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	_, err := Find("gateway", "apt-get install gateway")
	if err == nil || !strings.Contains(err.Error(), "gateway") || !strings.Contains(err.Error(), "apt-get") {
		t.Errorf("got %v, want an error that says how to install it", err)
	}
}

func TestFindPrefersTools(t *testing.T) {
	dir := t.TempDir()
	want := dir + "/gateway"
	if err := os.WriteFile(want, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LONGSHORE_TOOLS", dir)
	if got, err := Find("gateway", ""); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}
