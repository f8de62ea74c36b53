//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/internal/faultproxy"
	"github.com/longshore-registry/longshore/internal/gcstest"
	"github.com/longshore-registry/longshore/internal/miniotest"
	"github.com/longshore-registry/longshore/internal/swifttest"
	"github.com/longshore-registry/longshore/internal/testimage"
)

// TestRoughStore pushes images to a store that is slow, answers every seventh request with 503 and resets every fiftieth
// connection half way, and pulls them through another replica. The client tries nothing twice: what the store does is the
// registry's business.
func TestRoughStore(t *testing.T) {
	images := manyImages(t, 200)
	for _, test := range []struct {
		name  string
		setup func(t *testing.T) (server string, keepHost bool, env func(url string) []string)
	}{
		{"s3", func(t *testing.T) (string, bool, func(string) []string) {
			m := miniotest.Start(t)
			return m.URL, true, func(url string) []string { return s3Env("S3", url, m.User, m.Password) }
		}},
		{"minio", func(t *testing.T) (string, bool, func(string) []string) {
			m := miniotest.Start(t)
			return m.URL, true, func(url string) []string { return s3Env("MINIO", url, m.User, m.Password) }
		}},
		{"gcs", func(t *testing.T) (string, bool, func(string) []string) {
			g := gcstest.Start(t)
			g.Bucket(t, "images")
			return g.URL, false, gcsEnv
		}},
		{"swift", func(t *testing.T) (string, bool, func(string) []string) {
			s := swifttest.Start(t)
			return s.URL, false, func(url string) []string { // what keystone would say of the place is overridden
				return append(swiftEnv(s), "LONGSHORE_STORAGE_SWIFT_STORAGE_URL="+url+"/v1/AUTH_test")
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // they wait for the store most of the time
			server, keepHost, env := test.setup(t)
			proxy := faultproxy.NewRough(t, server, keepHost)
			pushing, pulling := serve(t, freeAddr(t), env(proxy.URL)), serve(t, freeAddr(t), env(proxy.URL))
			repo := func(i int) string { return fmt.Sprintf("rough/%d", i%10) }
			tag := func(i int) string { return fmt.Sprintf("t%d", i) }
			push := inParallel(t, len(images), func(i int) error {
				return pushing.pushManifest(t.Context(), repo(i), tag(i), images[i], images[i].digest)
			})
			pull := inParallel(t, len(images), func(i int) error {
				digest, err := pulling.pull(t.Context(), repo(i), tag(i))
				if err == nil && digest != images[i].digest {
					err = fmt.Errorf("%s, want %s", digest, images[i].digest)
				}
				return err
			})
			requests, busy := proxy.Requests.Load(), proxy.Busy.Load()
			if busy < int64(len(images)) || proxy.CutBodies.Load() == 0 || proxy.CutAnswers.Load() == 0 || proxy.Broken() < proxy.Doomed()-workers {
				t.Errorf("the store was not rough: %d of %d requests were answered with 503, %d of %d connections were reset in a request and %d in an answer",
					busy, requests, proxy.CutBodies.Load(), proxy.Connections.Load(), proxy.CutAnswers.Load())
			}
			if t.Failed() {
				return
			}
			said := fmt.Sprintf("%d images pushed and pulled, none lost; %d requests to the store, %d answered with 503; %d connections, %d reset in a request and %d in an answer; the slowest push took %v, the slowest pull %v",
				len(images), requests, busy, proxy.Connections.Load(), proxy.CutBodies.Load(), proxy.CutAnswers.Load(), push.Round(100*time.Millisecond), pull.Round(100*time.Millisecond))
			t.Attr("rough", said)
			t.Logf("measured: %s", said)
		})
	}
}

// manyImages are small ones, each with a layer of its own and one that some share; each twentieth has a layer of several parts.
func manyImages(t *testing.T, n int) []layout {
	t.Helper()
	all := make([]layout, n)
	for i := range all {
		seed := uint64(1000 + 10*i)
		layers := []testimage.Layer{{Seed: seed, Size: 3e4}, {Seed: uint64(500 + i%7), Size: 2e5}}
		if i%20 == 0 {
			layers = append(layers, testimage.Layer{Seed: seed + 1, Size: 18e6})
		}
		all[i].dir = filepath.Join(t.TempDir(), "image")
		var err error
		if all[i].digest, err = testimage.Write(all[i].dir, "1", testimage.Image{Architecture: "amd64", Layers: layers}); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// workers is how many push or pull at once.
const workers = 8

// inParallel calls f for 0 to n-1, by some workers, fails the test for each error, and returns how long the slowest call took.
func inParallel(t *testing.T, n int, f func(i int) error) (slowest time.Duration) {
	t.Helper()
	type result struct {
		err  error
		took time.Duration
	}
	results := make(chan result, n)
	next := make(chan int)
	go func() {
		defer close(next)
		for i := range n {
			next <- i
		}
	}()
	for range workers {
		go func() {
			for i := range next {
				began := time.Now()
				err := f(i)
				results <- result{err, time.Since(began)}
			}
		}()
	}
	failed := 0
	for range n {
		r := <-results
		slowest = max(slowest, r.took)
		if r.err != nil {
			failed++
			t.Error(r.err)
		}
	}
	if failed > 0 {
		t.Errorf("%d of %d failed", failed, n)
	}
	return slowest
}
