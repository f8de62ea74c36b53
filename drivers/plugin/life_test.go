package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	goplugin "github.com/hashicorp/go-plugin"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/plugin"
	"github.com/longshore-registry/longshore/plugin/storagev1"
)

// serveOdd is a plugin that does not behave.
func serveOdd(args []string) {
	switch args[0] {
	case "dies": // at each start, after some words
		fmt.Fprintln(os.Stderr, "no backend today")
		os.Exit(3)
	case "silent": // says nothing
		_, _ = io.Copy(io.Discard, os.NewFile(3, ""))
	case "version": // of the future
		h := storagev1.Handshake()
		h.ProtocolVersion++
		goplugin.Serve(&goplugin.ServeConfig{HandshakeConfig: h, Plugins: goplugin.PluginSet{}, GRPCServer: goplugin.DefaultGRPCServer})
	case "slow": // takes nothing until a file is there
		plugin.Serve("slow", memory.Defaults(), func(ctx context.Context, c memory.Config) (*slow, error) {
			d, err := memory.Open(ctx, c)
			return &slow{Driver: d, file: args[1]}, err
		})
	}
}

// slow is a driver whose Writers wait for a file.
type slow struct {
	drivers.Driver
	file string
}

func (s *slow) Writer(ctx context.Context, key string, size int64) (drivers.Writer, error) {
	w, err := s.Driver.Writer(ctx, key, size)
	return &slowWriter{w, ctx, s.file}, err
}

type slowWriter struct {
	drivers.Writer
	ctx  context.Context
	file string
}

func (w *slowWriter) Write(p []byte) (int, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(w.file); err == nil {
			return w.Writer.Write(p)
		}
		select {
		case <-tick.C:
		case <-w.ctx.Done():
			return 0, w.ctx.Err()
		}
	}
}

// current is the process if it runs, or nil.
func current(d *Driver) *process {
	d.keeper.mu.Lock()
	defer d.keeper.mu.Unlock()
	if p := d.keeper.now; p != nil && !p.client.Exited() {
		return p
	}
	return nil
}

// pid is the plugin's.
func pid(d *Driver) int { return current(d).cmd.Process.Pid }

// kill ends the plugin as a crash does.
func kill(t *testing.T, d *Driver) {
	t.Helper()
	if err := syscall.Kill(pid(d), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// until polls, for 20 seconds at most.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// throttled fails t unless err tells of a plugin that is gone, to a client that may try again.
func throttled(t *testing.T, op string, err error) {
	t.Helper()
	var e *drivers.Error
	if !errors.As(err, &e) || !errors.Is(err, drivers.ErrThrottled) || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("%s: %v", op, err)
	}
}

// TestCrash kills the plugin at each point of its work. What was acknowledged is there afterwards.
func TestCrash(t *testing.T) {
	d := open(t, onFolder(t, t.TempDir()))
	d.keeper.pause = 2 // of whose half there is a random part
	ctx := t.Context()
	if err := d.Put(ctx, "a/kept", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte("0123456789abcdef"), 4<<20)
	write := func(key string) (drivers.Writer, error) {
		w, err := d.Writer(ctx, key, -1)
		if err == nil {
			_, err = w.Write(large)
		}
		return w, err
	}
	w, err := write("a/large")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	w, err = write("a/suspended")
	if err != nil {
		t.Fatal(err)
	}
	state, err := w.Suspend(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("in the middle of a body", func(t *testing.T) {
		r, _, err := d.Reader(ctx, "a/large", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		kill(t, d)
		got, err := io.ReadAll(r)
		throttled(t, "read", err)
		if !bytes.HasPrefix(large, got) || len(got) == len(large) {
			t.Errorf("%d bytes came", len(got))
		}
		_ = r.Close() // it has failed
	})
	t.Run("in the middle of a stream", func(t *testing.T) {
		w, err := write("a/lost")
		if err != nil {
			t.Fatal(err)
		}
		kill(t, d)
		throttled(t, "commit", w.Commit(ctx))
		if _, err := w.Write([]byte("x")); err == nil {
			t.Error("a Writer without a plugin takes bytes")
		}
		if err := w.Cancel(ctx); err != nil {
			t.Errorf("Cancel: %v", err)
		}
		if _, err := d.Stat(ctx, "a/lost"); !errors.Is(err, drivers.ErrNotFound) {
			t.Errorf("Stat: %v", err)
		}
	})
	t.Run("between Suspend and Resume", func(t *testing.T) {
		kill(t, d)
		until(t, "the plugin's end", func() bool { return current(d) == nil })
		var w drivers.Writer
		until(t, "the next start", func() bool {
			w, err = d.Resume(ctx, "a/suspended", state)
			return !errors.Is(err, drivers.ErrThrottled)
		})
		if err != nil {
			t.Fatal(err)
		}
		if w.Size() != int64(len(large)) {
			t.Errorf("Size() = %d", w.Size())
		}
		if err := w.Commit(ctx); err != nil {
			t.Fatal(err)
		}
	})
	for key, want := range map[string][]byte{"a/kept": []byte("kept"), "a/large": large, "a/suspended": large} {
		r, _, err := d.Reader(ctx, key, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", key, len(got), err)
		}
	}
}

// TestRestart has many callers meet a plugin that is gone. It is started once.
func TestRestart(t *testing.T) {
	d := open(t, onFolder(t, t.TempDir()))
	if err := d.Put(t.Context(), "a", nil); err != nil {
		t.Fatal(err)
	}
	before := pid(d)
	kill(t, d)
	until(t, "the plugin's end", func() bool { return current(d) == nil })
	errs := make(chan error)
	for range 20 {
		go func() {
			_, err := d.Stat(t.Context(), "a")
			errs <- err
		}()
	}
	for range 20 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if pid(d) == before {
		t.Error("the plugin is the old one")
	}
}

// TestCrashLoop has a plugin that can't start again: calls fail at once, and it is not started for each of them.
func TestCrashLoop(t *testing.T) {
	d := open(t, onFolder(t, t.TempDir()))
	d.keeper.c.Command = command(t, "serve-odd", "dies").Command
	kill(t, d)
	until(t, "the plugin's end", func() bool { return current(d) == nil })
	starts := 0
	var last time.Time
	for range 200 {
		_, err := d.Stat(t.Context(), "a")
		if !errors.Is(err, drivers.ErrThrottled) || !strings.Contains(err.Error(), "no backend today") || !strings.Contains(err.Error(), "exit status 3") {
			t.Fatalf("Stat: %v", err)
		}
		d.keeper.mu.Lock()
		if d.keeper.notUntil != last {
			starts++
			last = d.keeper.notUntil
		}
		d.keeper.mu.Unlock()
	}
	if starts > 6 {
		t.Errorf("started %d times for 200 calls", starts)
	}
}

// TestOpenOfWhatIsWrong names the setting.
func TestOpenOfWhatIsWrong(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"no program", func(c *Config) { c.Command = []string{"longshore-no-such-plugin"} }, []string{"command: ", "longshore-no-such-plugin"}},
		{"no plugin", func(c *Config) { c.Command = []string{"sh", "-c", "echo I am a shell >&2"} }, []string{"command: sh does not start as a plugin does", "I am a shell"}},
		{"one that dies", func(c *Config) { *c = command(t, "serve-odd", "dies") }, []string{"command: ", "exit status 3", "no backend today"}},
		{"one that says nothing", func(c *Config) { *c = command(t, "serve-odd", "silent"); c.StartTimeout = time.Second }, []string{"start_timeout: ", "1s"}},
		{"another version", func(c *Config) { *c = command(t, "serve-odd", "version") }, []string{"command: ", "speaks version 1", "2"}},
		{"an unknown key", func(c *Config) { c.Config = "rot: /tmp" }, []string{"config.rot: unknown key", "did you mean root?"}},
		{"two bad values", func(c *Config) { c.Config = "durability: some\nroot: ''\n" }, []string{"config.durability: ", "full"}},
		{"no keys", func(c *Config) { c.Config = "[a]" }, []string{"config: "}},
		{"a folder that is not there", func(c *Config) { c.Config = "root: /no/such/folder/at/all" }, []string{"config.root: "}},
	} {
		c := onFolder(t, t.TempDir())
		test.change(&c)
		d, err := Open(t.Context(), c)
		if err == nil {
			d.Close()
			t.Errorf("%s: no error", test.name)
			continue
		}
		for i, want := range test.want {
			if i == 0 && !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", test.name, err, want)
			}
		}
	}
}

// TestBackPressure has a backend that takes nothing: Write waits before long.
func TestBackPressure(t *testing.T) {
	file := filepath.Join(t.TempDir(), "go")
	d := open(t, command(t, "serve-odd", "slow", file))
	w, err := d.Writer(t.Context(), "a", -1)
	if err != nil {
		t.Fatal(err)
	}
	const total = 64 << 20
	progress := make(chan int, total>>20)
	done := make(chan error)
	go func() {
		var err error
		for i := 0; i < total>>20 && err == nil; i++ {
			_, err = w.Write(make([]byte, 1<<20))
			progress <- 1
		}
		done <- err
	}()
	before := -1
	until(t, "that Write waits", func() bool { // nothing has moved for a while
		n := len(progress)
		still := n == before && n > 0
		before = n
		return still
	})
	if n := len(progress); n > 8 {
		t.Errorf("%d MiB are on their way", n)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestHostIsKilled shows that a plugin does not outlive its host.
func TestHostIsKilled(t *testing.T) {
	if os.Getenv("LONGSHORE_TEST_HOST") != "" {
		d := open(t, command(t, "serve-memory"))
		fmt.Println("plugin", pid(d))
		_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed
		return
	}
	host := exec.Command(command(t).Command[0], "-test.run=^TestHostIsKilled$")
	host.Env = append(os.Environ(), "LONGSHORE_TEST_HOST=1")
	in, err := host.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	var plugged int
	if _, err := fmt.Fscanf(out, "plugin %d\n", &plugged); err != nil {
		t.Fatal(err)
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait() // it was killed
	until(t, "the plugin's end", func() bool { return errors.Is(syscall.Kill(plugged, 0), syscall.ESRCH) || zombie(plugged) })
}

// zombie reports whether a process has ended, and nobody has asked how.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return runtime.GOOS == "linux" && (err != nil || strings.Contains(string(stat), ") Z "))
}

// TestLines puts the plugin's name before each line that it prints.
func TestLines(t *testing.T) {
	var b bytes.Buffer
	l := &lines{tell: toWriter(&b, "p")}
	for _, part := range []string{"one\ntw", "o\n", "", "three"} {
		if _, err := l.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if b.String() != "p: one\np: two\n" || l.tail() != "; it said: one | two" {
		t.Errorf("%q, %q", b.String(), l.tail())
	}
}
