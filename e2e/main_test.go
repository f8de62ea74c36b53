//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/internal/testimage"
)

// made is what all tests share and none changes; TestMain makes it.
var made struct {
	longshore string       // the program
	small     layout       // one image of three layers
	multi     layout       // an index of amd64 and arm64, three layers each of which two are shared
	big       layout       // six layers of 50 MB
	build     string       // a build context: Dockerfile, two files and a program that says hello
	client    *http.Client // waits for 100 Continue where it is asked for

	hurried func() (program string, err error) // builds, once, the program of buildHurried
}

func TestMain(m *testing.M) {
	code, err := prepareAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func prepareAndRun(m *testing.M) (code int, err error) {
	if err := os.Setenv("LONGSHORE_TOOLS", toolsDir()); err != nil { // for the packages that start servers
		return 0, err
	}
	dir, err := os.MkdirTemp("", "longshore-e2e-")
	if err != nil {
		return 0, err
	}
	defer func() { err = removeTree(dir, err) }()

	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ExpectContinueTimeout = time.Minute // a test that asks for 100 Continue wants to see it
	made.client = &http.Client{Transport: transport}

	made.longshore = filepath.Join(dir, "longshore")
	if err := goBuild(made.longshore, "../cmd/longshore"); err != nil {
		return 0, err
	}
	made.hurried = sync.OnceValues(func() (string, error) { return buildHurried(dir) })
	if made.build, err = buildContext(filepath.Join(dir, "build")); err != nil {
		return 0, err
	}

	base, lib := testimage.Layer{Seed: 1, Size: 2e6}, testimage.Layer{Seed: 2, Size: 1e6}
	amd := testimage.Image{Architecture: "amd64", Layers: []testimage.Layer{base, lib, {Seed: 3, Size: 5e5}}}
	arm := testimage.Image{Architecture: "arm64", Layers: []testimage.Layer{base, lib, {Seed: 4, Size: 5e5}}}
	var layers []testimage.Layer
	for seed := range uint64(6) {
		layers = append(layers, testimage.Layer{Seed: 10 + seed, Size: 50e6})
	}
	for _, l := range []struct {
		to     *layout
		name   string
		images []testimage.Image
	}{
		{&made.small, "small", []testimage.Image{amd}},
		{&made.multi, "multi", []testimage.Image{amd, arm}},
		{&made.big, "big", []testimage.Image{{Architecture: "amd64", Layers: layers}}},
	} {
		l.to.dir = filepath.Join(dir, l.name)
		if l.to.digest, err = testimage.Write(l.to.dir, "1", l.images...); err != nil {
			return 0, err
		}
	}
	return m.Run(), nil
}

func goBuild(to, pkg string) error {
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", to, pkg) // git refuses a checkout of somebody else
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")                      // the one in the build context has no C library there
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// buildContext makes a folder for docker build, podman build and buildah.
func buildContext(dir string) (string, error) {
	files := map[string]string{
		"hello.go":   "package main\n\nfunc main() { println(\"hello from the image\") }\n",
		"Dockerfile": "FROM scratch\nCOPY a /a\nCOPY b /b\nCOPY hello /hello\nENTRYPOINT [\"/hello\"]\n",
		"a":          random(100, 2e6),
		"b":          random(101, 1e6),
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	for name, body := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o644); err != nil {
			return "", err
		}
	}
	return dir, goBuild(filepath.Join(dir, "hello"), filepath.Join(dir, "hello.go"))
}
