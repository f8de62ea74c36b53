package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s tls=%t", r.Proto, r.TLS != nil)
})

func TestOnePortSpeaksBoth(t *testing.T) {
	local := newLocal(t, LocalOptions{})
	addr, _ := serveOn(t, ListenOptions{TLS: Config(local, ConfigOptions{})}, hello)
	for _, test := range []struct {
		scheme, want string
		set          func(*http.Transport)
	}{
		{"http", "HTTP/1.1 tls=false", nil},
		{"https", "HTTP/1.1 tls=true", nil},
		{"http", "HTTP/2.0 tls=false", func(tr *http.Transport) {
			tr.Protocols.SetHTTP1(false)
			tr.Protocols.SetUnencryptedHTTP2(true)
		}},
		{"https", "HTTP/2.0 tls=true", func(tr *http.Transport) { tr.Protocols.SetHTTP2(true) }},
	} {
		if _, body := get(t, client(t, local.Authority().pool(), test.set), test.scheme+"://"+addr); body != test.want {
			t.Errorf("%s: got %q, want %q", test.scheme, body, test.want)
		}
	}
}

// TestPlainConnectionsKeepSendfile looks at what net/http is given: the system's own connection, to which it can send a file.
func TestPlainConnectionsKeepSendfile(t *testing.T) {
	local := newLocal(t, LocalOptions{})
	l := Listen(listenTCP(t), ListenOptions{TLS: Config(local, ConfigOptions{})})
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	got, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if _, ok := got.(*net.TCPConn); !ok {
		t.Errorf("Accept returns a %T, want *net.TCPConn", got)
	}
	first := make([]byte, 16)
	if n, err := got.Read(first); err != nil || string(first[:n]) != "GET / HTTP/1.1\r\n" {
		t.Errorf("got %q, %v: not all that was sent", first[:n], err)
	}
}

// TestFilesOverBoth serves a file: the same bytes come both ways.
func TestFilesOverBoth(t *testing.T) {
	local := newLocal(t, LocalOptions{})
	file := filepath.Join(t.TempDir(), "file")
	want := strings.Repeat("0123456789abcdef", 1<<17)
	if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
	addr, _ := serveOn(t, ListenOptions{TLS: Config(local, ConfigOptions{})}, NewSite(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := w.(io.ReaderFrom); !ok {
			t.Errorf("the registry gets a %T, into which no file can be sent", w)
		}
		http.ServeFile(w, r, file)
	}), SiteOptions{Local: local}))
	for _, scheme := range []string{"http", "https"} {
		if _, body := get(t, client(t, local.Authority().pool(), nil), scheme+"://"+addr); body != want {
			t.Errorf("%s: got %d bytes, want %d", scheme, len(body), len(want))
		}
	}
}

// TestThousandConnections lets 1,000 clients come at once, half of them with TLS, while others connect and say nothing.
func TestThousandConnections(t *testing.T) {
	local := newLocal(t, LocalOptions{})
	addr, l := serveOn(t, ListenOptions{TLS: Config(local, ConfigOptions{}), Timeout: time.Minute}, hello)
	var silent []net.Conn
	for range 100 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, c)
	}
	var all sync.WaitGroup
	errs := make(chan error, 1000)
	for i := range 1000 {
		all.Go(func() {
			scheme := []string{"http", "https"}[i%2]
			r, err := client(t, local.Authority().pool(), nil).Get(scheme + "://" + addr)
			if err != nil {
				errs <- err
				return
			}
			body, err := io.ReadAll(r.Body)
			_ = r.Body.Close()
			if want := fmt.Sprintf("HTTP/1.1 tls=%t", i%2 == 1); err != nil || string(body) != want {
				errs <- fmt.Errorf("got %q, %v, want %q", body, err, want)
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	// Close waits for the goroutines of all that are pending.
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for _, c := range silent {
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a silent connection is still there when the listener is closed: %v", err)
		}
		_ = c.Close()
	}
}

// TestBounds are clients that do not speak as they should.
func TestBounds(t *testing.T) {
	local := newLocal(t, LocalOptions{})
	addr, _ := serveOn(t, ListenOptions{TLS: Config(local, ConfigOptions{}), Timeout: 100 * time.Millisecond}, hello)
	for name, test := range map[string]struct {
		send string
		half bool // closes its side then
		want string
	}{
		"silent":               {"", false, ""},
		"half open":            {"", true, ""},
		"begins a handshake":   {"\x16\x03\x01", false, ""},
		"half a handshake":     {"\x16\x03\x01\x02\x00\x01", true, ""},
		"nonsense of TLS":      {"\x16GET / HTTP/1.1\r\n\r\n", false, ""},
		"garbage":              {"\x00\xff\x01 a line that is no request\r\n\r\n", false, "HTTP/1.1 400 Bad Request"},
		"SSLv2":                {"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10\x01\x00\x80\x02\x00\x80\x03\x00\x80 and more\r\n\r\n", false, "HTTP/1.1 400 Bad Request"},
		"one byte, then quiet": {"G", true, "HTTP/1.1 400 Bad Request"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, test.send); err != nil {
				t.Fatal(err)
			}
			if test.half {
				if err := c.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(c)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("is not thrown out")
			}
			if !strings.HasPrefix(string(got), test.want) {
				t.Errorf("got %q, want %q first", got, test.want)
			}
		})
	}
}

func TestWithoutCertificate(t *testing.T) {
	var log safeLog
	addr, _ := serveOn(t, ListenOptions{Log: log.logger(), Advice: "make one"}, hello)
	c := client(t, nil, func(tr *http.Transport) { tr.TLSClientConfig.ServerName = "nas.lan" })
	_, err := c.Get("https://" + addr)
	if !errors.Is(err, http.ErrSchemeMismatch) {
		t.Errorf("got %v, want what clients know as the answer of a server without TLS", err)
	}
	eventually(t, "the log line", func() bool { return strings.Contains(log.String(), "make one") })
	wantIn(t, "log", log.String(), "client=127.0.0.1", "name=nas.lan")
}

// TestFailures is a client that does not trust the CA.
func TestFailures(t *testing.T) {
	var log safeLog
	local := newLocal(t, LocalOptions{Hosts: []string{"nas.lan"}})
	l := Listen(listenTCP(t), ListenOptions{TLS: Config(local, ConfigOptions{}), Log: log.logger(), Advice: "trust me"})
	defer l.Close()
	now := time.Now()
	l.failures.now = func() time.Time { return now }
	fail := func() {
		t.Helper()
		d := tls.Dialer{Config: &tls.Config{ServerName: "nas.lan"}}
		if c, err := d.DialContext(t.Context(), "tcp", l.Addr().String()); err == nil {
			_ = c.Close()
			t.Fatal("a CA that nobody knows is trusted")
		}
	}
	lines := func() int { return strings.Count(log.String(), "a TLS connection failed") }
	fail()
	eventually(t, "the log line", func() bool { return lines() == 1 })
	wantIn(t, "log", log.String(), "client=127.0.0.1", "name=nas.lan", `fix="trust me"`)
	fail()
	fail()
	l.failures.mu.Lock()
	now = now.Add(failurePause)
	l.failures.mu.Unlock()
	fail()
	eventually(t, "the line of the next minute", func() bool { return lines() == 2 })
}

func TestFailingClientsAreBounded(t *testing.T) {
	f := newFailures(new(safeLog).logger(), "")
	now := time.Now()
	f.now = func() time.Time { return now }
	told := 0
	for i := range 3 * maxFailing {
		if f.first(addrNumber(i)) {
			told++
		}
	}
	if told != maxFailing || len(f.told) != maxFailing {
		t.Errorf("%d told, %d remembered; want %d", told, len(f.told), maxFailing)
	}
	now = now.Add(failurePause)
	if !f.first(addrNumber(3 * maxFailing)) {
		t.Error("nothing is told of any client any more")
	}
}

// TestShutdown: a connection that has been accepted ends well, and nothing is accepted after.
func TestShutdown(t *testing.T) {
	local := newLocal(t, LocalOptions{})
	entered, leave := make(chan struct{}), make(chan struct{})
	l := Listen(listenTCP(t), ListenOptions{TLS: Config(local, ConfigOptions{})})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		io.WriteString(w, "done")
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	answer := make(chan string, 1)
	go func() {
		r, err := client(t, local.Authority().pool(), nil).Get("https://" + l.Addr().String())
		if err != nil {
			answer <- err.Error()
			return
		}
		body, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		answer <- string(body)
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- server.Shutdown(context.Background()) }()
	if err := <-served; err != http.ErrServerClosed {
		t.Error(err)
	}
	close(leave)
	if got := <-answer; got != "done" {
		t.Errorf("got %q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
