//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// testCtr is containerd of Debian with its command ctr.
func testCtr(t *testing.T, s server) {
	dir := shortTempDir(t)
	socket := filepath.Join(dir, "sock")
	config := filepath.Join(dir, "config.toml")
	text := fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = %q
`, filepath.Join(dir, "root"), filepath.Join(dir, "state"), socket)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	sh := newShell(t)
	ctr := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(sh.run("ctr", append([]string{"-a", socket, "-n", "e2e"}, args...)...))
	}
	containerd := start(t, exec.Command(tool(t, "containerd"), "-c", config))
	containerd.wait(func() error {
		_, stderr, err := sh.exec("", "ctr", []string{"-a", socket, "version"})
		if err != nil {
			return fmt.Errorf("%w: %s", err, stderr)
		}
		return nil
	})
	at := s.addr + "/ctr/"

	for repo, l := range map[string]layout{"multi": made.multi, "big": made.big} {
		from, to := s.addr+"/test/"+repo+":1", at+repo+":1"
		ctr("images", "pull", "--plain-http", "--all-platforms", from)
		ctr("images", "tag", from, to)
		ctr("images", "push", "--plain-http", to)
		s.mustHaveMounted(t, "ctr/"+repo)
		s.mustHold(t, "ctr/"+repo, "1", l.digest)
		ctr("images", "rm", "--sync", from, to)
		ctr("images", "pull", "--plain-http", "--all-platforms", to)
		sameContent(t, ctr("content", "ls", "-q"), l)

		// An image that was not pulled from here cannot be mounted: all bytes go up.
		file := filepath.Join(sh.dir, repo+".tar")
		ctr("images", "export", "--all-platforms", file, to)
		ctr("images", "rm", "--sync", to)
		ctr("images", "import", "--all-platforms", file)
		ctr("images", "tag", to, at+repo+"-uploaded:1")
		ctr("images", "push", "--plain-http", at+repo+"-uploaded:1")
		s.mustHold(t, "ctr/"+repo+"-uploaded", "1", l.digest)
	}

	ctr("images", "push", "--plain-http", "--platform", "linux/amd64", at+"one:1", at+"multi:1")
	s.mustHold(t, "ctr/one", "1", made.small.digest) // the same image as the amd64 half of the index
	sh.fails("not found", "ctr", "-a", socket, "-n", "e2e", "images", "pull", "--plain-http", at+"absent:1")
}

// sameContent fails the test unless every blob of l is among the digests that containerd holds, which it checked as it pulled.
func sameContent(t *testing.T, digests string, l layout) {
	t.Helper()
	blobs, err := os.ReadDir(filepath.Join(l.dir, "blobs", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	for _, blob := range blobs {
		wantLines(t, "ctr content ls", digests, "sha256:"+blob.Name())
	}
}
