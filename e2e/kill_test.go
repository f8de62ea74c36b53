//go:build e2e

package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

var killsFlag = flag.Int("kills", 200, "how often TestKill kills the server on each store")

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
		if random.IntN(4) > 0 { // else it may be killed while it opens the store
			awaitAnswer(t.Context(), addr, time.Second)
		}
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
	if images == 0 {
		t.Error("nobody was promised an image")
	}
	if !t.Failed() {
		scrub(t, gc)
		pauseFor(t.Context(), time.Until(ended.Add(hurriedGrace+2*time.Second))) // seconds are the finest that MinIO tells
		server.kill()
		for ran := 0; ran < 2; pauseFor(t.Context(), 100*time.Millisecond) {
			if gc.once(t.Context(), 0) { // not if the killed server has the lease still
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
	if t.Failed() {
		return
	}
	said := fmt.Sprintf("%d kills in %v; %s; %s; %d names of images hold at the end, 0 lost", kills, killed.Round(time.Second), f.counts, gc.collections, images)
	t.Attr("kills", said)
	t.Logf("measured: %s", said)
}

// awaitAnswer returns when a server answers, or after the patience.
func awaitAnswer(ctx context.Context, addr string, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		if _, err := (remote{addr}).get(ctx, "/v2/", http.StatusOK); err == nil || ctx.Err() != nil {
			return
		}
		<-poll.C
	}
}
