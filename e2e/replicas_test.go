//go:build e2e

package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/internal/testimage"
)

// TestTwoReplicas runs two longshores on one bucket behind a proxy that sends each request to the other one than the last: nothing
// that a client did through one may be unknown to the other.
func TestTwoReplicas(t *testing.T) {
	env := minioBackend(t)
	replicas := []server{serve(t, freeAddr(t), env), serve(t, freeAddr(t), env)}
	proxy := roundRobin(t, replicas)
	each := func(t *testing.T, check func(t *testing.T, s server)) {
		t.Helper()
		for i, s := range replicas {
			if t.Run(fmt.Sprintf("replica %d", i), func(t *testing.T) { check(t, s) }); t.Failed() {
				return
			}
		}
	}

	t.Run("chunks", func(t *testing.T) {
		const chunks, size = 6, 6_000_000 // each longer than a part of a multipart upload, 5 MiB
		body := random(40, chunks*size)
		digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(body)))
		location, err := proxy.startUpload(t.Context(), "replicas/chunks")
		for i := int64(0); i < chunks && err == nil; i++ {
			location, err = proxy.patch(t.Context(), location, i*size, body[i*size:(i+1)*size])
		}
		if err == nil {
			err = proxy.finish(t.Context(), location, digest, nil, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		each(t, func(t *testing.T, s server) {
			if err := s.checkBlob(t.Context(), "replicas/chunks", digest, chunks*size); err != nil {
				t.Error(err)
			}
		})
	})

	t.Run("skopeo", func(t *testing.T) {
		sh := newShell(t)
		image := "docker://" + proxy.addr + "/replicas/skopeo:1"
		sh.run("skopeo", append(insecure[:len(insecure):len(insecure)], "oci:"+made.big.dir+":1", image)...)
		sh.run("skopeo", append(insecure[:len(insecure):len(insecure)], image, "oci:"+filepath.Join(sh.dir, "big")+":1")...)
		sameLayout(t, filepath.Join(sh.dir, "big"), made.big)
		each(t, func(t *testing.T, s server) { s.mustHold(t, "replicas/skopeo", "1", made.big.digest) })
	})

	t.Run("crane", func(t *testing.T) {
		sh := newShell(t)
		image := proxy.addr + "/replicas/crane:1"
		sh.run("crane", "push", "--insecure", "--index", made.multi.dir, image)
		sh.run("crane", "validate", "--insecure", "--remote", image)
		each(t, func(t *testing.T, s server) { s.mustHold(t, "replicas/crane", "1", made.multi.indexDigest(t)) })
	})

	t.Run("docker", func(t *testing.T) {
		e := startEngine(t, debianDockerd)
		through := server{remote: proxy}
		e.docker("build", "-q", "-t", proxy.addr+"/replicas/docker:1", made.build)
		e.again(through, "replicas/docker")
		each(t, func(t *testing.T, s server) { s.mustHold(t, "replicas/docker", "1", "") })
	})

	t.Run("tags", func(t *testing.T) {
		const clients, each = 16, 16
		digests := pushTags(t, proxy, clients, each)
		for i, s := range replicas {
			tags, err := s.tags(t.Context(), "replicas/tags")
			if err != nil {
				t.Fatal(err)
			}
			for tag := range digests {
				if _, found := slices.BinarySearch(tags, tag); !found {
					t.Errorf("replica %d does not list %s", i, tag)
				}
			}
			if len(tags) != clients*each {
				t.Errorf("replica %d lists %d tags, want %d", i, len(tags), clients*each)
			}
			for tag, digest := range digests {
				s.mustHold(t, "replicas/tags", tag, digest)
			}
		}
		t.Logf("measured: %d clients pushed %d tags to one repository, all listed and pulled from each of %d replicas",
			clients, clients*each, len(replicas))
	})
}

// roundRobin starts a proxy that sends each request to the next of the servers.
func roundRobin(t *testing.T, servers []server) remote {
	t.Helper()
	var count atomic.Uint64
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			next := servers[count.Add(1)%uint64(len(servers))]
			r.SetURL(&url.URL{Scheme: "http", Host: next.addr})
			r.Out.Host = r.In.Host
		},
		FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			t.Errorf("proxy: %s %s: %v", r.Method, r.URL, err)
			w.WriteHeader(http.StatusBadGateway)
		},
	})
	t.Cleanup(proxy.Close)
	return remote{strings.TrimPrefix(proxy.URL, "http://")}
}

// pushTags has many clients at once push images to one repository, with a config of its own for each tag and one layer for all.
// It returns the manifests' digests by tag.
func pushTags(t *testing.T, r remote, clients, each int) map[string]string {
	t.Helper()
	layer := "one layer for all"
	digests := make([]map[string]string, clients)
	group, ctx := errgroup.WithContext(t.Context())
	for client := range clients {
		digests[client] = map[string]string{}
		group.Go(func() error {
			for i := range each {
				tag := fmt.Sprintf("c%02d-%02d", client, i)
				config := fmt.Sprintf(`{"architecture":"amd64","os":"linux","author":%q,"rootfs":{"type":"layers","diff_ids":[]}}`, tag)
				for _, body := range []string{layer, config} {
					if err := r.pushBlob(ctx, "replicas/tags", describe("", body).Digest, strings.NewReader(body), int64(len(body))); err != nil {
						return err
					}
				}
				c := describe(testimage.MediaTypeConfig, config)
				manifest, err := json.Marshal(testimage.Manifest{
					SchemaVersion: 2, MediaType: testimage.MediaTypeManifest, Config: &c,
					Layers: []testimage.Descriptor{describe("application/octet-stream", layer)},
				})
				if err != nil {
					return err
				}
				if err := r.putManifest(ctx, "replicas/tags", tag, testimage.MediaTypeManifest, manifest); err != nil {
					return err
				}
				digests[client][tag] = describe("", string(manifest)).Digest
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, d := range digests {
		for tag, digest := range d {
			all[tag] = digest
		}
	}
	return all
}

func describe(mediaType, body string) testimage.Descriptor {
	return testimage.Descriptor{
		MediaType: mediaType,
		Digest:    fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(body))),
		Size:      int64(len(body)),
	}
}
