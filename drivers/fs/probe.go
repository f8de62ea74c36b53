//go:build unix

package fs

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// probe does with a file what the driver will do with files, and says which step fails.
func (d *Driver) probe() error {
	var (
		path    = filepath.Join(d.temp, "probe-"+rand.Text())
		renamed = path + "-renamed"
		linked  = path + "-linked"
		f       *os.File
	)
	defer func() {
		for _, p := range []string{path, renamed, linked} {
			_ = os.Remove(p) // most are not there
		}
	}()
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"create a file", func() (err error) {
			f, err = openFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, fileMode)
			return err
		}},
		{"write to it", func() error {
			_, err := f.WriteString("probe")
			return err
		}},
		{"lock it (flock), which keeps processes apart", func() error {
			return flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
		}},
		{"set its time to the nanosecond, which tells versions of an object apart", func() error {
			for range 2 {
				if err := d.stamp(f, path); err != nil {
					return err
				}
				fi, err := f.Stat()
				if err != nil {
					return err
				}
				if fi.ModTime().Nanosecond()%1000 != 0 {
					return nil
				}
			}
			return errors.New("the file system rounds it")
		}},
		{"sync it (durability: fast goes without)", func() error {
			if !d.durable {
				return nil
			}
			return d.syncFile(f)
		}},
		{"rename it", func() error {
			if renameNew(path, renamed) == nil {
				d.renameNew = renameNew
				return nil
			}
			return os.Rename(path, renamed)
		}},
		{"make a hard link to it, which is how two writers are told who was first", func() error {
			return os.Link(renamed, linked)
		}},
		{"sync the folder (durability: fast goes without)", func() error { return d.syncFolder(d.temp) }},
		{"remove it", func() error { return errors.Join(os.Remove(renamed), os.Remove(linked)) }},
	} {
		if err := step.do(); err != nil {
			if f != nil {
				_ = f.Close() // the error at hand says more
			}
			return fmt.Errorf("%s: can't %s: %w", d.root, step.what, withKind(err))
		}
	}
	return f.Close()
}
