// Package slapdtest runs OpenLDAP's slapd from Debian's packages for tests, with users and groups of each common form.
package slapdtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/longshore-registry/longshore/internal/daemon"
)

// packages are Debian's.
const packages = "apt-get install --no-install-recommends slapd"

// What is in the directory. Each user's password is Password, with his name after it.
const (
	Base     = "dc=example,dc=org"
	People   = "ou=people," + Base
	Groups   = "ou=groups," + Base
	Admin    = "cn=admin," + Base // may do everything
	Reader   = "cn=registry," + Base
	Password = "a password of "

	// Failures is how many wrong passwords lock an account.
	Failures = 3
)

// Server is a running slapd.
type Server struct {
	URL       string // ldap://, with StartTLS
	SecureURL string // ldaps://
	CAFile    string // with the certificate that both show

	dir     string
	process *daemon.Process
}

// Start starts a slapd that ends with the test. It fails the test if the program is missing or does not start.
func Start(t testing.TB) *Server {
	t.Helper()
	var errs []error
	// Between the choice of a free port and the server's use of it another process may take it.
	for range 3 {
		s, err := launch(t.Context())
		if err == nil {
			t.Cleanup(s.stop)
			return s
		}
		errs = append(errs, err)
	}
	t.Fatal(errors.Join(errs...))
	return nil
}

func launch(ctx context.Context) (*Server, error) {
	dir, err := os.MkdirTemp("", "slapdtest-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir}
	err = s.prepare()
	if err == nil {
		err = s.Run()
	}
	if err == nil {
		err = s.fill(ctx)
	}
	if err != nil {
		if s.process != nil {
			err = fmt.Errorf("%w\n%s", err, s.process.Log())
		}
		s.stop()
		return nil, err
	}
	return s, nil
}

// prepare writes the configuration and certificates.
func (s *Server) prepare() error {
	ports, err := daemon.FreePorts(2)
	if err != nil {
		return err
	}
	s.URL, s.SecureURL = fmt.Sprintf("ldap://127.0.0.1:%d", ports[0]), fmt.Sprintf("ldaps://127.0.0.1:%d", ports[1])
	s.CAFile = filepath.Join(s.dir, "ca.pem")
	if err := certificate(s.CAFile, filepath.Join(s.dir, "key.pem")); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(s.dir, "data"), 0o700); err != nil {
		return err
	}
	text := strings.NewReplacer("@DIR@", s.dir, "@BASE@", Base, "@ADMIN@", Admin, "@PASSWORD@", Password+"admin").Replace(config)
	return os.WriteFile(filepath.Join(s.dir, "slapd.conf"), []byte(text), 0o600)
}

// Run starts the server, for the first time or again after Kill, with the data that it had.
func (s *Server) Run() error {
	program, err := daemon.Find("slapd", packages)
	if err != nil {
		program = "/usr/sbin/slapd" // which is not in everybody's PATH
		if _, e := os.Stat(program); e != nil {
			return err
		}
	}
	// With -d it stays in the foreground.
	s.process, err = daemon.Start(exec.Command(program, "-d", "0", "-f", filepath.Join(s.dir, "slapd.conf"), "-h", s.URL+" "+s.SecureURL))
	if err != nil {
		return err
	}
	return s.process.Until(func() bool {
		c, err := ldap.DialURL(s.URL)
		if err != nil {
			return false
		}
		_ = c.Close() // that it answers is all
		return true
	})
}

// Kill ends the server at once; its data stays.
func (s *Server) Kill() {
	if s.process != nil {
		s.process.Kill()
	}
}

func (s *Server) stop() {
	s.Kill()
	_ = os.RemoveAll(s.dir) // in the system's folder of temporary files, which cleans itself
}

// Do calls do with a connection as Admin.
func (s *Server) Do(do func(*ldap.Conn) error) error {
	c, err := ldap.DialURL(s.URL)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Bind(Admin, Password+"admin"); err != nil {
		return err
	}
	return do(c)
}

// config asks for no TLS, so that a client that forgets it is found out: it gets an answer.
const config = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload ppolicy
pidfile @DIR@/slapd.pid
TLSCertificateFile @DIR@/ca.pem
TLSCertificateKeyFile @DIR@/key.pem
allow bind_anon_dn
database mdb
suffix "@BASE@"
rootdn "@ADMIN@"
rootpw "@PASSWORD@"
directory @DIR@/data
dbnosync
access to attrs=userPassword by anonymous auth by * none
access to * by users read
overlay memberof
overlay ppolicy
ppolicy_default "cn=policy,@BASE@"
`
