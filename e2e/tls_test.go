//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/internal/pebbletest"
)

// nas is the name by which the clients of these tests know the registry. No name server knows it, so Docker does not take it for this
// machine, from which it would accept any certificate; a proxy leads there.
const nas = "nas.test"

// serveNamed starts a longshore that clients know as nas, and makes all that is started from here on reach it.
func serveNamed(t *testing.T, env ...string) (s server, host string) {
	t.Helper()
	s = serve(t, freeAddr(t), append(env, "LONGSHORE_TLS_HOSTS="+nas, "LONGSHORE_STORAGE_FS_ROOT="+filepath.Join(t.TempDir(), "images")))
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	proxyTo(t, s.addr)
	host = nas + ":" + port
	t.Cleanup(func() { distrust(t, host) })
	return s, host
}

// distrust removes what recipes have put below /etc. Podman, Skopeo and regctl read Docker's folder too.
func distrust(t *testing.T, host string) {
	for _, folder := range []string{"/etc/docker/certs.d/", "/etc/containers/certs.d/"} {
		if err := os.RemoveAll(folder + host); err != nil {
			t.Error(err)
		}
	}
}

// proxyTo sets a proxy for the test, by which all hosts lead to addr.
func proxyTo(t *testing.T, addr string) {
	t.Helper()
	plain := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = "http", addr
	}}
	l, err := net.Listen("tcp", freeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	proxy := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			plain.ServeHTTP(w, r)
			return
		}
		to, err := net.Dial("tcp", addr)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer to.Close()
		w.WriteHeader(http.StatusOK)
		from, rest, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer from.Close()
		go func() {
			_, _ = io.Copy(to, rest) // ends with the connection
			_ = to.(*net.TCPConn).CloseWrite()
		}()
		_, _ = io.Copy(from, to) // ends with the connection
	})}
	go func() { _ = proxy.Serve(l) }() // ends when it is closed
	t.Cleanup(func() { _ = proxy.Close() })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
		t.Setenv(name, "http://"+l.Addr().String())
	}
	t.Setenv("NO_PROXY", "127.0.0.1,localhost")
	t.Setenv("no_proxy", "127.0.0.1,localhost")
}

// withSudo gives a shell a sudo that does nothing: the tests run as root.
func withSudo(t *testing.T, s *shell) {
	t.Helper()
	path := s.write("bin/sudo", "#!/bin/sh\nexec \"$@\"\n")
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	for i, pair := range s.env {
		if value, ok := strings.CutPrefix(pair, "PATH="); ok {
			s.env[i] = "PATH=" + filepath.Dir(path) + string(os.PathListSeparator) + value
		}
	}
}

// recipe is the line for a client on the page about trust.
func recipe(t *testing.T, host, client string) string {
	t.Helper()
	res, err := made.client.Get("http://" + host + "/trust")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?s)id="` + client + `".*?<pre>(.*?)</pre>`).FindSubmatch(page)
	if m == nil {
		t.Fatalf("the page has nothing about %s:\n%s", client, page)
	}
	return html.UnescapeString(string(m[1]))
}

// viaProxy is made.client, by the proxy that is set now and not when the first request was sent.
func viaProxy(t *testing.T) {
	t.Helper()
	old := made.client
	transport := http.DefaultTransport.(*http.Transport).Clone()
	proxy := os.Getenv("HTTP_PROXY")
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(proxy, "http://"))
	}
	transport.Proxy = nil
	made.client = &http.Client{Transport: transport}
	t.Cleanup(func() { made.client = old })
}

// TestTrust pushes and pulls over TLS with real clients. Each fails first, since it does not know the CA, and works after the one line
// that the page gives for it.
func TestTrust(t *testing.T) {
	s, host := serveNamed(t)
	viaProxy(t)
	unknown := "certificate signed by unknown authority"

	t.Run("docker", func(t *testing.T) {
		e := startEngine(t, debianDockerd)
		withSudo(t, e.shell)
		image := host + "/trust/docker:1"
		e.docker("build", "-q", "-t", image, made.build)
		e.fails(unknown, dockerCLI, "push", image)
		e.run("sh", "-c", recipe(t, host, "docker"))
		e.docker("push", "-q", image)
		e.forget()
		e.docker("pull", "-q", image)
	})
	distrust(t, host)
	t.Run("podman", func(t *testing.T) {
		sh := newShell(t)
		withSudo(t, sh)
		copyTo := []string{"copy", "-q", "oci:" + made.small.dir + ":1", "docker://" + host + "/trust/skopeo:1"}
		sh.fails(unknown, "skopeo", copyTo...)
		sh.run("sh", "-c", recipe(t, host, "podman"))
		sh.run("skopeo", copyTo...)
		sh.run("podman", "--root", filepath.Join(sh.dir, "root"), "--runroot", filepath.Join(sh.dir, "run"), "--storage-driver", "vfs", "pull", "-q", host+"/trust/skopeo:1")
	})
	distrust(t, host)
	for name, command := range map[string]string{
		"crane":  "crane push --image-refs /dev/null " + made.small.dir + " %[1]s/trust/crane:1 && crane digest %[1]s/trust/crane:1",
		"oras":   "oras copy --from-oci-layout " + made.small.dir + ":1 %[1]s/trust/oras:1 && oras manifest fetch %[1]s/trust/oras:1",
		"helm":   "helm create chart && helm package chart && helm push chart-0.1.0.tgz oci://%[1]s/trust && helm pull oci://%[1]s/trust/chart --version 0.1.0",
		"regctl": "regctl image copy ocidir://" + made.small.dir + ":1 %[1]s/trust/regctl:1 && regctl manifest head %[1]s/trust/regctl:1",
	} {
		t.Run(name, func(t *testing.T) {
			sh := newShell(t)
			line := fmt.Sprintf(command, host)
			sh.fails(unknown, "sh", "-c", line)
			sh.run("sh", "-c", recipe(t, host, "crane")+" && "+line)
		})
	}
	want(t, "log", s.tail(1000), "a TLS connection failed")
	want(t, "log", s.tail(1000), nas)
}

// TestNewcomer is the README's path from nothing to a push over TLS that is trusted, by a user.
func TestNewcomer(t *testing.T) {
	root := filepath.Join(t.TempDir(), "images")
	t.Setenv("LONGSHORE_STORAGE_FS_ROOT", root)
	addr := freeAddr(t)
	cmd := exec.Command(made.longshore, "serve", "--host", nas)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "LONGSHORE_HTTP_ADDR="+addr)
	s := server{remote{addr}, start(t, cmd)}
	s.wait(s.ready)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	proxyTo(t, addr)
	host := nas + ":" + port
	t.Cleanup(func() { distrust(t, host) })
	e := startEngine(t, debianDockerd)
	image := host + "/hello"
	e.docker("build", "-q", "-t", image, made.build)

	out := e.feed("a password of mine\n", made.longshore, "trust", "--install", "docker", "--add-user", "me", "--password-stdin", host)
	want(t, "longshore trust", out, "Login Succeeded")
	e.docker("push", "-q", image)

	// It is locked.
	e.docker("logout", host)
	e.fails("denied", dockerCLI, "push", host+"/hello")
}

// TestACME pushes and pulls with a certificate of an ACME server that the clients trust as they trust Let's Encrypt.
func TestACME(t *testing.T) {
	addr := freeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	var number int
	if _, err := fmt.Sscan(port, &number); err != nil {
		t.Fatal(err)
	}
	p := pebbletest.Start(t, pebbletest.Options{TLSPort: number, Life: 90 * 24 * time.Hour})
	s := serve(t, addr, []string{
		"LONGSHORE_STORAGE_FS_ROOT=" + filepath.Join(t.TempDir(), "images"), "LONGSHORE_TLS_ACME_HOSTS=" + nas,
		"LONGSHORE_TLS_ACME_DIRECTORY=" + p.Directory, "LONGSHORE_TLS_ACME_CA=" + p.CAFile,
	})
	s.wait(func() error {
		d := tls.Dialer{Config: &tls.Config{RootCAs: p.Roots, ServerName: nas}}
		c, err := d.DialContext(t.Context(), "tcp", addr)
		if err == nil {
			_ = c.Close() // all is known
		}
		return err
	})
	proxyTo(t, addr)
	host := nas + ":" + port
	sh := newShell(t)
	roots := sh.write("roots.pem", string(p.RootsPEM))
	sh.env = append(sh.env, "SSL_CERT_FILE="+roots)
	for _, line := range []string{
		"skopeo copy -q oci:" + made.small.dir + ":1 docker://" + host + "/acme/skopeo:1",
		"crane digest " + host + "/acme/skopeo:1",
		"oras manifest fetch " + host + "/acme/skopeo:1",
		"regctl image copy " + host + "/acme/skopeo:1 " + host + "/acme/regctl:1",
		"helm create chart && helm package chart && helm push chart-0.1.0.tgz oci://" + host + "/acme",
		"podman --root " + filepath.Join(sh.dir, "root") + " --runroot " + filepath.Join(sh.dir, "run") + " --storage-driver vfs pull -q " + host + "/acme/skopeo:1",
	} {
		sh.run("sh", "-c", line)
	}
}

// TestClientCertificate asks the clients for theirs.
func TestClientCertificate(t *testing.T) {
	dir := t.TempDir()
	run := func(line string) {
		t.Helper()
		cmd := exec.Command("sh", "-ec", line)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	run(`openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj "/CN=clients" -days 1
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout client.key -out client.csr -subj "/CN=builder"
openssl x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out client.cert -days 1`)
	s, host := serveNamed(t, "LONGSHORE_TLS_CLIENTS_CA="+filepath.Join(dir, "ca.pem"), "LONGSHORE_TLS_CLIENTS_MODE=require")
	sh := newShell(t)
	certs := filepath.Join(sh.dir, "certs")
	if err := os.MkdirAll(certs, 0o755); err != nil {
		t.Fatal(err)
	}
	sh.run("sh", "-c", "curl -fsS http://"+host+"/ca.crt > "+filepath.Join(certs, "ca.crt"))
	copyTo := []string{"copy", "-q", "--dest-cert-dir", certs, "oci:" + made.small.dir + ":1", "docker://" + host + "/clients/skopeo:1"}
	sh.fails("certificate required", "skopeo", copyTo...)
	sh.run("sh", "-c", "cp "+filepath.Join(dir, "client.cert")+" "+filepath.Join(dir, "client.key")+" "+certs)
	sh.run("skopeo", copyTo...)
	want(t, "log", s.tail(1000), "tls.clients.ca")
}
