//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// firstPhase is what a collection does first.
const firstPhase = "finishing what an earlier collection left"

// collections counts.
type collections struct {
	begun, ended int
	removed      map[string]int // things, by kind
}

// String tells what collections did.
func (c collections) String() string {
	return fmt.Sprintf("%d collections begun, %d broken off; removed %v", c.begun, c.begun-c.ended, c.removed)
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

// once collects; the process is killed after life, unless that is 0. It reports false if another process collects, or if the machine is so
// busy that the few seconds of an announcement were not enough to delete something.
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
	if strings.Contains(stderr.String(), "deadline exceeded") {
		return false
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

// scrub fails the test if longshore finds damage in the store.
func scrub(t *testing.T, g *gcLoop) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), g.program, "scrub", "--bytes", "--pause", "1s")
	cmd.Env = g.env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("longshore scrub: %v\n%s", err, out)
	}
}
