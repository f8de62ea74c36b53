// Package daemon runs servers of others for tests.
package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Patience is how long a server is given to start. A loaded machine took four times as long as a quiet one, which
// takes a few seconds at the most.
const Patience = 60 * time.Second

// Find returns the path of a program: in $LONGSHORE_TOOLS, else in PATH. The error says how to install it.
func Find(program, install string) (string, error) {
	if tools := os.Getenv("LONGSHORE_TOOLS"); tools != "" {
		path := filepath.Join(tools, program)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("this test needs %s in PATH or in the folder $LONGSHORE_TOOLS (%s)", program, install)
	}
	return path, nil
}

// FreePort is FreePorts for one.
func FreePort() (int, error) {
	ports, err := FreePorts(1)
	if err != nil {
		return 0, err
	}
	return ports[0], nil
}

// FreePorts finds n ports of 127.0.0.1 above 20000 that nothing listens on. Another process may take one before its
// user does, which is unlikely: the system gives none of these to a listener or a connection that asks for any
// (net.ipv4.ip_local_port_range), and Ceph's daemons begin at 21000.
func FreePorts(n int) (ports []int, err error) {
	const from, to = 30_000, 32_768
	var held []net.Listener // so that none is found twice
	defer func() {
		for _, l := range held {
			err = errors.Join(err, l.Close())
		}
	}()
	for range 100 * n {
		port := from + rand.IntN(to-from)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return nil, err
		}
		ports, held = append(ports, port), append(held, l)
		if len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("found no %d free ports from %d to %d", n, from, to)
}

// Process is a server that runs.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed after how is set
	how   error
	log   safeBuffer
}

// Start starts cmd, whose output it keeps.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	go func() {
		p.how = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// Until polls until ready, and fails if the process ends or [Patience] does.
func (p *Process) Until(ready func() bool) error {
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok := ready()
		select {
		case <-p.ended: // also if something else is ready, on its port
			return fmt.Errorf("%s ended at once (%v); it said:\n%s", p.cmd.Path, p.how, p.Log())
		default:
		}
		if ok {
			return nil
		}
		select {
		case <-p.ended:
		case <-deadline.C:
			return fmt.Errorf("%s was not ready after %v; it said:\n%s", p.cmd.Path, Patience, p.Log())
		case <-tick.C:
		}
	}
}

// UntilAnswers is Until something answers at url, whatever that is.
func (p *Process) UntilAnswers(url string) error {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: 10 * time.Second}
	return p.Until(func() bool {
		r, err := client.Get(url)
		if err != nil {
			return false
		}
		_ = r.Body.Close() // what it says does not matter
		return true
	})
}

// Kill ends the process and returns when it is gone. A second call does nothing.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.ended
}

// Log is what the process has printed so far.
func (p *Process) Log() string { return p.log.String() }

// Command runs a program to its end. The error holds what it printed.
func Command(ctx context.Context, env []string, program string, args ...string) (output string, err error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %q: %w: %s", program, args, err, out)
	}
	return string(out), nil
}

// safeBuffer is a bytes.Buffer for a writer and a reader at the same time.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write is part of io.Writer.
func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// String is what was written.
func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
