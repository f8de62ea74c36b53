package examples_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const module = "github.com/longshore-registry/longshore"

// build makes programs of the examples in a module of their own, outside of this one: so they need nothing that only this
// module can see. It returns the folder of the programs.
func build(t *testing.T) string {
	t.Helper()
	checkout, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, file := range []string{"compiled-in/main.go", "compiled-in/spread/spread.go", "plugin/main.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, file), strings.ReplaceAll(string(text), module+"/examples/", "example.com/registry/"))
	}
	version, err := exec.Command("go", "list", "-m", "-f", "{{.GoVersion}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	goVersion := strings.TrimSpace(string(version))
	write(t, filepath.Join(dir, "go.mod"), "module example.com/registry\n\ngo "+goVersion+"\n")
	write(t, filepath.Join(dir, "go.work"), "go "+goVersion+"\n\nuse (\n\t.\n\t"+checkout+"\n)\n")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", dir+"/bin/", "./compiled-in", "./plugin")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK="+filepath.Join(dir, "go.work"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return filepath.Join(dir, "bin")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestExamples pushes and pulls a blob with the driver compiled in, and as a plugin, which is killed in between.
func TestExamples(t *testing.T) {
	bin := build(t)
	for _, test := range []struct{ name, storage string }{
		{"compiled in", "storage:\n  spread:\n    roots: [%s, %s]\n"},
		{"plugin", "storage:\n  plugin:\n    command: " + bin + "/plugin\n    config:\n      roots: [%s, %s]\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
			for _, root := range []string{a, b} {
				if err := os.Mkdir(root, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			config := filepath.Join(dir, "config.yml")
			addr := freeAddr(t)
			write(t, config, "http:\n  addr: "+addr+"\n"+fmt.Sprintf(test.storage, a, b))
			if out, err := exec.Command(bin+"/compiled-in", "check", config).CombinedOutput(); err != nil {
				t.Fatalf("check: %v: %s", err, out)
			}
			serve := exec.Command(bin+"/compiled-in", "serve", config)
			var log bytes.Buffer
			serve.Stderr = &log
			if err := serve.Start(); err != nil {
				t.Fatal(err)
			}
			stopped := false
			stop := func() {
				if !stopped {
					stopped = true
					_ = serve.Process.Signal(syscall.SIGTERM) // it may have ended
					if err := serve.Wait(); err != nil {
						t.Errorf("serve: %v: %s", err, &log)
					}
				}
			}
			defer stop()
			push(t, addr, "one")
			if test.name == "plugin" {
				killChild(t, serve.Process.Pid)
				push(t, addr, "two")
			}
			pull(t, addr, "one")
			stop()
			for _, root := range []string{a, b} {
				entries, err := os.ReadDir(root)
				if err != nil || len(entries) < 2 {
					t.Errorf("%s holds %d entries, %v", root, len(entries), err)
				}
			}
		})
	}
	// A wrong key of the plugin's is a problem of the configuration.
	config := filepath.Join(t.TempDir(), "config.yml")
	write(t, config, "storage:\n  plugin:\n    command: "+bin+"/plugin\n    config:\n      rots: [a, b]\n")
	out, err := exec.Command(bin+"/compiled-in", "check", config).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "storage.plugin.config.rots: unknown key; did you mean roots?") {
		t.Errorf("%v: %s", err, out)
	}
}

// blob is what is pushed, and its digest.
func blob(text string) (body, digest string) {
	sums := map[string]string{
		"one": "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
		"two": "sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",
	}
	return text, sums[text]
}

// push tries until the registry answers with 201: it may be starting, or its plugin.
func push(t *testing.T, addr, text string) {
	t.Helper()
	body, digest := blob(text)
	until(t, func() (int, string, error) {
		r, err := http.Post("http://"+addr+"/v2/a/blobs/uploads/?digest="+digest, "application/octet-stream", strings.NewReader(body))
		return read(r, err)
	}, http.StatusCreated, "")
}

func pull(t *testing.T, addr, text string) {
	t.Helper()
	body, digest := blob(text)
	until(t, func() (int, string, error) {
		r, err := http.Get("http://" + addr + "/v2/a/blobs/" + digest)
		return read(r, err)
	}, http.StatusOK, body)
}

func read(r *http.Response, err error) (int, string, error) {
	if err != nil {
		return 0, "", err
	}
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close() // it was read
	return r.StatusCode, string(body), err
}

// until repeats ask for 20 seconds at most.
func until(t *testing.T, ask func() (int, string, error), status int, body string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		s, b, err := ask()
		if err == nil && s == status && (body == "" || b == body) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("status %d, %q, %v", s, b, err)
		}
	}
}

// killChild kills the one child of a process.
func killChild(t *testing.T, pid int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil || len(strings.Fields(string(text))) == 0 { // the thread that started it may be another
		out, err := exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output()
		if err != nil {
			t.Fatal(err)
		}
		text = out
	}
	child, err := strconv.Atoi(strings.Fields(string(text))[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().(*net.TCPAddr)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if addr.Port > 20000 {
			return addr.String()
		}
	}
	t.Fatal("no free port above 20000")
	return ""
}

// TestDocs shows that the page has the examples as they are.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../docs/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	comment := regexp.MustCompile(`(?m)^// .*\n`)
	for _, file := range []string{"compiled-in/main.go", "plugin/main.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), "```go\n"+comment.ReplaceAllString(string(text), "")+"```") {
			t.Errorf("docs/plugins.md does not hold %s", file)
		}
	}
}
