//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The program with which collections are tried has all its protocols, but waits seconds where longshore waits minutes, hours or
// days. No setting does that, so that nobody comes upon it: it is built from sources in which a few constants are replaced. The
// proportions matter: a dead collector's announcement is over before an upload ends by its age, and that before garbage is old.
const (
	hurriedLife  = 5 * time.Second // of uploads
	hurriedGrace = 20 * time.Second
)

// hurried are the replacements, each in one place of one file.
func hurried() []struct{ file, from, to string } {
	return []struct{ file, from, to string }{
		{"registry/leftovers.go", "leftoverMargin = 24 * time.Hour", "leftoverMargin = 15 * time.Second"},
		{"registry/collect_look.go", "leastHistory = time.Hour", "leastHistory = time.Second"},
		{"registry/blobs.go", "fresh = 2 * time.Minute", "fresh = 3 * time.Second"},
		{"registry/announce.go", "clockLeeway = 30 * time.Second", "clockLeeway = time.Second"},
		{"registry/announce.go", "longestAnnouncement = 10 * time.Minute", "longestAnnouncement = 8 * time.Second"},
		{"registry/collect_lease.go", "leaseTime = time.Minute", "leaseTime = 2 * time.Second"},
		{"registry/collect_lease.go", "announceTime = 40 * time.Second", "announceTime = 3 * time.Second"},
		{"registry/collect_blobs.go", "announcing     = 10 * time.Second", "announcing     = 500 * time.Millisecond"},
		{"registry/collect.go", "least = 5 * time.Second", "least = 500 * time.Millisecond"},
		{"cli/settings.go", `yaml:"life" min:"1m" max:"24h"`, `yaml:"life" min:"1s" max:"24h"`},
	}
}

// hurriedEnv are the settings that go with it. In repositories below moving/ manifests go that no tag leads to.
func hurriedEnv(collect bool) []string {
	env := []string{
		"LONGSHORE_UPLOADS_LIFE=" + hurriedLife.String(), "LONGSHORE_GC_GRACE=" + hurriedGrace.String(), "LONGSHORE_HISTORY_KEEP=2s",
		"LONGSHORE_GC_RETENTION=moving/** always=.", "LONGSHORE_GC_INTERVAL=0s", "LONGSHORE_LOG_LEVEL=debug",
	}
	if collect {
		env = append(env, "LONGSHORE_GC_INTERVAL=300ms")
	}
	return env
}

// buildHurried builds the program.
func buildHurried(dir string) (program string, err error) {
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for i, h := range hurried() {
		source, err := filepath.Abs(filepath.Join("..", h.file))
		if err != nil {
			return "", err
		}
		from := source
		if before, ok := overlay.Replace[source]; ok {
			from = before
		}
		body, err := os.ReadFile(from)
		if err != nil {
			return "", err
		}
		if n := strings.Count(string(body), h.from); n != 1 {
			return "", fmt.Errorf("%s has %q %d times, want once: the tests of collections replace it", h.file, h.from, n)
		}
		to := filepath.Join(dir, fmt.Sprintf("hurried-%d.go", i))
		if err := os.WriteFile(to, []byte(strings.Replace(string(body), h.from, h.to, 1)), 0o644); err != nil {
			return "", err
		}
		overlay.Replace[source] = to
	}
	body, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, body, 0o644); err != nil {
		return "", err
	}
	program = filepath.Join(dir, "longshore-hurried")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-overlay", list, "-o", program, "../cmd/longshore")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("go build -overlay: %w", err), errors.New(string(out)))
	}
	return program, nil
}
