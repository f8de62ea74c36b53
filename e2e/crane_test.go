//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

func testCrane(t *testing.T, s server) {
	sh := newShell(t)
	crane := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(sh.run("crane", append(args, "--insecure")...))
	}
	at := s.addr + "/crane/"

	crane("push", "--index", made.multi.dir, at+"index:1")
	s.mustHold(t, "crane/index", "1", made.multi.indexDigest(t))
	crane("pull", "--format=oci", at+"index:1", filepath.Join(sh.dir, "index"))
	sameLayout(t, filepath.Join(sh.dir, "index"), made.multi)

	crane("push", made.big.dir, at+"big:1")
	s.mustHold(t, "crane/big", "1", made.big.digest)
	crane("validate", "--remote", at+"big:1") // downloads every byte

	crane("pull", s.addr+"/test/small:1", filepath.Join(sh.dir, "small.tar"))
	crane("push", filepath.Join(sh.dir, "small.tar"), at+"tarball:1")
	s.mustHold(t, "crane/tarball", "1", "")

	crane("cp", s.addr+"/test/multi:1", at+"cp:1")
	s.mustHaveMounted(t, "crane/cp")
	crane("tag", at+"cp:1", "2")
	s.mustHold(t, "crane/cp", "2", made.multi.digest)
	crane("cp", "--all-tags", at+"cp", at+"all")
	if digest := crane("digest", at+"all:2"); digest != made.multi.digest {
		t.Errorf("crane digest says %q, want %q", digest, made.multi.digest)
	}
	wantLines(t, "crane ls", crane("ls", at+"all"), "1", "2")
	wantLines(t, "crane catalog", crane("catalog", s.addr), "crane/all", "crane/big", "crane/cp", "test/multi")

	crane("delete", at+"cp:1") // DELETE by tag
	s.mustLack(t, "crane/cp", "1")
	s.mustHold(t, "crane/cp", "2", made.multi.digest)
	crane("delete", at+"all@"+made.multi.digest) // by digest: its tags go too
	s.mustListTags(t, "crane/all")
	sh.fails("MANIFEST_UNKNOWN", "crane", "manifest", "--insecure", at+"all:1")
}
