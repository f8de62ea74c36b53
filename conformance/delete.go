package conformance

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

func deleteTests() []test {
	return []test{
		{name: "Delete/removes keys, seen by every process", run: func(t testing.TB, s *suite) {
			d := s.open()
			other := s.reopen(d)
			for _, key := range []string{"d/a", "d/b/c", "d/b/d", "d/e"} {
				put(t, d, key, []byte("x"))
			}
			w := begin(t, d, "d/f", -1)
			write(t, w, []byte("x"))
			commit(t, w)
			if err := d.Delete(t.Context(), "d/a", "d/b/c", "d/f"); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"d/a", "d/b/c", "d/f"} {
				absent(t, other, key)
			}
			if got := names(list(t, other, "", "", "")); !slices.Equal(got, []string{"d/b/d", "d/e"}) {
				t.Errorf("left: %q", got)
			}
		}},
		{name: "Delete/of no keys, and of an absent one, is no error", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "d/a", nil)
			for _, keys := range [][]string{nil, {"d/x"}, {"d/x/y/z"}, {"d/x", "d/y"}, {"d/a", "d/a"}, {"d/a"}} {
				if err := d.Delete(t.Context(), keys...); err != nil {
					t.Errorf("Delete(%q): %v", keys, err)
				}
			}
			absent(t, d, "d/a")
		}},
		{name: "Delete/leaves keys that begin alike", run: func(t testing.TB, s *suite) {
			d := s.open()
			for _, key := range []string{"d/a", "d/ab", "d/a-b/c", "d/a.b"} {
				put(t, d, key, nil)
			}
			if err := d.Delete(t.Context(), "d/a"); err != nil {
				t.Fatal(err)
			}
			if got := names(list(t, d, "", "", "")); !slices.Equal(got, []string{"d/a-b/c", "d/a.b", "d/ab"}) {
				t.Errorf("left: %q", got)
			}
		}},
		{name: "Delete/removes 1500 keys, present and absent", run: func(t testing.TB, s *suite) {
			d := s.open()
			var keys []string
			for i := range 1500 {
				keys = append(keys, numbered("d/", i))
			}
			if err := errors.Join(together(8, func(w int) error {
				for i := w; i < len(keys); i += 8 {
					if i%3 == 0 {
						continue // absent
					}
					if err := d.Put(t.Context(), keys[i], nil); err != nil {
						return err
					}
				}
				return nil
			})...); err != nil {
				t.Fatal(err)
			}
			put(t, d, "d/stays", nil)
			if err := d.Delete(t.Context(), keys...); err != nil {
				t.Fatal(err)
			}
			if got := names(list(t, d, "", "", "")); !slices.Equal(got, []string{"d/stays"}) {
				t.Errorf("left: %q", got)
			}
		}},
		{name: "Delete/removes the others when some can't be", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "d/a", nil)
			put(t, d, "d/b", nil)
			err := d.Delete(t.Context(), "d/a", "d//x", "d/b", "../y")
			if !errors.Is(err, drivers.ErrInvalid) {
				t.Fatalf("error %v, want one of kind %q", err, drivers.ErrInvalid)
			}
			if all := joined(err); len(all) != 2 || !tellsOf(err, "d//x") || !tellsOf(err, "../y") {
				t.Errorf("the error has %d *drivers.Error, want one for each bad key: %v", len(all), err)
			}
			absent(t, d, "d/a")
			absent(t, d, "d/b")
		}},
		{name: "Delete/an object that is being read harms no one", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "d/o", pattern(1, 1000))
			body, _, err := d.Reader(t.Context(), "d/o", 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Delete(t.Context(), "d/o"); err != nil {
				t.Error(err)
			}
			if err := body.Close(); err != nil {
				t.Error(err)
			}
			absent(t, d, "d/o")
		}},
		{name: "Delete/stops when its context has ended", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "d/o", nil)
			ctx, stop := context.WithCancel(t.Context())
			stop()
			if err := d.Delete(ctx, "d/o", "d/p"); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			holds(t, d, "d/o", nil)
		}},
	}
}

// tellsOf says whether there is a *drivers.Error for key within err.
func tellsOf(err error, key string) bool {
	return slices.ContainsFunc(joined(err), func(e *drivers.Error) bool { return strings.HasSuffix(e.Key, key) })
}

// joined finds each *drivers.Error within err.
func joined(err error) []*drivers.Error {
	if e, ok := err.(*drivers.Error); ok {
		return []*drivers.Error{e}
	}
	var all []*drivers.Error
	switch u := err.(type) {
	case interface{ Unwrap() []error }:
		for _, err := range u.Unwrap() {
			all = append(all, joined(err)...)
		}
	case interface{ Unwrap() error }:
		all = joined(u.Unwrap())
	}
	return all
}
