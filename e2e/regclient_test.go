//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// regclientModule is the module whose test script and test data are used, in the version of regctl in the Makefile.
const regclientModule = "github.com/regclient/regclient@v0.11.7"

// TestRegclientCITest runs the script with which regclient tests itself against registries: it copies images with digest
// tags and referrers, lists and deletes tags.
func TestRegclientCITest(t *testing.T) {
	onEach(t, func(t *testing.T, env []string) {
		s := serve(t, freeAddr(t), env)
		sh := newShell(t)
		goEnv := newShell(t)
		goEnv.env = nil // the module cache is in the real home
		var module struct{ Dir string }
		decode(t, goEnv.run("go", "mod", "download", "-json", regclientModule), &module)

		root := filepath.Join(sh.dir, "regclient")
		for _, dir := range []string{"build", "testdata"} {
			if err := os.CopyFS(filepath.Join(root, dir), os.DirFS(filepath.Join(module.Dir, dir))); err != nil {
				t.Fatal(err)
			}
		}
		sh.dir = root
		sh.run("git", "init", "-q") // the script looks for the root of its checkout
		if out := sh.run("sh", "build/ci-test.sh", "-t", s.addr+"/ci-test"); strings.Contains(out, "failed to") {
			t.Error(out) // one of its checks only prints
		}
		// The one with .meta is a digest tag of the data itself; referrers have none where there is the API.
		tags := []string{"sha256-7ceb9b6bcc274697d0c38be6214b50cec79d601bc61708747d3f6cb772f6c6fa.6fe828b32b9b4572.meta", "v1", "v2", "v2.1", "v3"}
		s.mustListTags(t, "ci-test", tags...)
		for _, tag := range tags {
			s.mustHold(t, "ci-test", tag, "")
		}
	})
}
