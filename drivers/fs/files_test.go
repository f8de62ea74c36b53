//go:build unix

package fs

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

func TestTheBodyFailsWhenTheFileIsCut(t *testing.T) {
	d := open(t, Config{Root: t.TempDir()})
	put(t, d, "a", strings.Repeat("x", 100_000))
	body, _, err := d.Reader(t.Context(), "a", 10, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.path("a"), 50_000); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, body)
	if !errors.Is(err, drivers.ErrCorrupt) || !errors.Is(err, io.ErrUnexpectedEOF) || n != 50_000-1010 {
		t.Errorf("%d bytes and %v", n, err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
}

func TestBytesThatACrashLeftBehindTheStateAreCutOff(t *testing.T) {
	d := open(t, Config{Root: t.TempDir()})
	state := suspended(t, d, "a", "kept ")
	streams, err := filepath.Glob(filepath.Join(d.temp, "stream-*"))
	if err != nil || len(streams) != 1 {
		t.Fatalf("%q, %v", streams, err)
	}
	f, err := os.OpenFile(streams[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("written, but no state says so"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	w, err := d.Resume(t.Context(), "a", state)
	if err == nil {
		_, err = io.WriteString(w, "bytes")
	}
	if err == nil {
		err = w.Commit(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	holds(t, d, "a", "kept bytes")
	tidy(t, d)
}

func TestAStreamThatLostBytesIsCorrupt(t *testing.T) {
	d := open(t, Config{Root: t.TempDir()})
	state := suspended(t, d, "a", "some bytes")
	streams, err := filepath.Glob(filepath.Join(d.temp, "stream-*"))
	if err != nil || len(streams) != 1 {
		t.Fatalf("%q, %v", streams, err)
	}
	if err := os.Truncate(streams[0], 4); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Resume(t.Context(), "a", state); !errors.Is(err, drivers.ErrCorrupt) {
		t.Errorf("%v, want ErrCorrupt", err)
	}
}

func TestAStateCanNotNameAnotherFile(t *testing.T) {
	d := open(t, Config{Root: t.TempDir()})
	put(t, d, "victim.1", "x")
	for _, id := range []string{"", "../victim", "x/../../victim", "a.b", "/etc/passwd"} {
		state := `{"driver":"fs","key":"a","id":"` + id + `","generation":1,"size":0}`
		if _, err := d.Resume(t.Context(), "a", []byte(state)); !errors.Is(err, drivers.ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", id, err)
		}
	}
	holds(t, d, "victim.1", "x")
}

func TestTwoProcessesDoNotWriteOneStream(t *testing.T) {
	root := t.TempDir()
	d, other := open(t, Config{Root: root}), open(t, Config{Root: root})
	state := suspended(t, d, "a", "x")
	w, err := d.Resume(t.Context(), "a", state)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Resume(t.Context(), "a", state); !errors.Is(err, drivers.ErrPrecondition) {
		t.Errorf("a second Resume: %v, want ErrPrecondition", err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	tidy(t, d)
}

func TestAStreamThatIsGoneCanNotBeCommitted(t *testing.T) {
	d := open(t, Config{Root: t.TempDir()})
	put(t, d, "a", "old")
	w := begun(t, d, "a", "x")
	if err := os.Remove(w.(*writer).path); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); !errors.Is(err, drivers.ErrPrecondition) {
		t.Errorf("%v, want ErrPrecondition", err)
	}
	if err := w.Cancel(t.Context()); err != nil {
		t.Errorf("Cancel: %v", err)
	}
	holds(t, d, "a", "old")
}

func TestFoldersThatACrashLeftEmptyDisturbNothing(t *testing.T) {
	d := open(t, Config{Root: t.TempDir()})
	put(t, d, "a/b", "x")
	for _, folder := range []string{"a/empty/er", "key/empty/est", "z"} {
		if err := os.MkdirAll(d.path(folder), folderMode); err != nil {
			t.Fatal(err)
		}
	}
	if got := keys(t, d, "", "/"); !slices.Equal(got, []string{"a/"}) {
		t.Errorf("listed %q", got)
	}
	if got := keys(t, d, "a/", "/"); !slices.Equal(got, []string{"a/b"}) {
		t.Errorf("listed %q", got)
	}
	put(t, d, "key", "an object where the folder was")
	holds(t, d, "key", "an object where the folder was")
	if err := d.PutIfAbsent(t.Context(), "z", []byte("another")); err != nil {
		t.Error(err)
	}
	for _, key := range []string{"a", "a/b/c"} {
		for op, err := range map[string]error{
			"put":         d.Put(t.Context(), key, nil),
			"putifabsent": d.PutIfAbsent(t.Context(), key, nil),
			"commit":      begunAndCommitted(t, d, key),
		} {
			if !errors.Is(err, drivers.ErrInvalid) {
				t.Errorf("%s of %q beside a/b: %v, want ErrInvalid", op, key, err)
			}
		}
	}
	holds(t, d, "a/b", "x")
	tidy(t, d)
}

func begunAndCommitted(t *testing.T, d *Driver, key string) error {
	w := begun(t, d, key, "x")
	err := w.Commit(t.Context())
	if err != nil {
		return errors.Join(err, w.Cancel(t.Context()))
	}
	return nil
}

func TestDeleteRemovesEmptiedFoldersButNotTheRoot(t *testing.T) {
	d := open(t, Config{Root: t.TempDir()})
	put(t, d, "a/b/c/d", "x")
	put(t, d, "a/e", "x")
	for _, step := range []struct {
		key  string
		left []string
	}{{"a/b/c/d", []string{own, "a"}}, {"a/e", []string{own}}} {
		if err := d.Delete(t.Context(), step.key); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(d.Root())
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, e := range entries {
			left = append(left, e.Name())
		}
		if !slices.Equal(left, step.left) {
			t.Errorf("after the delete of %s there are %q", step.key, left)
		}
	}
	put(t, d, "a/b", "x")
}

func TestListIgnoresWhatIsNoObject(t *testing.T) {
	d := open(t, Config{Root: t.TempDir()})
	put(t, d, "a/b", "x")
	suspended(t, d, "a/c", "x")
	if err := os.Symlink("b", d.path("a/link")); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", d.path("a/socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	if got := keys(t, d, "", ""); !slices.Equal(got, []string{"a/b"}) {
		t.Errorf("listed %q", got)
	}
}

func TestListReadsOnlyTheFoldersThatItNeeds(t *testing.T) {
	d := open(t, Config{Root: t.TempDir()})
	for _, key := range []string{"a/1/x", "a/2/x", "a/2/y", "a/3/x", "b/1/x", "c/x"} {
		put(t, d, key, "x")
	}
	var read []string
	d.openFile = func(path string) (*os.File, error) {
		read = append(read, strings.TrimPrefix(path, d.Root()+"/"))
		return os.Open(path)
	}
	for _, c := range []struct {
		prefix, after, delimiter string
		stop                     int
		want                     []string
	}{
		{"", "", "", 1, []string{"", "a/", "a/1/"}},
		{"", "a/2/x", "", 1, []string{"", "a/", "a/2/"}},
		{"", "a/2/y", "", 1, []string{"", "a/", "a/2/", "a/3/"}},
		{"", "a/4", "", 1, []string{"", "a/", "b/", "b/1/"}},
		{"a/2/", "", "", -1, []string{"a/2/"}},
		{"a/2", "", "", -1, []string{"a/", "a/2/"}},
		{"a/", "", "/", -1, []string{"a/", "a/1/", "a/2/", "a/3/"}},
		{"a/", "a/2/", "/", -1, []string{"a/", "a/3/"}},
		{"nothing/", "", "", -1, []string{"nothing/"}},
	} {
		read = nil
		n := 0
		for _, err := range d.List(t.Context(), c.prefix, c.after, c.delimiter) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == c.stop {
				break
			}
		}
		if !slices.Equal(read, c.want) {
			t.Errorf("List(%q, %q, %q), %d entries: read %q, want %q", c.prefix, c.after, c.delimiter, c.stop, read, c.want)
		}
	}
}

func TestNoTwoPutsHaveOneETag(t *testing.T) {
	d := open(t, Config{Root: t.TempDir(), Durability: Fast})
	seen := map[string]bool{}
	for range 3000 { // inodes are used again at once, many within one tick of the kernel's clock
		put(t, d, "a", "x")
		info, err := d.Stat(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if seen[info.ETag] {
			t.Fatalf("ETag %q came again after %d", info.ETag, len(seen))
		}
		seen[info.ETag] = true
	}
}

func TestTheWriterTakesBytesStraightFromAConnection(t *testing.T) {
	d := open(t, Config{Root: t.TempDir()})
	body := strings.Repeat("0123456789abcdef", 3*window/16) + "end"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = io.WriteString(c, body)
			err = errors.Join(err, c.Close())
		}
		sent <- errors.Join(err, l.Close())
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	w := begun(t, d, "a", "")
	n, err := io.Copy(w, c)
	if err := errors.Join(err, c.Close(), <-sent); err != nil {
		t.Fatal(err)
	}
	if n != int64(len(body)) || w.Size() != n {
		t.Errorf("copied %d, Size() = %d, want %d", n, w.Size(), len(body))
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	holds(t, d, "a", body)
}
