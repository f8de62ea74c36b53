// Command try runs longshore conformance on a new MinIO, as `make conformance` does and as the author of a driver would on the server of
// theirs. Its arguments are those of longshore conformance. It stops what it has started.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/longshore-registry/longshore/internal/miniotest"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := try(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "try:", err)
		os.Exit(1)
	}
}

func try(ctx context.Context, args []string) (err error) {
	dir, err := os.MkdirTemp("", "longshore-conformance-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program := filepath.Join(dir, "longshore")
	if err := run(ctx, nil, "go", "build", "-o", program, "./cmd/longshore"); err != nil {
		return err
	}
	server, err := miniotest.Run("")
	if err != nil {
		return err
	}
	defer server.Stop()
	return run(ctx, []string{
		"LONGSHORE_STORAGE_S3_ENDPOINT=" + server.URL, "LONGSHORE_STORAGE_S3_ACCESS_KEY=" + server.User, "LONGSHORE_STORAGE_S3_SECRET_KEY=" + server.Password,
		"LONGSHORE_STORAGE_S3_BUCKET=conformance", "LONGSHORE_STORAGE_S3_CREATE_BUCKET=true",
	}, program, append([]string{"conformance"}, args...)...)
}

// run runs a program on our terminal. When ctx ends it gets the signal too, and time to clean up.
func run(ctx context.Context, env []string, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(program), err)
	}
	return nil
}
