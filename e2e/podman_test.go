//go:build e2e

package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const noTLS = "--tls-verify=false"

// storage are the options that give podman and buildah a storage of their own.
func storage(t *testing.T) []string {
	dir := shortTempDir(t)
	return []string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--storage-driver", "overlay"}
}

func testPodman(t *testing.T, s server) {
	sh := newShell(t)
	options := storage(t)
	podman := func(args ...string) string {
		t.Helper()
		return sh.run("podman", slices.Concat(options, args)...)
	}
	at := s.addr + "/podman/"

	// Pulled, pushed elsewhere, pulled again: the same image.
	for _, tc := range []struct{ repo, arch string }{{"multi", "amd64"}, {"multi", "arm64"}, {"big", "amd64"}} {
		id := podman("pull", "-q", noTLS, "--arch", tc.arch, s.addr+"/test/"+tc.repo+":1")
		to := at + tc.repo + "-" + tc.arch + ":1"
		podman("push", "-q", noTLS, strings.TrimSpace(id), to)
		podman("rmi", "--all", "--force")
		s.mustHold(t, "podman/"+tc.repo+"-"+tc.arch, "1", "")
		if again := podman("pull", "-q", noTLS, "--arch", tc.arch, to); again != id {
			t.Errorf("%s came back as %q, was %q", to, again, id)
		}
	}

	for _, tc := range []struct {
		name        string
		build, push []string
	}{
		{"oci", nil, nil},
		{"v2s2", []string{"--format", "docker"}, nil},
		{"zstd", []string{"--label", "new=1"}, []string{"--compression-format", "zstd"}},
	} {
		id := podman(slices.Concat([]string{"build", "-q", "-t", at + tc.name + ":1"}, tc.build, []string{made.build})...)
		podman(slices.Concat([]string{"push", "-q", noTLS}, tc.push, []string{at + tc.name + ":1"})...)
		podman("rmi", "--all", "--force")
		s.mustHold(t, "podman/"+tc.name, "1", "")
		if again := podman("pull", "-q", noTLS, at+tc.name+":1"); again != id {
			t.Errorf("%s came back as %q, was %q", tc.name, again, id)
		}
	}

	podman("manifest", "create", at+"list:1")
	podman("manifest", "add", noTLS, "--all", at+"list:1", "docker://"+s.addr+"/test/multi:1")
	podman("manifest", "push", "-q", noTLS, "--all", at+"list:1", "docker://"+at+"list:1")
	s.mustHold(t, "podman/list", "1", "")

	want(t, "podman search", podman("search", noTLS, s.addr+"/podman/v2s2"), at+"v2s2")
	want(t, "podman search without a term", podman("search", noTLS, s.addr+"/"), s.addr+"/test/multi")
	want(t, "podman search --list-tags", podman("search", noTLS, "--list-tags", at+"list"), "list")
	sh.fails("manifest unknown", "podman", slices.Concat(options, []string{"pull", "-q", noTLS, at + "oci:absent"})...)
}

func testBuildah(t *testing.T, s server) {
	sh := newShell(t)
	options := storage(t)
	buildah := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(sh.run("buildah", slices.Concat(options, args)...))
	}
	at := s.addr + "/buildah/"

	container := buildah("from", "scratch")
	buildah("copy", "-q", container, filepath.Join(made.build, "a"), "/a")
	buildah("copy", "-q", container, filepath.Join(made.build, "b"), "/b")
	id := buildah("commit", "-q", container, at+"x:1")
	buildah("rm", container)
	buildah("push", "-q", noTLS, at+"x:1")
	buildah("push", "-q", noTLS, at+"x:1", "docker://"+at+"y:1")
	s.mustHaveMounted(t, "buildah/y")
	buildah("bud", "-q", "--layers", "-t", at+"bud:1", made.build)
	buildah("push", "-q", noTLS, at+"bud:1")
	buildah("rmi", "--all", "--force")
	for _, repo := range []string{"x", "y", "bud"} {
		s.mustHold(t, "buildah/"+repo, "1", "")
	}
	if again := buildah("pull", "-q", noTLS, at+"y:1"); again != id {
		t.Errorf("y:1 came back as %q, was %q", again, id)
	}

	id = buildah("pull", "-q", noTLS, s.addr+"/test/big:1")
	buildah("push", "-q", noTLS, id, "docker://"+at+"big:1")
	buildah("rmi", "--all", "--force")
	s.mustHold(t, "buildah/big", "1", "")
	if again := buildah("pull", "-q", noTLS, at+"big:1"); again != id {
		t.Errorf("big:1 came back as %q, was %q", again, id)
	}
}
