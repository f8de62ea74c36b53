//go:build unix

package fs

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

// syncs notes what is synced: folders below the root by name, files as "file".
type syncs struct {
	root string
	all  []string
	fail error // what the next sync returns, if not nil
}

func (s *syncs) sync(f *os.File) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	what := "file"
	if fi.IsDir() {
		what = "." + strings.TrimPrefix(f.Name(), s.root)
	}
	s.all = append(s.all, what)
	if err := s.fail; err != nil {
		s.fail = nil
		return err
	}
	return f.Sync()
}

func (s *syncs) take() []string {
	all := s.all
	s.all = nil
	return all
}

func watched(t *testing.T, durability string) (*Driver, *syncs) {
	d := open(t, Config{Root: filepath.Join(t.TempDir(), "root"), Durability: durability})
	s := &syncs{root: d.Root()}
	d.syncFile = s.sync
	return d, s
}

func TestWhatIsSynced(t *testing.T) {
	d, s := watched(t, Full)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var w drivers.Writer
	var state []byte
	for _, step := range []struct {
		name string
		do   func() error
		want []string
	}{
		{"into new folders: the file, and each folder with something new in it",
			func() error { return d.Put(t.Context(), "a/b/c", nil) }, []string{"file", "./a/b", "./a", "."}},
		{"into a folder that is known", func() error { return d.Put(t.Context(), "a/b/d", nil) }, []string{"file", "./a/b"}},
		{"into a new folder beside", func() error { return d.Put(t.Context(), "a/e/f", nil) }, []string{"file", "./a/e", "./a"}},
		{"put if absent", func() error { return d.PutIfAbsent(t.Context(), "a/b/e", nil) }, []string{"file", "./a/b"}},
		{"put if absent, of one that is there", func() error {
			if err := d.PutIfAbsent(t.Context(), "a/b/e", nil); !errors.Is(err, drivers.ErrExists) {
				return err
			}
			return nil
		}, nil},
		{"writing", func() (err error) {
			w, err = d.Writer(t.Context(), "a/b/w", -1)
			if err == nil {
				_, err = w.Write([]byte("x"))
			}
			return err
		}, nil},
		{"suspend", func() (err error) {
			state, err = w.Suspend(t.Context())
			return err
		}, []string{"file", "./" + own}},
		{"resume", func() (err error) {
			w, err = d.Resume(t.Context(), "a/b/w", state)
			return err
		}, nil},
		{"commit", func() error { return w.Commit(t.Context()) }, []string{"file", "./a/b"}},
		{"delete", func() error { return d.Delete(t.Context(), "a/b/c", "a/b/d", "a/b/x") }, []string{"./a/b"}},
		{"delete of the last in a folder", func() error { return d.Delete(t.Context(), "a/e/f") }, []string{"./a"}},
		{"into a folder that was removed and made again", func() error { return d.Put(t.Context(), "a/e/g", nil) }, []string{"file", "./a/e", "./a"}},
		{"reading", func() error {
			_, err := d.Stat(t.Context(), "a/e/g")
			keys(t, d, "", "")
			return err
		}, nil},
	} {
		must(step.do())
		if got := s.take(); !slices.Equal(got, step.want) {
			t.Errorf("%s: synced %q, want %q", step.name, got, step.want)
		}
	}
}

func TestFastSyncsNothing(t *testing.T) {
	d, s := watched(t, Fast)
	put(t, d, "a/b", "x")
	if err := begun(t, d, "a/c", strings.Repeat("x", 2*window)).Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	suspended(t, d, "a/d", "x")
	if err := d.Delete(t.Context(), "a/b"); err != nil {
		t.Fatal(err)
	}
	if got := s.take(); got != nil {
		t.Errorf("synced %q", got)
	}
}

// A second fsync says that all is well though the bytes of the first are lost: the kernel
// forgets the error and the pages with it.
func TestASyncThatFailedIsNotTriedAgain(t *testing.T) {
	d, s := watched(t, Full)
	put(t, d, "a", "old")
	s.take()

	s.fail = syscall.EIO
	err := d.Put(t.Context(), "a", []byte("new"))
	if !errors.Is(err, syscall.EIO) || len(s.take()) != 1 {
		t.Errorf("Put: %v", err)
	}
	holds(t, d, "a", "old")
	tidy(t, d)

	s.fail = syscall.EIO
	err = d.PutIfAbsent(t.Context(), "b", []byte("new"))
	if !errors.Is(err, syscall.EIO) || len(s.take()) != 1 {
		t.Errorf("PutIfAbsent: %v", err)
	}
	absent(t, d, "b")
	tidy(t, d)

	for name, end := range map[string]func(drivers.Writer) error{
		"commit": func(w drivers.Writer) error { return w.Commit(t.Context()) },
		"suspend": func(w drivers.Writer) error {
			_, err := w.Suspend(t.Context())
			return err
		},
	} {
		w := begun(t, d, "a", "new")
		s.fail = syscall.EIO
		if err := end(w); !errors.Is(err, syscall.EIO) || len(s.take()) != 1 {
			t.Errorf("%s: %v", name, err)
		}
		// The disk is well again, and still what was written is lost.
		for range 2 {
			if err := end(w); !errors.Is(err, syscall.EIO) || len(s.take()) != 0 {
				t.Errorf("%s again: %v", name, err)
			}
		}
		if _, err := w.Write([]byte("more")); !errors.Is(err, syscall.EIO) {
			t.Errorf("write after a failed %s: %v", name, err)
		}
		if err := w.Cancel(t.Context()); err != nil {
			t.Errorf("cancel after a failed %s: %v", name, err)
		}
		holds(t, d, "a", "old")
		tidy(t, d)
	}
}

func TestAStaleHandleIsOpenedOnceMore(t *testing.T) {
	d := open(t, Config{Root: t.TempDir()})
	put(t, d, "a", "x")
	for _, c := range []struct {
		times int
		ok    bool
	}{{0, true}, {1, true}, {2, false}} {
		left := c.times
		d.openFile = func(path string) (*os.File, error) {
			if left--; left >= 0 {
				return nil, &os.PathError{Op: "open", Path: path, Err: syscall.ESTALE}
			}
			return os.Open(path)
		}
		_, _, err := d.Reader(t.Context(), "a", 0, -1)
		if c.ok && err != nil || !c.ok && !errors.Is(err, drivers.ErrThrottled) {
			t.Errorf("stale %d times: %v", c.times, err)
		}
	}
}
