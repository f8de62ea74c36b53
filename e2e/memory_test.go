//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// maxMemory is what the process may have had in memory at its peak, in kB, whatever the clients do.
const maxMemory = 300_000

// TestMemory has 32 clients push a layer of 100 MB each at once, one half as docker does (a streamed PATCH without a length), the other as
// containerd does (all in the closing PUT), and reads how much memory longshore has taken at most.
func TestMemory(t *testing.T) {
	onEach(t, func(t *testing.T, env []string) {
		const clients, size = 32, 100_000_000
		s := serve(t, freeAddr(t), env)
		group, ctx := errgroup.WithContext(t.Context())
		for client := range clients {
			group.Go(func() error {
				if client%2 == 0 {
					return pushStreamed(ctx, s.remote, newLayer(client, size))
				}
				sum := sha256.New()
				if _, err := io.Copy(sum, newLayer(client, size)); err != nil {
					return err
				}
				return s.pushBlob(ctx, "memory/put", fmt.Sprintf("sha256:%x", sum.Sum(nil)), newLayer(client, size), size)
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		peak := peakMemory(t, s.process)
		t.Logf("measured: %d MB at most while %d clients pushed %d MB each", peak/1000, clients, size/1_000_000)
		if peak > maxMemory {
			t.Errorf("%d kB of memory at most, want no more than %d", peak, maxMemory)
		}
	})
}

// pushStreamed uploads a body whose digest becomes known at its end, in POST, PATCH and PUT.
func pushStreamed(ctx context.Context, r remote, body io.Reader) error {
	location, err := r.startUpload(ctx, "memory/patch")
	if err != nil {
		return err
	}
	sum := sha256.New()
	a, err := r.send(ctx, http.MethodPatch, location, nil, io.TeeReader(body, sum), -1, http.StatusAccepted)
	if err != nil {
		return err
	}
	return r.finish(ctx, a.Header.Get("Location"), fmt.Sprintf("sha256:%x", sum.Sum(nil)), nil, 0)
}

// newLayer is size bytes that differ between clients and cost nothing to make.
func newLayer(client int, size int64) io.Reader {
	return io.LimitReader(&repeated{block: []byte(random(uint64(1000+client), 1<<20))}, size)
}

// A repeated is the same block again and again.
type repeated struct {
	block []byte
	off   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.block[r.off:])
	r.off = (r.off + n) % len(r.block)
	return n, nil
}

// peakMemory is the largest resident set of a running process, in kB: VmHWM in proc(5).
func peakMemory(t *testing.T, p *process) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			peak, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return peak
		}
	}
	t.Fatal("no VmHWM in /proc")
	return 0
}
