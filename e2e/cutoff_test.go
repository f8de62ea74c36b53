//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/internal/faultproxy"
)

// TestReplicas has sixteen clients push, move and delete tags through two to four replicas that are killed, and cut off from their
// clients and their store. No tag may be lost, and none may dangle.
func TestReplicas(t *testing.T) {
	program, err := made.hurried()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rigs() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			for n := 2; n <= 4; n++ {
				if !t.Run(fmt.Sprintf("%d replicas", n), func(t *testing.T) { testReplicas(t, program, r.setup(t), n) }) {
					return
				}
			}
		})
	}
}

// A post is a replica on an address of its own, with the lines that lead to it and from it.
type post struct {
	*replica
	clients, store *faultproxy.Cut // store is nil for a folder
	rand           *rand.Rand
	cuts           *cuts
}

// cuts count what was done to all posts.
type cuts struct{ kills, breaks, silences, holds atomic.Int64 }

func testReplicas(t *testing.T, program string, store rig, n int) {
	const clients, long = 16, 28 * time.Second
	// A request to a replica that is cut off lives on there for as long as the store may be silent and may have to be waited for.
	const patience, late = 2 * time.Second, 15 * time.Second
	seed := seed(t)
	c := &cuts{}
	var posts []*post
	var targets []string
	for i := range n {
		_, port, err := net.SplitHostPort(freeAddr(t))
		if err != nil {
			t.Fatal(err)
		}
		host := fmt.Sprintf("127.0.0.%d", 2+i)
		p := &post{rand: rand.New(rand.NewPCG(seed, 1<<32+uint64(i))), cuts: c}
		addr := net.JoinHostPort(host, port)
		p.clients = faultproxy.NewCut(t, host, addr)
		reached := store.addr
		if reached != "" {
			p.store = faultproxy.NewCut(t, host, store.addr)
			reached = p.store.Addr
		}
		p.replica = newReplica(t, program, addr, append(store.env(reached), hurriedEnv(true)...))
		posts, targets = append(posts, p), append(targets, p.clients.Addr)
	}
	layers := []float64{1e3, 1e3, 2e3, 2e3, 4e3, 4e3, 8e3, 8e3, 1e4, 2e4, 5e4, 1e5, 6e6} // mostly small: it is about tags
	f := newFleet(t, seed, patience, late, layers, targets...)
	f.grep = func(text string) (lines []string) {
		for i, p := range posts {
			lines = append(lines, fmt.Sprintf("replica %d:", i))
			lines = append(lines, p.grep(text)...)
		}
		return lines
	}
	stop, quiet := make(chan struct{}), make(chan struct{})
	var trouble sync.WaitGroup
	for _, p := range posts {
		p.start()
		trouble.Go(func() { p.harass(t.Context(), quiet) })
	}
	wait := f.start(t.Context(), seed, clients, stop)
	pauseFor(t.Context(), long)
	close(quiet)
	trouble.Wait()
	close(stop)
	wait()

	var all collections
	all.removed = map[string]int{}
	images := make([]int, n)
	var checks sync.WaitGroup
	for i, p := range posts {
		checks.Go(func() { images[i] = f.checkAll(t.Context(), i) })
		p.collected(&all, f.violate)
	}
	checks.Wait()
	for i := range images {
		if images[i] != images[0] {
			t.Errorf("replica %d serves %d names, replica 0 %d", i, images[i], images[0])
		}
	}
	if t.Failed() {
		for _, p := range posts {
			t.Logf("the last errors of a replica:\n%v", p.grep(`"level":"ERROR"`))
		}
		return
	}
	said := fmt.Sprintf("%d replicas: %d kills, %d times their lines were broken, %d times silent, %d times held up; %s; %s; %d names of images hold at each replica, no tag lost, none dangling",
		n, c.kills.Load(), c.breaks.Load(), c.silences.Load(), c.holds.Load(), f.counts, all, images[0])
	t.Attr("replicas", said)
	t.Logf("measured: %s", said)
}

// harass kills the replica and cuts it off, one thing after the other, until quiet is closed.
func (p *post) harass(ctx context.Context, quiet <-chan struct{}) {
	between := func(least, most int) time.Duration {
		return time.Duration(least+p.rand.IntN(most-least)) * time.Millisecond
	}
	for {
		select {
		case <-quiet:
			return
		case <-time.After(between(200, 2000)):
		}
		line := p.clients
		if p.store != nil && p.rand.IntN(2) == 0 {
			line = p.store
		}
		switch p.rand.IntN(4) {
		case 0:
			p.kill()
			p.cuts.kills.Add(1)
			pauseFor(ctx, between(0, 300))
			p.start()
		case 1:
			line.Break()
			p.cuts.breaks.Add(1)
			pauseFor(ctx, between(20, 500))
			line.Mend()
		case 2:
			line.Silence()
			p.cuts.silences.Add(1)
			pauseFor(ctx, between(200, 1800))
			line.Mend()
		case 3:
			line.Hold()
			p.cuts.holds.Add(1)
			// A collector asks for no deletion in the last half second of its announcement, and a second after its end it counts no more.
			pauseFor(ctx, between(100, 1100))
			if p.rand.IntN(2) == 0 { // what it has asked for is done after its death
				p.kill()
				p.cuts.kills.Add(1)
				line.Mend()
				p.start()
			} else {
				line.Mend()
			}
		}
	}
}
