package conformance

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// oddKeys are good keys that some backend stumbles over. None is a folder of another.
func (s *suite) oddKeys() []string {
	element := strings.Repeat("e", drivers.MaxElement)
	long := []byte(strings.Repeat(strings.Repeat("k", 199)+"/", s.MaxKey/200+1)[:s.MaxKey])
	long[len(long)-1] = 'x' // it may be a slash
	return []string{
		"a", "A", "0", "_", "-",
		"a-b", "a.b", "a0", "a_b", "ab", "aB", // their bytes sort around '/'
		"c/d", "c/d-e", "c/d.e", "c/d0", "c-d/e", "c.d/e", "c0/e",
		"..a", "...", ".hidden", "b.", "b..", "-dash", "--", "dir./x", "dir../x", ".x/.y/.z",
		".tmp/x", "tmp/x", "lost-found/x", ".longshore/x", ".minio.sys/x",
		"x.meta", "xl.meta/x", "con", "nul", "a.tmp", "index.html/x",
		"1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/21/22/23/24/25/26/27/28/29/30",
		"sha256/" + strings.Repeat("0123456789abcdef", 4), "sha512/" + strings.Repeat("0123456789abcdef", 8),
		"f/" + element, string(long),
	}
}

// badKeys break a rule of the package comment.
var badKeys = map[string]string{
	"empty":                "",
	"slash":                "/",
	"begins with a slash":  "/a",
	"ends with a slash":    "a/",
	"empty element":        "a//b",
	"dot":                  ".",
	"dot dot":              "..",
	"dot element":          "a/./b",
	"dot dot element":      "a/../b",
	"dot dot at the start": "../a",
	"dot dot at the end":   "a/..",
	"space":                "a b",
	"null byte":            "a\x00b",
	"backslash":            `a\b`,
	"percent":              "a%2fb",
	"plus":                 "a+b",
	"colon":                "a:b",
	"not ASCII":            "ä",
	"not UTF-8":            "a\xff",
	"line feed":            "a\n",
	"long element":         strings.Repeat("a", drivers.MaxElement+1),
	"long element within":  "a/" + strings.Repeat("a", drivers.MaxElement+1) + "/b",
	"long key":             strings.Repeat("abcdefg/", drivers.MaxKey/8) + "a",
}

func keyTests() []test {
	return []test{
		{name: "Keys/odd ones hold objects of their own", run: func(t testing.TB, s *suite) {
			d := s.open()
			keys := s.oddKeys()
			for i, key := range keys {
				put(t, d, key, pattern(int64(i), 20))
			}
			other := s.reopen(d)
			for i, key := range keys {
				holds(t, other, key, pattern(int64(i), 20))
			}
			slices.Sort(keys)
			got := names(list(t, other, "", "", ""))
			if !slices.Equal(got, keys) {
				t.Errorf("listed %q\nwant %q", got, keys)
			}
			if err := d.Delete(t.Context(), keys...); err != nil {
				t.Fatal(err)
			}
			if left := list(t, other, "", "", ""); len(left) > 0 {
				t.Errorf("left over: %q", names(left))
			}
		}},
		{name: "Keys/odd ones can be written, suspended and resumed", run: func(t testing.TB, s *suite) {
			d := s.open()
			other := s.reopen(d)
			for i, key := range s.oddKeys() {
				body := pattern(int64(i), 30)
				w := begin(t, d, key, -1)
				write(t, w, body[:10])
				w = resume(t, other, key, suspend(t, w))
				write(t, w, body[10:])
				commit(t, w)
				holds(t, d, key, body)
			}
		}},
		{name: "Keys/case matters", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "tag/V1", []byte("upper"))
			put(t, d, "tag/v1", []byte("lower"))
			holds(t, d, "tag/V1", []byte("upper"))
			holds(t, d, "tag/v1", []byte("lower"))
		}},
		{name: "Keys/bad ones are refused with ErrInvalid", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "a", nil)
			for name, key := range badKeys {
				for op, call := range keyedCalls(d) {
					err := call(t.Context(), key)
					s.is(t, err, drivers.ErrInvalid, op, key)
					if t.Failed() {
						t.Fatalf("that was the key %q (%s)", key, name)
					}
				}
			}
			if got := names(list(t, d, "", "", "")); !slices.Equal(got, []string{"a"}) {
				t.Errorf("afterwards the store lists %q", got)
			}
		}},
		{name: "Keys/a folder is no object", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "repos/a/b", []byte("x"))
			for _, folder := range []string{"repos", "repos/a"} {
				_, err := d.Stat(t.Context(), folder)
				s.is(t, err, drivers.ErrNotFound, "stat", folder)
				_, _, err = d.Reader(t.Context(), folder, 0, -1)
				s.is(t, err, drivers.ErrNotFound, "reader", folder)
				if err := d.Delete(t.Context(), folder); err != nil {
					t.Errorf("Delete(%q): %v", folder, err)
				}
			}
			holds(t, d, "repos/a/b", []byte("x"))
		}},
		{name: "Keys/an object is no folder", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "a", []byte("x"))
			_, err := d.Stat(t.Context(), "a/b/c")
			s.is(t, err, drivers.ErrNotFound, "stat", "a/b/c")
			_, _, err = d.Reader(t.Context(), "a/b/c", 0, -1)
			s.is(t, err, drivers.ErrNotFound, "reader", "a/b/c")
			if err := d.Delete(t.Context(), "a/b/c"); err != nil {
				t.Errorf("Delete: %v", err)
			}
			if got := list(t, d, "a/", "", ""); len(got) > 0 {
				t.Errorf("below it: %q", names(got))
			}
			holds(t, d, "a", []byte("x"))
		}},
	}
}

// keyedCalls are all calls that take a key, by the name that their errors carry.
func keyedCalls(d drivers.Driver) map[string]func(ctx context.Context, key string) error {
	calls := map[string]func(ctx context.Context, key string) error{
		"reader": func(ctx context.Context, key string) error {
			body, _, err := d.Reader(ctx, key, 0, -1)
			if err == nil {
				_ = body.Close() // the case fails for want of an error
			}
			return err
		},
		"put": func(ctx context.Context, key string) error { return d.Put(ctx, key, []byte("x")) },
		"writer": func(ctx context.Context, key string) error {
			w, err := d.Writer(ctx, key, -1)
			if err == nil {
				_ = w.Cancel(context.WithoutCancel(ctx)) // as above
			}
			return err
		},
		"resume": func(ctx context.Context, key string) error {
			w, err := d.Resume(ctx, key, []byte("{}"))
			if err == nil {
				_ = w.Cancel(context.WithoutCancel(ctx)) // as above
			}
			return err
		},
		"stat": func(ctx context.Context, key string) error {
			_, err := d.Stat(ctx, key)
			return err
		},
		"delete": func(ctx context.Context, key string) error { return d.Delete(ctx, key) },
	}
	x := drivers.ExtrasOf(d)
	if x.Absent != nil {
		calls["putifabsent"] = func(ctx context.Context, key string) error {
			return x.Absent.PutIfAbsent(ctx, key, []byte("x"))
		}
	}
	if x.Match != nil {
		calls["putifmatch"] = func(ctx context.Context, key string) error {
			return x.Match.PutIfMatch(ctx, key, []byte("x"), "e")
		}
	}
	if x.Signer != nil {
		calls["signurl"] = func(ctx context.Context, key string) error {
			_, err := x.Signer.SignURL(ctx, key, time.Minute)
			return err
		}
	}
	if x.Files != nil {
		calls["file"] = func(ctx context.Context, key string) error {
			f, _, err := x.Files.File(ctx, key)
			if err == nil {
				_ = f.Close() // as above
			}
			return err
		}
	}
	return calls
}
