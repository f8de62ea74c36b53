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
	"syscall"
	"testing"
)

// A replica is a longshore that is killed and started again and again, with one log.
type replica struct {
	t       *testing.T
	program string
	env     []string
	log     string // path of what all its processes print

	cmd   *exec.Cmd
	done  chan error // gets how the process ended
	kills int
}

// newReplica makes a replica that does not run yet. It is killed when the test ends.
func newReplica(t *testing.T, program, addr string, env []string) *replica {
	r := &replica{t: t, program: program, log: filepath.Join(t.TempDir(), "log"), env: slices.Concat(os.Environ(), env, []string{"LONGSHORE_HTTP_ADDR=" + addr})}
	t.Cleanup(func() {
		if r.cmd != nil {
			r.kill()
		}
	})
	return r
}

// start starts the program. It does not wait for it.
func (r *replica) start() {
	out, err := os.OpenFile(r.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Error(err)
		return
	}
	defer out.Close()
	cmd := exec.Command(r.program, "serve")
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = filepath.Dir(r.log), r.env, out, out // no configuration lies there
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		r.t.Error(err)
		return
	}
	r.cmd, r.done = cmd, make(chan error, 1)
	go func(done chan<- error) { done <- cmd.Wait() }(r.done)
}

// kill ends the process without warning. One that has ended by itself fails the test.
func (r *replica) kill() {
	select {
	case err := <-r.done:
		r.t.Errorf("longshore ended by itself: %v\n%s", err, strings.Join(r.grep(""), "\n"))
	default:
		_ = r.cmd.Process.Kill()
		<-r.done
		r.kills++
	}
	r.cmd = nil
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

// firstPhase is what a collection does first.
const firstPhase = "finishing what an earlier collection left"

// collections counts.
type collections struct {
	begun, ended int
	removed      map[string]int // things, by kind
}
