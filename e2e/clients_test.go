//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// TestClients has each client push, pull, list and delete for real, on each backend, and looks at the content afterwards.
// The clients upload in different ways: dockerd 20.10 streams a PATCH without a length, crane, skopeo, podman and
// buildah one with a length, containerd, dockerd of today, oras, helm and regctl put all bytes into the closing PUT.
func TestClients(t *testing.T) {
	onEach(t, func(t *testing.T, env []string) {
		s := serve(t, freeAddr(t), env)
		for repo, l := range map[string]layout{"test/small": made.small, "test/multi": made.multi, "test/big": made.big} {
			s.mustPush(t, repo, l)
		}
		for _, client := range []struct {
			name string
			test func(*testing.T, server)
		}{
			{"skopeo", testSkopeo},
			{"podman", testPodman},
			{"buildah", testBuildah},
			{"crane", testCrane},
			{"regctl", testRegctl},
			{"oras", testOras},
			{"helm", testHelm},
			{"docker", testDocker},
			{"moby", testMoby},
			{"ctr", testCtr},
		} {
			t.Run(client.name, func(t *testing.T) { client.test(t, s) })
		}
	})
}

// TestPushAndPull has one client push and pull an image, with a layer of many parts, on every store.
func TestPushAndPull(t *testing.T) {
	onEachStore(t, func(t *testing.T, env []string) {
		s := serve(t, freeAddr(t), env)
		sh := newShell(t)
		ref := s.addr + "/test/multi:1"
		sh.run("crane", "push", "--insecure", "--index", made.multi.dir, ref)
		sh.run("crane", "pull", "--insecure", "--format", "oci", ref, filepath.Join(sh.dir, "out"))
		sameLayout(t, filepath.Join(sh.dir, "out"), made.multi)
		s.mustPush(t, "test/big", made.big)
		s.mustHold(t, "test/big", "1", made.big.digest)
		s.mustListTags(t, "test/multi", "1")
	})
}

// sameLayout fails the test unless every blob of want is in the OCI layout dir, byte for byte.
func sameLayout(t *testing.T, dir string, want layout) {
	t.Helper()
	blobs, err := os.ReadDir(filepath.Join(want.dir, "blobs", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	for _, blob := range blobs {
		sameFile(t, filepath.Join(dir, "blobs", "sha256", blob.Name()), want.path(blob.Name()))
	}
}

// sameFile fails the test unless the two files hold the same bytes.
func sameFile(t *testing.T, got, want string) {
	t.Helper()
	a, err := os.ReadFile(got)
	if err != nil {
		t.Error(err)
		return
	}
	b, err := os.ReadFile(want)
	if err != nil {
		t.Error(err)
		return
	}
	if string(a) != string(b) {
		t.Errorf("%s (%d bytes) is not %s (%d bytes)", got, len(a), want, len(b))
	}
}

// decode reads JSON that a client printed.
func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
}
