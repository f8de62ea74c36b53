// Package miniotest runs the real MinIO server for tests.
//
// The binary is $LONGSHORE_TOOLS/minio or else the first minio in PATH. A test that needs it and
// does not find it fails; it is never left out.
package miniotest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/longshore-registry/longshore/internal/daemon"
)

// Region is the region of every server started here.
const Region = "us-east-1"

// Server is a running MinIO with one drive in a temporary folder.
type Server struct {
	Addr           string // 127.0.0.1:port
	URL            string // http://Addr, or https:// if it was started with certificates
	User, Password string // root's

	process *daemon.Process
	dir     string
	buckets atomic.Int64
}

// Find returns the path of the minio binary.
func Find() (string, error) {
	return daemon.Find("minio", "go install github.com/minio/minio@latest builds it")
}

// Shared is one server for all tests of a binary. It starts when the first test asks for it; TestMain
// stops it:
//
//	var minio miniotest.Shared
//
//	func TestMain(m *testing.M) {
//		code := m.Run()
//		minio.Stop()
//		os.Exit(code)
//	}
type Shared struct {
	once   sync.Once
	server *Server
	err    error
}

// Get returns the server. It fails the test as Start does.
func (s *Shared) Get(t testing.TB) *Server {
	t.Helper()
	s.once.Do(func() { s.server, s.err = Run("") })
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.server
}

// Stop stops the server if there is one. Get starts no other.
func (s *Shared) Stop() {
	s.once.Do(func() { s.err = errors.New("the shared server was stopped") })
	if s.server != nil {
		s.server.Stop()
	}
}

// Start starts a server that ends with the test. It fails the test if there is no binary, or
// if the server is not healthy within a minute.
func Start(t testing.TB) *Server {
	t.Helper()
	return start(t, "")
}

// StartTLS is Start with the certificate public.crt and the key private.key in the folder certs.
// The server then speaks TLS only.
func StartTLS(t testing.TB, certs string) *Server {
	t.Helper()
	return start(t, certs)
}

func start(t testing.TB, certs string) *Server {
	t.Helper()
	s, err := Run(certs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Run starts a server that lives until Stop. With certs, a folder as in StartTLS, it speaks TLS.
func Run(certs string) (*Server, error) {
	binary, err := Find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "miniotest-")
	if err != nil {
		return nil, err
	}
	// Between the choice of a free port and the server's use of it another process may take it.
	for range 5 {
		var s *Server
		if s, err = launch(binary, dir, certs); err == nil {
			return s, nil
		}
	}
	return nil, errors.Join(err, os.RemoveAll(dir))
}

func launch(binary, dir, certs string) (*Server, error) {
	port, err := daemon.FreePort()
	if err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	s := &Server{
		Addr: addr, URL: "http://" + addr, User: "root-" + rand.Text()[:8], Password: rand.Text(),
		dir: dir,
	}
	args := []string{"server", filepath.Join(dir, "data"), "--address", addr}
	if certs != "" {
		s.URL = "https://" + addr
		args = append(args, "--certs-dir", certs)
	} else {
		// The default folder is in the home directory, where there may be certificates.
		args = append(args, "--certs-dir", filepath.Join(dir, "certs"))
	}
	cmd := exec.Command(binary, args...)
	// The console would listen on a port of its own.
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+s.User, "MINIO_ROOT_PASSWORD="+s.Password,
		"MINIO_BROWSER=off", "MINIO_UPDATE=off", "HOME="+dir)
	if s.process, err = daemon.Start(cmd); err != nil {
		return nil, err
	}
	if err := s.process.Until(s.healthy()); err != nil {
		s.process.Kill()
		return nil, err
	}
	return s, nil
}

// healthy returns a function that asks the server how it is.
func (s *Server) healthy() func() bool {
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	client := http.Client{Transport: transport, Timeout: 10 * time.Second}
	return func() bool {
		r, err := client.Get(s.URL + "/minio/health/ready")
		if err != nil {
			return false
		}
		_ = r.Body.Close() // the status says it
		return r.StatusCode == http.StatusOK
	}
}

// Stop kills the server and removes its folder. A second call does nothing.
func (s *Server) Stop() {
	s.process.Kill()
	_ = os.RemoveAll(s.dir) // in the system's folder of temporary files, which cleans itself
}

// Log is what the server has printed.
func (s *Server) Log() string { return s.process.Log() }

// Bucket makes a new, empty bucket and returns its name. It stays until the server ends.
func (s *Server) Bucket(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test-%d", s.buckets.Add(1))
	c := s.Client(t)
	ctx, cancel := context.WithTimeout(context.Background(), daemon.Patience)
	defer cancel()
	if err := c.MakeBucket(ctx, name, minio.MakeBucketOptions{Region: Region}); err != nil {
		t.Fatalf("make the bucket %s: %v", name, err)
	}
	return name
}

// Client returns a client with root's rights that shares nothing with the code under test.
func (s *Server) Client(t testing.TB) *minio.Core {
	t.Helper()
	transport, err := minio.DefaultTransport(strings.HasPrefix(s.URL, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	if transport.TLSClientConfig != nil {
		transport.TLSClientConfig.InsecureSkipVerify = true // the certificates of tests are signed by nobody
	}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := minio.NewCore(s.Addr, &minio.Options{
		Creds: credentials.NewStaticV4(s.User, s.Password, ""), Region: Region,
		Secure: strings.HasPrefix(s.URL, "https://"), Transport: transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
