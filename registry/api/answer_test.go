package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// check compares an answer with what the step wants, and with what holds of every answer.
func (c *caller) check(s step, a answer) {
	c.t.Helper()
	var wrong []string
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if s.want == "closed" {
		if a.err == nil {
			bad("the connection ought to have been closed without an answer")
		}
	} else if a.err != nil {
		bad("no whole answer: %v", a.err)
	} else {
		r := c.parse(s.send)
		want := strings.Split(c.expand(s.want), " | ")
		first := strings.Fields(want[0])
		if msg := checkBody(strconv.Itoa(a.status), first[0]); msg != "" {
			bad("status %s", msg)
		}
		for _, h := range want[1:] {
			name, value, _ := strings.Cut(h, ":")
			if msg := checkHeader(a.header.Values(name), strings.TrimSpace(value)); msg != "" {
				bad("header %s %s", name, msg)
			}
		}
		if msg := checkBody(a.body, c.expand(s.gets)); msg != "" {
			bad("body %s", msg)
		}
		wrong = append(wrong, c.checkAlways(r, a)...)
		if a.status >= 400 && r.method != http.MethodHead && !r.isRaw() {
			wrong = append(wrong, checkError(a, first[1:], !strings.HasPrefix(first[0], "~"))...)
		}
		if r.method == http.MethodGet && a.status == http.StatusOK && r.header.Get("Range") == "" {
			wrong = append(wrong, c.checkHead(r, a)...)
		}
	}
	if wrong != nil {
		text := fmt.Sprintf("step %d: %s\n  %s\n  got %s\n  want %s", c.sent, c.expand(s.send), strings.Join(wrong, "\n  "), a, c.expand(s.want))
		c.t.Error(sessionValue.ReplaceAllString(text, "$1…"))
	}
}

// String shows an answer on a few lines.
func (a answer) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d", a.status)
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		fmt.Fprintf(&b, " | %s: %s", name, strings.Join(a.header[name], ", "))
	}
	if a.body != "" {
		fmt.Fprintf(&b, "\n    %s", short(a.body))
	}
	return b.String()
}

func short(text string) string {
	const most = 400
	if len(text) > most {
		return fmt.Sprintf("%q… (%d bytes)", text[:most], len(text))
	}
	return fmt.Sprintf("%q", text)
}

func checkHeader(got []string, want string) string {
	switch {
	case want == "-" && len(got) > 0:
		return fmt.Sprintf("is %q, want none", got)
	case want == "-":
		return ""
	case len(got) == 0:
		return fmt.Sprintf("is missing, want %q", want)
	case want == "*":
		return ""
	}
	value := strings.Join(got, ", ")
	if pattern, ok := strings.CutPrefix(want, "~"); ok {
		if !regexp.MustCompile(pattern).MatchString(value) {
			return fmt.Sprintf("is %q, want a match of %q", value, pattern)
		}
	} else if value != want {
		return fmt.Sprintf("is %q, want %q", value, want)
	}
	return ""
}

func checkBody(got, want string) string {
	if want == "" {
		return ""
	}
	if want == nothing {
		want = ""
	}
	if pattern, ok := strings.CutPrefix(want, "~"); ok {
		if !regexp.MustCompile(pattern).MatchString(got) {
			return fmt.Sprintf("is %s, want a match of %q", short(got), pattern)
		}
	} else if got != want {
		return fmt.Sprintf("is %s, want %s", short(got), short(want))
	}
	return ""
}

// sessionValue is a part of a Location that nobody can read.
var sessionValue = regexp.MustCompile(`(_state=[\w-]{8})[\w-]+`)

var contentPath = regexp.MustCompile(`^/v2/.+/(?:blobs/[^/]+:[^/]+|manifests/[^/]+)$`)

// checkAlways is what every answer has to keep to.
func (c *caller) checkAlways(r request, a answer) (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if r.isRaw() {
		return nil
	}
	if got := a.header.Get("Docker-Distribution-Api-Version"); got != "registry/2.0" {
		bad("Docker-Distribution-Api-Version is %q", got)
	}
	if got := a.header.Get("Content-Encoding"); got != "" {
		bad("Content-Encoding is %q: a digest is of the bytes as they are", got)
	}
	if l := a.header.Get("Location"); l != "" && c.site.options.api.PublicURL == "" && a.status/100 == 2 && !strings.HasPrefix(l, "/v2/") {
		bad("Location %q is not relative", l)
	}
	if (r.method == http.MethodHead || a.status == http.StatusNoContent || a.status == http.StatusNotModified) && a.body != "" {
		bad("there is a body: %s", short(a.body))
	}
	path, _, _ := strings.Cut(r.target, "?")
	reads := r.method == http.MethodGet || r.method == http.MethodHead
	if reads && contentPath.MatchString(path) && (a.status/100 == 2 || a.status == http.StatusNotModified) {
		d := a.header.Get("Docker-Content-Digest")
		if a.header.Get("ETag") != `"`+d+`"` {
			bad("ETag is %q", a.header.Get("ETag"))
		}
		if r.method == http.MethodGet && a.status == http.StatusOK && d != sum(a.body) && d != sum512(a.body) {
			bad("Docker-Content-Digest %q is not that of the body", d)
		}
		if r.method == http.MethodHead && a.status == http.StatusOK && a.header.Get("Content-Length") == "" {
			bad("there is no Content-Length")
		}
	}
	return wrong
}

// isRaw says that the method and the target are in the body.
func (r request) isRaw() bool { return r.method == "RAW" || r.method == "CUT" }

// checkError looks at an error's body and compares its codes, if they are known.
func checkError(a answer, codes []string, known bool) (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if t := a.header.Get("Content-Type"); t != "application/json" {
		bad("Content-Type of an error is %q", t)
	}
	var body struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil {
		bad("the error's body is no JSON: %v", err)
	}
	var got []string
	for _, e := range body.Errors {
		got = append(got, e.Code)
		if e.Message == "" {
			bad("%s has no message", e.Code)
		}
	}
	if len(got) == 0 || known && !slices.Equal(got, codes) {
		bad("codes %q, want %q", got, codes)
	}
	return wrong
}

// checkHead asks the same with HEAD: the headers have to be those of GET.
func (c *caller) checkHead(r request, get answer) (wrong []string) {
	c.t.Helper()
	header := r.header.Clone()
	head := c.roundTrip(c.site.server(r.replica, c.sent), request{method: http.MethodHead, target: r.target, header: header}, nil)
	if head.err != nil || head.status != get.status || head.body != "" {
		return []string{fmt.Sprintf("HEAD gives %s", head)}
	}
	for _, h := range []http.Header{get.header, head.header} {
		for name := range h {
			if name != "Date" && !slices.Equal(get.header[name], head.header[name]) {
				wrong = append(wrong, fmt.Sprintf("HEAD has %s %q, GET %q", name, head.header[name], get.header[name]))
			}
		}
	}
	return wrong
}
