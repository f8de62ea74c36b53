package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/longshore-registry/longshore/config"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/fs"
	"github.com/longshore-registry/longshore/drivers/gcs"
	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/drivers/minio"
	"github.com/longshore-registry/longshore/drivers/plugin"
	"github.com/longshore-registry/longshore/drivers/s3"
	"github.com/longshore-registry/longshore/drivers/swift"
)

// table names the storage drivers. A new one is a line here: its name, what it is, and from its
// package the defaults of its settings, how it opens, and in which words its place is told. root is the
// default folder of fs.
func table(root string) []driver {
	folder := fs.Defaults()
	folder.Root = root
	return []driver{
		entry("fs", "A folder of a file system.", folder, openFolder(root), func(c fs.Config) string { return absolute(c.Root) }),
		entry("minio", "A bucket of MinIO, or of another store that speaks the S3 API.", minio.Defaults(), minio.Open,
			func(c minio.Config) string { return c.Endpoint + "/" + path.Join(c.Bucket, c.Prefix) }),
		entry("s3", "A bucket of Amazon S3, or of a store that speaks its API.", s3.Defaults(), s3.Open,
			func(c s3.Config) string { return cmp.Or(c.Endpoint, "s3:/") + "/" + path.Join(c.Bucket, c.Prefix) }),
		entry("gcs", "A bucket of Google Cloud Storage.", gcs.Defaults(), gcs.Open,
			func(c gcs.Config) string { return cmp.Or(c.Endpoint, "gs:/") + "/" + path.Join(c.Bucket, c.Prefix) }),
		entry("swift", "A container of OpenStack Swift.", swift.Defaults(), swift.Open,
			func(c swift.Config) string {
				return "container " + path.Join(c.Container, c.Prefix) + ", identity from " + c.AuthURL
			}),
		entry("plugin", "A program that keeps the images where it knows to; docs/plugins.md tells how one is written.", plugin.Defaults(), plugin.Open,
			func(c plugin.Config) string { return "program " + c.Command[0] }),
		entry("memory", "The memory of the process, for trying things: the images are gone when it ends.", memory.Defaults(), memory.Open,
			func(memory.Config) string { return "memory of this process, gone when it ends" }),
	}
}

// Driver is a storage driver that can be chosen in the configuration.
type Driver struct {
	fresh func() driver // with the default settings
}

// NewDriver makes a Driver of what a package of a driver exports. name is its key below storage, doc a
// sentence for the reference of the settings, defaults the settings of a user who says nothing: a struct whose fields have
// yaml tags, in the types that package config knows. open is asked after defaults, changed by
// the configuration, has passed Validate. If a pointer to them has a method LogTo(*slog.Logger), serve
// calls it with its log before open. place says in words where the images are, without secrets.
func NewDriver[C interface{ Validate() error }, D drivers.Driver](
	name, doc string, defaults C, open func(context.Context, C) (D, error), place func(C) string,
) Driver {
	return Driver{fresh: func() driver { return entry(name, doc, defaults, open, place) }}
}

// drivers are all that can be chosen: our own and those that were added.
func (p program) drivers() ([]driver, error) {
	all := table(p.defaultRoot())
	for _, m := range p.more {
		d := m.fresh()
		if slices.ContainsFunc(all, func(a driver) bool { return a.Name == d.Name }) {
			return nil, fmt.Errorf("two storage drivers are called %q: give one that is compiled in another name", d.Name)
		}
		all = append(all, d)
	}
	return all, nil
}

// driver is a storage driver and its settings.
type driver struct {
	config.Alternative
	open  func(context.Context) (drivers.Driver, error)
	logTo func(*slog.Logger) // before open: for a driver that has something to log
	place func() string      // where the images are, in words; no secrets
}

// entry makes a driver of what its package exports.
func entry[C interface{ Validate() error }, D drivers.Driver](
	name, doc string, defaults C, open func(context.Context, C) (D, error), place func(C) string,
) driver {
	c := &defaults
	return driver{
		Alternative: config.Alternative{Name: name, Doc: doc, Config: c},
		open: func(ctx context.Context) (drivers.Driver, error) {
			d, err := open(ctx, *c)
			if err != nil { // a nil D in the interface would not be nil
				return nil, err
			}
			return d, nil
		},
		logTo: func(log *slog.Logger) {
			if l, ok := any(c).(interface{ LogTo(*slog.Logger) }); ok {
				l.LogTo(log)
			}
		},
		place: func() string { return place(*c) },
	}
}

// openFolder is fs.Open, but makes the folders above the default root too: nobody chose them, so
// nobody has made them. For a root that was configured a missing parent is more likely a typo or a
// disk that is not mounted.
func openFolder(byDefault string) func(context.Context, fs.Config) (*fs.Driver, error) {
	return func(ctx context.Context, c fs.Config) (*fs.Driver, error) {
		if c.Root == byDefault {
			if err := os.MkdirAll(filepath.Dir(c.Root), 0o700); err != nil {
				return nil, err
			}
		}
		return fs.Open(ctx, c)
	}
}

// absolute is the path from the root, if the working folder is known.
func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

// closeDriver closes d if it can be closed: a plugin ends then, connections are given back. What is
// stored does not depend on it, so an error is dropped.
func closeDriver(d drivers.Driver) {
	switch c := d.(type) {
	case interface{ Close() }:
		c.Close()
	case io.Closer:
		_ = c.Close()
	}
}
