// Command try shows longshore at work, as `make try` does: it builds it, serves an empty folder, pushes a small image with skopeo,
// pulls it back, compares all bytes, says what it did, and leaves nothing behind.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/longshore-registry/longshore/internal/testimage"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := try(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "try:", err)
		os.Exit(1)
	}
}

func try(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "longshore-try-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	in := func(name string) string { return filepath.Join(dir, name) }

	program := in("longshore")
	if err := run(ctx, "go", "build", "-o", program, "./cmd/longshore"); err != nil {
		return err
	}
	base, lib := testimage.Layer{Seed: 1, Size: 2e6}, testimage.Layer{Seed: 2, Size: 1e6}
	if _, err := testimage.Write(in("image"), "1",
		testimage.Image{Architecture: "amd64", Layers: []testimage.Layer{base, lib, {Seed: 3, Size: 5e5}}},
		testimage.Image{Architecture: "arm64", Layers: []testimage.Layer{base, lib, {Seed: 4, Size: 5e5}}}); err != nil {
		return err
	}

	addr, err := freeAddr()
	if err != nil {
		return err
	}
	stop, err := serve(ctx, program, addr, in("images"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	image := "docker://" + addr + "/try/hello:1"
	if err := run(ctx, "skopeo", "copy", "--quiet", "--all", "--dest-tls-verify=false", "oci:"+in("image")+":1", image); err != nil {
		return err
	}
	if err := run(ctx, "skopeo", "copy", "--quiet", "--all", "--src-tls-verify=false", image, "oci:"+in("pulled")+":1"); err != nil {
		return err
	}
	n, size, err := compare(in("image"), in("pulled"))
	if err != nil {
		return err
	}
	fmt.Printf("\nIt works: the image for two platforms came back from the registry as it went in, %d blobs, %d bytes.\n", n, size)
	return nil
}

// run shows a command and runs it; what it prints is part of the error if it fails.
func run(ctx context.Context, name string, args ...string) error {
	fmt.Println("$", name, strings.Join(args, " "))
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// freeAddr is an address on 127.0.0.1 whose port, above 20000, nobody listens on.
func freeAddr() (string, error) {
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		if err := l.Close(); err != nil {
			return "", err
		}
		if addr := l.Addr().(*net.TCPAddr); addr.Port > 20000 {
			return addr.String(), nil
		}
	}
	return "", errors.New("no free port above 20000")
}

// serve starts longshore over the folder root and returns when it answers. stop ends it.
func serve(ctx context.Context, program, addr, root string) (stop func() error, err error) {
	fmt.Printf("$ LONGSHORE_HTTP_ADDR=%s LONGSHORE_STORAGE_FS_ROOT=%s longshore serve\n", addr, root)
	var out bytes.Buffer
	cmd := exec.Command(program, "serve")
	cmd.Env = append(os.Environ(), "LONGSHORE_HTTP_ADDR="+addr, "LONGSHORE_STORAGE_FS_ROOT="+root)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop = func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM) // fails only if it has ended by itself, which Wait tells
		if err := <-ended; err != nil {
			return fmt.Errorf("longshore serve: %w\n%s", err, &out)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		if res, err := http.Get("http://" + addr + "/v2/"); err == nil {
			if err := res.Body.Close(); err != nil {
				return nil, errors.Join(err, stop())
			}
			if res.StatusCode == http.StatusOK {
				return stop, nil
			}
		}
		select {
		case err := <-ended:
			return nil, fmt.Errorf("longshore serve ended: %w\n%s", err, &out)
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("longshore serve does not answer on %s: %w", addr, ctx.Err()), stop())
		case <-poll.C:
		}
	}
}

// compare checks that the layout got holds every blob of want, and returns their number and size.
func compare(want, got string) (n int, size int64, err error) {
	const blobs = "blobs/sha256"
	entries, err := os.ReadDir(filepath.Join(want, blobs))
	if err != nil {
		return 0, 0, err
	}
	for _, e := range entries {
		a, err := os.ReadFile(filepath.Join(want, blobs, e.Name()))
		if err != nil {
			return 0, 0, err
		}
		b, err := os.ReadFile(filepath.Join(got, blobs, e.Name()))
		if err != nil {
			return 0, 0, err
		}
		if !bytes.Equal(a, b) {
			return 0, 0, fmt.Errorf("blob %s came back changed", e.Name())
		}
		n, size = n+1, size+int64(len(a))
	}
	return n, size, nil
}
