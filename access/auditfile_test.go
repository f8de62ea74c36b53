package access

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestAuditFileThatIsMovedAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	f, err := OpenAuditFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(line string) {
		t.Helper()
		if _, err := f.Write([]byte(line + "\n")); err != nil {
			t.Error(err)
		}
	}
	holds := func(path, want string) {
		t.Helper()
		if got, err := os.ReadFile(path); string(got) != want {
			t.Errorf("%s holds %q, %v; want %q", path, got, err, want)
		}
	}
	write("a")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("b")
	write("c")
	holds(path+".1", "a\n")
	holds(path, "b\nc\n")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again, err := OpenAuditFile(path) // another process
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Write([]byte("d\n")); err != nil {
		t.Error(err)
	}
	write("e")
	holds(path, "b\nc\nd\ne\n")
	for _, f := range []*AuditFile{f, again} {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := OpenAuditFile(filepath.Join(path, "no")); err == nil {
		t.Error("a file below a file is opened")
	} else if _, ok := err.(*fs.PathError); !ok {
		t.Errorf("got %v", err)
	}
}
