//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

func testHelm(t *testing.T, s server) {
	sh := newShell(t)
	at := "oci://" + s.addr + "/charts"
	sh.run("helm", "create", "demo")
	for _, version := range []string{"0.1.0", "0.2.0+build.1"} { // helm pushes a + as _, which a tag may hold
		sh.run("helm", "package", "demo", "--version", version)
		sh.run("helm", "push", "--plain-http", "demo-"+version+".tgz", at)
	}
	s.mustListTags(t, "charts/demo", "0.1.0", "0.2.0_build.1")
	s.mustHold(t, "charts/demo", "0.1.0", "")

	if err := os.Mkdir(filepath.Join(sh.dir, "pulled"), 0o755); err != nil {
		t.Fatal(err)
	}
	sh.run("helm", "pull", "--plain-http", at+"/demo", "--version", "0.1.0", "-d", "pulled")
	sh.run("helm", "pull", "--plain-http", at+"/demo", "-d", "pulled") // the newest, found in the list of tags
	for _, chart := range []string{"demo-0.1.0.tgz", "demo-0.2.0+build.1.tgz"} {
		sameFile(t, filepath.Join(sh.dir, "pulled", chart), filepath.Join(sh.dir, chart))
	}
	want(t, "helm show chart", sh.run("helm", "show", "chart", "--plain-http", at+"/demo", "--version", "0.1.0"), "version: 0.1.0")
	want(t, "helm template", sh.run("helm", "template", "x", "--plain-http", at+"/demo", "--version", "0.1.0"), "kind: Deployment")
}
