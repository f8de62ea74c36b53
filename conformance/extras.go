package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

func extrasTests() []test {
	all := []test{
		{name: "Extras/are those that the Config names", run: func(t testing.TB, s *suite) {
			x := drivers.ExtrasOf(s.open())
			got := Extras{Absent: x.Absent != nil, Match: x.Match != nil, Signer: x.Signer != nil, Files: x.Files != nil, Sweep: x.Sweep != nil}
			if got != s.Extras {
				t.Errorf("found %+v, want %+v", got, s.Extras)
			}
		}},
	}
	for _, group := range []struct {
		when  func(Config) bool
		tests []test
	}{
		{func(c Config) bool { return c.Extras.Absent }, absentTests()},
		{func(c Config) bool { return c.Extras.Match }, matchTests()},
		{func(c Config) bool { return c.Extras.Signer }, signerTests()},
		{func(c Config) bool { return c.Extras.Files }, fileTests()},
		{func(c Config) bool { return c.Extras.Sweep }, sweepTests()},
	} {
		for _, test := range group.tests {
			also := test.when
			test.when = func(c Config) bool { return group.when(c) && (also == nil || also(c)) }
			all = append(all, test)
		}
	}
	return all
}

func absentTests() []test {
	return []test{
		{name: "PutIfAbsent/stores an object where there is none", run: func(t testing.TB, s *suite) {
			d := s.open()
			x := drivers.ExtrasOf(d).Absent
			for _, n := range []int64{0, 1, 100_000} {
				key := numbered("x/", int(n))
				if err := x.PutIfAbsent(t.Context(), key, pattern(n, n)); err != nil {
					t.Fatal(err)
				}
				holds(t, s.reopen(d), key, pattern(n, n))
			}
		}},
		{name: "PutIfAbsent/ErrExists and the object stays if there is one", run: func(t testing.TB, s *suite) {
			d := s.open()
			x := drivers.ExtrasOf(d).Absent
			put(t, d, "x/put", []byte("old"))
			put(t, d, "x/empty", nil)
			w := begin(t, d, "x/written", -1)
			write(t, w, []byte("old"))
			commit(t, w)
			for key, old := range map[string][]byte{"x/put": []byte("old"), "x/empty": nil, "x/written": []byte("old")} {
				was := stat(t, d, key)
				for _, body := range [][]byte{[]byte("new"), nil, old} {
					s.is(t, x.PutIfAbsent(t.Context(), key, body), drivers.ErrExists, "putifabsent", key)
				}
				if now := holds(t, d, key, old); now.ETag != was.ETag {
					t.Errorf("%s: ETag was %q, is %q", key, was.ETag, now.ETag)
				}
			}
		}},
		{name: "PutIfAbsent/works again once the object was deleted", run: func(t testing.TB, s *suite) {
			d := s.open()
			x := drivers.ExtrasOf(d).Absent
			for i := range 5 {
				if err := x.PutIfAbsent(t.Context(), "x/a/b/o", []byte{byte(i)}); err != nil {
					t.Fatal(err)
				}
				holds(t, d, "x/a/b/o", []byte{byte(i)})
				if err := d.Delete(t.Context(), "x/a/b/o"); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{name: "PutIfAbsent/of 16 at once one wins", run: func(t testing.TB, s *suite) {
			d := s.open()
			handles := []drivers.AbsentPutter{drivers.ExtrasOf(d).Absent, drivers.ExtrasOf(s.reopen(d)).Absent}
			for round := range 2 * s.Repeat {
				key := numbered("x/race/", round)
				errs := together(16, func(i int) error {
					return handles[i%2].PutIfAbsent(t.Context(), key, bytes.Repeat([]byte{byte(i)}, 1000))
				})
				winner := s.onlyWinner(t, errs, drivers.ErrExists)
				holds(t, d, key, bytes.Repeat([]byte{byte(winner)}, 1000))
			}
		}},
		{name: "PutIfAbsent/readers never see a part", run: func(t testing.TB, s *suite) {
			d := s.open()
			x := drivers.ExtrasOf(s.reopen(d)).Absent
			body := pattern(1, 1<<20)
			for round := range s.Repeat {
				key := numbered("x/whole/", round)
				errs := together(2, func(who int) error {
					if who == 0 {
						return x.PutIfAbsent(t.Context(), key, body)
					}
					for {
						got, err := readAll(t.Context(), d, key)
						if errors.Is(err, drivers.ErrNotFound) {
							continue
						}
						if err == nil && !bytes.Equal(got, body) {
							err = fmt.Errorf("a part of %d bytes", len(got))
						}
						return err
					}
				})
				if err := errors.Join(errs...); err != nil {
					t.Fatal(err)
				}
			}
		}},
	}
}

func matchTests() []test {
	return []test{
		{name: "PutIfMatch/replaces the object that has the ETag", run: func(t testing.TB, s *suite) {
			d := s.open()
			x := drivers.ExtrasOf(s.reopen(d)).Match
			put(t, d, "x/o", []byte("0"))
			for i := 1; i < 10; i++ {
				// The ETag may come from any of the three.
				etag := stat(t, d, "x/o").ETag
				if i%3 == 1 {
					_, info := read(t, d, "x/o", 0, -1)
					etag = info.ETag
				} else if i%3 == 2 {
					etag = list(t, d, "x/", "", "")[0].ETag
				}
				body := []byte(strconv.Itoa(i))
				if err := x.PutIfMatch(t.Context(), "x/o", body, etag); err != nil {
					t.Fatalf("round %d: %v", i, err)
				}
				holds(t, d, "x/o", body)
			}
		}},
		{name: "PutIfMatch/works on what a Writer made", run: func(t testing.TB, s *suite) {
			d := s.open()
			w := begin(t, d, "x/o", -1)
			write(t, w, pattern(1, 6<<20))
			commit(t, w)
			x := drivers.ExtrasOf(d).Match
			s.is(t, x.PutIfMatch(t.Context(), "x/o", nil, "other"), drivers.ErrPrecondition, "putifmatch", "x/o")
			if err := x.PutIfMatch(t.Context(), "x/o", []byte("new"), stat(t, d, "x/o").ETag); err != nil {
				t.Fatal(err)
			}
			holds(t, d, "x/o", []byte("new"))
		}},
		{name: "PutIfMatch/ErrPrecondition and no change unless it has", run: func(t testing.TB, s *suite) {
			d := s.open()
			x := drivers.ExtrasOf(d).Match
			put(t, d, "x/o", []byte("one"))
			outdated := stat(t, d, "x/o").ETag
			put(t, d, "x/o", []byte("two"))
			was := stat(t, d, "x/o")
			for _, etag := range []string{outdated, "other", "", "*", `"` + was.ETag + `x"`} {
				s.is(t, x.PutIfMatch(t.Context(), "x/o", []byte("three"), etag), drivers.ErrPrecondition, "putifmatch", "x/o")
			}
			if now := holds(t, d, "x/o", []byte("two")); now.ETag != was.ETag {
				t.Errorf("ETag was %q, is %q", was.ETag, now.ETag)
			}
		}},
		{name: "PutIfMatch/an absent object matches nothing", run: func(t testing.TB, s *suite) {
			d := s.open()
			x := drivers.ExtrasOf(d).Match
			put(t, d, "x/o", []byte("one"))
			etag := stat(t, d, "x/o").ETag
			if err := d.Delete(t.Context(), "x/o"); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"x/o", "x/never/was"} {
				for _, etag := range []string{etag, "", "*"} {
					s.is(t, x.PutIfMatch(t.Context(), key, []byte("new"), etag), drivers.ErrPrecondition, "putifmatch", key)
				}
				absent(t, d, key)
			}
		}},
		{name: "PutIfMatch/of 16 at once one wins each round", run: func(t testing.TB, s *suite) {
			d := s.open()
			handles := []drivers.MatchPutter{drivers.ExtrasOf(d).Match, drivers.ExtrasOf(s.reopen(d)).Match}
			put(t, d, "x/race", nil)
			for round := range 2 * s.Repeat {
				// No body comes twice: the same content may have the same ETag.
				body := func(i int) []byte { return fmt.Appendf(nil, "round %d, %d", round, i) }
				etag := stat(t, d, "x/race").ETag
				errs := together(16, func(i int) error {
					return handles[i%2].PutIfMatch(t.Context(), "x/race", body(i), etag)
				})
				winner := s.onlyWinner(t, errs, drivers.ErrPrecondition)
				holds(t, d, "x/race", body(winner))
			}
		}},
		{name: "PutIfMatch/a counter raised by many loses nothing", run: func(t testing.TB, s *suite) {
			d := s.open()
			handles := []drivers.Driver{d, s.reopen(d)}
			put(t, d, "x/counter", []byte("0"))
			const workers, times = 4, 10
			if err := errors.Join(together(workers, func(i int) error {
				return raise(t.Context(), handles[i%2], "x/counter", times)
			})...); err != nil {
				t.Fatal(err)
			}
			holds(t, d, "x/counter", []byte(strconv.Itoa(workers*times)))
		}},
		{name: "PutIfMatch/a Put at the same time is never lost", run: func(t testing.TB, s *suite) {
			d := s.open()
			other := s.reopen(d)
			x := drivers.ExtrasOf(d).Match
			for round := range 4 * s.Repeat {
				put(t, d, "x/o", []byte("old"))
				etag := stat(t, d, "x/o").ETag
				errs := together(2, func(who int) error {
					if who == 0 {
						return other.Put(t.Context(), "x/o", []byte("put"))
					}
					return x.PutIfMatch(t.Context(), "x/o", []byte("matched"), etag)
				})
				// Either order ends with what Put wrote.
				if errs[0] != nil || errs[1] != nil && !errors.Is(errs[1], drivers.ErrPrecondition) {
					t.Fatalf("round %d: %v, %v", round, errs[0], errs[1])
				}
				holds(t, d, "x/o", []byte("put"))
			}
		}},
	}
}

// onlyWinner fails t unless one of errs is nil and the others are of kind; it returns which.
func (s *suite) onlyWinner(t testing.TB, errs []error, kind error) int {
	t.Helper()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case err == nil:
			t.Fatalf("%d and %d both won", winner, i)
		case !errors.Is(err, kind):
			t.Fatalf("%v, want an error of kind %q", err, kind)
		}
	}
	if winner < 0 {
		t.Fatalf("nobody won: %v", errs[0])
	}
	return winner
}

func fileTests() []test {
	return []test{
		{name: "File/equals Reader", run: func(t testing.TB, s *suite) {
			d := s.open()
			x := drivers.ExtrasOf(d).Files
			for _, n := range []int64{0, 1, 1 << 20} {
				key := numbered("x/", int(n))
				put(t, d, key, pattern(n, n))
				f, info, err := x.File(t.Context(), key)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(f)
				if err := errors.Join(err, f.Close()); err != nil {
					t.Fatal(err)
				}
				same(t, key, got, pattern(n, n))
				if want := stat(t, d, key); info.Size != n || info.ETag != want.ETag || !info.ModTime.Equal(want.ModTime) {
					t.Errorf("File says %+v, Stat says %+v", info, want)
				}
			}
		}},
		{name: "File/stays the object that was opened", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "x/o", []byte("one"))
			f, _, err := drivers.ExtrasOf(d).Files.File(t.Context(), "x/o")
			if err != nil {
				t.Fatal(err)
			}
			put(t, d, "x/o", []byte("another"))
			got, err := io.ReadAll(f)
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
			same(t, "the file", got, []byte("one"))
		}},
		{name: "File/ErrNotFound if the key is absent", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "x/folder/o", nil)
			for _, key := range []string{"x/absent", "x/folder", "x/folder/o/p"} {
				_, _, err := drivers.ExtrasOf(d).Files.File(t.Context(), key)
				s.is(t, err, drivers.ErrNotFound, "file", key)
			}
		}},
	}
}

func signerTests() []test {
	return []test{
		{name: "SignURL/is good for GET by anyone, ranges included", run: func(t testing.TB, s *suite) {
			d := s.open()
			body := pattern(1, 100_000)
			keys := append(s.oddKeys(), "x/o")
			for _, key := range keys {
				put(t, d, key, body)
			}
			for _, key := range keys {
				url := sign(t, d, key)
				code, got := fetch(t, http.MethodGet, url, "")
				if code != http.StatusOK || !bytes.Equal(got, body) {
					t.Fatalf("GET of %q: %d, %d bytes", key, code, len(got))
				}
			}
			url := sign(t, d, "x/o")
			for _, r := range []struct {
				header   string
				from, to int
			}{{"bytes=0-9", 0, 10}, {"bytes=99990-", 99_990, 100_000}, {"bytes=-5", 99_995, 100_000}, {"bytes=5-5", 5, 6}} {
				code, got := fetch(t, http.MethodGet, url, r.header)
				if code != http.StatusPartialContent || !bytes.Equal(got, body[r.from:r.to]) {
					t.Errorf("GET %s: %d, %d bytes", r.header, code, len(got))
				}
			}
		}},
		{name: "SignURL/is good for nothing else", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "x/o", []byte("abc"))
			put(t, d, "x/p", []byte("abc"))
			url := sign(t, d, "x/o")
			for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPost} {
				if code, _ := fetch(t, method, url, ""); code < 400 {
					t.Errorf("%s: %d", method, code)
				}
			}
			holds(t, d, "x/o", []byte("abc"))
		}},
		{name: "SignURL/does not look whether the key exists", run: func(t testing.TB, s *suite) {
			d := s.open()
			url := sign(t, d, "x/absent")
			if code, _ := fetch(t, http.MethodGet, url, ""); code != http.StatusNotFound {
				t.Errorf("GET: %d, want 404", code)
			}
			put(t, d, "x/absent", []byte("now"))
			if code, got := fetch(t, http.MethodGet, url, ""); code != http.StatusOK || string(got) != "now" {
				t.Errorf("GET once it is there: %d, %q", code, got)
			}
		}},
		{name: "SignURL/ends", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "x/o", []byte("abc"))
			url, err := drivers.ExtrasOf(d).Signer.SignURL(t.Context(), "x/o", time.Second)
			if err != nil {
				t.Fatal(err)
			}
			s.poll(t, "the end of the URL's life", func() bool {
				code, _ := fetch(t, http.MethodGet, url, "")
				return code >= 400
			})
		}},
	}
}

func sign(t testing.TB, d drivers.Driver, key string) string {
	t.Helper()
	url, err := drivers.ExtrasOf(d).Signer.SignURL(t.Context(), key, 5*time.Minute)
	if err != nil {
		t.Fatalf("SignURL(%q): %v", key, err)
	}
	return url
}

// fetch sends a request without any credentials, on a connection of its own.
func fetch(t testing.TB, method, url, ranges string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ranges != "" {
		req.Header.Set("Range", ranges)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

// raise adds 1 to the number in key, times times.
func raise(ctx context.Context, d drivers.Driver, key string, times int) error {
	for times > 0 {
		body, info, err := d.Reader(ctx, key, 0, -1)
		if err != nil {
			return err
		}
		digits, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close()); err != nil {
			return err
		}
		n, err := strconv.Atoi(string(digits))
		if err != nil {
			return err
		}
		err = drivers.ExtrasOf(d).Match.PutIfMatch(ctx, key, []byte(strconv.Itoa(n+1)), info.ETag)
		if err == nil {
			times--
		} else if !errors.Is(err, drivers.ErrPrecondition) {
			return err
		}
	}
	return nil
}
