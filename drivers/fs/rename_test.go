//go:build unix

package fs

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

// Where renameat2 knows no flags, as on NFS, links and locks do the same.
func TestFilesGetTheirNamesWithAndWithoutRenameat2(t *testing.T) {
	for name, without := range map[string]bool{"as the system can": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			d := open(t, Config{Root: t.TempDir(), Durability: Fast})
			if without {
				d.renameNew = nil
			}
			put(t, d, "a/new", "1")
			holds(t, d, "a/new", "1")
			put(t, d, "a/new", "2")
			holds(t, d, "a/new", "2")
			if err := d.PutIfAbsent(t.Context(), "a/new", []byte("3")); !errors.Is(err, drivers.ErrExists) {
				t.Errorf("put if absent of what is there: %v", err)
			}
			if err := begun(t, d, "a/new", "4").Commit(t.Context()); err != nil {
				t.Error(err)
			}
			holds(t, d, "a/new", "4")
			if err := d.PutIfAbsent(t.Context(), "a", nil); !errors.Is(err, drivers.ErrInvalid) {
				t.Errorf("put if absent where a folder is: %v", err)
			}

			var firsts atomic.Int32
			var g sync.WaitGroup
			for range 16 {
				g.Go(func() {
					switch err := d.PutIfAbsent(t.Context(), "b/c/absent", []byte("x")); {
					case err == nil:
						firsts.Add(1)
					case !errors.Is(err, drivers.ErrExists):
						t.Error(err)
					}
				})
			}
			g.Wait()
			if firsts.Load() != 1 {
				t.Errorf("%d were the first", firsts.Load())
			}
			holds(t, d, "b/c/absent", "x")
			tidy(t, d)
		})
	}
}

// An object that appears between the look and the rename is replaced all the same.
func TestPutReplacesWhatAppearsMeanwhile(t *testing.T) {
	d := open(t, Config{Root: t.TempDir(), Durability: Fast})
	put(t, d, "a/b", "old")
	tried := false
	d.renameNew = func(string, string) error {
		tried = true
		return syscall.EEXIST
	}
	put(t, d, "a/b", "new")
	holds(t, d, "a/b", "new")
	if !tried {
		t.Error("it was not tried without a lock")
	}
	tidy(t, d)
}
