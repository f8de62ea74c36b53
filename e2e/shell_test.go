//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/internal/testimage"
)

// commandLimit is how long one command of a client may take.
const commandLimit = 5 * time.Minute

// A shell runs commands for one test, in a folder and with a home of its own.
type shell struct {
	t   *testing.T
	dir string
	env []string // in addition to the environment of the test
}

func newShell(t *testing.T) *shell {
	t.Helper()
	dir := t.TempDir()
	// Clients keep logins and caches in the home. DOCKER_CONFIG has to hold a config.json, or podman fails.
	s := &shell{t: t, dir: dir, env: []string{
		"HOME=" + dir,
		"DOCKER_CONFIG=" + dir,
		"REGCTL_CONFIG=" + filepath.Join(dir, "regctl.json"),
		"REGISTRY_AUTH_FILE=" + filepath.Join(dir, "config.json"),
		"HELM_CACHE_HOME=" + filepath.Join(dir, "helm-cache"),
		"HELM_CONFIG_HOME=" + filepath.Join(dir, "helm-config"),
		"HELM_DATA_HOME=" + filepath.Join(dir, "helm-data"),
		"PATH=" + toolsDir() + string(os.PathListSeparator) + os.Getenv("PATH"),
		"OTEL_TRACES_EXPORTER=none",
	}}
	s.write("config.json", "{}")
	return s
}

// run runs a command, which has to succeed, and returns what it wrote to its standard output.
func (s *shell) run(name string, args ...string) string {
	s.t.Helper()
	return s.feed("", name, args...)
}

// feed is run with a standard input.
func (s *shell) feed(input, name string, args ...string) string {
	s.t.Helper()
	stdout, stderr, err := s.exec(input, name, args)
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, stdout, stderr)
	}
	return stdout
}

// fails runs a command that has to fail with wantOutput among what it prints.
func (s *shell) fails(wantOutput, name string, args ...string) {
	s.t.Helper()
	stdout, stderr, err := s.exec("", name, args)
	if err == nil {
		s.t.Errorf("%s %s succeeded, want a failure\n%s%s", name, strings.Join(args, " "), stdout, stderr)
	}
	if !strings.Contains(stdout+stderr, wantOutput) {
		s.t.Errorf("%s %s says %q, want %q in it", name, strings.Join(args, " "), stdout+stderr, wantOutput)
	}
}

func (s *shell) exec(input, name string, args []string) (stdout, stderr string, err error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), commandLimit)
	defer cancel()
	start := time.Now()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, tool(s.t, name), args...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.dir, strings.NewReader(input), &out, &errOut
	cmd.Env = append(os.Environ(), s.env...)
	cmd.WaitDelay = 5 * time.Second // a child that keeps the output open does not keep the test
	err = cmd.Run()
	s.t.Logf("%s %s (%s)", name, strings.Join(args, " "), time.Since(start).Round(time.Millisecond))
	if ctx.Err() != nil {
		err = fmt.Errorf("no end after %s: %w", commandLimit, err)
	}
	return out.String(), errOut.String(), err
}

// write makes a file in the shell's folder and returns its path.
func (s *shell) write(name, body string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// read returns the body of a file in the shell's folder.
func (s *shell) read(name string) string {
	s.t.Helper()
	body, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(body)
}

// toolsDir is the folder of the tools that are built from Go modules.
func toolsDir() string {
	dir := os.Getenv("LONGSHORE_TOOLS")
	if dir == "" {
		dir = "../bin"
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return dir
	}
	return abs
}

// tool finds a program, a path or a name. One that is not there fails the test.
func tool(t *testing.T, name string) string {
	t.Helper()
	if !strings.Contains(name, "/") {
		if built := filepath.Join(toolsDir(), name); isFile(built) {
			return built
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed (see make apt and make tools): %v", name, err)
	}
	return path
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// random is n bytes that are the same for the same seed.
func random(seed uint64, n int64) string {
	var b strings.Builder
	_, _ = io.CopyN(&b, testimage.Random(seed), n) // neither end can fail
	return b.String()
}

// wantLines fails the test unless got, split into lines and sorted or not, has each of want.
func wantLines(t *testing.T, what, got string, want ...string) {
	t.Helper()
	have := map[string]bool{}
	for line := range strings.Lines(got) {
		have[strings.TrimSpace(line)] = true
	}
	for _, line := range want {
		if !have[line] {
			t.Errorf("%s: no line %q in\n%s", what, line, got)
		}
	}
}

// want fails the test unless got contains part.
func want(t *testing.T, what, got, part string) {
	t.Helper()
	if !strings.Contains(got, part) {
		t.Errorf("%s: no %q in\n%s", what, part, got)
	}
}
