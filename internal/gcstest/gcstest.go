// Package gcstest runs fake-gcs-server, which speaks the API of Google Cloud Storage, for tests. What it leaves out of compose and of
// signed URLs is added before it; docs/gcs.md says in what it differs from the service otherwise.
package gcstest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/internal/daemon"
)

// Version of the server that the tests were tried with.
const Version = "v1.56.1"

// Server is a running server.
type Server struct {
	URL         string
	Credentials string // content of a credentials file with a key. Signed URLs have to be signed by it; other requests are not checked

	front   *front
	process *daemon.Process
}

// Start starts a server that keeps objects in its memory and ends with the test. It fails the test if there is no binary (see [daemon.Find]), or
// if it does not start.
func Start(t testing.TB) *Server {
	t.Helper()
	return start(t, Launch)
}

// StartFolder is Start for a server that keeps objects in files.
func StartFolder(t testing.TB) *Server {
	t.Helper()
	folder := t.TempDir()
	return start(t, func() (*Server, error) { return launch("-backend", "filesystem", "-filesystem-root", folder) })
}

func start(t testing.TB, launch func() (*Server, error)) *Server {
	t.Helper()
	s, err := launch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Launch is Start for a caller that stops the server itself.
func Launch() (*Server, error) { return launch("-backend", "memory") }

// launch starts a server with a backend.
func launch(backend ...string) (*Server, error) {
	binary, err := daemon.Find("fake-gcs-server", "go install github.com/fsouza/fake-gcs-server@"+Version+" builds it")
	if err != nil {
		return nil, err
	}
	var errs []error
	// Between the choice of a free port and the server's use of it another process may take it.
	for range 3 {
		s, err := launchOnce(binary, backend)
		if err == nil {
			return s, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func launchOnce(binary string, backend []string) (*Server, error) {
	port, err := daemon.FreePort()
	if err != nil {
		return nil, err
	}
	server := fmt.Sprintf("http://127.0.0.1:%d", port)
	account, err := NewAccount("registry@test.iam.gserviceaccount.com")
	if err != nil {
		return nil, err
	}
	f, address, err := startFront(server, account)
	if err != nil {
		return nil, err
	}
	s := &Server{URL: "http://" + address, front: f}
	if s.Credentials, err = account.File(s.URL + tokenPath); err != nil {
		f.stop()
		return nil, err
	}
	// Without public-host reads of /bucket/object are not known as such.
	arguments := append([]string{"-scheme", "http", "-host", "127.0.0.1", "-port", strconv.Itoa(port),
		"-public-host", address, "-external-url", s.URL, "-log-level", "warn"}, backend...)
	s.process, err = daemon.Start(exec.Command(binary, arguments...))
	if err != nil {
		f.stop()
		return nil, err
	}
	if err := s.process.UntilAnswers(server + "/_internal/healthcheck"); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// Stop ends the server.
func (s *Server) Stop() {
	s.front.stop()
	s.process.Kill()
}

// Bucket makes a bucket.
func (s *Server) Bucket(t testing.TB, name string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.Post(s.URL+"/storage/v1/b?project=test", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close() // the status says it all
	if r.StatusCode != http.StatusOK {
		t.Fatalf("making the bucket %s: status %d", name, r.StatusCode)
	}
}

// CallOf names a request of the JSON and the XML API for a proxy.
func CallOf(r *http.Request) string {
	path := r.URL.EscapedPath() // a name's slashes are escaped
	switch {
	case strings.HasPrefix(path, "/upload/"):
		return "Upload"
	case strings.HasSuffix(path, "/compose"):
		return "Compose"
	case strings.HasPrefix(path, "/storage/v1/b/") && r.Method == http.MethodGet:
		if strings.HasSuffix(path, "/o") {
			return "List"
		}
		return "HEAD" // the metadata
	}
	return r.Method
}
