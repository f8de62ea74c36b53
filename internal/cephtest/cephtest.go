// Package cephtest runs the smallest Ceph with its S3 gateway for tests: a monitor, an OSD that keeps objects in memory, and
// radosgw, without authentication among them and without a manager.
package cephtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/longshore-registry/longshore/internal/daemon"
)

// Server is a running gateway. Buckets are to be made by its users.
type Server struct {
	URL                  string
	AccessKey, SecretKey string

	dir, conf string
	programs  map[string]string
	processes []*daemon.Process
}

// packages are Debian's.
const packages = "apt-get install --no-install-recommends ceph-mon ceph-osd radosgw ceph-common"

// Start starts a gateway that ends with the test. It fails the test if a program is missing, or if one does not start.
func Start(t testing.TB) *Server {
	t.Helper()
	programs := make(map[string]string)
	for _, program := range []string{"ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "ceph-authtool", "monmaptool"} {
		path, err := daemon.Find(program, packages)
		if err != nil {
			t.Fatal(err)
		}
		programs[program] = path
	}
	var errs []error
	// Between the choice of a free port and a daemon's use of it another process may take it.
	for range 3 {
		dir, err := os.MkdirTemp("", "cephtest-") // short: sockets are in it, whose paths have at most 107 bytes
		if err != nil {
			t.Fatal(err)
		}
		s := &Server{AccessKey: "user-" + rand.Text()[:8], SecretKey: rand.Text(), dir: dir, conf: filepath.Join(dir, "ceph.conf"), programs: programs}
		if err = s.start(t.Context()); err == nil {
			t.Cleanup(s.stop)
			return s
		}
		s.stop()
		errs = append(errs, err)
	}
	t.Fatal(errors.Join(errs...))
	return nil
}

// stop kills everything: what is in memory is lost, and nobody wants it.
func (s *Server) stop() {
	for _, p := range slices.Backward(s.processes) { // the gateway first
		p.Kill()
	}
	_ = os.RemoveAll(s.dir) // in the system's folder of temporary files, which cleans itself
}

func (s *Server) start(ctx context.Context) error {
	fsid := uuid()
	monitor, err := s.configure(fsid)
	if err != nil {
		return err
	}
	keyring, monmap := filepath.Join(s.dir, "keyring"), filepath.Join(s.dir, "monmap")
	for _, step := range [][]string{
		{"ceph-authtool", "-C", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *"},
		{"monmaptool", "--create", "--addv", "a", "[v1:" + monitor + "]", "--fsid", fsid, monmap},
		{"ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring},
	} {
		if _, err := s.run(ctx, step[0], step[1:]...); err != nil {
			return err
		}
	}
	if _, err := s.background("ceph-mon", "-f", "-i", "a"); err != nil {
		return err
	}
	osd := uuid()
	if _, err := s.run(ctx, "ceph", "osd", "new", osd, "0"); err != nil {
		return err
	}
	if _, err := s.run(ctx, "ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd); err != nil {
		return err
	}
	disk, err := s.background("ceph-osd", "-f", "-i", "0")
	if err != nil {
		return err
	}
	if err := disk.Until(func() bool {
		out, err := s.run(ctx, "ceph", "osd", "stat")
		return err == nil && strings.Contains(out, " 1 up")
	}); err != nil {
		return err
	}
	gateway, err := s.background("radosgw", "-f", "-n", "client.rgw.a")
	if err != nil {
		return err
	}
	if err := gateway.UntilAnswers(s.URL); err != nil {
		return err
	}
	if _, err = s.run(ctx, "radosgw-admin", "-n", "client.rgw.a", "user", "create", "--uid=test", "--display-name=test",
		"--access-key="+s.AccessKey, "--secret-key="+s.SecretKey); err != nil {
		return err
	}
	return s.knows(ctx)
}

// SwiftUser makes a user of the gateway's Swift API, and returns the URL of its identity service, which speaks version 1, and what that wants.
func (s *Server) SwiftUser(ctx context.Context) (authURL, user, password string, err error) {
	user, password = "test:swift", rand.Text()
	_, err = s.run(ctx, "radosgw-admin", "-n", "client.rgw.a", "subuser", "create", "--uid=test", "--subuser="+user,
		"--access=full", "--key-type=swift", "--secret-key="+password)
	return s.URL + "/auth/v1.0", user, password, err
}

// knows asks as the user that was made, which only the gateway of this cluster knows.
func (s *Server) knows(ctx context.Context) error {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c, err := minio.New(strings.TrimPrefix(s.URL, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), Transport: transport, Region: "us-east-1",
	})
	if err == nil {
		_, err = c.ListBuckets(ctx)
	}
	if err != nil {
		return fmt.Errorf("the gateway at %s is not this cluster's: %w", s.URL, err)
	}
	return nil
}

// configure writes ceph.conf and returns the address of the monitor.
func (s *Server) configure(fsid string) (monitor string, err error) {
	for _, folder := range []string{"mon", "osd", "rgw", "run", "log"} {
		if err := os.Mkdir(filepath.Join(s.dir, folder), 0o700); err != nil {
			return "", err
		}
	}
	ports, err := daemon.FreePorts(2)
	if err != nil {
		return "", err
	}
	s.URL = fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	monitor = fmt.Sprintf("127.0.0.1:%d", ports[1])
	// The daemons' own ports are tried one after another, so only where to begin has to be said.
	text := strings.NewReplacer("FSID", fsid, "DIR", s.dir, "MONITOR", monitor, "GATEWAY", fmt.Sprintf("127.0.0.1:%d", ports[0]),
		"PORTMIN", "21000", "PORTMAX", "29999").Replace(conf)
	return monitor, os.WriteFile(s.conf, []byte(text), 0o600)
}

// conf makes the start take two seconds rather than thirteen (paxos), and lets one OSD do.
const conf = `[global]
fsid = FSID
mon host = v1:MONITOR
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms bind msgr2 = false
ms bind port min = PORTMIN
ms bind port max = PORTMAX
run dir = DIR/run
admin socket = DIR/run/$name.$pid.asok
log file = DIR/log/$name.log
mon cluster log file = DIR/log/cluster.log
pid file =
keyring = DIR/keyring
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
mon data avail warn = 2
mon data avail crit = 1
paxos propose interval = 0.05
paxos min wait = 0.01
[mon.a]
mon data = DIR/mon
[osd.0]
osd data = DIR/osd
osd objectstore = memstore
memstore device bytes = 4294967296
[client.rgw.a]
rgw data = DIR/rgw
rgw frontends = beast endpoint=GATEWAY tcp_nodelay=1
`

// env makes programs read our configuration; /etc/ceph is not used.
func (s *Server) env() []string { return append(os.Environ(), "CEPH_CONF="+s.conf) }

func (s *Server) run(ctx context.Context, program string, args ...string) (string, error) {
	return daemon.Command(ctx, s.env(), s.programs[program], args...)
}

func (s *Server) background(program string, args ...string) (*daemon.Process, error) {
	cmd := exec.Command(s.programs[program], args...)
	cmd.Env = s.env()
	p, err := daemon.Start(cmd)
	if err == nil {
		s.processes = append(s.processes, p)
	}
	return p, err
}

// uuid is a random one (RFC 9562, version 4).
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
