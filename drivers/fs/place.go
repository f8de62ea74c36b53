//go:build unix

package fs

import (
	"context"
	"errors"
	iofs "io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/longshore-registry/longshore/drivers"
)

// maxSynced is how many folders are remembered as synced, some 10 MB.
const maxSynced = 1 << 16

// replace gives the finished file at path its name as key, whatever was there.
func (d *Driver) replace(ctx context.Context, path, key string) error {
	if d.renameNew != nil {
		// An object that is not there is neither compared nor deleted meanwhile, so the first one needs no lock.
		if err := d.place(ctx, path, key, d.renameNew); !errors.Is(err, syscall.EEXIST) {
			return err
		}
	}
	unlock, err := d.lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	return d.place(ctx, path, key, os.Rename)
}

// place gives the finished file at path its name as key, by step, which is os.Rename, linkNew or d.renameNew.
// It makes the folders on the way.
func (d *Driver) place(ctx context.Context, path, key string, step func(from, to string) error) error {
	target := d.path(key)
	folder := filepath.Dir(target)
	cleared := false
	// A Delete beside may remove an empty folder between its making and its use, each time anew
	// though hardly this often; and the unfinished file itself may be what is not there.
	for range 1000 {
		err := step(path, target)
		switch {
		case err == nil:
			return d.syncFolders(folder)
		case is(err, syscall.EEXIST, syscall.EISDIR) && !cleared && d.clear(target):
			cleared = true
			continue
		case !errors.Is(err, syscall.ENOENT):
			return err
		}
		if _, gone := os.Lstat(path); gone != nil {
			return &drivers.Error{Kind: drivers.ErrPrecondition, Err: gone}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		// EEXIST: it was there, and then it was not. A file in the way would be ENOTDIR.
		if err := os.MkdirAll(folder, folderMode); err != nil && !is(err, syscall.ENOENT, syscall.EEXIST) {
			return err
		}
	}
	return &drivers.Error{Kind: drivers.ErrThrottled, Err: errors.New("the folder is removed over and over")}
}

// clear removes the folder at path if there is nothing but empty folders in it, such as a crash
// may leave. It reports whether path is free now.
func (d *Driver) clear(path string) bool {
	fi, err := os.Lstat(path)
	if err != nil || !fi.IsDir() {
		return false
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if !d.clear(filepath.Join(path, e.Name())) {
			return false
		}
	}
	return d.rmdir(path)
}

// prune removes folder and the folders that it is in, up to the first that is not empty,
// which it returns.
func (d *Driver) prune(folder string) string {
	for folder != d.root && d.rmdir(folder) {
		folder = filepath.Dir(folder)
	}
	return folder
}

// rmdir removes folder if it is empty.
func (d *Driver) rmdir(folder string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if syscall.Rmdir(folder) != nil {
		return false
	}
	delete(d.synced, folder)
	d.removed++
	return true
}

// syncFolders makes sure that what was just put into folder is found after a crash: folder is
// synced, and so are the folders above it unless that was done since they were made. Another
// process may have made one of them and not yet synced it, so it matters who did it, not whether it is there.
func (d *Driver) syncFolders(folder string) error {
	if !d.durable {
		return nil
	}
	d.mu.Lock()
	removed := d.removed
	d.mu.Unlock()
	if err := d.syncFolder(folder); err != nil {
		return err
	}
	var fresh []string
	for f := folder; f != d.root && !d.known(f); f = filepath.Dir(f) {
		fresh = append(fresh, f)
		if err := d.syncFolder(filepath.Dir(f)); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.removed != removed {
		return nil // it may be one of these, and be made again
	}
	if len(d.synced) > maxSynced {
		clear(d.synced)
	}
	for _, f := range fresh {
		d.synced[f] = true
	}
	return nil
}

func (d *Driver) known(folder string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.synced[folder]
}

// syncFolder syncs one folder, or the nearest one above that is still there: what was in a
// folder that is gone was deleted since.
func (d *Driver) syncFolder(folder string) error {
	if !d.durable {
		return nil
	}
	f, err := d.openFile(folder)
	if errors.Is(err, iofs.ErrNotExist) && folder != d.root {
		return d.syncFolder(filepath.Dir(folder))
	}
	if err != nil {
		return err
	}
	return errors.Join(d.syncFile(f), f.Close())
}
