//go:build integration

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/conformance/report"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/s3"
	"github.com/longshore-registry/longshore/internal/daemon"
	"github.com/longshore-registry/longshore/internal/miniotest"
	"github.com/longshore-registry/longshore/internal/versitygwtest"
)

// conformanceOf runs longshore conformance in a process of its own.
func conformanceOf(t *testing.T, config string, args ...string) (out, log string, err error) {
	t.Helper()
	program := buildProgram(t)
	cmd := exec.CommandContext(t.Context(), program, append([]string{"conformance", writeFile(t, "config.yml", config)}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

func buildProgram(t *testing.T) string {
	t.Helper()
	program := t.TempDir() + "/longshore"
	if _, err := daemon.Command(t.Context(), syscall.Environ(), "go", "build", "-o", program, "../cmd/longshore"); err != nil {
		t.Fatal(err)
	}
	return program
}

func s3Config(url, access, secret string) string {
	return fmt.Sprintf("storage:\n  s3:\n    endpoint: %s\n    access_key: %s\n    secret_key: %s\n    bucket: images\n    prefix: some/folder\n    create_bucket: true\n", url, access, secret)
}

// TestConformanceOfServers runs the product on servers that differ, and reads what it says of them.
func TestConformanceOfServers(t *testing.T) {
	minio, versity := miniotest.Start(t), versitygwtest.Start(t)
	for _, test := range []struct {
		name, config string
		want         map[string]string
	}{
		{"minio", s3Config(minio.URL, minio.User, minio.Password), map[string]string{
			"put if absent": "yes", "put if match": "yes", "presigned URLs": "yes", "consistent listing": "yes", "conditional multipart": "yes",
			"repeated complete": "no", "parts below 5 MiB": "no", "server-side copy": "yes", "conditional delete": "ignored",
		}},
		{"versitygw", s3Config(versity.URL, versity.AccessKey, versity.SecretKey), map[string]string{
			"put if absent": "yes", "put if match": "yes", "presigned URLs": "yes", "conditional multipart": "yes",
			"repeated complete": "yes", "parts below 5 MiB": "no", "server-side copy": "yes", "conditional delete": "yes",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			// versitygw lets two commits of one state through, which the suite knows by a setting that no command has.
			out, log, err := conformanceOf(t, test.config, "-o", "json", "--requests", "5", "--size", "20MiB", "--list-keys", "1100")
			var r report.Report
			if jsonErr := json.Unmarshal([]byte(out), &r); jsonErr != nil {
				t.Fatalf("%v, %v: %s", err, jsonErr, log)
			}
			for _, c := range r.Results {
				if c.Failed && !(test.name == "versitygw" && strings.Contains(c.Name, "at most one of them wins")) {
					t.Errorf("%s: %q", c.Name, c.Messages)
				}
			}
			got := make(map[string]string)
			for _, a := range r.Abilities {
				got[a.Name] = a.State
			}
			for name, want := range test.want {
				if got[name] != want {
					t.Errorf("%s: %q, want %q", name, got[name], want)
				}
			}
			if len(r.Left) > 0 || len(r.Latencies) != 5 || len(r.Speeds) != 4 {
				t.Errorf("left %q, %d latencies, %d speeds", r.Left, len(r.Latencies), len(r.Speeds))
			}
		})
	}
}

// TestConformanceInterrupted stops the suite in the middle. The bucket is empty afterwards.
func TestConformanceInterrupted(t *testing.T) {
	server := miniotest.Start(t)
	config := writeFile(t, "config.yml", s3Config(server.URL, server.User, server.Password))
	cmd := exec.Command(buildProgram(t), "conformance", config)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := s3.Defaults()
	c.Endpoint, c.AccessKey, c.Bucket, c.CreateBucket = server.URL, server.User, "images", true
	c.SecretKey = drivers.Secret(server.Password)
	d, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	count := func() (n int) {
		for _, err := range d.List(context.WithoutCancel(t.Context()), "", "", "") {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for count() < 20 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the suite wrote nothing")
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("%v: %s", err, &stderr)
	}
	if n := count(); n > 0 {
		t.Errorf("%d objects are left", n)
	}
	for l, err := range d.Leftovers(t.Context()) {
		t.Errorf("left over: %+v, %v", l, err)
	}
}
