//go:build unix

package fs

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

func open(t testing.TB, c Config) *Driver {
	t.Helper()
	d, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func put(t testing.TB, d *Driver, key, body string) {
	t.Helper()
	if err := d.Put(t.Context(), key, []byte(body)); err != nil {
		t.Fatal(err)
	}
}

// holds fails t unless the object at key is body.
func holds(t testing.TB, d *Driver, key, body string) {
	t.Helper()
	r, _, err := d.Reader(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	if string(got) != body {
		t.Fatalf("%s: got %d bytes, want %d", key, len(got), len(body))
	}
}

// absent fails t unless nothing is at key.
func absent(t testing.TB, d *Driver, key string) {
	t.Helper()
	if _, err := d.Stat(t.Context(), key); !errors.Is(err, drivers.ErrNotFound) {
		t.Fatalf("%s: %v, want ErrNotFound", key, err)
	}
}

// tidy fails t if unfinished files are left over.
func tidy(t testing.TB, d *Driver) {
	t.Helper()
	entries, err := os.ReadDir(d.temp)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "lock-") {
			t.Errorf("left over: %s", filepath.Join(own, e.Name()))
		}
	}
}

// begun is a Writer with some bytes written.
func begun(t testing.TB, d *Driver, key, body string) drivers.Writer {
	t.Helper()
	w, err := d.Writer(t.Context(), key, -1)
	if err == nil {
		_, err = io.WriteString(w, body)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// suspended is the state of a Writer with some bytes written.
func suspended(t testing.TB, d *Driver, key, body string) []byte {
	t.Helper()
	state, err := begun(t, d, key, body).Suspend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// keys lists the store.
func keys(t testing.TB, d *Driver, prefix, delimiter string) []string {
	t.Helper()
	all := []string{}
	for e, err := range d.List(t.Context(), prefix, "", delimiter) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.Key)
	}
	return all
}
