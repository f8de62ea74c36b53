//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A process runs in the background of a test.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  string // path of what it prints
	done chan struct{}
	err  error // set when done is closed
}

// start starts cmd, with what it prints in a file that is shown if the test fails, and stops it when the test ends.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), filepath.Base(cmd.Path)+"-")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	// A test that is killed takes its servers with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: cmd, log: log.Name(), done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.stop(syscall.SIGTERM) // how it ended is the business of the tests that stop it themselves
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(cmd.Path), p.tail(100))
		}
	})
	return p
}

// stop sends the signal, waits for the end and returns how it ended. A process that does not end in 30 s is killed.
func (p *process) stop(signal syscall.Signal) error {
	_ = p.cmd.Process.Signal(signal) // fails only if the process has ended already
	select {
	case <-p.done:
		return p.err
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("did not end within 30 s of %s", signal)
	}
}

// tail returns the last n lines that the process printed.
func (p *process) tail(n int) string {
	body, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.SplitAfter(body, []byte("\n"))
	return string(bytes.Join(lines[max(len(lines)-n, 0):], nil))
}

// wait calls ready every few milliseconds until it returns nil. It fails the test if the process ends before, or after a minute.
func (p *process) wait(ready func() error) {
	p.t.Helper()
	deadline := time.After(time.Minute)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		err := ready()
		if err == nil {
			return
		}
		select {
		case <-p.done:
			p.t.Fatalf("%s ended before it was ready: %v\n%s", p.cmd.Path, p.err, p.tail(50))
		case <-deadline:
			p.t.Fatalf("%s is not ready after a minute: %v\n%s", p.cmd.Path, err, p.tail(50))
		case <-poll.C:
		}
	}
}

// freeAddr is an address on 127.0.0.1 whose port, above 20000, nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if addr := l.Addr().(*net.TCPAddr); addr.Port > 20000 {
			return addr.String()
		}
	}
	t.Fatal("no free port above 20000")
	return ""
}

// shortTempDir is a t.TempDir with a name short enough for Unix sockets in it (108 bytes), which is unmounted when the test ends.
func shortTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := removeTree(dir, nil); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// removeTree unmounts what container engines left mounted below dir, removes dir, and adds what went wrong to err.
func removeTree(dir string, err error) error {
	f, openErr := os.Open("/proc/self/mounts")
	if openErr != nil {
		return errors.Join(err, openErr)
	}
	defer f.Close()
	var mounts []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			mounts = append(mounts, fields[1])
		}
	}
	err = errors.Join(err, lines.Err())
	for _, mount := range slices.Backward(mounts) {
		err = errors.Join(err, syscall.Unmount(mount, syscall.MNT_DETACH))
	}
	return errors.Join(err, os.RemoveAll(dir))
}
