package htpasswd

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/longshore-registry/longshore/access"
)

func line(t *testing.T, name, password, version string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return name + ":" + version + string(hash[4:]) + "\n"
}

const argon = "dora:$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4\r\n" // "password"

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "htpasswd")
	write(t, path, "\ufeff# people\n\n"+line(t, "alice", "a", "$2y$")+line(t, "bob", "b", "$2a$")+line(t, "Carol@x.example", "c", "$2b$")+argon)
	f, err := Open(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, password string
		want           error
	}{
		{"alice", "a", nil}, {"bob", "b", nil}, {"Carol@x.example", "c", nil}, {"dora", "password", nil},
		{"alice", "b", access.ErrRefused}, {"dora", "a", access.ErrRefused}, {"Alice", "a", access.ErrUnknown}, {"# people", "", access.ErrUnknown}, {"", "", access.ErrUnknown},
	} {
		id, err := f.Check(t.Context(), test.name, test.password)
		if !errors.Is(err, test.want) || test.want == nil && (err != nil || id.Name != test.name || id.Kind != access.User || id.Source != Source) {
			t.Errorf("%s, %s: got %+v, %v, want %v", test.name, test.password, id, err, test.want)
		}
	}
	if id, err := f.Renew(t.Context(), "alice"); err != nil || id.Generation == "" {
		t.Errorf("renewed: %+v, %v", id, err)
	}
	if _, err := f.Renew(t.Context(), "nobody"); !errors.Is(err, access.ErrUnknown) {
		t.Errorf("renewed: %v", err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	write(t, empty, "")
	if f, err = Open(Options{Path: empty}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Check(t.Context(), "alice", "a"); !errors.Is(err, access.ErrUnknown) {
		t.Errorf("an empty file: %v", err)
	}
}

func TestLinesThatAreRefused(t *testing.T) {
	good := line(t, "alice", "a", "$2y$")
	for _, test := range []struct{ text, want string }{
		{good + "bob:hush\n", ":2: the hash is neither bcrypt"},
		{"bob:{SHA}hushhushhush=\n", ":1: the hash is neither bcrypt"},
		{"bob:$apr1$hush$hush\n", "make it with htpasswd -B"},
		{"\n# x\nbob\n", ":3: is not name:hash"},
		{"/run/secrets/htpasswd", ":1: is not name:hash; is it a path"},
		{":$2y$\n", ":1: has no name"},
		{good + "\n" + good, ":3: has the same name as line 1"},
		{"bob:$2y$10$hush\n", ":1: the hash is not a whole bcrypt hash"},
		{"bob:$argon2id$hush\n", ":1: the hash is not a whole argon2id hash"},
		{strings.Replace(good, "alice", "robot$ci", 1), ":1: names beginning with robot$"},
	} {
		path := filepath.Join(t.TempDir(), "htpasswd")
		write(t, path, test.text)
		_, err := Open(Options{Path: path})
		if err == nil || !strings.Contains(err.Error(), path+":") || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: got %v, want %s", test.text, err, test.want)
		}
	}
	if _, err := Open(Options{Path: filepath.Join(t.TempDir(), "no")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "htpasswd")
	write(t, path, line(t, "alice", "a", "$2y$"))
	now := time.Now()
	var logged bytes.Buffer
	f, err := Open(Options{Path: path, Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, want error) {
		t.Helper()
		if _, err := f.Check(t.Context(), name, "a"); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	// A new file in its place, as editors and Kubernetes do it.
	next := path + ".new"
	write(t, next, line(t, "bob", "a", "$2y$"))
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
	now = now.Add(4 * time.Second)
	check("alice", nil)
	now = now.Add(time.Second)
	check("alice", access.ErrUnknown)
	check("bob", nil)
	// A broken one changes nothing, and is told once.
	write(t, path, "carol:hush-hush\n")
	for range 3 {
		now = now.Add(5 * time.Second)
		check("bob", nil)
	}
	if n := strings.Count(logged.String(), "level=ERROR"); n != 1 || !strings.Contains(logged.String(), path+":1: ") || strings.Contains(logged.String(), "hush") {
		t.Errorf("%d errors were logged: %s", n, logged.String())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		now = now.Add(5 * time.Second)
		check("bob", nil)
	}
	if n := strings.Count(logged.String(), "level=ERROR"); n != 2 {
		t.Errorf("%d errors were logged: %s", n, logged.String())
	}
	write(t, path, line(t, "dave", "a", "$2y$"))
	now = now.Add(5 * time.Second)
	check("dave", nil)
	check("bob", access.ErrUnknown)
}
