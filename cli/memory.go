package cli

import (
	"bytes"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// heedMemoryLimit tells Go's collector of the container's memory limit, if there is one, so that it collects more often
// before the kernel ends the process. A tenth of it is left for what the collector does not see. GOMEMLIMIT in the environment
// overrules it.
func heedMemoryLimit(log *slog.Logger) {
	if debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return
	}
	if limit := containerMemory(os.DirFS("/")); limit > 0 {
		debug.SetMemoryLimit(limit / 10 * 9)
		log.Debug("the container has a memory limit", "bytes", limit)
	}
}

// containerMemory is the lowest memory limit in bytes of the control groups that the process is in, or 0 if there is none. root is
// the root of the file system; other systems than Linux have nothing there.
//
// The files are described in the kernel's documentation, admin-guide/cgroup-v2.rst ("Memory Interface Files") and
// admin-guide/cgroup-v1/memory.rst.
func containerMemory(root fs.FS) int64 {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	lowest := int64(0)
	for line := range strings.Lines(string(groups)) {
		// 0::/path is version 2; 5:memory:/path, perhaps among others, version 1.
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		folder, file := "sys/fs/cgroup", "memory.max"
		if parts[1] == "memory" {
			folder, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		} else if parts[1] != "" {
			continue
		}
		// Within a container the path may be one that only the host sees; then the group is the root.
		for group := path.Clean("/" + parts[2]); ; group = path.Dir(group) {
			limit := readLimit(root, path.Join(folder, group, file))
			if limit > 0 && (lowest == 0 || limit < lowest) {
				lowest = limit
			}
			if group == "/" {
				break
			}
		}
	}
	return lowest
}

// readLimit is the number in a file, or 0 if there is none or it stands for no limit.
func readLimit(root fs.FS, file string) int64 {
	const none = 1 << 60 // version 1 has a number of about 2^63 for no limit
	text, err := fs.ReadFile(root, file)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil || n > none {
		return 0
	}
	return n
}
