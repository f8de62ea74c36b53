package api

import (
	"bytes"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

func TestParseSpans(t *testing.T) {
	for _, test := range []struct {
		text string
		size int64
		want []span // nil for an error
	}{
		{"0-3", 10, []span{{0, 4}}},
		{"4-", 10, []span{{4, 6}}},
		{"-5", 10, []span{{5, 5}}},
		{"-50", 10, []span{{0, 10}}},
		{"9-9223372036854775807", 10, []span{{9, 1}}},
		{"0-0,-1", 10, []span{{0, 1}, {9, 1}}},
		{" 0-0 ,\t4-5 ", 10, []span{{0, 1}, {4, 2}}},
		{"10-", 10, []span{}},
		{"-0", 10, []span{}},
		{"0-", 0, []span{}},
		{"-1", 0, []span{}},
		{"", 10, []span{}},
		{",,", 10, []span{}},
		{"5-2", 10, nil},
		{"x", 10, nil},
		{"-", 10, nil},
		{"1-2-3", 10, nil},
		{"--1", 10, nil},
		{"0x1-2", 10, nil},
		{"9223372036854775808-", 10, nil},
		{"0-1,x", 10, nil},
	} {
		got, err := parseSpans(test.text, test.size)
		if (err != nil) != (test.want == nil) || !slices.Equal(got, test.want) {
			t.Errorf("%q of %d: got %v, %v, want %v", test.text, test.size, got, err, test.want)
		}
	}
}

// rangeSet is the grammar of RFC 9110, section 14.1.1 and 14.1.2, with the empty elements of section 5.6.1.
var rangeSet = regexp.MustCompile(`\A[ \t]*((\d+-\d*|-\d+)?[ \t]*(,[ \t]*(\d+-\d*|-\d+)?[ \t]*)*)\z`)

// isRangeSet says whether text is a list of ranges of which none ends before it begins.
func isRangeSet(text string) bool {
	if !rangeSet.MatchString(text) {
		return false
	}
	for _, m := range regexp.MustCompile(`(\d+)-(\d+)`).FindAllStringSubmatch(text, -1) {
		first, last := new(big.Int), new(big.Int)
		first.SetString(m[1], 10)
		last.SetString(m[2], 10)
		if last.Cmp(first) < 0 {
			return false
		}
	}
	return true
}

// longNumber may be larger than any blob; such a range may be refused.
var longNumber = regexp.MustCompile(`\d{19}`)

// FuzzParseSpans compares with the grammar and with net/http, which serves what was parsed here.
func FuzzParseSpans(f *testing.F) {
	for _, seed := range []string{"0-3", "4-", "-5", "0-0,4-5", "5-2", "999-", "-0", " 1-2 , ,3-", "+1-2", "0-99999999999999999999"} {
		f.Add(seed, uint8(10))
	}
	f.Fuzz(func(t *testing.T, text string, length uint8) {
		content := bytes.Repeat([]byte("x"), int(length))
		size := int64(length)
		spans, err := parseSpans(text, size)
		if grammar := isRangeSet(text); err == nil && !grammar {
			t.Fatalf("%q is taken, which RFC 9110 has not", text)
		} else if err != nil && grammar && !longNumber.MatchString(text) {
			t.Fatalf("%q is refused: %v", text, err)
		}
		for _, s := range spans {
			if s.start < 0 || s.length <= 0 || s.start+s.length > size {
				t.Fatalf("%q of %d: %v lies outside", text, size, s)
			}
		}
		if err != nil || len(spans) == 0 {
			return
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Range", rangeHeader(spans))
		w := httptest.NewRecorder()
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		var total int64
		for _, s := range spans {
			total += s.length
		}
		switch {
		case w.Code == http.StatusOK && total > size: // more than everything
		case w.Code != http.StatusPartialContent:
			t.Fatalf("%q of %d: %v here, %d by net/http", text, size, spans, w.Code)
		case len(spans) == 1:
			want := fmt.Sprintf("bytes %d-%d/%d", spans[0].start, spans[0].start+spans[0].length-1, size)
			if got := w.Header().Get("Content-Range"); got != want {
				t.Fatalf("%q of %d: %v here, %s by net/http", text, size, spans, got)
			}
		}
	})
}

func TestETags(t *testing.T) {
	for _, test := range []struct {
		lines []string
		want  []string
	}{
		{nil, nil},
		{[]string{""}, nil},
		{[]string{`"a"`}, []string{"a"}},
		{[]string{`W/"a"`}, []string{"a"}},
		{[]string{"a"}, []string{"a"}},
		{[]string{"*"}, []string{"*"}},
		{[]string{`"a", W/"b" ,c`, `"d"`}, []string{"a", "b", "c", "d"}},
		{[]string{`"",,W/""`}, nil},
	} {
		if got := etags(test.lines); !slices.Equal(got, test.want) {
			t.Errorf("%q: got %q, want %q", test.lines, got, test.want)
		}
	}
}

func FuzzETags(f *testing.F) {
	for _, seed := range []string{"", "*", `"a"`, `W/"a", "b"`, `"a`, `W/`, ",,", `"*"`} {
		f.Add(seed)
	}
	d := digest.FromString("x")
	f.Fuzz(func(t *testing.T, text string) {
		for _, tag := range etags([]string{text}) {
			if tag == "" || strings.Contains(tag, ",") {
				t.Errorf("%q has the tag %q", text, tag)
			}
		}
		if etagIn([]string{text}, d) && !strings.Contains(text, "*") && !strings.Contains(text, d.String()) {
			t.Errorf("%q matches %s", text, d)
		}
		if !etagIn([]string{text, `"` + d.String() + `"`}, d) {
			t.Errorf("%q hides the line after it", text)
		}
	})
}

func TestContentRange(t *testing.T) {
	for _, test := range []struct {
		text       string
		length     int64
		ranged     bool
		start, end int64
		ok         bool
	}{
		{"", 10, false, 0, 0, true},
		{"0-9", 10, true, 0, 9, true},
		{" 0-9 ", 10, true, 0, 9, true},
		{"bytes 0-9/*", 10, true, 0, 9, true},
		{"bytes 0-9/10", 10, true, 0, 9, true},
		{"bytes=0-9", 10, true, 0, 9, true},
		{"007-009", 3, true, 7, 9, true},
		{"999999999999999999-999999999999999999", 1, true, 999999999999999999, 999999999999999999, true},
		{"0-9", -1, true, 0, 9, true},
		{"0-0", 0, false, 0, 0, true}, // a chunk of no bytes has no range of its own
		{"10-9", 0, false, 0, 0, true},
		{"10-9", 5, false, 0, 0, false},
		{"5-", 5, false, 0, 0, false},
		{"-5", 5, false, 0, 0, false},
		{"0-9/", 10, false, 0, 0, false},
		{"bytes */10", 10, false, 0, 0, false},
		{"9999999999999999999-9999999999999999999", 1, false, 0, 0, false},
	} {
		r := httptest.NewRequest("PATCH", "/", nil)
		r.ContentLength = test.length
		r.Header.Set("Content-Range", test.text)
		c, err := chunkOf(r)
		if (err == nil) != test.ok {
			t.Errorf("%q: got %v", test.text, err)
		} else if err == nil && (c.Ranged != test.ranged || c.Ranged && (c.Start != test.start || c.End != test.end)) {
			t.Errorf("%q: got %v %d-%d, want %v %d-%d", test.text, c.Ranged, c.Start, c.End, test.ranged, test.start, test.end)
		}
	}
}

// chunkRange is what the spec has, "Pushing a blob in chunks", and the forms of RFC 9110 that clients send.
var chunkRange = regexp.MustCompile(`\A(bytes[ =])?\d+-\d+(/(\d+|\*))?\z`)

func FuzzContentRange(f *testing.F) {
	for _, seed := range []string{"0-9", "bytes 0-9/*", "bytes=5-5", "5-2", "-1", "0-", "0-9/x", "99999999999999999999-0"} {
		f.Add(seed, int64(10))
	}
	f.Fuzz(func(t *testing.T, text string, length int64) {
		r := httptest.NewRequest("PATCH", "/", nil)
		r.ContentLength = length
		r.Header["Content-Range"] = []string{text}
		c, err := chunkOf(r)
		if plain := strings.TrimSpace(text); plain != "" && (err == nil || c.Ranged) && !chunkRange.MatchString(plain) {
			t.Fatalf("%q is taken", text)
		}
		if err != nil || !c.Ranged {
			return
		}
		if c.Start < 0 || c.End < c.Start || c.End-c.Start+2 <= 0 {
			t.Fatalf("%q is read as %d-%d", text, c.Start, c.End)
		}
		r.Header.Set("Content-Range", fmt.Sprintf("%d-%d", c.Start, c.End))
		if again, err := chunkOf(r); err != nil || again.Start != c.Start || again.End != c.End {
			t.Fatalf("%q is read as %d-%d, and that as %d-%d, %v", text, c.Start, c.End, again.Start, again.End, err)
		}
	})
}

func networks(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func TestClientAddress(t *testing.T) {
	trusted := networks("10.0.0.0/8", "fd00::/8")
	for _, test := range []struct {
		name, remote, header, value, want string
	}{
		{"nothing was said", "10.0.0.1:80", "X", "", "10.0.0.1"},
		{"said by nobody who is trusted", "192.0.2.1:80", "X-Forwarded-For", "198.51.100.1", "192.0.2.1"},
		{"said by a proxy", "10.0.0.1:80", "X-Forwarded-For", "198.51.100.1", "198.51.100.1"},
		{"the nearest that is not trusted", "10.0.0.1:80", "X-Forwarded-For", "203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"},
		{"all are trusted", "10.0.0.1:80", "X-Forwarded-For", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
		{"a port", "10.0.0.1:80", "X-Forwarded-For", "198.51.100.1:4711", "198.51.100.1"},
		{"IPv6", "[fd00::1]:80", "X-Forwarded-For", "2001:db8::1", "2001:db8::1"},
		{"IPv6 in brackets", "[fd00::1]:80", "X-Forwarded-For", "[2001:db8::1]", "2001:db8::1"},
		{"IPv6 that is IPv4", "[::ffff:10.0.0.1]:80", "X-Forwarded-For", "::ffff:198.51.100.1", "198.51.100.1"},
		{"no address", "10.0.0.1:80", "X-Forwarded-For", "198.51.100.1, unknown", "10.0.0.1"},
		{"an empty element", "10.0.0.1:80", "X-Forwarded-For", "198.51.100.1,", "10.0.0.1"},
		{"Forwarded", "10.0.0.1:80", "Forwarded", "for=198.51.100.1", "198.51.100.1"},
		{"Forwarded with more", "10.0.0.1:80", "Forwarded", `For="198.51.100.1:4711" ; proto=https;by=10.0.0.1, for=10.0.0.2`, "198.51.100.1"},
		{"Forwarded with IPv6", "10.0.0.1:80", "Forwarded", `for="[2001:db8::1]:47"`, "2001:db8::1"},
		{"Forwarded by somebody obscure", "10.0.0.1:80", "Forwarded", "for=_hidden", "10.0.0.1"},
		{"Forwarded without for", "10.0.0.1:80", "Forwarded", "proto=https", "10.0.0.1"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = test.remote
		r.Header.Set(test.header, test.value)
		s := &server{options: Options{TrustedProxies: trusted}}
		if got := s.client(r).String(); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

// FuzzClientAddress sees that nobody but a trusted proxy can say where a client is.
func FuzzClientAddress(f *testing.F) {
	for _, seed := range []string{"", "198.51.100.1", "a, b", "for=1.2.3.4", `for="[::1]:1";proto=http, for=x`, "1.2.3.4:5, [::]"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, x, forwarded string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "192.0.2.1:1234"
		r.Header["X-Forwarded-For"] = []string{x}
		r.Header["Forwarded"] = []string{forwarded}
		s := &server{options: Options{TrustedProxies: networks("10.0.0.0/8")}}
		if got := s.client(r); got != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("got %s", got)
		}
		s.options.TrustedProxies = networks("0.0.0.0/0", "::/0")
		if got := s.client(r); !got.IsValid() {
			t.Error("the client has no address")
		}
	})
}

func TestPageSize(t *testing.T) {
	s := &server{options: Options{PageSize: 5, MaxPageSize: 10}}
	for text, want := range map[string]int{"": 5, "n=0": 0, "n=1": 1, "n=10": 10, "n=11": 10, "n=9223372036854775807": 10, "x=1": 5, "n=1&n=2": 1} {
		query, err := url.ParseQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.pageSize(query); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "x", "1.0", "+1", " 1", "9223372036854775808", strconv.Itoa(1) + "\x00"} {
		if got, err := s.pageSize(url.Values{"n": {text}}); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}
