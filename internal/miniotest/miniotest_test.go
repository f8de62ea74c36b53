package miniotest

import (
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
