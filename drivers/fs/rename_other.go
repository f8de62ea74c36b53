//go:build unix && !linux

package fs

import (
	"os"
	"syscall"
)

// renameNew is what only Linux can.
func renameNew(from, to string) error {
	return &os.LinkError{Op: "rename", Old: from, New: to, Err: syscall.ENOSYS}
}
