//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/fs"
	"github.com/longshore-registry/longshore/drivers/minio"
	"github.com/longshore-registry/longshore/internal/miniotest"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "seed of the random choices of TestKill and TestReplicas; 0: a new one, which is printed")
	killsFlag = flag.Int("kills", 200, "how often TestKill kills the server on each store")
)

// seed is that of one test.
func seed(t *testing.T) uint64 {
	s := *seedFlag
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the random choices were those of -seed %d", s)
		}
	})
	return s
}

// A rig is a store, with the settings for longshore and a driver for the test itself.
type rig struct {
	addr string                     // of the store's server; "" for a folder
	env  func(addr string) []string // for a store that is reached at addr
	open func(t *testing.T) drivers.Driver
}

func fsRig(t *testing.T) rig {
	root := filepath.Join(t.TempDir(), "images")
	return rig{
		env: func(string) []string { return []string{"LONGSHORE_STORAGE_FS_ROOT=" + root} },
		open: func(t *testing.T) drivers.Driver {
			d, err := fs.Open(t.Context(), fs.Config{Root: root})
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
	}
}

func minioRig(t *testing.T) rig {
	m := miniotest.Start(t)
	versionOf(t, "minio")
	return rig{
		addr: m.Addr,
		env: func(addr string) []string {
			return append(s3Env("MINIO", "http://"+addr, m.User, m.Password), "LONGSHORE_STORAGE_MINIO_TIMEOUT=1s", "LONGSHORE_STORAGE_MINIO_ATTEMPTS=4")
		},
		open: func(t *testing.T) drivers.Driver {
			c := minio.Defaults()
			c.Endpoint, c.Bucket, c.AccessKey, c.SecretKey = m.Addr, "images", m.User, drivers.Secret(m.Password)
			d, err := minio.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(d.Close)
			return d
		},
	}
}

// rigs are the stores of TestKill and TestReplicas.
func rigs() []struct {
	name  string
	setup func(t *testing.T) rig
} {
	return []struct {
		name  string
		setup func(t *testing.T) rig
	}{{"fs", fsRig}, {"minio", minioRig}}
}

// TestKill kills the server again and again while clients push and collections run. What the clients were promised has to be
// there at the end, and nothing else two collections later.
func TestKill(t *testing.T) {
	program, err := made.hurried()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rigs() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			testKill(t, program, r.setup(t))
		})
	}
}

func testKill(t *testing.T, program string, store rig) {
	const clients = 12
	const patience, late = 5 * time.Second, 3 * time.Second
	seed, addr, env := seed(t), freeAddr(t), store.env(store.addr)
	random := rand.New(rand.NewPCG(seed, 1<<32))
	server := newReplica(t, program, addr, append(env, hurriedEnv(true)...))
	// What is held in memory and put at once, and what goes to the store in parts.
	layers := []float64{1e3, 2e3, 4e3, 8e3, 1e4, 2e4, 3e4, 5e4, 6e4, 1e5, 2e5, 5e5, 1e6, 3e6, 6e6, 9e6, 20e6}
	f := newFleet(t, seed, patience, late, layers, addr)
	f.grep = server.grep
	gc := &gcLoop{program: program, env: slices.Concat(os.Environ(), env, hurriedEnv(false)), violate: f.violate, rand: rand.New(rand.NewPCG(seed, 1<<33))}
	gc.removed = map[string]int{}

	began := time.Now()
	stop := make(chan struct{})
	server.start()
	wait := f.start(t.Context(), seed, clients, stop)
	var collecting sync.WaitGroup
	collecting.Go(func() { gc.run(t.Context(), stop) })
	for i := range *killsFlag {
		pauseFor(t.Context(), time.Duration(20+random.IntN(580))*time.Millisecond)
		server.kill()
		server.start()
		if t.Failed() {
			t.Logf("after %d kills", i+1)
			break
		}
	}
	killed := time.Since(began)
	close(stop)
	wait()
	collecting.Wait()
	ended := time.Now()
	images := f.checkAll(t.Context(), 0)
	server.collected(&gc.collections, f.violate)
	kills := server.kills
	if !t.Failed() {
		scrub(t, gc)
		pauseFor(t.Context(), time.Until(ended.Add(hurriedGrace+2*time.Second))) // seconds are the finest that MinIO tells
		server.kill()
		for ran := 0; ran < 2; pauseFor(t.Context(), 100*time.Millisecond) {
			if gc.once(t.Context(), 0) { // the killed server may have the lease still
				ran++
			}
		}
		scrub(t, gc)
		held := readStore(t, store.open(t))
		for _, wrong := range held.wrong {
			f.violate("%s", wrong)
		}
		t.Logf("the store holds %v", held)
		server.env = slices.Concat(os.Environ(), env, hurriedEnv(false), []string{"LONGSHORE_HTTP_ADDR=" + addr})
		server.start()
		if again := f.checkAll(t.Context(), 0); again != images {
			t.Errorf("%d images before the last collections, %d after", images, again)
		}
	}
	said := fmt.Sprintf("%d kills in %v; %s; %s; %d names of images hold at the end, 0 lost", kills, killed.Round(time.Second), f.counts, gc.collections, images)
	t.Attr("kills", said)
	t.Logf("measured: %s", said)
}

// scrub fails the test if longshore finds damage in the store.
func scrub(t *testing.T, g *gcLoop) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), g.program, "scrub", "--bytes", "--pause", "1s")
	cmd.Env = g.env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("longshore scrub: %v\n%s", err, out)
	}
}

// String tells what clients did.
func (c *counts) String() string {
	return fmt.Sprintf("%d pushes acknowledged, %d of them moved a tag, %d deletes, %d whole pulls, %d blobs uploaded, %d in chunks of which %d went on after a break, %d mounted; "+
		"%d requests without an answer, %d answered with 5xx, %d manifests refused for a blob that was collected, %d pushes and uploads abandoned",
		c.pushes.Load(), c.moves.Load(), c.deletes.Load(), c.pulls.Load(), c.uploads.Load(), c.chunked.Load(), c.resumed.Load(), c.mounts.Load(),
		c.brokenOff.Load(), c.busy.Load(), c.refused.Load(), c.givenUp.Load())
}

// String tells what collections did.
func (c collections) String() string {
	return fmt.Sprintf("%d collections begun, %d broken off; removed %v", c.begun, c.begun-c.ended, c.removed)
}

// pauseFor waits, unless ctx ends.
func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// A gcLoop runs longshore gc again and again, and kills half of them.
type gcLoop struct {
	collections
	program string
	env     []string
	rand    *rand.Rand
	violate func(format string, args ...any)
}

func (g *gcLoop) run(ctx context.Context, stop <-chan struct{}) {
	for {
		life := time.Duration(0)
		if g.rand.IntN(2) == 0 {
			life = time.Duration(100+g.rand.IntN(2000)) * time.Millisecond
		}
		g.once(ctx, life)
		select {
		case <-time.After(100 * time.Millisecond):
		case <-stop:
			return
		}
	}
}

// once collects; the process is killed after life, unless that is 0. It reports false if another process collects.
func (g *gcLoop) once(ctx context.Context, life time.Duration) bool {
	killing, cancel := context.WithCancel(ctx)
	if life > 0 {
		killing, cancel = context.WithTimeout(ctx, life)
	}
	defer cancel()
	cmd := exec.CommandContext(killing, g.program, "gc", "-v", "-o", "json")
	var stdout, stderr bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = g.env, &stdout, &stderr
	err := cmd.Run()
	ended := g.last(stdout.Bytes())
	if strings.Contains(stderr.String(), "another process collects") {
		return false
	}
	g.begun++
	if ended {
		g.ended++
	}
	if err != nil && killing.Err() == nil {
		g.violate("longshore gc: %v\n%s%s", err, stdout.String(), stderr.String())
	}
	return true
}

// last counts what the lines say was removed, and reports whether there is the one that ends a collection.
func (g *gcLoop) last(out []byte) (ended bool) {
	for line := range bytes.Lines(out) {
		var l struct {
			Kind, Error string
			Took        string
		}
		if json.Unmarshal(line, &l) != nil {
			continue // half a line
		}
		if l.Kind != "" && l.Error == "" {
			g.removed[l.Kind]++
		}
		ended = ended || l.Took != ""
	}
	return ended
}
