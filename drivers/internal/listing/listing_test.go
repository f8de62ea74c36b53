package listing_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/listing"
)

// names are those of a store that sort near each other.
var names = []string{
	"0", "a", "a-b", "a.b", "a..b", "a/-", "a/.x", "a/..x/y", "a/b", "a/b/c", "a/b0", "a0", "aZ", "a_", "b/.hidden/x", "b/c", "b/d/e", "b/d/f", "z",
}

// entries is the list that the contract asks for, made the plain way.
func entries(prefix, after, delimiter string) []string {
	var all []string
	for _, key := range names {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		if i := strings.Index(key[len(prefix):], "/"); delimiter == "/" && i >= 0 {
			key = key[:len(prefix)+i+1]
		}
		if key > after && (len(all) == 0 || all[len(all)-1] != key) {
			all = append(all, key)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// store gives pages of two as an S3 server does, objects before folders, and refuses what MinIO refuses.
func store(t *testing.T, where string) func(ctx context.Context, prefix, start, token, delimiter string) (listing.Page, error) {
	return func(_ context.Context, prefix, start, token, delimiter string) (listing.Page, error) {
		for _, text := range []string{prefix, start} {
			if strings.Contains("/"+text+"/", "/../") || strings.Contains("/"+text+"/", "/./") {
				t.Errorf("the store is asked for %q after %q", prefix, start)
			}
		}
		if !utf8.ValidString(prefix) {
			t.Errorf("the store is asked for %q", prefix)
		}
		if token != "" {
			start = token
		}
		const size = 2
		var page listing.Page
		var folders []drivers.Entry
		all := entries(strings.TrimPrefix(prefix, where), strings.TrimPrefix(start, where), delimiter)
		for i, key := range all {
			if i == size {
				page.More = true
				break
			}
			e := drivers.Entry{Key: where + key, IsPrefix: strings.HasSuffix(key, "/")}
			if e.IsPrefix {
				folders = append(folders, e)
			} else {
				page.Entries = append(page.Entries, e)
			}
			page.Next = e.Key
		}
		page.Entries = append(page.Entries, folders...)
		return page, nil
	}
}

// FuzzList compares a listing in pages with the plain one.
func FuzzList(f *testing.F) {
	for _, after := range []string{"", "a", "a/", "a/.", "a/..", "a/./b", "a/../b", "..", ".", "b/.hidden", "b/.hidden/", "a\x00", "a\xff", "~", "zz", "b/d/", strings.Repeat("a", 2000)} {
		for _, prefix := range []string{"", "a", "a/", "b/.", "b/..", "a/..", "b/d/", "/", "a//", "\xff"} {
			f.Add(prefix, after, true)
			f.Add(prefix, after, false)
		}
	}
	f.Fuzz(func(t *testing.T, prefix, after string, folders bool) {
		for _, where := range []string{"", "in/a/folder/"} {
			delimiter := ""
			if folders {
				delimiter = "/"
			}
			l := listing.Lister{Driver: "test", Prefix: where, Page: store(t, where), Fail: func(_ context.Context, _, _ string, err error) error { return err }}
			var got []string
			for e, err := range l.List(t.Context(), prefix, after, delimiter) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, e.Key)
			}
			if want := entries(prefix, after, delimiter); !slices.Equal(got, want) {
				t.Errorf("in %q, %q after %q by %q: %q, want %q", where, prefix, after, delimiter, got, want)
			}
		}
	})
}

// FuzzPages lets the store answer what it likes: no listing goes on for ever, none is out of order.
func FuzzPages(f *testing.F) {
	f.Add("a b\nc d\n", "t1\nt2\n")
	f.Add("a b\na b\n", "t\nt\n")
	f.Add("b\na\n", "x\ny\nx\ny\n")
	f.Add("\n\n\n", "\n\n\n")
	f.Fuzz(func(t *testing.T, pages, tokens string) {
		contents, nexts := strings.Split(pages, "\n"), strings.Split(tokens, "\n")
		asked := 0
		l := listing.Lister{
			Driver: "test", Fail: func(_ context.Context, _, _ string, err error) error { return err },
			Page: func(_ context.Context, _, _, _, _ string) (listing.Page, error) {
				p := listing.Page{More: true, Next: nexts[asked%len(nexts)]}
				for _, key := range strings.Fields(contents[asked%len(contents)]) {
					p.Entries = append(p.Entries, drivers.Entry{Key: key})
				}
				asked++
				return p, nil
			},
		}
		last, yielded := "", 0
		for e, err := range l.List(t.Context(), "", "", "") {
			if err != nil {
				if !errors.Is(err, drivers.ErrCorrupt) {
					t.Errorf("%v", err)
				}
				return
			}
			if e.Key <= last {
				t.Errorf("%q comes after %q", e.Key, last)
			}
			last = e.Key
			if yielded++; yielded > len(pages)+1 {
				t.Fatalf("%d entries of %d bytes", yielded, len(pages))
			}
		}
		t.Error("a list whose store always has more has ended")
	})
}
