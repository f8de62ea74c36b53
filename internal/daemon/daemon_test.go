package daemon

import (
	"os"
	"os/exec"
	"slices"
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

func TestFreePortsDiffer(t *testing.T) {
	ports, err := FreePorts(50)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ports)
	if len(slices.Compact(ports)) != 50 || ports[0] <= 20_000 {
		t.Errorf("got %d", ports)
	}
}

// TestUntilSeesTheEnd: that something answers does not count if it is not the process.
func TestUntilSeesTheEnd(t *testing.T) {
	p, err := Start(exec.Command("false"))
	if err != nil {
		t.Fatal(err)
	}
	p.Kill() // and waits
	if err := p.Until(func() bool { return true }); err == nil {
		t.Error("a process that has ended is ready")
	}
}
