// Package htpasswd checks passwords by a file as Apache's htpasswd -B writes it: a line "name:hash" for each account.
//
// Hashes are bcrypt ($2a$, $2b$, $2y$) or argon2id ($argon2id$v=19$…). Lines with any other kind are an error that names
// the line: a registry that took the file and refused these accounts later would have its operator search for long. Empty
// lines and those that begin with # are left out.
package htpasswd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/access/internal/phc"
)

// Source is the Identity.Source of these accounts.
const Source = "htpasswd"

// Options of Open.
type Options struct {
	Path    string
	Refresh time.Duration    // how often at most it is looked whether the file has changed; 0: 5 s
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil: nothing is logged
}

// File is the accounts of a file. It is safe for concurrent use.
type File struct {
	o    Options
	seed maphash.Seed

	mu      sync.Mutex
	content content
	seen    stamp     // of the file that content, or the complaint, is from
	looked  time.Time // when
}

// content is what a file says.
type content struct {
	hashes map[string]phc.Hash
	decoys []phc.Hash // what an unknown name's password is compared with
}

// stamp tells whether a file has changed. Kubernetes swaps a symbolic link, so that it is another file.
type stamp struct {
	info fs.FileInfo
	err  string
}

func (s stamp) same(as stamp) bool {
	if s.info == nil || as.info == nil {
		return s.info == nil && as.info == nil && s.err == as.err
	}
	return os.SameFile(s.info, as.info) && s.info.ModTime().Equal(as.info.ModTime()) && s.info.Size() == as.info.Size()
}

// Open reads the file. An error names the file and the line, and never repeats what stands there.
func Open(o Options) (*File, error) {
	if o.Refresh == 0 {
		o.Refresh = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := &File{o: o, seed: maphash.MakeSeed(), looked: o.Now(), seen: stampOf(o.Path)}
	var err error
	f.content, err = read(o.Path)
	return f, err
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{err: err.Error()}
	}
	return stamp{info: info}
}

func read(path string) (content, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return content{}, err // names the file
	}
	c, err := parse(text)
	if err != nil {
		return content{}, fmt.Errorf("%s%w", path, err)
	}
	return c, nil
}

// lineError is what is wrong in a line.
type lineError struct {
	line int
	what string
}

func (e lineError) Error() string { return fmt.Sprintf(":%d: %s", e.line, e.what) }

// parse reads a file's text.
func parse(text []byte) (content, error) {
	c := content{hashes: map[string]phc.Hash{}}
	costs := map[string]bool{}
	lines := map[string]int{}
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // as Windows' editors write it
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		switch {
		case !ok:
			return content{}, lineError{number, "is not name:hash; is it a path, or has the file been encoded twice?"}
		case name == "" || len(name) > 256:
			return content{}, lineError{number, "has no name of 1 to 256 bytes"}
		case strings.HasPrefix(name, "robot$"):
			return content{}, lineError{number, "names beginning with robot$ are those of robots"}
		case lines[name] > 0:
			return content{}, lineError{number, fmt.Sprintf("has the same name as line %d", lines[name])}
		}
		h, err := phc.Parse(hash)
		if err != nil {
			what := "the hash " + err.Error()
			if errors.Is(err, phc.ErrKind) {
				what += "; make it with htpasswd -B"
			}
			return content{}, lineError{number, what}
		}
		lines[name], c.hashes[name] = number, h
		if !costs[h.Class()] {
			costs[h.Class()] = true
			c.decoys = append(c.decoys, h.Decoy())
		}
	}
	return c, nil
}

// current is what the file says, looked at anew now and then. What can't be read, or not understood, leaves things as they
// were and is logged once.
func (f *File) current() (content, time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.o.Now().Sub(f.looked) < f.o.Refresh {
		return f.content, f.looked
	}
	f.looked = f.o.Now()
	now := stampOf(f.o.Path)
	if now.same(f.seen) {
		return f.content, f.looked
	}
	f.seen = now
	c, err := read(f.o.Path)
	if err != nil {
		f.o.Log.Error("the htpasswd file has changed and can't be used; what it said before still counts", "err", err)
		return f.content, f.looked
	}
	f.content = c
	f.o.Log.Info("the htpasswd file was read anew", "file", f.o.Path, "accounts", len(c.hashes))
	return f.content, f.looked
}

// Check implements access.Passwords.
func (f *File) Check(ctx context.Context, name, password string) (access.Identity, error) {
	c, asOf := f.current()
	h, known := c.hashes[name]
	if !known {
		if len(c.decoys) == 0 {
			return access.Identity{}, access.ErrUnknown
		}
		// One of the costs that are in the file, always the same for a name, as it is for a name that is there.
		h = c.decoys[maphash.String(f.seed, name)%uint64(len(c.decoys))]
	}
	good, err := h.Matches(ctx, password)
	switch {
	case err != nil:
		return access.Identity{}, err
	case !known:
		return access.Identity{}, access.ErrUnknown
	case !good:
		return access.Identity{}, fmt.Errorf("wrong password: %w", access.ErrRefused)
	}
	return identity(name, h, asOf), nil
}

// Renew implements access.Renewer.
func (f *File) Renew(_ context.Context, name string) (access.Identity, error) {
	c, asOf := f.current()
	h, known := c.hashes[name]
	if !known {
		return access.Identity{}, access.ErrUnknown
	}
	return identity(name, h, asOf), nil
}

func identity(name string, h phc.Hash, asOf time.Time) access.Identity {
	sum := sha256.Sum256([]byte(h.String()))
	return access.Identity{Name: name, Kind: access.User, Source: Source, AsOf: asOf, Generation: hex.EncodeToString(sum[:8])}
}
