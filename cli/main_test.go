package cli

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"longshore": func() { os.Exit(Main()) }, "longshore-fs": folderPlugin})
}

// TestScripts runs testdata/script/*.txtar against the program. In them $ADDR is a free address,
// and the command get waits until a URL answers with a body that contains a text.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			addr := freeAddr(t)
			_, port, err := net.SplitHostPort(addr)
			e.Setenv("ADDR", addr)
			e.Setenv("PORT", port)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"get": get, "terminate": terminate, "push": pushImage, "killchild": killChild, "until": until},
	})
}

func get(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: get URL TEXT")
	}
	body, err := poll(args[0])
	ts.Check(err)
	if !strings.Contains(body, args[1]) {
		ts.Fatalf("%s answers %q, which does not contain %q", args[0], body, args[1])
	}
}

// until asks a URL until the answer contains a text, for 20 seconds at most.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: until URL TEXT")
	}
	deadline := time.After(20 * time.Second)
	for {
		body, err := poll(args[0])
		ts.Check(err)
		if strings.Contains(body, args[1]) {
			return
		}
		select {
		case <-deadline:
			ts.Fatalf("%s answers %q, which does not contain %q", args[0], body, args[1])
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func terminate(ts *testscript.TestScript, _ bool, _ []string) {
	for _, c := range ts.BackgroundCmds() {
		ts.Check(c.Process.Signal(syscall.SIGTERM))
	}
}

// poll gets a URL until somebody answers, for 20 seconds at most.
func poll(url string) (body string, err error) {
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		response, err := http.Get(url)
		if err == nil {
			data, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			return string(data), err
		}
		select {
		case <-deadline:
			return "", err
		case <-tick.C:
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

// writeFile makes a file in a folder of the test and returns its path.
func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
