package fs

import (
	"os"
	"syscall"
)

// Flags of sync_file_range(2).
const (
	waitBefore = 1
	start      = 2
	waitAfter  = 4
)

// writeBack has the system begin to put the bytes from middle to to on disk, and waits for
// those from from to middle. It makes nothing durable; that is left to fsync.
func writeBack(f *os.File, from, middle, to int64) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		failed = syscall.SyncFileRange(int(fd), middle, to-middle, start)
		if failed == nil && middle > from {
			failed = syscall.SyncFileRange(int(fd), from, middle-from, waitBefore|start|waitAfter)
		}
	})
	if err != nil {
		return err
	}
	if is(failed, syscall.ENOSYS, syscall.ESPIPE, syscall.EINVAL) {
		return nil // a file system that can't; fsync will do all of it
	}
	return failed
}
