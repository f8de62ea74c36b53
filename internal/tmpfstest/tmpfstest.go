//go:build linux

// Package tmpfstest gives tests small file systems of their own, which can be full, or read-only.
package tmpfstest

import (
	"syscall"
	"testing"
)

// Mount mounts a tmpfs with the options of mount(8), such as size=1m, for as long as t runs, and returns its folder. It takes root; without it
// the test fails.
func Mount(t testing.TB, options string) string {
	t.Helper()
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, options); err != nil {
		t.Fatalf("this test has to mount a tmpfs, which takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, 0); err != nil {
			t.Errorf("unmount: a file is open still? %v", err)
		}
	})
	return folder
}
