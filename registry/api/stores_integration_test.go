//go:build integration

package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/fs"
	"github.com/longshore-registry/longshore/drivers/minio"
	"github.com/longshore-registry/longshore/internal/faultproxy"
	"github.com/longshore-registry/longshore/internal/miniotest"
	"github.com/longshore-registry/longshore/internal/tmpfstest"
	"github.com/longshore-registry/longshore/registry/api"
)

// lines is a log of which each line is kept.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

// line is a line of the log.
type line struct{ Level, Err string }

// until waits for a last line that is good, which can be written a little after the client has its answer, and returns the last one there
// is.
func (l *lines) until(t *testing.T, good func(line) bool) (last line) {
	t.Helper()
	const patience = 5 * time.Second
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		l.mu.Lock()
		all := strings.Split(strings.TrimSpace(l.all.String()), "\n")
		l.mu.Unlock()
		if err := json.Unmarshal([]byte(all[len(all)-1]), &last); err != nil {
			t.Fatalf("%q: %v", all[len(all)-1], err)
		}
		if good(last) || time.Now().After(end) {
			return last
		}
	}
}

// served is a site whose log is kept.
func served(t *testing.T, open func(*testing.T) drivers.Driver, o api.Options) (*caller, *lines) {
	log := &lines{}
	o.Log = slog.New(slog.NewJSONHandler(log, nil))
	return newSite(t, one, options{open: open, api: o}).caller(t), log
}

// fails sends a request that a fault makes fail. The client gets want, and the log says why: a line of level ERROR whose err matches why.
func (c *caller) fails(log *lines, send, body, want, why string) {
	c.t.Helper()
	a := c.do(step{send, body, want, ""})
	good := func(l line) bool { return l.Level == "ERROR" && regexp.MustCompile(why).MatchString(l.Err) }
	if last := log.until(c.t, good); !good(last) {
		c.t.Errorf("%s: the log says %s %q, want a match of %q", send, last.Level, last.Err, why)
	}
	if strings.Contains(a.body, "/") && !strings.Contains(a.body, "http.idle_timeout") {
		c.t.Errorf("%s: the client is told of a path: %s", send, a.body)
	}
}

// whole sees that the image is there and can be pulled, and another can be pushed.
func (c *caller) whole() {
	c.t.Helper()
	c.all(steps{{"GET $R/manifests/1", "", "200", image()}, {"GET $R/blobs/" + sum(layer), "", "200", layer}, has(ten)})
	checkStore(c.t, c.site.driver)
}

// pulls that reach the store each time.
func (c *caller) pulls() {
	c.t.Helper()
	c.all(steps{{"GET $R/manifests/1", "", "200", image()}, {"GET $R/blobs/" + sum(layer), "", "200", layer}})
}

func inFolder(root string) func(*testing.T) drivers.Driver {
	return func(t *testing.T) drivers.Driver {
		d, err := fs.Open(t.Context(), fs.Config{Root: root, Durability: fs.Full})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

func TestFaultDiskFull(t *testing.T) {
	for name, options := range map[string]string{"no blocks": "size=8m", "no inodes": "size=64m,nr_inodes=140"} {
		t.Run(name, func(t *testing.T) {
			root := tmpfstest.Mount(t, options)
			c, log := served(t, inFolder(root), api.Options{})
			c.all(pushed("1"))
			filler := fill(t, root)
			const why = `the store is full.*no space left on device`
			c.fails(log, "POST $R/blobs/uploads/?digest="+sum(big), big, "507 STORAGE_FULL", why)
			c.do(beginning)
			c.fails(log, "PATCH $U", big, "507 STORAGE_FULL", why)
			c.fails(log, "PUT $U&digest="+sum(big), big, "507 STORAGE_FULL", why)
			c.fails(log, "PUT $R/manifests/2 | Content-Type: $image", image(`"annotations":{"a":"`+strings.Repeat("b", 300_000)+`"}`), "507 STORAGE_FULL", why)
			c.pulls()
			c.do(step{"GET /readyz", "", "200", ""}) // pulls go on, so this replica stays in service
			c.do(step{"GET $R/manifests/2", "", "404 MANIFEST_UNKNOWN", ""})
			for _, path := range filler {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			c.whole()
		})
	}
}

// fill writes files until the file system takes no more.
func fill(t *testing.T, root string) (paths []string) {
	t.Helper()
	for size := 1 << 20; size > 0; size /= 16 {
		for n := 0; ; n++ {
			path := filepath.Join(root, fmt.Sprintf("filler~%d-%d", size, n)) // no key has a ~
			err := os.WriteFile(path, make([]byte, size), 0o600)
			paths = append(paths, path)
			if err != nil {
				if _, gone := os.Lstat(path); gone != nil {
					paths = paths[:len(paths)-1]
				}
				break
			}
		}
	}
	return paths
}

func TestFaultReadOnly(t *testing.T) {
	root := tmpfstest.Mount(t, "size=16m")
	c, log := served(t, inFolder(root), api.Options{})
	c.all(then(pushed("1"), beginning))
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("tmpfs", root, "tmpfs", syscall.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(syscall.MS_RDONLY)
	const want, why = "503 UNAVAILABLE | Retry-After: *", `the store is read-only.*read-only file system`
	c.fails(log, "POST $R/blobs/uploads/?digest="+sum(ten), ten, want, why)
	c.fails(log, "PATCH $U", ten, want, why)
	c.fails(log, "PUT $R/manifests/2 | Content-Type: $image", imageOf(""), want, why)
	c.fails(log, "DELETE $R/manifests/1", "", want, why)
	c.fails(log, "DELETE $R/blobs/"+sum(layer), "", want, why)
	c.pulls()
	c.do(step{"@new GET $R/manifests/1", "", "200", image()}) // a process that starts now serves what is there
	remount(0)
	c.whole()
}

func TestFaultPermissionLost(t *testing.T) {
	root := t.TempDir()
	c, log := served(t, inFolder(root), api.Options{})
	c.all(pushed("1"))
	unable := func(handler http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			done := make(chan struct{})
			go func() { // on a thread with the rights of nobody, which ends with the goroutine
				defer close(done)
				runtime.LockOSThread()
				if err := syscall.Setfsuid(65534); err != nil {
					t.Error(err)
				}
				handler.ServeHTTP(w, r)
			}()
			<-done
		})
	}
	server := c.site.servers[0].Config
	able := server.Handler
	server.Handler = unable(able)
	const why = `the store refuses permission.*permission denied`
	c.fails(log, "POST $R/blobs/uploads/?digest="+sum(ten), ten, "500 UNKNOWN", why)
	c.fails(log, "GET $R/manifests/1", "", "500 UNKNOWN", why)
	c.fails(log, "GET $R/tags/list", "", "500 UNKNOWN", why)
	c.fails(log, "GET /readyz", "", "500 UNKNOWN", why)
	server.Handler = able
	c.whole()
}

func TestFaultWrongBytesOnDisk(t *testing.T) {
	root := t.TempDir()
	c, log := served(t, inFolder(root), api.Options{})
	c.all(pushed("1"))
	damage := func(pattern string, change func([]byte) []byte) (undo func()) {
		t.Helper()
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(paths) != 1 {
			t.Fatalf("%s: %q, %v", pattern, paths, err)
		}
		was, err := os.ReadFile(paths[0])
		if err != nil {
			t.Fatal(err)
		}
		write := func(b []byte) {
			if err := os.WriteFile(paths[0], b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(change(bytes.Clone(was)))
		return func() { write(was) }
	}
	flip := func(b []byte) []byte { b[len(b)-1] ^= 1; return b }
	short := func(b []byte) []byte { return b[:len(b)-1] }
	hex := sum(layer)[7:]
	const want = "500 UNKNOWN"
	for _, s := range []struct {
		what, pattern, send, why string
		change                   func([]byte) []byte
	}{
		{"a manifest with another byte", "repos/row/*/_manifests/sha256/*", "GET $R/manifests/" + sum(image()), `something else than was stored.*its content is not what was stored`, flip},
		{"a manifest that is shorter", "repos/row/*/_manifests/sha256/*", "@new GET $R/manifests/1", `something else than was stored.*its content is not what was stored`, short},
		{"a tag cut short", "repos/row/*/_tags/1", "GET $R/manifests/1", `something else than was stored.*JSON`, short},
		{"a record cut short", "blobs/sha256/" + hex[:2] + "/" + hex, "@new GET $R/blobs/" + sum(layer), `something else than was stored.*JSON`, short},
	} {
		undo := damage(s.pattern, s.change)
		c.fails(log, s.send, "", want, s.why)
		undo()
	}
	c.whole()
}

// behindProxy is the API over a MinIO that it reaches through a proxy which can fail.
func behindProxy(t *testing.T, change func(*minio.Config)) (*caller, *lines, *faultproxy.Proxy) {
	server := miniotest.Start(t)
	p := faultproxy.New(t, server.URL)
	c, log := served(t, func(t *testing.T) drivers.Driver {
		return openMinIO(t, server, func(m *minio.Config) {
			m.Endpoint, m.Attempts, m.Timeout = p.URL, 3, time.Second
			change(m)
		})
	}, api.Options{})
	c.all(pushed("1"))
	return c, log, p
}

func openMinIO(t *testing.T, server *miniotest.Server, change func(*minio.Config)) drivers.Driver {
	c := minio.Defaults()
	c.Endpoint, c.Bucket = server.URL, server.Bucket(t)
	c.AccessKey, c.SecretKey = server.User, drivers.Secret(server.Password)
	change(&c)
	d, err := minio.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// TestFaultNetwork makes each request to MinIO fail in one way, for as long as a client tries.
func TestFaultNetwork(t *testing.T) {
	c, log, p := behindProxy(t, func(*minio.Config) {})
	const unavailable = "503 UNAVAILABLE | Retry-After: *"
	for _, fault := range []struct {
		name      string
		what      faultproxy.Fault
		want, why string
	}{
		{"busy", faultproxy.SlowDown, unavailable, `busy or out of reach.*made by the test`},
		{"the connection breaks", faultproxy.Reset, unavailable, `busy or out of reach.*(EOF|reset|broken pipe|[Cc]losed by foreign host|server closed idle connection)`},
		{"silent: the connection is half closed, or the request is lost", faultproxy.Hang, unavailable, `busy or out of reach.*timeout`},
		{"permission lost", faultproxy.Denied, "500 UNKNOWN", `refuses permission.*(made by the test|Access Denied|403)`},
	} {
		t.Run(fault.name, func(t *testing.T) {
			c := c.in(t)
			p.Set(func(string) faultproxy.Fault { return fault.what })
			c.fails(log, "GET $R/manifests/1", "", fault.want, fault.why)
			c.fails(log, "GET $R/blobs/"+sum(layer), "", fault.want, fault.why)
			c.fails(log, "GET $R/tags/list", "", fault.want, fault.why)
			c.fails(log, "POST $R/blobs/uploads/?digest="+sum(ten), ten, fault.want, fault.why)
			c.fails(log, "PUT $R/manifests/2 | Content-Type: $image", imageOf(""), fault.want, fault.why)
			c.fails(log, "GET /readyz", "", fault.want, fault.why)
			c.do(step{"GET /livez", "", "200", ""})
			p.Set(nil)
			c.whole()
			c.do(step{"DELETE $R/blobs/" + sum(ten), "", "202", ""})
		})
	}
}

// TestFaultTruncatedReads breaks each answer of MinIO off in its middle: one that breaks off now and then is read on from there, without the
// client's knowing.
func TestFaultTruncatedReads(t *testing.T) {
	c, log, p := behindProxy(t, func(*minio.Config) {})
	c.do(has(bigger))
	p.Times(1, "GET", faultproxy.Truncate)
	c.do(step{"@new GET $R/manifests/1", "", "200", image()})
	n := 0
	p.Set(func(call string) faultproxy.Fault {
		if n++; call == "GET" && n%2 == 0 {
			return faultproxy.Truncate
		}
		return faultproxy.Pass
	})
	c.do(step{"GET $R/blobs/" + sum(bigger), "", "200", bigger})
	p.Set(func(call string) faultproxy.Fault { return faultproxy.Truncate })
	c.fails(log, "@B GET $R/manifests/1", "", "503 UNAVAILABLE", `busy or out of reach`)
	p.Set(nil)
	c.whole()
}

// TestFaultSlowStore has 200 ms before each answer: everything works.
func TestFaultSlowStore(t *testing.T) {
	server := miniotest.Start(t)
	c, _ := served(t, func(t *testing.T) drivers.Driver {
		return openMinIO(t, server, func(m *minio.Config) {
			m.Transport = func(next http.RoundTripper) http.RoundTripper { return slow{next} }
		})
	}, api.Options{})
	c.all(then(pushed("1"), has(bigger)))
	c.whole()
}

// slow is the way to a store that is far away.
type slow struct{ next http.RoundTripper }

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-time.After(200 * time.Millisecond):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return s.next.RoundTrip(r)
}

// TestFaultWrongBytes lets MinIO return other bytes than it has, as a bad disk, a bad cache or a bad proxy would.
func TestFaultWrongBytes(t *testing.T) {
	server := miniotest.Start(t)
	wrong := &flipping{}
	c, log := served(t, func(t *testing.T) drivers.Driver {
		return openMinIO(t, server, func(m *minio.Config) {
			m.Attempts = 3
			m.Transport = func(next http.RoundTripper) http.RoundTripper { wrong.next = next; return wrong }
		})
	}, api.Options{})
	c.all(then(pushed("1"), has(bigger)))
	wrong.set(true)
	for _, content := range []string{layer, bigger} {
		c.sent++
		a := c.send(step{send: "@new GET $R/blobs/" + sum(content)})
		if broken := a.err != nil && len(a.body) < len(content); !broken && a.status != http.StatusInternalServerError {
			t.Errorf("%d bytes of %d and %v", len(a.body), len(content), a.err)
		}
		good := func(l line) bool {
			return strings.Contains(l.Err, "something else than was stored") || strings.Contains(l.Err, "busy or out of reach")
		}
		if last := log.until(t, good); !good(last) {
			t.Errorf("the log says %s %q", last.Level, last.Err)
		}
	}
	wrong.set(false)
	c.whole()
	c.do(step{"GET $R/blobs/" + sum(bigger), "", "200", bigger})
}

// flipping changes the last byte of the bodies of blobs.
type flipping struct {
	next http.RoundTripper
	mu   sync.Mutex
	on   bool
}

func (f *flipping) set(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.on = on
}

func (f *flipping) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := f.next.RoundTrip(r)
	f.mu.Lock()
	on := f.on
	f.mu.Unlock()
	if err != nil || !on || r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/data/") {
		return res, err
	}
	res.Body = &flipped{ReadCloser: res.Body, left: res.ContentLength}
	return res, nil
}

type flipped struct {
	io.ReadCloser
	left int64
}

func (f *flipped) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if f.left -= int64(n); f.left == 0 && n > 0 {
		p[n-1] ^= 1
	}
	return n, err
}

// TestFaultStoreDown takes MinIO away for 30 seconds, in the middle of an upload, and gives it back: clients that come back get through.
func TestFaultStoreDown(t *testing.T) {
	const down = 30 * time.Second
	server := miniotest.Start(t)
	gate := newGate(t, server.Addr)
	c, log := served(t, func(t *testing.T) drivers.Driver {
		return openMinIO(t, server, func(m *minio.Config) { m.Endpoint, m.Attempts = "http://"+gate.addr, 3 })
	}, api.Options{})
	c.all(then(pushed("1"), beginning, step{"PATCH $U", big, "202", ""}))
	gate.shut()
	begun := time.Now()
	const unavailable, why = "503 UNAVAILABLE | Retry-After: *", `busy or out of reach.*(EOF|reset|refused|broken pipe|[Cc]losed by foreign host|server closed idle connection)`
	for time.Since(begun) < down {
		c.fails(log, "GET $R/manifests/1", "", unavailable, why)
		c.fails(log, "GET $R/blobs/"+sum(layer), "", unavailable, why)
		c.fails(log, "PATCH $U", bigger, unavailable, why)
		c.fails(log, "PUT $R/manifests/2 | Content-Type: $image", imageOf(""), unavailable, why)
		c.fails(log, "GET /readyz", "", unavailable, why)
	}
	gate.open()
	c.all(steps{
		{"GET /readyz", "", "200", ""},
		{"GET $U", "", "204", ""},
	})
	c.stubborn(func() bool { return c.try("PATCH $U", bigger) == http.StatusAccepted })
	c.all(steps{
		{"PUT $U&digest=" + sum(big+bigger), "", "201", ""},
		{"GET $R/blobs/" + sum(big+bigger), "", "200", big + bigger},
	})
	c.whole()
}

// gate passes connections on while it is open, and breaks them when it is shut.
type gate struct {
	addr, to string
	mu       sync.Mutex
	closed   bool
	conns    []net.Conn
}

func newGate(t *testing.T, to string) *gate {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{addr: listener.Addr().String(), to: to}
	t.Cleanup(func() {
		_ = listener.Close() // its user has gone
		g.shut()
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go g.pass(conn)
		}
	}()
	return g
}

func (g *gate) pass(conn net.Conn) {
	defer conn.Close()
	g.mu.Lock()
	closed := g.closed
	g.conns = append(g.conns, conn)
	g.mu.Unlock()
	if closed {
		return
	}
	store, err := net.Dial("tcp", g.to)
	if err != nil {
		return
	}
	defer store.Close()
	go func() {
		_, err := io.Copy(store, conn)
		_ = errors.Join(err, store.Close()) // either side may have ended it
	}()
	_, _ = io.Copy(conn, store)
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, c := range g.conns {
		_ = c.Close() // it may have ended
	}
	g.conns = nil
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = false
}
