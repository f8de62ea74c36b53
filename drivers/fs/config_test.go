//go:build unix

package fs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   []string // what the lines of the error begin with
	}{
		{Config{Root: "/srv/images", Durability: Full}, nil},
		{Config{Root: "images", Durability: Fast}, nil},
		{Defaults(), []string{"root: required"}},
		{Config{Root: "a\x00b", Durability: Full}, []string{"root: "}},
		{Config{Root: "/srv", Durability: "slow"}, []string{`durability: "slow" is neither`}},
		{Config{}, []string{"root: required", `durability: "" is neither`}},
	} {
		var lines []string
		if err := c.config.Validate(); err != nil {
			lines = strings.Split(err.Error(), "\n")
		}
		ok := len(lines) == len(c.want)
		for i := 0; ok && i < len(lines); i++ {
			ok = strings.HasPrefix(lines[i], c.want[i])
		}
		if !ok {
			t.Errorf("%+v: %q, want %q", c.config, lines, c.want)
		}
	}
}

func TestOpenMakesTheRootAndNothingAbove(t *testing.T) {
	folder := t.TempDir()
	root := filepath.Join(folder, "images")
	d := open(t, Config{Root: root})
	if d.Root() != root {
		t.Errorf("Root() = %q, want %q", d.Root(), root)
	}
	tidy(t, d)
	_, err := Open(t.Context(), Config{Root: filepath.Join(folder, "not", "there")})
	if !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "root: ") {
		t.Errorf("a parent that is not there: %v", err)
	}
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Root: file}); !errors.Is(err, syscall.ENOTDIR) || !strings.HasPrefix(err.Error(), "root: ") {
		t.Errorf("a file: %v", err)
	}
}

func TestFilesAndFoldersHaveModesForAGroup(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	d := open(t, Config{Root: filepath.Join(t.TempDir(), "root")})
	put(t, d, "a/b", "x")
	if err := begun(t, d, "a/c", "x").Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{"": 0o750, own: 0o750, "a": 0o750, "a/b": 0o640, "a/c": 0o640} {
		fi, err := os.Stat(filepath.Join(d.Root(), path))
		if err != nil {
			t.Fatal(err)
		}
		if got := fi.Mode().Perm(); got != want {
			t.Errorf("%q has mode %o, want %o", path, got, want)
		}
	}
	syscall.Umask(0o077)
	put(t, d, "d/e", "x")
	for path, want := range map[string]os.FileMode{"d": 0o700, "d/e": 0o600} {
		fi, err := os.Stat(filepath.Join(d.Root(), path))
		if err != nil {
			t.Fatal(err)
		}
		if got := fi.Mode().Perm(); got != want {
			t.Errorf("umask 077: %q has mode %o, want %o", path, got, want)
		}
	}
}

func TestKinds(t *testing.T) {
	for code, want := range map[syscall.Errno]error{
		syscall.ENOSPC:       drivers.ErrNoSpace,
		syscall.EDQUOT:       drivers.ErrNoSpace,
		syscall.EROFS:        drivers.ErrReadOnly,
		syscall.EACCES:       drivers.ErrDenied,
		syscall.EPERM:        drivers.ErrDenied,
		syscall.ENOENT:       drivers.ErrNotFound,
		syscall.ENOTDIR:      drivers.ErrInvalid,
		syscall.EISDIR:       drivers.ErrInvalid,
		syscall.ENAMETOOLONG: drivers.ErrInvalid,
		syscall.EMFILE:       drivers.ErrThrottled,
		syscall.ESTALE:       drivers.ErrThrottled,
		syscall.EIO:          nil,
	} {
		if got := kind(&os.PathError{Op: "open", Path: "x", Err: code}); got != want {
			t.Errorf("%v: %v, want %v", code, got, want)
		}
	}
}
