//go:build unix

package fs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

// FuzzState resumes with whatever bytes. The state of another stream, of another key or of nobody is refused, and nothing outside the driver's
// own folder is opened.
func FuzzState(f *testing.F) {
	root := f.TempDir()
	d, err := Open(f.Context(), Config{Root: root, Durability: Fast})
	if err != nil {
		f.Fatal(err)
	}
	w, err := d.Writer(f.Context(), "a/b", -1)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := w.Write([]byte("0123456789")); err != nil {
		f.Fatal(err)
	}
	newest, err := w.Suspend(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	outside := filepath.Join(root, "outside")
	if err := os.WriteFile(outside, []byte("as it was"), 0o600); err != nil {
		f.Fatal(err)
	}
	state := string(newest)
	f.Add(state)
	for _, change := range []func(string) string{
		func(s string) string { return s[:len(s)-1] },
		func(s string) string { return strings.Replace(s, `"generation":1`, `"generation":2`, 1) },
		func(s string) string {
			return strings.Replace(s, `"generation":1`, `"generation":9223372036854775807`, 1)
		},
		func(s string) string { return strings.Replace(s, `"size":10`, `"size":11`, 1) },
		func(s string) string { return strings.Replace(s, `"size":10`, `"size":-1`, 1) },
		func(s string) string { return strings.Replace(s, `"id":"`, `"id":"../`, 1) },
		func(s string) string { return strings.Replace(s, `"id":"`, `"id":"x/../../outside`, 1) },
		func(s string) string { return strings.Replace(s, `"id":"`, `"id":"\u0000`, 1) },
		func(s string) string { return strings.Replace(s, `"id":"`, `"id":"`+strings.Repeat("a", 300), 1) },
		func(s string) string { return strings.Replace(s, `"key":"a/b"`, `"key":"outside"`, 1) },
		func(s string) string { return s + s },
		func(string) string { return "" },
		func(string) string { return "null" },
	} {
		f.Add(change(state))
	}
	f.Fuzz(func(t *testing.T, text string) {
		st, bad := decodeState([]byte(text), "a/b")
		w, err := d.Resume(t.Context(), "a/b", []byte(text))
		switch {
		case bad != nil && !errors.Is(err, drivers.ErrInvalid):
			t.Errorf("%q: %v, want ErrInvalid", text, err)
		case err != nil && !errors.Is(err, drivers.ErrInvalid) && !errors.Is(err, drivers.ErrPrecondition) && !errors.Is(err, drivers.ErrCorrupt):
			t.Errorf("%q: %v", text, err)
		case err == nil:
			if !strings.Contains(state, `"`+st.ID+`"`) || st.Generation != 1 || w.Size() > 10 {
				t.Errorf("%q was taken", text)
			}
			if err := w.(*writer).file.Close(); err != nil { // as when its process dies
				t.Error(err)
			}
			if err := os.WriteFile(w.(*writer).path, []byte("0123456789"), 0o600); err != nil {
				t.Error(err)
			}
		}
		if b, err := os.ReadFile(outside); err != nil || string(b) != "as it was" {
			t.Errorf("%q: a file outside is now %q, %v", text, b, err)
		}
	})
}

// FuzzLeftover reads names of files in the driver's own folder: what is taken for a stream is one, and its name is written back the same.
func FuzzLeftover(f *testing.F) {
	for _, name := range []string{streamName("ID", 3, "a/b/c"), streamName("ID", 0, ""), streamPrefix, streamPrefix + "x", streamPrefix + "x.1.", streamPrefix + "x.-1.a", streamPrefix + "x.01.a", "lock-1", streamPrefix + ".1.a", streamPrefix + "x.1.a~b~..~c", streamName("ID", 1, strings.Repeat("k", 300))} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, file string) {
		l, ok := leftoverOf(file)
		if !ok {
			return
		}
		id, _, _ := strings.Cut(l.ID, ".")
		if id == "" || !strings.HasPrefix(file, streamPrefix+l.ID) || strings.Contains(l.Key, "~") {
			t.Errorf("%q is read as %+v", file, l)
		}
	})
}
