//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

func testRegctl(t *testing.T, s server) {
	sh := newShell(t)
	regctl := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(sh.run("regctl", args...))
	}
	at := s.addr + "/regctl/"
	regctl("registry", "set", "--tls", "disabled", "--req-per-sec", "1000", s.addr)

	for repo, l := range map[string]layout{"multi": made.multi, "big": made.big} {
		regctl("image", "copy", "ocidir://"+l.dir+":1", at+repo+":1")
		s.mustHold(t, "regctl/"+repo, "1", l.digest)
		regctl("image", "copy", at+repo+":1", "ocidir://"+filepath.Join(sh.dir, repo)+":1")
		sameLayout(t, filepath.Join(sh.dir, repo), l)
	}
	regctl("image", "copy", at+"multi:1", at+"mounted:1")
	s.mustHaveMounted(t, "regctl/mounted")
	s.mustHold(t, "regctl/mounted", "1", made.multi.digest)

	wantLines(t, "regctl repo ls", regctl("repo", "ls", s.addr), "regctl/multi", "test/big")
	wantLines(t, "regctl tag ls", regctl("tag", "ls", at+"multi"), "1")
	if got := regctl("manifest", "head", at+"multi:1"); got != made.multi.digest {
		t.Errorf("regctl manifest head says %q, want %q", got, made.multi.digest)
	}
	regctl("index", "create", at+"index:1", "--ref", s.addr+"/test/small:1", "--ref", s.addr+"/test/big:1")
	s.mustHold(t, "regctl/index", "1", "")

	// A blob by itself goes up in a PATCH with Content-Range.
	digest := strings.TrimSpace(sh.feed(random(20, 300_000), "regctl", "blob", "put", at+"index"))
	if got := sh.run("regctl", "blob", "get", at+"index", digest); got != random(20, 300_000) {
		t.Errorf("regctl blob get returns %d other bytes", len(got))
	}
	regctl("blob", "delete", at+"index", digest)
	sh.fails("not found", "regctl", "blob", "get", at+"index", digest)

	testRegctlArtifacts(t, s, sh)

	regctl("tag", "delete", at+"mounted:1")
	s.mustLack(t, "regctl/mounted", "1")
	s.mustHold(t, "regctl/mounted", made.multi.digest, made.multi.digest) // the manifest stays
	regctl("manifest", "delete", at+"mounted@"+made.multi.digest)
	s.mustLack(t, "regctl/mounted", made.multi.digest)
}

// testRegctlArtifacts attaches artifacts to an index, finds them, and copies them along with it.
func testRegctlArtifacts(t *testing.T, s server, sh *shell) {
	at := s.addr + "/regctl/"
	bom := sh.write("sbom.txt", "a bill of materials")
	sh.run("regctl", "artifact", "put", "--artifact-type", "application/x.sbom", "-f", bom, "--subject", at+"multi:1")
	sh.feed("signed", "regctl", "artifact", "put", "--artifact-type", "application/x.signature", "--subject", at+"multi:1")

	sh.run("regctl", "image", "copy", "--referrers", at+"multi:1", at+"copied:1")
	for _, repo := range []string{"multi", "copied"} {
		var list struct {
			Descriptors []struct{ ArtifactType string }
		}
		decode(t, sh.run("regctl", "artifact", "list", "--format", "{{json .}}", at+repo+":1"), &list)
		if len(list.Descriptors) != 2 {
			t.Errorf("%s has %d referrers, want 2", repo, len(list.Descriptors))
		}
		got := sh.run("regctl", "artifact", "get", "--subject", at+repo+":1", "--filter-artifact-type", "application/x.sbom")
		if got != "a bill of materials" {
			t.Errorf("the artifact of %s is %q", repo, got)
		}
		want(t, "regctl artifact tree", sh.run("regctl", "artifact", "tree", at+repo+":1"), "application/x.signature")
		s.mustListTags(t, "regctl/"+repo, "1") // the API told the referrers, not a fallback tag
	}
}
