package fs

import (
	"os"
	"syscall"
)

// stampOf reads what tells one state of a folder from another.
func stampOf(fi os.FileInfo) (stamp, bool) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}, false
	}
	return stamp{device: uint64(st.Dev), inode: st.Ino, modified: st.Mtim.Nano(), changed: st.Ctim.Nano()}, true
}
