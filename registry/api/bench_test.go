package api_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/counting"
	"github.com/longshore-registry/longshore/drivers/fs"
	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/registry"
	"github.com/longshore-registry/longshore/registry/api"
)

// conns is how many connections a benchmark sends requests over at once.
const conns = 32

// benched is a registry with an image of two blobs in it.
type benched struct {
	handler                        http.Handler
	manifest, digest               string
	byTag, byDigest, config, layer string   // paths
	tags                           []string // paths of other tags, one for each connection
}

func newBenched(b testing.TB, d drivers.Driver) *benched {
	b.Helper()
	s := newPushed(b, d, strings.Repeat("c", 1500), strings.Repeat("l", 1<<20))
	for i := range conns {
		s.tags = append(s.tags, "/v2/library/some-image/manifests/v"+strconv.Itoa(100+i))
		s.push(b, http.MethodPut, s.tags[i], "application/vnd.oci.image.manifest.v1+json", s.manifest)
	}
	return s
}

// newPushed pushes an image of two blobs.
func newPushed(b testing.TB, d drivers.Driver, config, layer string) *benched {
	b.Helper()
	r, err := registry.Open(b.Context(), d, registry.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(r.Close)
	// The log is one as in production: it prints none of these requests.
	log := slog.New(slog.NewJSONHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelInfo}))
	s := &benched{handler: api.New(r, api.Options{Log: log})}
	s.manifest = imageManifest(config, layer)
	s.digest = sum(s.manifest)
	const name = "/v2/library/some-image/"
	s.byTag, s.byDigest = name+"manifests/v1.2.3", name+"manifests/"+s.digest
	s.config, s.layer = name+"blobs/"+sum(config), name+"blobs/"+sum(layer)
	for _, blob := range []string{config, layer} {
		s.push(b, http.MethodPost, name+"blobs/uploads/?digest="+sum(blob), "application/octet-stream", blob)
	}
	s.push(b, http.MethodPut, s.byTag, "application/vnd.oci.image.manifest.v1+json", s.manifest)
	return s
}

// imageManifest is as long as that of an ordinary image.
func imageManifest(config string, layers ...string) string {
	descriptor := func(mediaType, body string) string {
		return fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.%s","digest":%q,"size":%d}`, mediaType, sum(body), len(body))
	}
	var lines []string
	for _, l := range layers {
		lines = append(lines, descriptor("layer.v1.tar+gzip", l))
	}
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s],"annotations":{"text":%q}}`,
		descriptor("config.v1+json", config), strings.Join(lines, ","), strings.Repeat("a", 1000))
}

func (s *benched) push(b testing.TB, method, target, mediaType, body string) {
	b.Helper()
	r := httptest.NewRequestWithContext(b.Context(), method, target, strings.NewReader(body))
	r.Header.Set("Content-Type", mediaType)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	if w.Code != http.StatusCreated {
		b.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
	}
}

// openStores are the stores that the benchmarks of this file compare.
func openStores() map[string]func(testing.TB) drivers.Driver {
	return map[string]func(testing.TB) drivers.Driver{
		"memory": func(testing.TB) drivers.Driver { return memory.New(memory.Options{}) },
		"fs": func(b testing.TB) drivers.Driver {
			d, err := fs.Open(b.Context(), fs.Config{Root: b.TempDir(), Durability: fs.Fast})
			if err != nil {
				b.Fatal(err)
			}
			return d
		},
	}
}

// quiet is a ResponseWriter that costs next to nothing.
type quiet struct {
	header http.Header
	status int
}

func (w *quiet) Header() http.Header              { return w.header }
func (w *quiet) WriteHeader(status int)           { w.status = status }
func (w *quiet) Write(p []byte) (int, error)      { return len(p), nil }
func (w *quiet) SetReadDeadline(time.Time) error  { return nil }
func (w *quiet) SetWriteDeadline(time.Time) error { return nil }

// BenchmarkHandler is what a request costs beyond net/http.
func BenchmarkHandler(b *testing.B) {
	for _, store := range []string{"memory", "fs"} {
		s := newBenched(b, openStores()[store](b))
		for _, test := range []struct{ method, name, path string }{
			{"GET", "tag", s.byTag}, {"HEAD", "tag", s.byTag}, {"GET", "digest", s.byDigest}, {"HEAD", "digest", s.byDigest}, {"HEAD", "blob", s.layer},
		} {
			b.Run(store+"/"+test.method+"/"+test.name, func(b *testing.B) {
				b.ReportAllocs()
				r := httptest.NewRequestWithContext(b.Context(), test.method, test.path, nil)
				r.RemoteAddr = "127.0.0.1:12345"
				w := &quiet{header: http.Header{}}
				for b.Loop() {
					clear(w.header)
					one := *r
					s.handler.ServeHTTP(w, &one)
				}
				if w.status != http.StatusOK {
					b.Errorf("status %d", w.status)
				}
			})
		}
	}
}

// BenchmarkBesideBareHandler sends requests for a manifest over connections of their own to the registry and to a handler of net/http that
// reads one file, a round to each in turn. share is the registry's rate as a part of the other's.
func BenchmarkBesideBareHandler(b *testing.B) {
	for _, store := range []string{"memory", "fs"} {
		s := newBenched(b, openStores()[store](b))
		file := filepath.Join(b.TempDir(), "manifest.json")
		if err := os.WriteFile(file, []byte(s.manifest), 0o600); err != nil {
			b.Fatal(err)
		}
		bare := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			body, err := os.ReadFile(file)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			w.Write(body)
		})
		for _, test := range []struct {
			method, name string
			paths        []string
		}{
			{"GET", "tag", []string{s.byTag}}, {"HEAD", "tag", []string{s.byTag}}, {"GET", "tags", s.tags}, {"HEAD", "tags", s.tags},
			{"GET", "digest", []string{s.byDigest}}, {"HEAD", "digest", []string{s.byDigest}},
		} {
			b.Run(store+"/"+test.method+"/"+test.name, func(b *testing.B) {
				one := newLoad(b, s.handler, test.method, test.paths)
				other := newLoad(b, bare, test.method, test.paths)
				var took, otherTook time.Duration
				const round = 4000
				n := 0
				for rest := b.N; rest > 0; rest -= round {
					took += one.send(b, round)
					otherTook += other.send(b, round)
					n += round
				}
				b.ReportMetric(float64(n)/took.Seconds(), "req/s")
				b.ReportMetric(float64(n)/otherTook.Seconds(), "bare-req/s")
				b.ReportMetric(otherTook.Seconds()/took.Seconds(), "share")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// load is a client that costs little beside the server: it knows how long the answers are.
type load struct {
	requests [][]byte // a connection sends one of them over and over
	length   int
	conns    []net.Conn
}

func newLoad(b *testing.B, handler http.Handler, method string, paths []string) *load {
	b.Helper()
	listener, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	// The limits of time are those of longshore serve.
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	go func() { _ = server.Serve(listener) }()
	b.Cleanup(func() { _ = server.Close() })
	l := &load{}
	for i := range conns {
		l.requests = append(l.requests, []byte(method+" "+paths[i%len(paths)]+" HTTP/1.1\r\nHost: localhost\r\nUser-Agent: containerd/2.1\r\n"+
			"Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*\r\nAccept-Encoding: gzip\r\n\r\n"))
		c, err := new(net.Dialer).DialContext(b.Context(), "tcp", listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() })
		l.conns = append(l.conns, c)
	}
	counted := &countedReader{r: l.conns[0]}
	buffered := bufio.NewReader(counted)
	if _, err := l.conns[0].Write(l.requests[0]); err != nil {
		b.Fatal(err)
	}
	answer, err := http.ReadResponse(buffered, &http.Request{Method: method})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		b.Fatalf("status %d, %v", answer.StatusCode, err)
	}
	l.length = counted.n - buffered.Buffered()
	return l
}

type countedReader struct {
	r io.Reader
	n int
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// send sends n requests over all connections at once, and returns how long it took.
func (l *load) send(b *testing.B, n int) time.Duration {
	var wg sync.WaitGroup
	start := time.Now()
	for i, c := range l.conns {
		wg.Go(func() {
			answer := make([]byte, l.length)
			for range n / len(l.conns) {
				_, err := c.Write(l.requests[i])
				if err == nil {
					_, err = io.ReadFull(c, answer)
				}
				if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200")) {
					b.Errorf("%v: %.40q", err, answer)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

// BenchmarkCrowd lets a thousand clients, who all come at once, read a tag and its blobs from a store that is 20 ms away.
func BenchmarkCrowd(b *testing.B) {
	const clients, delay = 1000, 20 * time.Millisecond
	d := counting.New(memory.New(memory.Options{Hook: func(ctx context.Context, _, _ string) memory.Outcome {
		select {
		case <-time.After(delay):
			return memory.Outcome{}
		case <-ctx.Done():
			return memory.Outcome{Err: ctx.Err()}
		}
	}}), counting.Options{})
	s := newBenched(b, d)
	server := httptest.NewServer(s.handler)
	b.Cleanup(server.Close)
	client := server.Client()
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = clients
	var mu sync.Mutex
	var took []time.Duration
	d.Reset()
	for b.Loop() {
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				start := time.Now()
				for _, path := range []string{s.byTag, s.config, s.layer} {
					answer, err := client.Get(server.URL + path)
					if err == nil {
						_, err = io.Copy(io.Discard, answer.Body)
						_ = answer.Body.Close()
					}
					if err != nil || answer.StatusCode != http.StatusOK {
						b.Error(err)
						return
					}
				}
				mu.Lock()
				defer mu.Unlock()
				took = append(took, time.Since(start))
			})
		}
		wg.Wait()
	}
	slices.Sort(took)
	b.ReportMetric(float64(d.Counts().Total())/float64(b.N), "requests/op")
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Milliseconds()), "p99-ms")
}
