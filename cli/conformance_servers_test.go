//go:build integration

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/conformance/report"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/s3"
	"github.com/longshore-registry/longshore/internal/cephtest"
	"github.com/longshore-registry/longshore/internal/daemon"
	"github.com/longshore-registry/longshore/internal/gcstest"
	"github.com/longshore-registry/longshore/internal/miniotest"
	"github.com/longshore-registry/longshore/internal/swifttest"
	"github.com/longshore-registry/longshore/internal/versitygwtest"
)

// build builds a program.
func build(t *testing.T, source string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), filepath.Base(source))
	if _, err := daemon.Command(t.Context(), syscall.Environ(), "go", "build", "-o", program, source); err != nil {
		t.Fatal(err)
	}
	return program
}

// s3Settings are those of the drivers s3 and minio for a new bucket.
func s3Settings(driver, url, access, secret, more string) string {
	return fmt.Sprintf("storage:\n  %s:\n    endpoint: %s\n    access_key: %s\n    secret_key: %s\n    bucket: images\n    prefix: some/folder\n    create_bucket: true\n%s",
		driver, url, access, secret, more)
}

// TestConformanceOfServers runs the product for each driver on each server, and reads what it says of them.
func TestConformanceOfServers(t *testing.T) {
	program, plugin := build(t, "../cmd/longshore"), build(t, "../e2e/plugin")
	for _, test := range []struct {
		name   string
		config func(t *testing.T) string
		args   []string
		want   map[string]string // abilities
	}{
		{name: "minio", config: func(t *testing.T) string {
			s := miniotest.Start(t)
			return s3Settings("s3", s.URL, s.User, s.Password, "")
		}, want: map[string]string{
			"put if absent": "yes", "put if match": "yes", "conditional multipart": "yes", "server-side copy": "yes", "presigned URLs": "yes",
			"consistent listing": "yes", "minimum part": "yes", "checksum trailers": "yes", "leftovers can be found": "yes", "repeated complete": "no",
		}},
		{name: "versitygw", config: func(t *testing.T) string {
			s := versitygwtest.Start(t)
			return s3Settings("s3", s.URL, s.AccessKey, s.SecretKey, "")
		}, args: []string{"--racy-commit"}, want: map[string]string{
			"put if absent": "yes", "put if match": "yes", "conditional multipart": "yes", "consistent listing": "yes", "repeated complete": "yes",
		}},
		{name: "ceph", config: func(t *testing.T) string {
			s := cephtest.Start(t)
			return s3Settings("s3", s.URL, s.AccessKey, s.SecretKey, "    all_parts: true\n    if_match: off\n")
		}, args: []string{"--max-key", "880"}, want: map[string]string{
			"put if absent": "yes", "put if match": "no", "conditional multipart": "ignored", "consistent listing": "yes", "checksum trailers": "no",
		}},
		{name: "minio's own driver", config: func(t *testing.T) string {
			s := miniotest.Start(t)
			return s3Settings("minio", s.URL, s.User, s.Password, "")
		}, want: map[string]string{"put if absent": "yes", "conditional multipart": "yes", "server-side copy": "yes", "minimum part": "yes"}},
		{name: "gcs", config: func(t *testing.T) string {
			s := gcstest.Start(t)
			s.Bucket(t, "images")
			return fmt.Sprintf("storage:\n  gcs:\n    endpoint: %s\n    bucket: images\n    anonymous: true\n", s.URL)
		}, want: map[string]string{"put if absent": "yes", "put if match": "yes", "consistent listing": "yes", "server-side copy": "unknown"}},
		{name: "swift", config: func(t *testing.T) string {
			s := swifttest.Start(t)
			return fmt.Sprintf("storage:\n  swift:\n    auth_url: %s\n    username: %s\n    password: %s\n    container: images\n    create_container: true\n",
				s.AuthURL, s.User, s.Password)
		}, want: map[string]string{"put if absent": "no", "put if match": "no"}},
		{name: "fs", config: func(t *testing.T) string {
			return fmt.Sprintf("storage:\n  fs:\n    root: %s\n", t.TempDir())
		}, want: map[string]string{"put if absent": "yes", "put if match": "yes", "consistent listing": "yes"}},
		{name: "memory", config: func(*testing.T) string {
			return "storage:\n  memory: {}\n"
		}, args: []string{"--one-process"}, want: map[string]string{"put if absent": "yes", "put if match": "yes", "consistent listing": "yes"}},
		{name: "plugin, memory", config: func(t *testing.T) string {
			return fmt.Sprintf("storage:\n  plugin:\n    command: [%s, memory]\n", plugin)
		}, want: map[string]string{"put if absent": "yes", "put if match": "yes", "consistent listing": "yes"}},
		{name: "plugin, fs", config: func(t *testing.T) string {
			return fmt.Sprintf("storage:\n  plugin:\n    command: [%s, fs]\n    config:\n      root: %s\n", plugin, t.TempDir())
		}, want: map[string]string{"put if absent": "yes", "put if match": "yes", "consistent listing": "yes"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			html, junit := filepath.Join(t.TempDir(), "report.html"), filepath.Join(t.TempDir(), "report.xml")
			args := append([]string{"conformance", writeFile(t, "config.yml", test.config(t)), "-o", "json", "--html", html, "--junit", junit,
				"--requests", "5", "--size", "12MiB", "--list-keys", "1100"}, test.args...)
			cmd := exec.CommandContext(t.Context(), program, args...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			var r report.Report
			if jsonErr := json.Unmarshal(out, &r); jsonErr != nil || err != nil {
				t.Errorf("%v, %v: %s", err, jsonErr, &stderr)
			}
			for _, c := range r.Results {
				if c.Failed {
					t.Errorf("%s: %.2000q", c.Name, c.Messages)
				}
			}
			got := make(map[string]string)
			var said []string
			for _, a := range r.Abilities {
				got[a.Name] = a.State
				said = append(said, a.Name+": "+a.State)
			}
			t.Attr("abilities", strings.Join(said, "; ")) // for docs/stores.md
			for name, want := range test.want {
				if got[name] != want {
					t.Errorf("%s: %q, want %q", name, got[name], want)
				}
			}
			passed, failed, _ := r.Count()
			t.Attr("cases", fmt.Sprintf("%d passed, %d failed", passed, failed))
			if passed < 80 || len(r.Left) > 0 || len(r.Latencies) < 5 || len(r.Speeds) != 4 {
				t.Errorf("%d passed, left %q, %d latencies, %d speeds", passed, r.Left, len(r.Latencies), len(r.Speeds))
			}
			sameInAll(t, r, html, junit)
		})
	}
}

// sameInAll fails t unless the other two reports say what r says.
func sameInAll(t *testing.T, r report.Report, html, junit string) {
	t.Helper()
	passed, failed, notRun := r.Count()
	page, err := os.ReadFile(html)
	if want := fmt.Sprintf(`<b class="good">%d passed</b>`, passed); err != nil || !strings.Contains(string(page), want) {
		t.Errorf("HTML: no %q, %v", want, err)
	}
	text, err := os.ReadFile(junit)
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Skipped  int `xml:"skipped,attr"`
		Cases    []struct {
			Name string `xml:"name,attr"`
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal(text, &suite); err != nil || suite.Tests != len(r.Results) || len(suite.Cases) != suite.Tests || suite.Failures != failed || suite.Skipped != notRun {
		t.Errorf("JUnit: %v, %d tests, %d failures, %d skipped", err, suite.Tests, suite.Failures, suite.Skipped)
	}
}

// TestConformanceInterrupted stops the suite in the middle. What others have in the bucket is there afterwards, and nothing else.
func TestConformanceInterrupted(t *testing.T) {
	server := miniotest.Start(t)
	config := writeFile(t, "config.yml", s3Settings("s3", server.URL, server.User, server.Password, ""))
	c := s3.Defaults()
	c.Endpoint, c.AccessKey, c.SecretKey, c.Bucket, c.CreateBucket = server.URL, server.User, drivers.Secret(server.Password), "images", true
	d, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	theirs := []string{"conformance/theirs", "some/folder/conformance-theirs", "some/folder/conformance/theirs", "some/folder/data"}
	for _, key := range theirs {
		if err := d.Put(t.Context(), key, nil); err != nil {
			t.Fatal(err)
		}
	}
	w, err := d.Writer(t.Context(), "some/folder/upload", -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("under way")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Suspend(t.Context()); err != nil {
		t.Fatal(err)
	}

	cmd := exec.Command(build(t, "../cmd/longshore"), "conformance", config)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	keys := func() (all []string) {
		for e, err := range d.List(context.WithoutCancel(t.Context()), "", "", "") {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e.Key)
		}
		return all
	}
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for len(keys()) < len(theirs)+500 { // amid the cases on listings, which have 3,000
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the suite wrote nothing")
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(stderr.String(), "longshore: interrupted\nWhat the suite had written is removed.\n") {
		t.Errorf("%v: %s", err, &stderr)
	}
	if left := keys(); !slices.Equal(left, theirs) {
		t.Errorf("left %q, want %q", left, theirs)
	}
	var left []string
	for l, err := range d.Leftovers(t.Context()) {
		left = append(left, l.Key)
		if err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(left, []string{"some/folder/upload"}) {
		t.Errorf("left over %q", left)
	}
}
