//go:build unix

package fs

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/longshore-registry/longshore/drivers"
)

// Reader is described at drivers.Driver.
func (d *Driver) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	const op = "reader"
	if offset < 0 {
		return nil, drivers.Info{}, refuse(op, key, drivers.ErrInvalid, "negative offset")
	}
	f, info, err := d.open(ctx, op, key)
	if err != nil {
		return nil, drivers.Info{}, err
	}
	offset = min(offset, info.Size)
	rest := info.Size - offset
	if length >= 0 {
		rest = min(rest, length)
	}
	return &body{ctx: ctx, key: key, file: f, offset: offset, rest: rest}, info, nil
}

// body is a range of a file.
type body struct {
	ctx          context.Context
	key          string
	file         *os.File
	offset, rest int64
}

func (b *body) Read(p []byte) (int, error) {
	const op = "read"
	if err := b.ctx.Err(); err != nil {
		return 0, fail(op, b.key, err)
	}
	if b.rest == 0 {
		return 0, io.EOF
	}
	n, err := b.file.ReadAt(p[:min(int64(len(p)), b.rest)], b.offset)
	b.offset += int64(n)
	b.rest -= int64(n)
	if errors.Is(err, io.EOF) {
		err = nil
		if b.rest > 0 {
			err = &drivers.Error{Op: op, Driver: name, Key: b.key, Kind: drivers.ErrCorrupt, Err: io.ErrUnexpectedEOF}
		}
	}
	return n, fail(op, b.key, err)
}

func (b *body) Close() error { return fail("close", b.key, b.file.Close()) }

// File is described at drivers.Filer.
func (d *Driver) File(ctx context.Context, key string) (*os.File, drivers.Info, error) {
	return d.open(ctx, "file", key)
}

// open opens the file of key and looks at it.
func (d *Driver) open(ctx context.Context, op, key string) (*os.File, drivers.Info, error) {
	if err := begin(ctx, op, key); err != nil {
		return nil, drivers.Info{}, err
	}
	var f *os.File
	fi, err := fresh(func() (fi os.FileInfo, err error) {
		if f, err = d.openFile(d.path(key)); err != nil {
			return nil, err
		}
		if fi, err = f.Stat(); err != nil {
			_ = f.Close() // the error at hand says more
		}
		return fi, err
	})
	if err != nil {
		return nil, drivers.Info{}, failLook(op, key, err)
	}
	if !fi.Mode().IsRegular() {
		_ = f.Close() // nothing was written
		return nil, drivers.Info{}, refuse(op, key, drivers.ErrNotFound, "a folder")
	}
	return f, infoOf(fi), nil
}

// Stat is described at drivers.Driver.
func (d *Driver) Stat(ctx context.Context, key string) (drivers.Info, error) {
	const op = "stat"
	if err := begin(ctx, op, key); err != nil {
		return drivers.Info{}, err
	}
	fi, err := fresh(func() (os.FileInfo, error) { return os.Stat(d.path(key)) })
	if err != nil {
		return drivers.Info{}, failLook(op, key, err)
	}
	if !fi.Mode().IsRegular() {
		return drivers.Info{}, refuse(op, key, drivers.ErrNotFound, "a folder")
	}
	return infoOf(fi), nil
}

// fresh calls look, and once more when NFS knows only the file that another host has replaced since.
func fresh(look func() (os.FileInfo, error)) (os.FileInfo, error) {
	fi, err := look()
	if errors.Is(err, syscall.ESTALE) {
		return look()
	}
	return fi, err
}

// failLook is fail where a path through a file means that the key is absent.
func failLook(op, key string, err error) error {
	if errors.Is(err, syscall.ENOTDIR) {
		return &drivers.Error{Op: op, Driver: name, Key: key, Kind: drivers.ErrNotFound, Err: err}
	}
	return fail(op, key, err)
}

// Put is described at drivers.Driver.
func (d *Driver) Put(ctx context.Context, key string, body []byte) error {
	const op = "put"
	if err := begin(ctx, op, key); err != nil {
		return err
	}
	return fail(op, key, d.put(body, func(path string) error { return d.replace(ctx, path, key) }))
}

// PutIfMatch is described at drivers.MatchPutter.
func (d *Driver) PutIfMatch(ctx context.Context, key string, body []byte, etag string) error {
	const op = "putifmatch"
	if err := begin(ctx, op, key); err != nil {
		return err
	}
	matches := func() error {
		fi, err := fresh(func() (os.FileInfo, error) { return os.Stat(d.path(key)) })
		if is(err, syscall.ENOENT, syscall.ENOTDIR) || err == nil && (!fi.Mode().IsRegular() || infoOf(fi).ETag != etag) {
			return &drivers.Error{Kind: drivers.ErrPrecondition}
		}
		return err
	}
	if err := matches(); err != nil {
		return fail(op, key, err) // before anything is written and synced for it
	}
	return fail(op, key, d.put(body, func(path string) error {
		unlock, err := d.lock(ctx, key)
		if err != nil {
			return err
		}
		defer unlock()
		if err := matches(); err != nil {
			return err
		}
		return d.place(ctx, path, key, os.Rename)
	}))
}

// PutIfAbsent is described at drivers.AbsentPutter.
func (d *Driver) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	const op = "putifabsent"
	if err := begin(ctx, op, key); err != nil {
		return err
	}
	exists := func() bool {
		fi, err := os.Stat(d.path(key))
		return err == nil && fi.Mode().IsRegular()
	}
	if exists() {
		return refuse(op, key, drivers.ErrExists, "there is an object") // before anything is written and synced for it
	}
	return fail(op, key, d.put(body, func(path string) error {
		step := d.renameNew
		if step == nil {
			step = linkNew
		}
		err := d.place(ctx, path, key, step)
		if errors.Is(err, syscall.EEXIST) && exists() {
			// NFS asks again when an answer was lost, and then finds what it has made itself.
			if sameFile(path, d.path(key)) {
				_ = remove(path) // the other name stays
				return d.syncFolders(filepath.Dir(d.path(key)))
			}
			return &drivers.Error{Kind: drivers.ErrExists, Err: err}
		}
		return err
	}))
}

// put makes a finished file of body and calls place with its path, which takes it away or fails.
func (d *Driver) put(body []byte, place func(path string) error) error {
	path := filepath.Join(d.temp, "put-"+rand.Text())
	f, err := openFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if err == nil {
		err = d.finish(f, path)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = place(path)
	}
	if err != nil {
		_ = remove(path) // it may have its name and not be synced; then it is not there
	}
	return err
}

// finish makes the file at path ready to be placed. If it fails then the file is lost:
// the system may have dropped what it could not write, and a second sync would not tell.
func (d *Driver) finish(f *os.File, path string) error {
	if err := d.stamp(f, path); err != nil {
		return err
	}
	if !d.durable {
		return nil
	}
	return d.syncFile(f)
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// Delete is described at drivers.Driver. Folders that become empty are removed.
func (d *Driver) Delete(ctx context.Context, keys ...string) error {
	const op = "delete"
	if err := ctx.Err(); err != nil && len(keys) > 0 {
		return fail(op, keys[0], err)
	}
	var errs []error
	changed := map[string]string{} // folders, and a key that was there
	for _, key := range keys {
		if err := begin(ctx, op, key); err != nil {
			errs = append(errs, err)
			if ctx.Err() != nil {
				break
			}
			continue
		}
		folder, err := d.remove(ctx, key)
		if err != nil {
			errs = append(errs, fail(op, key, err))
		} else if folder != "" {
			changed[folder] = key
		}
	}
	for folder, key := range changed {
		if err := d.syncFolder(folder); err != nil {
			errs = append(errs, fail(op, key, err))
		}
	}
	return errors.Join(errs...)
}

// remove removes the file of key and returns the folder that has to be synced, or "" if there was none.
func (d *Driver) remove(ctx context.Context, key string) (folder string, err error) {
	unlock, err := d.lock(ctx, key)
	if err != nil {
		return "", err
	}
	defer unlock()
	path := d.path(key)
	err = remove(path)
	if is(err, syscall.ENOENT, syscall.ENOTDIR, syscall.EISDIR) {
		return "", nil
	}
	if err != nil {
		// Other systems than Linux say EPERM of a folder.
		if fi, statErr := os.Lstat(path); statErr == nil && fi.IsDir() {
			return "", nil
		}
		return "", err
	}
	return d.prune(filepath.Dir(path)), nil
}
