//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

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
	t.Setenv("LONGSHORE_TOOLS", toolsDir())
	for _, test := range []struct {
		name   string
		images int
		setup  func(t *testing.T) (server string, keepHost bool, env func(url string) []string)
	}{
		{"s3", 200, func(t *testing.T) (string, bool, func(string) []string) {
			m := miniotest.Start(t)
			return m.URL, true, func(url string) []string { return s3Backend(url, m.User, m.Password) }
		}},
		{"minio", 200, func(t *testing.T) (string, bool, func(string) []string) {
			m := miniotest.Start(t)
			return m.URL, true, func(url string) []string {
				return []string{
					"LONGSHORE_STORAGE_MINIO_ENDPOINT=" + url, "LONGSHORE_STORAGE_MINIO_BUCKET=images", "LONGSHORE_STORAGE_MINIO_CREATE_BUCKET=true",
					"LONGSHORE_STORAGE_MINIO_ACCESS_KEY=" + m.User, "LONGSHORE_STORAGE_MINIO_SECRET_KEY=" + m.Password,
				}
			}
		}},
		{"gcs", 60, func(t *testing.T) (string, bool, func(string) []string) {
			g := gcstest.Start(t)
			g.Bucket(t, "images")
			return g.URL, false, func(url string) []string {
				return []string{"LONGSHORE_STORAGE_GCS_ENDPOINT=" + url, "LONGSHORE_STORAGE_GCS_BUCKET=images", "LONGSHORE_STORAGE_GCS_ANONYMOUS=true"}
			}
		}},
		{"swift", 60, func(t *testing.T) (string, bool, func(string) []string) {
			s := swifttest.Start(t)
			return s.URL, false, func(url string) []string {
				return []string{
					"LONGSHORE_STORAGE_SWIFT_AUTH_URL=" + s.AuthURL, "LONGSHORE_STORAGE_SWIFT_USERNAME=" + s.User, "LONGSHORE_STORAGE_SWIFT_PASSWORD=" + s.Password,
					"LONGSHORE_STORAGE_SWIFT_CONTAINER=images", "LONGSHORE_STORAGE_SWIFT_CREATE_CONTAINER=true",
					"LONGSHORE_STORAGE_SWIFT_STORAGE_URL=" + url + "/v1/AUTH_test",
				}
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			images := manyImages(t, test.images)
			server, keepHost, env := test.setup(t)
			proxy := faultproxy.NewRough(t, server, keepHost)
			pushing, pulling := serve(t, freeAddr(t), env(proxy.URL)), serve(t, freeAddr(t), env(proxy.URL))
			repo := func(i int) string { return fmt.Sprintf("rough/%d", i%10) }
			tag := func(i int) string { return fmt.Sprintf("t%d", i) }
			inParallel(t, len(images), func(i int) error {
				return pushing.pushManifest(t.Context(), repo(i), tag(i), images[i], images[i].digest)
			})
			inParallel(t, len(images), func(i int) error {
				digest, err := pulling.pull(t.Context(), repo(i), tag(i))
				if err == nil && digest != images[i].digest {
					err = fmt.Errorf("%s, want %s", digest, images[i].digest)
				}
				return err
			})
			if proxy.Busy.Load() < int64(len(images)) || proxy.Broken.Load() < 5 {
				t.Errorf("the store was not rough: %d of %d requests were answered with 503, %d connections broke", proxy.Busy.Load(), proxy.Requests.Load(), proxy.Broken.Load())
			}
			t.Attr("rough", fmt.Sprintf("%d images, none failed; %d requests, of which %d were answered with 503, and %d connections broke", len(images), proxy.Requests.Load(), proxy.Busy.Load(), proxy.Broken.Load()))
			t.Logf("measured: %d images through %d requests, %d of them answered with 503, %d connections reset half way", len(images), proxy.Requests.Load(), proxy.Busy.Load(), proxy.Broken.Load())
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

// inParallel calls f for 0 to n-1, by some workers, and fails the test for each error.
func inParallel(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	errs := make(chan error, n)
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
				errs <- f(i)
			}
		}()
	}
	var all []error
	for range n {
		all = append(all, <-errs)
	}
	if err := errors.Join(all...); err != nil {
		t.Errorf("%d of %d failed:\n%s", strings.Count(err.Error(), "\n")+1, n, err)
	}
}
