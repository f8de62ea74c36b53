//go:build e2e

package e2e

import (
	"path/filepath"
	"testing"
)

func testOras(t *testing.T, s server) {
	sh := newShell(t)
	at := s.addr + "/oras/"
	oras := func(command string, args ...string) string {
		t.Helper()
		return sh.run("oras", append([]string{command}, args...)...)
	}
	const plain = "--plain-http"

	sh.write("notes.txt", "notes")
	sh.write("data.bin", random(30, 3e6))
	oras("push", plain, "--artifact-type", "application/x.demo", at+"a:1", "notes.txt:text/plain", "data.bin")
	s.mustHold(t, "oras/a", "1", "")
	oras("pull", plain, "-o", "out", at+"a:1")
	if sh.read("out/notes.txt") != "notes" || sh.read("out/data.bin") != random(30, 3e6) {
		t.Error("oras pull returns other files")
	}

	// The referrers API, of the artifact and of its copies, with artifacts about artifacts.
	sh.write("sbom.json", "{}")
	oras("attach", plain, "--artifact-type", "application/x.sbom", at+"a:1", "sbom.json")
	signed := referrers(t, sh, at+"a:1")
	if len(signed) != 1 {
		t.Fatalf("oras discover finds %v", signed)
	}
	oras("attach", plain, "--artifact-type", "application/x.signature", at+"a@"+signed[0], "sbom.json")
	oras("cp", "-r", "--from-plain-http", "--to-plain-http", at+"a:1", at+"copy:1")
	oras("backup", plain, "--include-referrers", "-o", "backup.tar", at+"a:1")
	oras("restore", plain, "--input", "backup.tar", at+"restored:1")
	for _, repo := range []string{"copy", "restored"} {
		s.mustHold(t, "oras/"+repo, "1", "")
		if got := referrers(t, sh, at+repo+":1"); len(got) != 1 || got[0] != signed[0] {
			t.Errorf("referrers of %s: %v, want %v", repo, got, signed)
		}
		if got := referrers(t, sh, at+repo+"@"+signed[0]); len(got) != 1 {
			t.Errorf("referrers of the referrer in %s: %v, want one", repo, got)
		}
	}

	for repo, l := range map[string]layout{"multi": made.multi, "big": made.big} {
		oras("cp", "--from-oci-layout", "--to-plain-http", l.dir+":1", at+repo+":1")
		s.mustHold(t, "oras/"+repo, "1", l.digest)
		oras("cp", "--from-plain-http", "--to-oci-layout", at+repo+":1", filepath.Join(sh.dir, repo)+":1")
		sameLayout(t, filepath.Join(sh.dir, repo), l)
	}
	oras("cp", "--from-plain-http", "--to-plain-http", at+"multi:1", at+"mounted:1,2")
	s.mustHaveMounted(t, "oras/mounted")

	wantLines(t, "oras repo ls", oras("repo", "ls", plain, s.addr), "oras/a", "oras/copy", "oras/mounted")
	wantLines(t, "oras repo tags", oras("repo", "tags", plain, at+"mounted"), "1", "2")
	oras("manifest", "delete", plain, "-f", at+"mounted:1") // by digest: the other tag goes too
	s.mustListTags(t, "oras/mounted")
	s.mustHold(t, "oras/multi", "1", made.multi.digest)
}

// referrers asks the referrers API, through oras, for the digests of what refers to ref.
func referrers(t *testing.T, sh *shell, ref string) []string {
	t.Helper()
	var found struct {
		Referrers []struct{ Digest string }
	}
	decode(t, sh.run("oras", "discover", "--plain-http", "--distribution-spec", "v1.1-referrers-api", "--depth", "1", "--format", "json", ref), &found)
	var digests []string
	for _, r := range found.Referrers {
		digests = append(digests, r.Digest)
	}
	return digests
}
