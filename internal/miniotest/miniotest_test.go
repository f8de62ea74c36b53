package miniotest

import (
	"os"
	"strings"
	"testing"
)

func TestFindSaysWhatIsMissing(t *testing.T) {
	t.Setenv("LONGSHORE_TOOLS", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	_, err := Find()
	if err == nil || !strings.Contains(err.Error(), "$LONGSHORE_TOOLS") {
		t.Errorf("got %v, want an error that names $LONGSHORE_TOOLS", err)
	}
}

func TestFindPrefersTools(t *testing.T) {
	dir := t.TempDir()
	want := dir + "/minio"
	if err := os.WriteFile(want, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LONGSHORE_TOOLS", dir)
	if got, err := Find(); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}
