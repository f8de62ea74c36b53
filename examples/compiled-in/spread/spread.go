// Package spread is an example of a storage driver: it spreads objects over several folders, each of which may be a disk of its own.
// An object lies in the folder that the hash of its key says. The folders and their order must stay as they are.
package spread

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"os"
	"strings"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/fs"
)

// Config says which folders there are.
type Config struct {
	Roots []string `yaml:"roots" doc:"the folders, which have to exist"`
}

// Defaults returns the configuration to which the folders have to be added.
func Defaults() Config { return Config{} }

// Validate wants two folders at least.
func (c Config) Validate() error {
	if len(c.Roots) < 2 {
		return errors.New("roots: at least two")
	}
	return nil
}

// Place names the folders.
func (c Config) Place() string { return strings.Join(c.Roots, ", ") }

// Driver is a drivers.Driver on several folders.
type Driver struct{ disks []*fs.Driver }

// Open opens each folder.
func Open(ctx context.Context, c Config) (*Driver, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d := &Driver{}
	for _, root := range c.Roots {
		folder := fs.Defaults()
		folder.Root = root
		disk, err := fs.Open(ctx, folder)
		if err != nil {
			return nil, fmt.Errorf("roots: %w", err)
		}
		d.disks = append(d.disks, disk)
	}
	return d, nil
}

// of is the disk of a key.
func (d *Driver) of(key string) *fs.Driver {
	h := fnv.New32a()
	_, _ = io.WriteString(h, key) // a hash takes all
	return d.disks[h.Sum32()%uint32(len(d.disks))]
}

// Reader is the disk's.
func (d *Driver) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	return d.of(key).Reader(ctx, key, offset, length)
}

// Put is the disk's.
func (d *Driver) Put(ctx context.Context, key string, body []byte) error {
	return d.of(key).Put(ctx, key, body)
}

// Writer is the disk's.
func (d *Driver) Writer(ctx context.Context, key string, size int64) (drivers.Writer, error) {
	return d.of(key).Writer(ctx, key, size)
}

// Resume is the disk's.
func (d *Driver) Resume(ctx context.Context, key string, state []byte) (drivers.Writer, error) {
	return d.of(key).Resume(ctx, key, state)
}

// Stat is the disk's.
func (d *Driver) Stat(ctx context.Context, key string) (drivers.Info, error) {
	return d.of(key).Stat(ctx, key)
}

// PutIfAbsent is the disk's.
func (d *Driver) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	return d.of(key).PutIfAbsent(ctx, key, body)
}

// PutIfMatch is the disk's.
func (d *Driver) PutIfMatch(ctx context.Context, key string, body []byte, etag string) error {
	return d.of(key).PutIfMatch(ctx, key, body, etag)
}

// File is the disk's.
func (d *Driver) File(ctx context.Context, key string) (*os.File, drivers.Info, error) {
	return d.of(key).File(ctx, key)
}

// Delete asks each disk to remove its own.
func (d *Driver) Delete(ctx context.Context, keys ...string) error {
	lists := make(map[*fs.Driver][]string)
	for _, key := range keys {
		lists[d.of(key)] = append(lists[d.of(key)], key)
	}
	var errs []error
	for disk, keys := range lists {
		errs = append(errs, disk.Delete(ctx, keys...))
	}
	return errors.Join(errs...)
}

// List merges the listings of the disks, each of which is in order. A folder that several of them have comes once.
func (d *Driver) List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
	return func(yield func(drivers.Entry, error) bool) {
		type head struct {
			entry drivers.Entry
			err   error
			next  func() (drivers.Entry, error, bool)
		}
		var heads []*head
		for _, disk := range d.disks {
			next, stop := iter.Pull2(disk.List(ctx, prefix, after, delimiter))
			defer stop()
			if entry, err, ok := next(); ok {
				heads = append(heads, &head{entry, err, next})
			}
		}
		last := after
		for len(heads) > 0 {
			first := 0
			for i, h := range heads {
				if h.err != nil {
					yield(drivers.Entry{}, h.err)
					return
				}
				if h.entry.Key < heads[first].entry.Key {
					first = i
				}
			}
			h := heads[first]
			if h.entry.Key > last || last == "" {
				if !yield(h.entry, nil) {
					return
				}
				last = h.entry.Key
			}
			var ok bool
			if h.entry, h.err, ok = h.next(); !ok {
				heads = append(heads[:first], heads[first+1:]...)
			}
		}
	}
}
