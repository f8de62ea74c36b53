package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/longshore-registry/longshore/conformance"
)

// progress tells how far it is: on a terminal one line that changes, elsewhere a line for each method. What failed has a line of its own.
type progress struct {
	out      io.Writer
	terminal bool
	began    time.Time

	mu                     sync.Mutex
	method                 string // of the cases that are counted
	passed, failed, notRun int
}

func (p program) showProgress() *progress {
	return &progress{out: p.stderr, terminal: isTerminal(p.stderr), began: time.Now()}
}

// clearLine goes to the beginning of the line and empties it.
const clearLine = "\r\x1b[K"

// line prints a line that stays.
func (g *progress) line(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.print(fmt.Sprintf(format, args...))
}

func (g *progress) print(line string) {
	if g.terminal {
		line = clearLine + line
	}
	fmt.Fprintln(g.out, line)
}

// plainLine prints a line where doing prints none.
func (g *progress) plainLine(format string, args ...any) {
	if !g.terminal {
		g.line(format, args...)
	}
}

// doing is what happens now, on the line that changes.
func (g *progress) doing(what string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.terminal {
		fmt.Fprintf(g.out, "%s%.78s", clearLine, what) // longer ones would not stay on their line
	}
}

// clear empties the line that changes.
func (g *progress) clear() { g.doing("") }

// begin is told of each case.
func (g *progress) begin(n, of int, name string) {
	g.doing(fmt.Sprintf("%d of %d, %v  %s", n, of, g.elapsed(), name))
}

// end is told what came of each case.
func (g *progress) end(n, of int, r conformance.Result) {
	g.mu.Lock()
	defer g.mu.Unlock()
	method, _, _ := strings.Cut(r.Name, "/")
	if method != g.method {
		g.total(n - 1)
		g.method = method
	}
	switch {
	case r.NotRun != "":
		g.notRun++
	case r.Failed:
		g.failed++
		g.print("failed: " + r.Name)
	default:
		g.passed++
	}
	if n == of {
		g.total(n)
	}
}

// total tells off a terminal what came of a method, n cases in all having ended.
func (g *progress) total(n int) {
	if !g.terminal && g.passed+g.failed+g.notRun > 0 {
		g.print(fmt.Sprintf("%4d  %-14s %d passed, %d failed, %d not run, after %v", n, g.method, g.passed, g.failed, g.notRun, g.elapsed()))
	}
	g.passed, g.failed, g.notRun = 0, 0, 0
}

func (g *progress) elapsed() time.Duration { return time.Since(g.began).Round(time.Second) }
