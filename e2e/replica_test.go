//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// A replica is a longshore that is killed and started again and again, with one log. One that ends because it finds its store out of
// reach is started again too, as whatever runs longshore would do.
type replica struct {
	t       *testing.T
	program string
	env     []string
	log     string // path of what all its processes print
	kills   int

	cmd   *exec.Cmd
	mu    sync.Mutex // guards cmd and dying
	dying bool
	ended chan struct{} // closed when it does not run any more
}

// newReplica makes a replica that does not run yet. It is killed when the test ends.
func newReplica(t *testing.T, program, addr string, env []string) *replica {
	r := &replica{t: t, program: program, log: filepath.Join(t.TempDir(), "log"), env: slices.Concat(os.Environ(), env, []string{"LONGSHORE_HTTP_ADDR=" + addr})}
	t.Cleanup(func() {
		if r.ended != nil {
			r.kill()
		}
	})
	return r
}

// start starts the program. It does not wait for it.
func (r *replica) start() {
	r.dying, r.ended = false, make(chan struct{})
	started := make(chan struct{})
	go func() {
		defer close(r.ended)
		for first := true; ; first = false {
			wait := r.run()
			if first {
				close(started)
			}
			if wait == nil {
				return
			}
			err := wait()
			r.mu.Lock()
			dying := r.dying
			r.mu.Unlock()
			if dying {
				return
			}
			if said := r.tail(); !strings.Contains(said, "the store cannot be opened") || !strings.Contains(said, "out of reach") {
				r.t.Errorf("longshore ended by itself: %v\n%s", err, said)
				return
			}
		}
	}()
	<-started
}

// run starts one process and returns how to wait for it; nil if none is to be started or it can't be.
func (r *replica) run() (wait func() error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dying {
		return nil
	}
	out, err := os.OpenFile(r.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Error(err)
		return nil
	}
	defer out.Close()
	cmd := exec.Command(r.program, "serve")
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = filepath.Dir(r.log), r.env, out, out // no configuration lies there
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		r.t.Error(err)
		return nil
	}
	r.cmd = cmd
	return cmd.Wait
}

// kill ends the process without warning.
func (r *replica) kill() {
	r.mu.Lock()
	r.dying = true
	if r.cmd != nil {
		_ = r.cmd.Process.Kill() // fails if it has ended by itself
	}
	r.mu.Unlock()
	<-r.ended
	r.ended = nil
	r.kills++
}

// tail is the end of what the replica has printed.
func (r *replica) tail() string {
	body, err := os.ReadFile(r.log)
	if err != nil {
		return err.Error()
	}
	return string(body[max(0, len(body)-4000):])
}

// A logLine is what the tests want of a line of the log.
type logLine struct {
	Level, Msg, Kind, Phase, Err string
}

// eachLine calls do for each line of the log that is whole, with its text. A killed process can leave half of one.
func eachLine(path string, do func(line logLine, text string)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l logLine
		if json.Unmarshal(lines.Bytes(), &l) == nil {
			do(l, lines.Text())
		}
	}
	return lines.Err()
}

// grep returns the last lines of the log that have the text.
func (r *replica) grep(text string) (found []string) {
	const most = 30
	err := eachLine(r.log, func(_ logLine, line string) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	})
	if err != nil {
		return []string{err.Error()}
	}
	return found[max(0, len(found)-most):]
}

// collected counts what the replica's own collections did, and finds what it should not have said.
func (r *replica) collected(c *collections, violate func(string, ...any)) {
	err := eachLine(r.log, func(l logLine, text string) {
		switch {
		case l.Msg == "garbage is being collected" && l.Phase == firstPhase:
			c.begun++
		case l.Msg == "garbage collected":
			c.ended++
		case l.Msg == "garbage was removed":
			c.removed[l.Kind]++
		case strings.Contains(l.Err, "returned something else"), strings.Contains(l.Err, "is not there"), strings.Contains(l.Msg, "a fault in the program"):
			violate("the log of a replica: %s", text)
		}
	})
	if err != nil {
		violate("%v", err)
	}
}
