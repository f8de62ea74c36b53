// Package swifttest runs OpenStack Swift from Debian's packages for tests: a proxy, one server each for accounts, containers and
// objects, one replica on one device, and memcached.
package swifttest

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/internal/daemon"
)

// packages are Debian's.
const packages = "apt-get install --no-install-recommends swift-proxy swift-account swift-container swift-object memcached"

// python is Debian's own: another one has no module swift.
const python = "/usr/bin/python3"

// rings.py makes the three rings.
//
//go:embed rings.py
var rings string

// Server is a running cluster. Containers are to be made by its users.
type Server struct {
	URL            string // of the proxy
	AuthURL        string // for version 1, tempauth
	User, Password string // of an account's admin
	Other          string // a user of the same account without rights, with the same password

	dir       string
	processes []*daemon.Process
}

// Start starts a cluster that ends with the test. It fails the test if a program is missing, or if one does not start.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := Launch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Launch is Start for a caller that stops the cluster itself.
func Launch(ctx context.Context) (*Server, error) {
	programs := make(map[string]string)
	for _, program := range []string{"memcached", "swift-account-server", "swift-container-server", "swift-object-server", "swift-proxy-server"} {
		path, err := daemon.Find(program, packages)
		if err != nil {
			return nil, err
		}
		programs[program] = path
	}
	var errs []error
	// Between the choice of a free port and a server's use of it another process may take it.
	for range 3 {
		s, err := launch(ctx, programs)
		if err == nil {
			return s, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func launch(ctx context.Context, programs map[string]string) (*Server, error) {
	dir, err := os.MkdirTemp("", "swifttest-")
	if err != nil {
		return nil, err
	}
	s := &Server{User: "test:tester", Other: "test:guest", Password: "testing", dir: dir}
	if err := s.start(ctx, programs); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// Stop ends all processes: what they hold nobody wants.
func (s *Server) Stop() {
	for _, p := range slices.Backward(s.processes) { // the proxy first
		p.Kill()
	}
	_ = os.RemoveAll(s.dir) // in the system's folder of temporary files, which cleans itself
}

// servers are those with a ring.
var servers = []string{"account", "container", "object"}

func (s *Server) start(ctx context.Context, programs map[string]string) error {
	listeners := append([]string{"memcached", "proxy"}, servers...)
	free, err := daemon.FreePorts(len(listeners))
	if err != nil {
		return err
	}
	ports := make(map[string]string)
	for i, server := range listeners {
		ports[server] = strconv.Itoa(free[i])
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	s.URL = "http://127.0.0.1:" + ports["proxy"]
	s.AuthURL = s.URL + "/auth/v1.0"
	fill := func(text, server string) string {
		return strings.NewReplacer("@USER@", me.Username, "@DIR@", s.dir, "@PORT@", ports[server], "@MEMCACHED@", ports["memcached"], "@SERVER@", server).Replace(text)
	}
	if err := os.MkdirAll(filepath.Join(s.dir, "srv", "d1"), 0o700); err != nil {
		return err
	}
	configs := map[string]string{"proxy-server.conf": fill(proxyConfig, "proxy")}
	for _, server := range servers {
		configs[server+"-server.conf"] = fill(serverConfig, server)
	}
	for file, text := range configs {
		if err := os.WriteFile(filepath.Join(s.dir, file), []byte(text), 0o600); err != nil {
			return err
		}
	}
	if _, err := daemon.Command(ctx, os.Environ(), python, "-c", rings, s.dir, ports["account"], ports["container"], ports["object"]); err != nil {
		return err
	}
	commands := []*exec.Cmd{exec.Command(programs["memcached"], "-u", me.Username, "-l", "127.0.0.1", "-p", ports["memcached"], "-U", "0", "-m", "32")}
	for _, server := range append(slices.Clone(servers), "proxy") {
		// -v: the log goes to the output, not to syslog.
		commands = append(commands, exec.Command(programs["swift-"+server+"-server"], filepath.Join(s.dir, server+"-server.conf"), "-v"))
	}
	for _, cmd := range commands {
		p, err := daemon.Start(cmd)
		if err != nil {
			return err
		}
		s.processes = append(s.processes, p)
	}
	return s.ready(ports)
}

// ready waits until all servers answer, and a request goes through all of them.
func (s *Server) ready(ports map[string]string) error {
	for i, server := range append(slices.Clone(servers), "proxy") {
		if err := s.processes[i+1].UntilAnswers("http://127.0.0.1:" + ports[server] + "/healthcheck"); err != nil {
			return err
		}
	}
	client := &http.Client{}
	defer client.CloseIdleConnections()
	return s.processes[len(s.processes)-1].Until(func() bool {
		r, err := http.NewRequest(http.MethodGet, s.AuthURL, nil)
		if err != nil {
			return false
		}
		r.Header.Set("X-Auth-User", s.User)
		r.Header.Set("X-Auth-Key", s.Password)
		answer, err := client.Do(r)
		if err != nil {
			return false
		}
		_ = answer.Body.Close() // the status says it
		return answer.StatusCode == http.StatusOK
	})
}

// Version is that of Debian's package.
func Version(ctx context.Context) (string, error) {
	out, err := daemon.Command(ctx, os.Environ(), "dpkg-query", "-W", "-f", "${Version}", "swift-proxy")
	if err != nil {
		return "", fmt.Errorf("the version of swift-proxy: %w", err)
	}
	return out, nil
}

// serverConfig is that of the servers with a ring. A server that gives up on telling a container of an object leaves it to
// a daemon that does not run here, so it is patient.
const serverConfig = `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = @PORT@
user = @USER@
swift_dir = @DIR@
devices = @DIR@/srv
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
workers = 0
log_level = WARNING
conn_timeout = 10
node_timeout = 30
container_update_timeout = 30
[pipeline:main]
pipeline = healthcheck @SERVER@-server
[filter:healthcheck]
use = egg:swift#healthcheck
[app:@SERVER@-server]
use = egg:swift#@SERVER@
`

// proxyConfig is that of the proxy. With one replica, some time-outs would take the only server out for a minute, so
// errors are not counted.
const proxyConfig = `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = @PORT@
user = @USER@
swift_dir = @DIR@
workers = 0
log_level = WARNING
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk tempurl tempauth copy slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
conn_timeout = 10
node_timeout = 30
recoverable_node_timeout = 30
error_suppression_limit = 1000000
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:@MEMCACHED@
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:tempurl]
use = egg:swift#tempurl
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
user_test_guest = testing
token_life = 86400
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
`
