//go:build unix

package fs

import (
	"container/list"
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// A folder has its names in no order, so the first hundred of a listing take all of them. The sorted names of large
// folders are kept in memory, for as long as the folder is as it was when they were read. That is seen by its times, which
// the system sets to its clock, by every process's change of a name. The clock has steps, and two changes within one
// step leave the same times; so names count only if they were read when the folder's times had been
// seen settle ago: whatever changes after that is in another step.

const (
	// leastNames is how many names make a folder large. Fewer are read about as fast as it is asked for its times.
	leastNames = 512
	// namesMemory bounds, in bytes, all names that are kept: more than a million tags.
	namesMemory = 32 << 20
	// settle is longer than any step of the clock that foldersTell lets pass.
	settle = 5 * longestStep
	// longestStep is the longest step of a clock that foldersTell allows for. Linux's has 10 ms at most.
	longestStep = 50 * time.Millisecond
	// perFolder is roughly what a folder takes beside its names, in bytes.
	perFolder = 512
)

// stamp changes whenever a name in a folder comes or goes.
type stamp struct {
	device, inode     uint64
	modified, changed int64 // nanoseconds
}

// names are the names in a folder, in the order that keys have: a folder is its name with a slash.
type names struct {
	text string
	ends []int // of each name in text
}

func packNames(all []string) names {
	slices.Sort(all)
	n := names{ends: make([]int, len(all))}
	size := 0
	for i, one := range all {
		size += len(one)
		n.ends[i] = size
	}
	n.text = strings.Join(all, "")
	return n
}

func (n *names) at(i int) string {
	begin := 0
	if i > 0 {
		begin = n.ends[i-1]
	}
	return n.text[begin:n.ends[i]]
}

func (n *names) size() int64 { return perFolder + int64(len(n.text)) + 8*int64(len(n.ends)) }

// knownFolders are the large folders, those asked for lately before the others. It is safe for concurrent use.
type knownFolders struct {
	settle time.Duration
	limit  int64 // bytes

	mu     sync.Mutex
	byName map[string]*list.Element // of *knownFolder
	order  list.List
	memory int64
}

type knownFolder struct {
	name  string
	stamp stamp
	seen  time.Time // when the folder had stamp already
	whole bool      // names are there
	names names
}

func newKnownFolders() *knownFolders {
	return &knownFolders{settle: settle, limit: namesMemory, byName: map[string]*list.Element{}}
}

// knows says whether it is worth while to ask a folder for its stamp.
func (k *knownFolders) knows(folder string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.byName[folder] != nil
}

// look returns the folder's names if they are known and it has had that stamp ever since they were read. settled says that
// names which are read from now on can be kept.
func (k *knownFolders) look(folder string, s stamp, now time.Time) (n names, known, settled bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.byName[folder]
	if e == nil {
		return names{}, false, false
	}
	k.order.MoveToFront(e)
	f := e.Value.(*knownFolder)
	if f.stamp != s {
		return names{}, false, false
	}
	return f.names, f.whole, now.Sub(f.seen) >= k.settle
}

// keep takes note of the folder's stamp, seen at that time, and of its names if it was settled before they were read. A
// folder that is not large is forgotten.
func (k *knownFolders) keep(folder string, s stamp, seen time.Time, n names, settled bool) {
	f := &knownFolder{name: folder, stamp: s, seen: seen}
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.byName[folder]; e != nil {
		if old := e.Value.(*knownFolder); old.stamp == s && !settled {
			return // it was seen before
		}
		k.drop(e)
	}
	if len(n.ends) < leastNames || n.size() > k.limit/2 {
		return
	}
	if settled {
		f.whole, f.names = true, n
	}
	k.byName[folder] = k.order.PushFront(f)
	k.memory += f.names.size()
	for k.memory > k.limit {
		k.drop(k.order.Back())
	}
}

func (k *knownFolders) drop(e *list.Element) {
	f := k.order.Remove(e).(*knownFolder)
	delete(k.byName, f.name)
	k.memory -= f.names.size()
}

// namesIn returns the names in folder, which is "" or ends with a slash. A folder that is not there is empty.
func (d *Driver) namesIn(ctx context.Context, folder string) (names, error) {
	if d.folders != nil && d.folders.knows(folder) {
		now := time.Now()
		if fi, err := os.Stat(d.path(folder)); err == nil {
			if s, ok := stampOf(fi); ok {
				if n, known, _ := d.folders.look(folder, s, now); known {
					return n, nil
				}
			}
		}
	}
	var (
		all     []string
		before  = time.Now()
		s       stamp
		told    bool
		seen    time.Time
		settled bool
	)
	err := d.each(ctx, folder, func(dir *os.File) error {
		if d.folders == nil {
			return nil
		}
		fi, err := dir.Stat()
		if err != nil {
			return err
		}
		s, told = stampOf(fi)
		seen = time.Now()
		_, _, settled = d.folders.look(folder, s, before)
		return nil
	}, func(name string) bool {
		all = append(all, name)
		return true
	})
	if err != nil {
		return names{}, err
	}
	n := packNames(all)
	if told {
		d.folders.keep(folder, s, seen, n, settled)
	}
	return n, nil
}

// foldersTell tries whether a folder's times change with its names, on this file system and soon enough.
func (d *Driver) foldersTell(ctx context.Context) (bool, error) {
	folder := filepath.Join(d.temp, "probe-"+rand.Text())
	if err := os.Mkdir(folder, folderMode); err != nil {
		return false, withKind(err)
	}
	defer func() { _ = os.RemoveAll(folder) }() // at worst an empty folder stays
	a, b := filepath.Join(folder, "a"), filepath.Join(folder, "b")
	steps := []func() error{
		func() error {
			f, err := openFile(a, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
			if err != nil {
				return err
			}
			return f.Close()
		},
		func() error { return os.Link(a, b) },
		func() error { return remove(a) },
		func() error { return os.Rename(b, a) },
		func() error { return remove(a) },
	}
	for _, pause := range []time.Duration{0, 5 * time.Millisecond, 20 * time.Millisecond, longestStep} {
		tells := true
		for _, step := range steps {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return false, ctx.Err()
			}
			before, err := os.Stat(folder)
			if err == nil {
				err = step()
			}
			if err != nil {
				return false, withKind(err)
			}
			after, err := os.Stat(folder)
			if err != nil {
				return false, withKind(err)
			}
			s, ok := stampOf(before)
			t, _ := stampOf(after)
			if !ok {
				return false, nil
			}
			tells = tells && s != t
		}
		if tells {
			return true, nil
		}
	}
	return false, nil
}
