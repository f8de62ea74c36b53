//go:build integration

package fs

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/internal/tmpfstest"
)

func TestAFullDisk(t *testing.T) {
	for name, options := range map[string]string{"no blocks": "size=1m", "no inodes": "size=16m,nr_inodes=80"} {
		t.Run(name, func(t *testing.T) {
			d := open(t, Config{Root: tmpfstest.Mount(t, options)})
			put(t, d, "old", "old")
			var full error
			for i := 0; full == nil && i < 100; i++ {
				full = d.Put(t.Context(), "a/"+strings.Repeat("x", i+1), make([]byte, 100_000))
			}
			full2 := d.PutIfAbsent(t.Context(), "b/absent", make([]byte, 2<<20))
			w, full3 := d.Writer(t.Context(), "b/written", -1)
			if full3 == nil {
				_, full3 = w.Write(make([]byte, 2<<20))
				if full3 == nil {
					full3 = w.Commit(t.Context())
				}
				if err := w.Cancel(t.Context()); err != nil {
					t.Errorf("Cancel: %v", err)
				}
			}
			for op, err := range map[string]error{"put": full, "putifabsent": full2, "writer": full3} {
				if !errors.Is(err, drivers.ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("%s: %v, want ErrNoSpace", op, err)
				}
			}
			tidy(t, d)
			absent(t, d, "b/absent")
			holds(t, d, "old", "old")
			// What is full can still be emptied.
			if err := d.Delete(t.Context(), keys(t, d, "a/", "")...); err != nil {
				t.Fatal(err)
			}
			put(t, d, "a/x", strings.Repeat("x", 100_000))
		})
	}
}

func TestAReadOnlyFileSystem(t *testing.T) {
	root := tmpfstest.Mount(t, "size=1m")
	d := open(t, Config{Root: root})
	put(t, d, "a/b", "old")
	state := suspended(t, d, "a/w", "x")
	if err := syscall.Mount("tmpfs", root, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	_, writer := d.Writer(t.Context(), "a/c", -1)
	_, resume := d.Resume(t.Context(), "a/w", state)
	_, again := Open(t.Context(), Config{Root: root})
	for op, err := range map[string]error{
		"put":         d.Put(t.Context(), "a/b", []byte("new")),
		"putifabsent": d.PutIfAbsent(t.Context(), "a/c", nil),
		"delete":      d.Delete(t.Context(), "a/b"),
		"writer":      writer,
		"resume":      resume,
		"open":        again,
	} {
		if !errors.Is(err, drivers.ErrReadOnly) {
			t.Errorf("%s: %v, want ErrReadOnly", op, err)
		}
	}
	if !strings.HasPrefix(again.Error(), "root: ") || !strings.Contains(again.Error(), "can't create a file") {
		t.Errorf("Open says %q", again)
	}
	holds(t, d, "a/b", "old")
	if got := keys(t, d, "", ""); len(got) != 1 {
		t.Errorf("listed %q", got)
	}
}

// asNobody runs f on a thread that has no more rights to files than anyone.
func asNobody(t *testing.T, f func() error) error {
	t.Helper()
	private := t.TempDir()
	if err := os.Chmod(private, 0o700); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := syscall.Setfsuid(65534); err != nil {
			done <- err
			return
		}
		if err := os.WriteFile(filepath.Join(private, "probe"), nil, 0o600); !errors.Is(err, os.ErrPermission) {
			done <- errors.Join(errors.New("this test takes root, to become nobody"), err)
			return
		}
		done <- f()
	}()
	return <-done
}

func TestFoldersWithoutPermission(t *testing.T) {
	root := t.TempDir()
	// The folder above is for the tests' own user alone.
	if err := os.Chmod(filepath.Dir(root), 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if err := asNobody(t, func() error {
		_, err = Open(t.Context(), Config{Root: root})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, drivers.ErrDenied) || !strings.HasPrefix(err.Error(), "root: ") {
		t.Errorf("Open of a folder of someone else: %v", err)
	}

	d := open(t, Config{Root: root})
	put(t, d, "private/a", "x")
	put(t, d, "shared/a", "x")
	for path, mode := range map[string]os.FileMode{"": 0o777, own: 0o777, "private": 0o700, "shared": 0o755, "shared/a": 0o600} {
		if err := os.Chmod(filepath.Join(root, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	locks, err := filepath.Glob(filepath.Join(root, own, "lock-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, lock := range locks {
		if err := os.Chmod(lock, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]error{}
	if err := asNobody(t, func() error {
		_, _, got["reader of a file"] = d.Reader(t.Context(), "shared/a", 0, -1)
		_, _, got["reader in a folder"] = d.Reader(t.Context(), "private/a", 0, -1)
		_, got["stat"] = d.Stat(t.Context(), "private/a")
		got["put"] = d.Put(t.Context(), "shared/b", nil)
		got["put into a new folder"] = d.Put(t.Context(), "shared/c/d", nil)
		got["putifabsent"] = d.PutIfAbsent(t.Context(), "shared/b", nil)
		got["delete"] = d.Delete(t.Context(), "shared/a")
		for _, err := range d.List(t.Context(), "private/", "", "") {
			got["list"] = err
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(got) != 8 {
		t.Errorf("only %d of 8 calls returned: %v", len(got), got)
	}
	for op, err := range got {
		if !errors.Is(err, drivers.ErrDenied) || !errors.Is(err, os.ErrPermission) {
			t.Errorf("%s: %v, want ErrDenied", op, err)
		}
	}
	holds(t, d, "shared/a", "x")
	tidy(t, d)
}
