package cli

import (
	"testing"
	"testing/fstest"
)

func TestContainerMemory(t *testing.T) {
	const group = "proc/self/cgroup"
	for _, test := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"no control groups", nil, 0},
		{"version 2 in a container", map[string]string{group: "0::/\n", "sys/fs/cgroup/memory.max": "268435456\n"}, 256 << 20},
		{"version 2 without a limit", map[string]string{group: "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0},
		{"a service of systemd", map[string]string{
			group: "0::/system.slice/longshore.service\n", "sys/fs/cgroup/system.slice/longshore.service/memory.max": "1073741824\n",
			"sys/fs/cgroup/system.slice/memory.max": "max\n",
		}, 1 << 30},
		{"a group above has less", map[string]string{
			group: "0::/pod/container\n", "sys/fs/cgroup/pod/container/memory.max": "1073741824\n", "sys/fs/cgroup/pod/memory.max": "536870912\n",
		}, 512 << 20},
		{"version 1", map[string]string{
			group: "3:cpu,cpuacct:/\n2:memory:/docker/abc\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "134217728\n",
		}, 128 << 20},
		{"version 1 without a limit", map[string]string{
			group: "2:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 0},
		{"not understood", map[string]string{group: "x\n0::/\n", "sys/fs/cgroup/memory.max": "a lot\n"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range test.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := containerMemory(root); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}
