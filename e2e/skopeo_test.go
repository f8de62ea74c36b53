//go:build e2e

package e2e

import (
	"path/filepath"
	"testing"
)

// insecure are the options with which skopeo copy speaks plain HTTP to both sides.
var insecure = []string{"copy", "-q", "--all", "--src-tls-verify=false", "--dest-tls-verify=false"}

func testSkopeo(t *testing.T, s server) {
	sh := newShell(t)
	copyImage := func(from, to string) {
		t.Helper()
		sh.run("skopeo", append(insecure[:len(insecure):len(insecure)], from, to)...)
	}
	at := "docker://" + s.addr + "/skopeo/"

	for repo, l := range map[string]layout{"multi": made.multi, "big": made.big} {
		copyImage("oci:"+l.dir+":1", at+repo+":1")
		s.mustHold(t, "skopeo/"+repo, "1", l.digest)
		copyImage(at+repo+":1", "oci:"+filepath.Join(sh.dir, repo)+":1")
		sameLayout(t, filepath.Join(sh.dir, repo), l)
	}

	copyImage(at+"multi:1", at+"mounted:1")
	s.mustHaveMounted(t, "skopeo/mounted")
	s.mustHold(t, "skopeo/mounted", "1", made.multi.digest)

	sh.run("skopeo", append(insecure[:len(insecure):len(insecure)], "--format", "v2s2", at+"multi:1", at+"list:1")...)
	s.mustHold(t, "skopeo/list", "1", "")
	want(t, "the manifest list", sh.run("skopeo", "inspect", "--tls-verify=false", "--raw", at+"list:1"),
		"application/vnd.docker.distribution.manifest.list.v2+json")

	var image struct {
		Digest   string
		Layers   []string
		RepoTags []string
	}
	decode(t, sh.run("skopeo", "inspect", "--tls-verify=false", at+"multi:1"), &image)
	if image.Digest != made.multi.digest || len(image.Layers) != 3 || len(image.RepoTags) != 1 {
		t.Errorf("skopeo inspect says %+v", image)
	}
	copyImage(at+"multi:1", at+"multi:2")
	var list struct{ Tags []string }
	decode(t, sh.run("skopeo", "list-tags", "--tls-verify=false", at+"multi"), &list)
	if len(list.Tags) != 2 {
		t.Errorf("skopeo list-tags says %v", list.Tags)
	}

	sh.run("skopeo", "sync", "--all", "--src", "docker", "--dest", "docker", "--src-tls-verify=false", "--dest-tls-verify=false",
		s.addr+"/skopeo/multi", s.addr+"/skopeo/mirror")
	s.mustHold(t, "skopeo/mirror/multi", "2", made.multi.digest)

	sh.run("skopeo", "delete", "--tls-verify=false", at+"multi:2") // by digest, so that both tags go
	s.mustLack(t, "skopeo/multi", "1")
	s.mustLack(t, "skopeo/multi", "2")
	sh.fails("manifest unknown", "skopeo", "inspect", "--tls-verify=false", at+"multi:1")
	s.mustHold(t, "skopeo/mounted", "1", made.multi.digest)
}
