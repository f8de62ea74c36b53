package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

// treeKeys sort differently by bytes and by folder: '-' and '.' come before '/', '0' and letters after.
var treeKeys = []string{
	"a-b", "a-b-c/x", "a.b", "a/b", "a/b-c", "a/b.c/d", "a/b0/c", "a/c/d", "a/c/e", "a/c-/e", "a0", "ab", "abc",
	"b/x", "b/y/1", "b/y/2", "b-/z", "c", "z/z/z/z", "B", "A/x", "_/_", "0/1",
}

func listTests() []test {
	return []test{
		{name: "List/of an empty store yields nothing", run: func(t testing.TB, s *suite) {
			d := s.open()
			for _, delimiter := range []string{"", "/"} {
				for _, prefix := range []string{"", "a", "a/", "a/b"} {
					if got := list(t, d, prefix, "", delimiter); len(got) > 0 {
						t.Errorf("List(%q, %q): %q", prefix, delimiter, names(got))
					}
				}
			}
		}},
		{name: "List/every prefix, after and delimiter, in the order of bytes", run: func(t testing.TB, s *suite) {
			d := s.open()
			for _, key := range treeKeys {
				put(t, d, key, []byte(key))
			}
			other := s.reopen(d)
			prefixes := []string{"", "a", "a-", "a.", "a/", "a/b", "a/b-", "a/b.c/", "a/c", "a/c/", "ab", "b", "b/", "b/y", "b/y/", "c", "c/", "z/z", "z/z/", "nothing", "nothing/", "A", "_/", "0"}
			afters := []string{"", "0", "A", "a", "a-b", "a-b-c/", "a-c", "a.", "a/", "a/b", "a/b-c", "a/b.c", "a/b.c/", "a/b.c/d", "a/c/", "a/c/d", "a/c/z", "a/c0", "a0", "ab", "b", "b/", "b/y", "b/y/", "b/y/1", "b0", "z/z/z/z", "zz", "~", "a/~", "b/y/~"}
			// At once, since a store that is far away takes long for each of them.
			for _, err := range together(len(prefixes), func(i int) error {
				for _, after := range afters {
					for _, delimiter := range []string{"", "/"} {
						if err := listsTree(t.Context(), other, prefixes[i], after, delimiter); err != nil {
							return err
						}
					}
				}
				return nil
			}) {
				if err != nil {
					t.Error(err)
				}
			}
		}},
		{name: "List/a prefix that no key can have yields no entry", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "a/b", nil)
			for _, prefix := range []string{"/", "//", "/a", "../", "..", "a//", "a/../", "a/./b", "./", "a\x00", "a b", "\xff"} {
				for _, delimiter := range []string{"", "/"} {
					for e, err := range d.List(t.Context(), prefix, "", delimiter) {
						if err == nil {
							t.Errorf("List(%q, %q) yields %q", prefix, delimiter, e.Key)
						} else if !errors.Is(err, drivers.ErrInvalid) {
							t.Errorf("List(%q, %q): %v", prefix, delimiter, err)
						}
					}
				}
			}
		}},
		{name: "List/page by page across thousands of keys", run: func(t testing.TB, s *suite) {
			d, keys := s.filled(t)
			other := s.reopen(d)
			if got := names(list(t, other, "l/", "", "")); !slices.Equal(got, keys) {
				t.Fatalf("%d entries, want %d; first difference at %d", len(got), len(keys), firstDifference(got, keys))
			}
			for _, at := range []int{0, 1, 998, 999, 1000, 1001, len(keys) / 2, len(keys) - 2, len(keys) - 1} {
				at = min(at, len(keys)-1)
				if got := names(list(t, other, "l/", keys[at], "")); !slices.Equal(got, keys[at+1:]) {
					t.Errorf("after %q: %d entries, want %d", keys[at], len(got), len(keys)-at-1)
				}
			}
			// Folders f0 to f9, each with a tenth of them, roll up.
			var folders []string
			for i := range 10 {
				folders = append(folders, fmt.Sprintf("l/f%d/", i))
			}
			if got := names(list(t, other, "l/", "", "/")); !slices.Equal(got, folders) {
				t.Errorf("rolled up: %q", got)
			}
			if got := names(list(t, other, "l/", keys[0], "/")); !slices.Equal(got, folders[1:]) {
				t.Errorf("rolled up after a key of the first folder: %q", got)
			}
			if got, want := names(list(t, other, "l/f3/", "", "/")), wantList(keys, "l/f3/", "", "/"); !slices.Equal(got, want) {
				t.Errorf("one folder: %d entries, want %d", len(got), len(want))
			}
			// As a caller pages: a hundred, then after the last of them.
			var paged []string
			for after := ""; ; {
				n := 0
				for e, err := range other.List(t.Context(), "l/", after, "") {
					if err != nil {
						t.Fatal(err)
					}
					paged = append(paged, e.Key)
					if n++; n == 500 {
						break
					}
				}
				if n < 500 {
					break
				}
				after = paged[len(paged)-1]
			}
			if !slices.Equal(paged, keys) {
				t.Errorf("by 500: %d entries, want %d", len(paged), len(keys))
			}
		}},
		{name: "List/ends at no limit of the caller's", run: func(t testing.TB, s *suite) {
			d, keys := s.filled(t)
			for _, limit := range []int{1, 100, 1000} {
				ctx := drivers.WithListLimit(t.Context(), limit)
				for _, of := range []struct{ after, delimiter string }{{"", ""}, {keys[len(keys)/2], ""}, {keys[0], "/"}} {
					var got []string
					for e, err := range d.List(ctx, "l/", of.after, of.delimiter) {
						if err != nil {
							t.Fatal(err)
						}
						got = append(got, e.Key)
					}
					if want := wantList(keys, "l/", of.after, of.delimiter); !slices.Equal(got, want) {
						t.Errorf("with a limit of %d after %q: %d entries, want %d; first difference at %d", limit, of.after, len(got), len(want), firstDifference(got, want))
					}
				}
			}
		}},
		{name: "List/the caller may stop anywhere, and begin again", run: func(t testing.TB, s *suite) {
			d, keys := s.filled(t)
			listing := d.List(t.Context(), "l/", "", "")
			for _, stop := range []int{1, 2, 999, 1000, 1001, 1} {
				var got []string
				for e, err := range listing {
					if err != nil {
						t.Fatal(err)
					}
					if got = append(got, e.Key); len(got) == stop {
						break
					}
				}
				if !slices.Equal(got, keys[:min(stop, len(keys))]) {
					t.Errorf("stopped after %d: %d entries, first difference at %d", stop, len(got), firstDifference(got, keys))
				}
			}
		}},
		{name: "List/stops when its context ends", run: func(t testing.TB, s *suite) {
			d, keys := s.filled(t)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			n, failed := 0, error(nil)
			for _, err := range d.List(ctx, "l/", "", "") {
				if failed != nil {
					t.Fatal("an entry was yielded after an error")
				}
				if failed = err; err != nil {
					continue
				}
				if n++; n == 10 {
					stop()
				}
			}
			if !errors.Is(failed, context.Canceled) {
				t.Errorf("after %d of %d entries: %v, want %v", n, len(keys), failed, context.Canceled)
			}
		}},
		{name: "List/goes on while objects come and go", run: func(t testing.TB, s *suite) {
			d := s.open()
			other := s.reopen(d)
			var steady []string
			for i := range 120 {
				key := fmt.Sprintf("l/%d/steady%03d", i%3, i)
				put(t, d, key, nil)
				steady = append(steady, key)
			}
			slices.Sort(steady)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			errs := together(3, func(who int) error {
				if who > 0 {
					for i := 0; ctx.Err() == nil; i++ {
						key := fmt.Sprintf("l/%d/%c-fleeting%d-%d", i%3, 'a'+rune(i%26), who, i%40)
						if i%5 == 0 {
							key = fmt.Sprintf("l/new%d/%d/x", who, i%7)
						}
						if err := errors.Join(other.Put(t.Context(), key, nil), other.Delete(t.Context(), key)); err != nil {
							return err
						}
					}
					return nil
				}
				defer stop()
				for range 4 * s.Repeat {
					last, seen := "", 0
					for e, err := range d.List(t.Context(), "l/", "", "") {
						if err != nil {
							return err
						}
						if e.Key <= last {
							return fmt.Errorf("%q came after %q", e.Key, last)
						}
						last = e.Key
						if strings.Contains(e.Key, "steady") {
							seen++
						}
					}
					if seen != len(steady) {
						return fmt.Errorf("%d of %d objects that stayed were listed", seen, len(steady))
					}
					for e, err := range d.List(t.Context(), "l/", "", "/") {
						if err != nil {
							return err
						}
						if !e.IsPrefix {
							return fmt.Errorf("%q is not rolled up", e.Key)
						}
					}
				}
				return nil
			})
			if err := errors.Join(errs...); err != nil {
				t.Error(err)
			}
		}},
		{name: "List/the caller may write and delete in the loop", run: func(t testing.TB, s *suite) {
			d := s.open()
			for i := range 20 {
				put(t, d, numbered("l/", i), nil)
			}
			n := 0
			for e, err := range d.List(t.Context(), "l/", "", "") {
				if err != nil {
					t.Fatal(err)
				}
				n++
				put(t, d, "m/"+e.Key, nil)
				if err := d.Delete(t.Context(), e.Key); err != nil {
					t.Fatal(err)
				}
			}
			if n != 20 || len(list(t, d, "l/", "", "")) != 0 || len(list(t, d, "m/", "", "")) != 20 {
				t.Errorf("%d entries; now %q", n, names(list(t, d, "", "", "")))
			}
		}},
		{name: "List/folders that were emptied are gone", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "l/a/b/c", nil)
			put(t, d, "l/d", nil)
			if err := d.Delete(t.Context(), "l/a/b/c"); err != nil {
				t.Fatal(err)
			}
			for _, delimiter := range []string{"", "/"} {
				if got := names(list(t, s.reopen(d), "l/", "", delimiter)); !slices.Equal(got, []string{"l/d"}) {
					t.Errorf("delimiter %q: %q", delimiter, got)
				}
			}
			put(t, d, "l/a/b", []byte("now an object"))
			holds(t, d, "l/a/b", []byte("now an object"))
		}},
	}
}

// manyKeys is a store with ListKeys objects, filled once for all cases, which leave it as it is.
type manyKeys struct {
	t    testing.TB // outlives the cases
	d    drivers.Driver
	keys []string // in order
}

// filled returns a store with ListKeys objects in ten folders below l/, and their keys.
func (s *suite) filled(t testing.TB) (drivers.Driver, []string) {
	t.Helper()
	if s.many.d != nil {
		return s.many.d, s.many.keys
	}
	d := s.Open(s.many.t)
	keys := make([]string, s.ListKeys)
	for i := range keys {
		keys[i] = numbered(fmt.Sprintf("l/f%d/", i%10), i)
	}
	const workers = 8
	if err := errors.Join(together(workers, func(w int) error {
		for i := w; i < len(keys); i += workers {
			if err := d.Put(t.Context(), keys[i], []byte{byte(i)}); err != nil {
				return err
			}
		}
		return nil
	})...); err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	s.many.d, s.many.keys = d, keys
	return d, keys
}

// wantList is List by definition.
func wantList(keys []string, prefix, after, delimiter string) []string {
	want := []string{}
	for _, key := range keys {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		if slash := strings.Index(key[len(prefix):], "/"); delimiter == "/" && slash >= 0 {
			key = key[:len(prefix)+slash+1]
		}
		if key > after {
			want = append(want, key)
		}
	}
	slices.Sort(want)
	return slices.Compact(want)
}

func firstDifference(a, b []string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// listsTree returns what is wrong with a listing of the store that holds treeKeys, each as its own content.
func listsTree(ctx context.Context, d drivers.Driver, prefix, after, delimiter string) error {
	var entries []drivers.Entry
	for e, err := range d.List(ctx, prefix, after, delimiter) {
		if err != nil {
			return fmt.Errorf("List(%q, %q, %q): %w", prefix, after, delimiter, err)
		}
		entries = append(entries, e)
	}
	if got, want := names(entries), wantList(treeKeys, prefix, after, delimiter); !slices.Equal(got, want) {
		return fmt.Errorf("List(%q, %q, %q)\n got %q\nwant %q", prefix, after, delimiter, got, want)
	}
	for _, e := range entries {
		switch {
		case e.IsPrefix != strings.HasSuffix(e.Key, "/"):
			return fmt.Errorf("%q: IsPrefix = %v", e.Key, e.IsPrefix)
		case e.IsPrefix && e.Info != (drivers.Info{}):
			return fmt.Errorf("%q: Info = %+v, want zero", e.Key, e.Info)
		case !e.IsPrefix && (e.Size != int64(len(e.Key)) || e.ETag == "" || e.ModTime.IsZero()):
			return fmt.Errorf("%q: Info = %+v", e.Key, e.Info)
		}
	}
	return nil
}
