//go:build unix

// Package fs keeps a registry in a folder of a file system.
//
//	storage:
//	  fs:
//	    root: /var/lib/longshore   # required; made if it is not there
//	    durability: full           # or fast: nothing is synced, a power cut may lose what was just pushed
//
// A key is a path below the root. Files are made in a folder of their own beside the keys,
// complete and synced, and then get their name in one step, so that neither a reader nor a
// crash finds half a file. Several processes may use one folder, also over NFS if that
// has working locks (flock) and is mounted so that what one host writes the others see at once (actimeo=0).
package fs

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

const (
	name = "fs"

	// own is the folder below the root for unfinished files and locks. No key has a '~', so no
	// key can be in it. Many backup programs leave out names that end so, as they should.
	own = ".longshore~"

	// Permissions before the umask. Group readers are enough for backups.
	folderMode = 0o750
	fileMode   = 0o640
)

// Values of Config.Durability.
const (
	Full = "full" // each file and each folder that changed is synced before a call returns
	Fast = "fast" // nothing is synced
)

// Config is what a configuration file says.
type Config struct {
	// Root is the folder. It is made if it is not there, but the folder that it is in has to be.
	Root string `yaml:"root" doc:"The folder. It is made if it is not there, but the folder that it is in has to be."`

	// Durability is "full" (the default) or "fast".
	Durability string `yaml:"durability" enum:"full,fast" doc:"With full everything is on the disk before a client is told so. With fast nothing is synced, and a power cut may lose what was just pushed."`
}

// Defaults returns the Config of a file that says nothing.
func Defaults() Config { return Config{Durability: Full} }

// Validate returns an error for each field that can't be used, joined. Each begins with the field's name.
func (c Config) Validate() error {
	var errs []error
	if c.Root == "" {
		errs = append(errs, errors.New("root: required, the folder in which to keep everything"))
	} else if strings.ContainsRune(c.Root, 0) {
		errs = append(errs, fmt.Errorf("root: %q has a null byte", c.Root))
	}
	if c.Durability != Full && c.Durability != Fast {
		errs = append(errs, fmt.Errorf("durability: %q is neither %q nor %q", c.Durability, Full, Fast))
	}
	return errors.Join(errs...)
}

// Driver is a handle on a folder.
type Driver struct {
	root    string // absolute
	temp    string // the own folder
	durable bool
	ticks   atomic.Uint64 // see stamp
	locks   [lockShards]chan struct{}

	mu      sync.Mutex
	synced  map[string]bool // folders whose names are known to be on disk; see syncFolders
	removed int             // how many folders were

	folders *knownFolders // nil if the file system's folders do not tell when they change

	// renameNew gives a file a name that no other has, in one step; nil if the file system can't.
	renameNew func(from, to string) error

	// What tests put faults into.
	openFile func(path string) (*os.File, error)
	syncFile func(*os.File) error
}

var (
	_ drivers.Driver       = (*Driver)(nil)
	_ drivers.AbsentPutter = (*Driver)(nil)
	_ drivers.MatchPutter  = (*Driver)(nil)
	_ drivers.Filer        = (*Driver)(nil)
	_ drivers.Sweeper      = (*Driver)(nil)
)

// Open makes the root if it is not there and tries whether the file system can do what the
// driver needs; the error says what it can't. An empty Durability is full.
func Open(ctx context.Context, c Config) (*Driver, error) {
	if c.Durability == "" {
		c.Durability = Full
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := filepath.Abs(c.Root)
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	d := &Driver{
		root:     root,
		temp:     filepath.Join(root, own),
		durable:  c.Durability == Full,
		synced:   map[string]bool{},
		openFile: openRead,
		syncFile: (*os.File).Sync,
	}
	d.ticks.Store(rand.Uint64())
	for i := range d.locks {
		d.locks[i] = make(chan struct{}, 1)
	}
	for _, folder := range []string{d.root, d.temp} {
		err := os.Mkdir(folder, folderMode)
		if err == nil {
			err = d.syncFolder(filepath.Dir(folder))
		}
		if err != nil && !errors.Is(err, iofs.ErrExist) {
			return nil, fmt.Errorf("root: %w", withKind(err))
		}
	}
	if err := d.probe(); err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	if err := d.makeLocks(); err != nil {
		return nil, fmt.Errorf("root: %w", withKind(err))
	}
	tell, err := d.foldersTell(ctx)
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	if tell {
		d.folders = newKnownFolders()
	}
	return d, nil
}

// Root is the absolute path of the folder.
func (d *Driver) Root() string { return d.root }

// path is where the object of key is.
func (d *Driver) path(key string) string { return d.root + "/" + key }

// begin is the common beginning of all methods.
func begin(ctx context.Context, op, key string) error {
	if err := drivers.CheckKey(name, op, key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fail(op, key, err)
	}
	return nil
}

// fail says what was being done when err came.
func fail(op, key string, err error) error {
	if err == nil {
		return nil
	}
	if e := new(drivers.Error); errors.As(err, &e) {
		if e.Op != "" {
			return err
		}
		return &drivers.Error{Op: op, Driver: name, Key: key, Kind: e.Kind, Err: e.Err}
	}
	return &drivers.Error{Op: op, Driver: name, Key: key, Kind: kind(err), Err: err}
}

// refuse is an error of one of the kinds that no system call is behind.
func refuse(op, key string, kind error, why string) error {
	return &drivers.Error{Op: op, Driver: name, Key: key, Kind: kind, Err: errors.New(why)}
}

// withKind is fail for what has no key.
func withKind(err error) error {
	if k := kind(err); k != nil {
		return fmt.Errorf("%w: %w", k, err)
	}
	return err
}

// kind turns an error of the system into one of the kinds, or nil.
func kind(err error) error {
	switch {
	case is(err, syscall.ENOSPC, syscall.EDQUOT):
		return drivers.ErrNoSpace
	case is(err, syscall.EROFS):
		return drivers.ErrReadOnly
	case is(err, syscall.EACCES, syscall.EPERM):
		return drivers.ErrDenied
	case is(err, syscall.ENOENT):
		return drivers.ErrNotFound
	case is(err, syscall.ENOTDIR, syscall.EISDIR, syscall.EEXIST, syscall.ENOTEMPTY, syscall.ENAMETOOLONG):
		// A key that is a folder of another, or below another: the caller broke the rule.
		return drivers.ErrInvalid
	case is(err, syscall.EMFILE, syscall.ENFILE, syscall.ESTALE, syscall.ETIMEDOUT, syscall.ENOLCK):
		return drivers.ErrThrottled
	}
	return nil
}

func is(err error, codes ...syscall.Errno) bool {
	for _, code := range codes {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

// infoOf gives the facts about a file. The ETag is made of what changes with every file that is
// put in place: another inode or, when one is used again, another time, see stamp.
func infoOf(fi os.FileInfo) drivers.Info {
	var inode uint64
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		inode = uint64(st.Ino)
	}
	return drivers.Info{
		Size:    fi.Size(),
		ETag:    strconv.FormatUint(inode, 36) + "-" + strconv.FormatInt(fi.ModTime().UnixNano(), 36) + "-" + strconv.FormatInt(fi.Size(), 36),
		ModTime: fi.ModTime(),
	}
}

// stamp gives the finished file at path a time of change that no other file of its inode and size has. The kernel's own
// has steps of some milliseconds, within which an inode can be freed and used again; so the
// part below a millisecond is replaced by a count that is unique here and random elsewhere. The rest stays what the
// file system's clock said.
func (d *Driver) stamp(f *os.File, path string) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	tick := time.Duration(d.ticks.Add(1) % uint64(time.Millisecond))
	return os.Chtimes(path, time.Time{}, fi.ModTime().Truncate(time.Millisecond).Add(tick))
}
