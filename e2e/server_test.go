//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// A backend makes the storage part of a configuration, as environment variables, over a store that is empty.
type backend struct {
	name  string
	setup func(*testing.T) (env []string)
}

// backends are the stores that each test runs on.
func backends() []backend {
	return []backend{
		{"fs", func(t *testing.T) []string {
			return []string{"LONGSHORE_STORAGE_FS_ROOT=" + filepath.Join(t.TempDir(), "images")}
		}},
		{"minio", minioBackend},
	}
}

// onEach runs a test on each backend.
func onEach(t *testing.T, test func(t *testing.T, env []string)) {
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) { test(t, b.setup(t)) })
	}
}

// A server is a longshore that listens on addr.
type server struct {
	remote
	*process
}

// serve starts longshore at an address with the environment given, and returns when it answers.
func serve(t *testing.T, addr string, env []string) server {
	t.Helper()
	cmd := exec.Command(made.longshore, "serve")
	cmd.Dir = t.TempDir() // no configuration lies there
	cmd.Env = slices.Concat(os.Environ(), env, []string{"LONGSHORE_HTTP_ADDR=" + addr})
	s := server{remote{addr}, start(t, cmd)}
	s.wait(s.ready)
	return s
}

func (r remote) ready() error {
	res, err := http.Get("http://" + r.addr + "/readyz")
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	return errors.Join(err, res.Body.Close())
}

// mustPush puts a layout into a repository, for the clients that cannot read it themselves.
func (s server) mustPush(t *testing.T, repo string, l layout) {
	t.Helper()
	if err := s.push(t.Context(), repo, l); err != nil {
		t.Fatal(err)
	}
}

// mustHold downloads all that a reference leads to, and compares the digest of the reference unless it is "".
func (s server) mustHold(t *testing.T, repo, reference, digest string) {
	t.Helper()
	if got, err := s.pull(t.Context(), repo, reference); err != nil {
		t.Errorf("%s:%s: %v", repo, reference, err)
	} else if digest != "" && got != digest {
		t.Errorf("%s:%s has %s, want %s", repo, reference, got, digest)
	}
}

// mustLack fails the test unless a manifest is gone.
func (s server) mustLack(t *testing.T, repo, reference string) {
	t.Helper()
	header := http.Header{"Accept": {accept}}
	if _, err := s.send(t.Context(), http.MethodGet, "/v2/"+repo+"/manifests/"+reference, header, nil, 0, http.StatusNotFound); err != nil {
		t.Error(err)
	}
}

// mustHaveMounted fails the test unless a blob was mounted into the repository, by the answer in longshore's log.
func (s server) mustHaveMounted(t *testing.T, repo string) {
	t.Helper()
	s.wait(func() error { // a request is logged after its answer
		log, err := os.Open(s.log)
		if err != nil {
			return err
		}
		defer log.Close()
		for lines := json.NewDecoder(log); ; {
			var line struct {
				Method, Path string
				Status       int
			}
			if err := lines.Decode(&line); err != nil {
				return fmt.Errorf("no blob was mounted into %s: %w", repo, err)
			}
			if line.Method == http.MethodPost && line.Path == "/v2/"+repo+"/blobs/uploads/" && line.Status == http.StatusCreated {
				return nil
			}
		}
	})
}

// mustListTags fails the test unless these are the tags of a repository.
func (s server) mustListTags(t *testing.T, repo string, tags ...string) {
	t.Helper()
	if got, err := s.tags(t.Context(), repo); err != nil || !slices.Equal(got, tags) {
		t.Errorf("tags of %s: %v (%v), want %v", repo, got, err, tags)
	}
}
