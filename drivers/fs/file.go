//go:build unix

package fs

import (
	"errors"
	"os"
	"syscall"
)

// openFile is os.OpenFile without the attempt to have the runtime wait for the file, which it does for pipes and
// connections: with a file that is on a disk that attempt fails, at the price of five system calls.
func openFile(path string, flags int, mode uint32) (*os.File, error) {
	for {
		fd, err := syscall.Open(path, flags|syscall.O_CLOEXEC, mode)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), path), nil
		case !errors.Is(err, syscall.EINTR):
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

// openRead opens a file or a folder.
func openRead(path string) (*os.File, error) { return openFile(path, syscall.O_RDONLY, 0) }

// linkNew renames a file unless there is something at to, in two steps: for a moment it has both names.
func linkNew(from, to string) error {
	err := os.Link(from, to)
	if err == nil {
		_ = remove(from) // what matters is there
	}
	return err
}

// remove removes the file at path. os.Remove would also try whether it is an empty folder, and remove that.
func remove(path string) error {
	for {
		err := syscall.Unlink(path)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EINTR):
			return &os.PathError{Op: "unlink", Path: path, Err: err}
		}
	}
}
