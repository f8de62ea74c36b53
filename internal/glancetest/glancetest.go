// Package glancetest runs OpenStack Glance from Debian's packages for tests: one process with SQLite and a folder for the data, either
// open to everybody or behind a keystone.
package glancetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/internal/daemon"
)

// packages are Debian's.
const packages = "apt-get install --no-install-recommends glance-api keystone"

// Server is a running Glance.
type Server struct {
	URL string // of the image service

	// With keystone only.
	AuthURL  string // of the identity service, with its version
	Project  string // whose name is in the domain Default
	Member   string // a user of it with the role member
	Reader   string // one with the role reader
	Password string // of both

	dir       string
	processes []*daemon.Process
}

// Start starts a Glance without keystone that ends with the test. It fails the test if a program is missing, or if one does not start.
func Start(t testing.TB) *Server { return start(t, Launch) }

// StartKeystone is Start with a keystone.
func StartKeystone(t testing.TB) *Server { return start(t, LaunchKeystone) }

func start(t testing.TB, launch func(context.Context) (*Server, error)) *Server {
	t.Helper()
	s, err := launch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Launch is Start for a caller that stops the server itself.
func Launch(ctx context.Context) (*Server, error) { return launch(ctx, (*Server).startGlance) }

// LaunchKeystone is StartKeystone for a caller that stops the server itself.
func LaunchKeystone(ctx context.Context) (*Server, error) {
	return launch(ctx, func(s *Server, ctx context.Context) error {
		if err := s.startKeystone(ctx); err != nil {
			return err
		}
		if err := s.startGlance(ctx); err != nil {
			return err
		}
		return s.catalogue(ctx)
	})
}

func launch(ctx context.Context, start func(*Server, context.Context) error) (*Server, error) {
	var errs []error
	// Between the choice of a free port and a server's use of it another process may take it.
	for range 3 {
		dir, err := os.MkdirTemp("", "glancetest-")
		if err != nil {
			return nil, err
		}
		s := &Server{dir: dir}
		if err = start(s, ctx); err == nil {
			return s, nil
		}
		for _, p := range s.processes {
			err = fmt.Errorf("%w\n%s", err, p.Log())
		}
		s.Stop()
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// Stop ends all processes: what they hold nobody wants.
func (s *Server) Stop() {
	for _, p := range slices.Backward(s.processes) {
		p.Kill()
	}
	_ = os.RemoveAll(s.dir) // in the system's folder of temporary files, which cleans itself
}

// write fills a configuration and writes it to a file of the server's folder, whose path it returns.
func (s *Server) write(file, text string, values ...string) (string, error) {
	path := filepath.Join(s.dir, file)
	return path, os.WriteFile(path, []byte(strings.NewReplacer(append(values, "@DIR@", s.dir)...).Replace(text)), 0o600)
}

func (s *Server) startGlance(ctx context.Context) error {
	program, err := daemon.Find("glance-api", packages)
	if err != nil {
		return err
	}
	manage, err := daemon.Find("glance-manage", packages)
	if err != nil {
		return err
	}
	port, err := daemon.FreePort()
	if err != nil {
		return err
	}
	for _, dir := range []string{"store", "tasks", "staging", "lock"} {
		if err := os.Mkdir(filepath.Join(s.dir, dir), 0o700); err != nil {
			return err
		}
	}
	text, values := glanceConfig, []string{"@PORT@", strconv.Itoa(port), "@FLAVOR@", "", "@NEW@", "false"}
	if s.AuthURL != "" {
		text += keystoneOfGlance
		values = []string{"@PORT@", strconv.Itoa(port), "@FLAVOR@", "keystone", "@NEW@", "true", "@AUTH_URL@", s.AuthURL, "@PASSWORD@", admin}
	}
	config, err := s.write("glance-api.conf", text, values...)
	if err != nil {
		return err
	}
	if _, err := daemon.Command(ctx, os.Environ(), manage, "--config-file", config, "db_sync"); err != nil {
		return err
	}
	if err := s.manyReaders(ctx, "glance.sqlite"); err != nil {
		return err
	}
	p, err := daemon.Start(exec.Command(program, "--config-file", config))
	if err != nil {
		return err
	}
	s.processes = append(s.processes, p)
	s.URL = fmt.Sprintf("http://127.0.0.1:%d", port)
	return p.UntilAnswers(s.URL)
}

// manyReaders makes SQLite let a database be written while others read it. Without it a writer that waits too long for readers is told that
// the database is locked.
func (s *Server) manyReaders(ctx context.Context, database string) error {
	const program = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA journal_mode=WAL')"
	_, err := daemon.Command(ctx, os.Environ(), "python3", "-c", program, filepath.Join(s.dir, database))
	return err
}

// Version is that of Debian's package.
func Version(ctx context.Context) (string, error) {
	out, err := daemon.Command(ctx, os.Environ(), "dpkg-query", "-W", "-f", "${Version}", "glance-api")
	if err != nil {
		return "", fmt.Errorf("the version of glance-api: %w", err)
	}
	return out, nil
}

// glanceConfig is that of one process that serves all requests itself.
const glanceConfig = `[DEFAULT]
bind_host = 127.0.0.1
bind_port = @PORT@
workers = 0
enabled_backends = disk:file
node_staging_uri = file://@DIR@/staging/
use_stderr = true
enforce_secure_rbac = @NEW@
api_limit_max = 100
[oslo_concurrency]
lock_path = @DIR@/lock
[database]
connection = sqlite:///@DIR@/glance.sqlite
sqlite_synchronous = false
[glance_store]
default_backend = disk
[disk]
filesystem_store_datadir = @DIR@/store
[os_glance_tasks_store]
filesystem_store_datadir = @DIR@/tasks
[os_glance_staging_store]
filesystem_store_datadir = @DIR@/staging
[paste_deploy]
config_file = /usr/share/glance-common/glance-api-paste.ini
flavor = @FLAVOR@
`

// keystoneOfGlance makes Glance ask keystone whose a token is. A role then has the rights of new versions, which are fewer.
const keystoneOfGlance = `[keystone_authtoken]
www_authenticate_uri = @AUTH_URL@
auth_url = @AUTH_URL@
auth_type = password
username = admin
password = @PASSWORD@
project_name = admin
user_domain_name = Default
project_domain_name = Default
[oslo_policy]
enforce_new_defaults = true
enforce_scope = true
`
