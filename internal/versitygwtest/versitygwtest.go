// Package versitygwtest runs the versitygw server, an S3 API over a folder, for tests.
package versitygwtest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/longshore-registry/longshore/internal/daemon"
)

// Server is a running versitygw. Buckets are to be made by its users.
type Server struct {
	URL                  string
	AccessKey, SecretKey string // of root

	process *daemon.Process
}

// Start starts a server over a new folder that ends with the test. The folder must be able to hold extended
// attributes, in which versitygw keeps ETags. It fails the test if there is no binary (see [daemon.Find]), or if it does not start.
func Start(t testing.TB) *Server {
	t.Helper()
	binary, err := daemon.Find("versitygw", "go install github.com/versity/versitygw/cmd/versitygw@v1.8.0 builds it")
	if err != nil {
		t.Fatal(err)
	}
	var errs []error
	// Between the choice of a free port and the server's use of it another process may take it.
	for range 3 {
		s, err := launch(binary, t.TempDir())
		if err == nil {
			t.Cleanup(s.process.Kill)
			return s
		}
		errs = append(errs, err)
	}
	t.Fatal(errors.Join(errs...))
	return nil
}

func launch(binary, dir string) (*Server, error) {
	port, err := daemon.FreePort()
	if err != nil {
		return nil, err
	}
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o700); err != nil {
		return nil, err
	}
	s := &Server{URL: fmt.Sprintf("http://127.0.0.1:%d", port), AccessKey: "root-" + rand.Text()[:8], SecretKey: rand.Text()}
	cmd := exec.Command(binary, "--quiet", "--port", fmt.Sprintf("127.0.0.1:%d", port), "posix", root)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.AccessKey, "ROOT_SECRET_KEY="+s.SecretKey, "HOME="+dir)
	if s.process, err = daemon.Start(cmd); err != nil {
		return nil, err
	}
	if err := s.process.UntilAnswers(s.URL); err != nil {
		s.process.Kill()
		return nil, err
	}
	return s, nil
}
