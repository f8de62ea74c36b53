package fs

import "testing"

func TestFoldersTell(t *testing.T) {
	d := open(t, Config{Root: t.TempDir()})
	if d.folders == nil {
		t.Error("Linux's own file systems change a folder's times with its names")
	}
	tidy(t, d)
}
