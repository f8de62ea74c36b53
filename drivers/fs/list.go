//go:build unix

package fs

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"sort"
	"strings"
	"syscall"

	"github.com/longshore-registry/longshore/drivers"
)

// List is described at drivers.Driver. It reads the folders that it needs to, each when the
// caller gets there.
func (d *Driver) List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
	const op = "list"
	return func(yield func(drivers.Entry, error) bool) {
		if delimiter != "" && delimiter != "/" {
			yield(drivers.Entry{}, refuse(op, prefix, drivers.ErrInvalid, "a delimiter that is not a slash"))
			return
		}
		folder := prefix[:strings.LastIndexByte(prefix, '/')+1]
		if folder != "" && drivers.CheckKey(name, op, folder[:len(folder)-1]) != nil {
			// No key begins so, and "../" must not lead out of the root.
			if err := ctx.Err(); err != nil {
				yield(drivers.Entry{}, fail(op, prefix, err))
			}
			return
		}
		l := &listing{d: d, ctx: ctx, prefix: prefix, after: after, delimiter: delimiter, yield: yield}
		if _, err := l.walk(folder); err != nil {
			yield(drivers.Entry{}, fail(op, prefix, err))
		}
	}
}

type listing struct {
	d                        *Driver
	ctx                      context.Context
	prefix, after, delimiter string
	yield                    func(drivers.Entry, error) bool
}

// walk yields what is below folder, which is "" or ends with a slash. It returns false when the caller has had enough.
func (l *listing) walk(folder string) (more bool, err error) {
	all, err := l.d.namesIn(l.ctx, folder)
	if err != nil {
		return false, err
	}
	for i := l.first(folder, &all); i < len(all.ends); i++ {
		if err := l.ctx.Err(); err != nil {
			return false, err
		}
		key := folder + all.at(i)
		switch {
		case !strings.HasPrefix(key, l.prefix):
			return true, nil // nor has any that follows
		case !strings.HasSuffix(key, "/"):
			more, err = l.object(key)
		case l.delimiter == "":
			more, err = l.walk(key)
		default:
			more, err = l.rollUp(key)
		}
		if err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// object yields a file, if it is still there.
func (l *listing) object(key string) (more bool, err error) {
	fi, err := fresh(func() (os.FileInfo, error) { return os.Lstat(l.d.path(key)) })
	if is(err, syscall.ENOENT, syscall.ENOTDIR) || err == nil && !fi.Mode().IsRegular() {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return l.yield(drivers.Entry{Key: key, Info: infoOf(fi)}, nil), nil
}

// rollUp yields a folder, if there is an object somewhere in it.
func (l *listing) rollUp(key string) (more bool, err error) {
	found, err := l.d.inhabited(l.ctx, key)
	if err != nil || !found {
		return true, err
	}
	return l.yield(drivers.Entry{Key: key, IsPrefix: true}, nil), nil
}

// first is where the names in folder begin that may lead to an entry: it is one, or has one below it.
func (l *listing) first(folder string, all *names) int {
	return sort.Search(len(all.ends), func(i int) bool {
		key := folder + all.at(i)
		if key < l.prefix {
			return false
		}
		return key > l.after || l.delimiter == "" && strings.HasSuffix(key, "/") && strings.HasPrefix(l.after, key)
	})
}

// inhabited says whether there is an object below folder.
func (d *Driver) inhabited(ctx context.Context, folder string) (found bool, err error) {
	var folders []string
	err = d.each(ctx, folder, nil, func(name string) bool {
		if strings.HasSuffix(name, "/") {
			folders = append(folders, folder+name)
			return true
		}
		found = true
		return false
	})
	for _, f := range folders {
		if found || err != nil {
			break
		}
		found, err = d.inhabited(ctx, f)
	}
	return found, err
}

// each calls f with the name of each file, and with a slash at the end of each folder, that is in
// folder, in no order, until f returns false; before that, if it is not nil, it calls first with the folder. A folder that is not
// there is empty.
func (d *Driver) each(ctx context.Context, folder string, first func(*os.File) error, f func(name string) bool) (err error) {
	dir, err := d.openFile(d.path(folder))
	if is(err, syscall.ENOENT, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, dir.Close()) }()
	if first != nil {
		if err := first(dir); err != nil {
			return err
		}
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries, err := dir.ReadDir(1000)
		for _, e := range entries {
			name := e.Name()
			if folder == "" && name == own {
				continue
			}
			if e.IsDir() {
				name += "/"
			} else if !e.Type().IsRegular() {
				continue
			}
			if !f(name) {
				return nil
			}
		}
		switch {
		case errors.Is(err, io.EOF), is(err, syscall.ENOENT):
			return nil // at its end, or removed meanwhile
		case err != nil:
			return err
		}
	}
}
