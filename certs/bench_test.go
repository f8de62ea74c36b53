package certs

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkServe compares net/http by itself with what longshore serve puts around it: plain, and over TLS. A small answer on a connection
// that stays, on a new connection for each request, and a file of 64 MiB.
func BenchmarkServe(b *testing.B) {
	const size = 64 << 20
	file := filepath.Join(b.TempDir(), "file")
	if err := os.WriteFile(file, make([]byte, size), 0o600); err != nil {
		b.Fatal(err)
	}
	local := newLocal(b, LocalOptions{})
	files := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/file" {
			http.ServeFile(w, r, file)
			return
		}
		_, _ = io.WriteString(w, "{}") // a client that has gone ends the benchmark by itself
	})
	site := NewSite(files, SiteOptions{Local: local, TLS: true})
	for _, server := range []struct {
		name, scheme string
		sniffs       bool
	}{{"bare", "http", false}, {"plain", "http", true}, {"tls", "https", true}} {
		var l net.Listener = listenTCP(b)
		handler := http.Handler(files)
		if server.sniffs {
			l, handler = Listen(l.(*net.TCPListener), ListenOptions{TLS: Config(local, ConfigOptions{})}), site
		}
		s := &http.Server{Handler: handler}
		ended := make(chan struct{})
		go func() {
			_ = s.Serve(l) // ends when it is closed
			close(ended)
		}()
		base := server.scheme + "://" + l.Addr().String()
		for _, kind := range []struct {
			name, path string
			fresh      bool
			bytes      int64
		}{{"kept", "/", false, 0}, {"fresh", "/", true, 0}, {"file", "/file", false, size}} {
			b.Run(kind.name+"/"+server.name, func(b *testing.B) {
				c := client(b, local.Authority().pool(), func(tr *http.Transport) {
					tr.DisableKeepAlives = kind.fresh
					tr.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(1)
				})
				b.SetBytes(kind.bytes)
				for b.Loop() {
					r, err := c.Get(base + kind.path)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						b.Fatal(err)
					}
					_ = r.Body.Close()
				}
			})
		}
		_ = s.Close() // the listener may be closed already
		<-ended
	}
}
