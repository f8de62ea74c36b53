//go:build unix

package fs

import (
	"context"
	"errors"
	iofs "io/fs"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/longshore-registry/longshore/drivers"
)

// Leftovers is described at drivers.Sweeper. Began is when something was last written. The key of a stream whose key has more
// than some 210 bytes can't be told.
func (d *Driver) Leftovers(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
	const op = "leftovers"
	return func(yield func(drivers.Leftover, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(drivers.Leftover{}, fail(op, "", err))
			return
		}
		entries, err := os.ReadDir(d.temp)
		if err != nil {
			yield(drivers.Leftover{}, fail(op, "", err))
			return
		}
		for _, e := range entries {
			l, ok := leftoverOf(e.Name())
			if !ok {
				continue
			}
			fi, err := e.Info()
			if errors.Is(err, iofs.ErrNotExist) {
				continue // it has ended, or is suspended again and has another name
			}
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(drivers.Leftover{}, fail(op, l.Key, err))
				return
			}
			l.Size, l.Began = fi.Size(), fi.ModTime()
			if !yield(l, nil) {
				return
			}
		}
	}
}

// leftoverOf reads the name of an unfinished stream's file; false if it is none. The ID is that of the stream and, after a
// dot, its generation.
func leftoverOf(file string) (drivers.Leftover, bool) {
	rest, ok := strings.CutPrefix(file, streamPrefix)
	if !ok {
		return drivers.Leftover{}, false
	}
	id, rest, _ := strings.Cut(rest, ".")
	generation, key, _ := strings.Cut(rest, ".")
	key = strings.ReplaceAll(key, "~", "/")
	if n, err := strconv.Atoi(generation); err != nil || id == "" || streamName(id, n, key) != file {
		return drivers.Leftover{}, false
	}
	return drivers.Leftover{Key: key, ID: id + "." + generation}, true
}

// Drop is described at drivers.Sweeper. The process that writes the stream, if there is one, finds it gone.
func (d *Driver) Drop(ctx context.Context, l drivers.Leftover) error {
	const op = "drop"
	if err := ctx.Err(); err != nil {
		return fail(op, l.Key, err)
	}
	if l.Key != "" {
		if err := drivers.CheckKey(name, op, l.Key); err != nil {
			return err
		}
	}
	id, text, _ := strings.Cut(l.ID, ".")
	generation, err := strconv.Atoi(text)
	if err != nil || id == "" || strings.ContainsAny(id, "/") {
		return refuse(op, l.Key, drivers.ErrInvalid, "not an ID of this driver")
	}
	err = os.Remove(d.streamPath(id, generation, l.Key))
	if errors.Is(err, syscall.ENOENT) {
		err = d.dropLater(id, l.Key)
	}
	if err == nil {
		err = d.syncFolder(d.temp) // else a crash could bring a state back to life
	}
	return fail(op, l.Key, err)
}

// dropLater removes a stream that was suspended since it was found, and has another name.
func (d *Driver) dropLater(id, key string) error {
	entries, err := os.ReadDir(d.temp)
	if err != nil {
		return err
	}
	for _, e := range entries {
		l, ok := leftoverOf(e.Name())
		if !ok || l.Key != key || !strings.HasPrefix(l.ID, id+".") {
			continue
		}
		if err := os.Remove(filepath.Join(d.temp, e.Name())); err != nil && !errors.Is(err, syscall.ENOENT) {
			return err
		}
	}
	return nil
}
