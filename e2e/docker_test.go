//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Debian's engine and command line, by their paths: the tools folder has another dockerd.
const (
	debianDockerd = "/usr/sbin/dockerd"
	dockerCLI     = "/usr/bin/docker"
)

// An engine is a running dockerd, for one test.
type engine struct {
	*shell
}

// startEngine starts a dockerd with its own data, without bridge and firewall rules, and points the docker command at it.
// It starts Debian's containerd by itself.
func startEngine(t *testing.T, dockerd string) engine {
	t.Helper()
	dir := shortTempDir(t)
	socket := "unix://" + filepath.Join(dir, "docker.sock")
	config := filepath.Join(dir, "daemon.json")
	if err := os.WriteFile(config, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tool(t, dockerd), "--config-file", config,
		"--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none",
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "docker.pid"), "-H", socket)
	cmd.Env = append(os.Environ(), "DOCKER_MIN_API_VERSION=1.41", "OTEL_TRACES_EXPORTER=none") // Debian's docker speaks 1.41
	e := engine{newShell(t)}
	e.env = append(e.env, "DOCKER_HOST="+socket, "DOCKER_BUILDKIT=0", "DOCKER_CLI_EXPERIMENTAL=enabled")
	p := start(t, cmd)
	p.wait(func() error {
		_, stderr, err := e.exec("", dockerCLI, []string{"version"})
		if err != nil {
			return fmt.Errorf("%w: %s", err, stderr)
		}
		return nil
	})
	return e
}

// docker runs the docker command and returns what it prints, trimmed.
func (e engine) docker(args ...string) string {
	e.t.Helper()
	return strings.TrimSpace(e.run(dockerCLI, args...))
}

// again pushes an image, forgets it, pulls it, and fails the test if it is another one then.
func (e engine) again(s server, repo string) {
	e.t.Helper()
	image := s.addr + "/" + repo + ":1"
	id := e.docker("inspect", "--format", "{{.Id}}", image)
	e.docker("push", "-q", image)
	s.mustHold(e.t, repo, "1", "")
	e.forget()
	e.docker("pull", "-q", image)
	if got := e.docker("inspect", "--format", "{{.Id}}", image); got != id {
		e.t.Errorf("%s came back as %s, was %s", image, got, id)
	}
}

// loadBig gives the engine the big image from a file, so that no registry is known to have its layers: all bytes go up.
func (e engine) loadBig(image string) {
	e.t.Helper()
	file := filepath.Join(e.dir, "big.tar")
	e.run("skopeo", "copy", "-q", "oci:"+made.big.dir+":1", "docker-archive:"+file+":"+image)
	e.docker("load", "-q", "-i", file)
}

// forget removes all images.
func (e engine) forget() {
	e.t.Helper()
	if ids := strings.Fields(e.docker("images", "-q", "--no-trunc")); len(ids) > 0 {
		slices.Sort(ids)
		e.docker(append([]string{"rmi", "-f"}, slices.Compact(ids)...)...)
	}
}

// testDocker is Docker 20.10 of Debian, which holds images in its own format and pushes Docker schema 2.
func testDocker(t *testing.T, s server) {
	e := startEngine(t, debianDockerd)
	at := s.addr + "/docker/"

	e.docker("build", "-q", "-t", at+"built:1", made.build)
	e.again(s, "docker/built")
	want(t, "docker run", runOutput(e, at+"built:1"), "hello from the image")

	e.docker("tag", at+"built:1", at+"built:2")
	e.docker("push", "-q", "-a", at+"built")
	e.docker("tag", at+"built:1", at+"mounted:1")
	e.docker("push", "-q", at+"mounted:1")
	s.mustHaveMounted(t, "docker/mounted")
	s.mustHold(t, "docker/mounted", "1", "")
	e.forget()
	e.docker("pull", "-q", "-a", at+"built") // reads the list of tags
	wantLines(t, "docker images", e.docker("images", "--format", "{{.Tag}}", at+"built"), "1", "2")

	e.env = append(e.env, "DOCKER_BUILDKIT=1")
	e.docker("build", "-q", "-t", at+"buildkit:1", made.build)
	e.again(s, "docker/buildkit")

	for _, arch := range []string{"arm64", "amd64"} {
		e.forget() // it holds an index for one platform at a time
		e.pullPlatform(s, arch)
	}
	e.docker("pull", "-q", s.addr+"/test/small:1")
	e.docker("tag", s.addr+"/test/small:1", at+"list:small")
	e.docker("push", "-q", at+"list:small")
	e.docker("manifest", "create", "--insecure", at+"list:1", at+"list:small", at+"built:1")
	e.docker("manifest", "push", "--insecure", at+"list:1")
	s.mustHold(t, "docker/list", "1", "")
	want(t, "docker manifest inspect", e.docker("manifest", "inspect", "--insecure", at+"list:1"), "manifest.list.v2+json")

	e.loadBig(at + "big:1")
	e.again(s, "docker/big")

	want(t, "docker search", e.docker("search", s.addr+"/mounted"), "docker/mounted")
	e.fails("manifest unknown", dockerCLI, "pull", at+"absent:1")
}

// runOutput is what the program in an image prints, on either stream.
func runOutput(e engine, image string) string {
	e.t.Helper()
	stdout, stderr, err := e.exec("", dockerCLI, []string{"run", "--rm", "--network", "none", image})
	if err != nil {
		e.t.Errorf("docker run %s: %v", image, err)
	}
	return stdout + stderr
}

// testMoby is the engine of today, built from its Go module. It holds images as containerd does, and pushes what it
// holds, OCI indexes included. It cannot run containers with Debian's runc.
func testMoby(t *testing.T, s server) {
	e := startEngine(t, filepath.Join(toolsDir(), "dockerd"))
	at := s.addr + "/moby/"

	e.pullPlatform(s, "arm64")
	e.pullPlatform(s, "amd64")
	e.docker("tag", s.addr+"/test/multi:1", at+"multi:1")
	e.docker("push", "-q", at+"multi:1") // the index with both platforms
	s.mustHaveMounted(t, "moby/multi")
	s.mustHold(t, "moby/multi", "1", made.multi.digest)

	e.loadBig(at + "big:1")
	e.again(s, "moby/big")

	e.docker("build", "-q", "-t", at+"built:1", made.build)
	e.again(s, "moby/built")
	e.docker("import", e.tarball(), at+"import:1")
	e.again(s, "moby/import")

	want(t, "docker search", e.docker("search", s.addr+"/built"), "moby/built")
	e.fails("not found", dockerCLI, "pull", at+"absent:1")
}

// tarball makes a tar with the files of the build context, for docker import.
func (e engine) tarball() string {
	e.t.Helper()
	path := filepath.Join(e.dir, "rootfs.tar")
	e.run("tar", "-C", made.build, "-cf", path, "a", "b")
	return path
}

// pullPlatform pulls one half of the index test/multi.
func (e engine) pullPlatform(s server, arch string) {
	e.t.Helper()
	e.docker("pull", "-q", "--platform", "linux/"+arch, s.addr+"/test/multi:1")
	want(e.t, "the digests of test/multi:1", e.docker("inspect", "--format", "{{.RepoDigests}}", s.addr+"/test/multi:1"),
		"/test/multi@"+made.multi.digest)
}
