package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/longshore-registry/longshore/registry"
)

// caller sends the requests of one row.
type caller struct {
	t         *testing.T
	site      *site
	name      string // of its repository
	sent      int
	upload    string         // the newest Location of an upload
	locations map[int]string // by step
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // the connection broke off
}

// all sends steps and checks their answers.
func (c *caller) all(all steps) {
	c.t.Helper()
	for _, s := range all {
		c.do(s)
	}
}

// do sends one step and checks its answer.
func (c *caller) do(s step) answer {
	c.t.Helper()
	c.sent++
	a := c.send(s)
	c.check(s, a)
	c.note(a)
	return a
}

// note remembers where an upload goes on.
func (c *caller) note(a answer) {
	if location := a.header.Get("Location"); strings.Contains(location, "/uploads/") {
		c.upload, c.locations[c.sent] = location, location
	}
}

// expand puts values in the place of names.
func (c *caller) expand(text string) string {
	if !strings.Contains(text, "$") {
		return text
	}
	var pairs []string
	for i := c.sent; i > 0; i-- {
		pairs = append(pairs, "$U"+strconv.Itoa(i), c.locations[i])
	}
	pairs = append(pairs, "$U", c.upload, "$R", "/v2/"+c.name, "$N", c.name,
		"$image", v1.MediaTypeImageManifest, "$index", v1.MediaTypeImageIndex,
		"$dimage", registry.MediaTypeDockerManifest, "$dlist", registry.MediaTypeDockerList)
	return strings.NewReplacer(pairs...).Replace(text)
}

// request is step.send, taken apart.
type request struct {
	replica, method, target string
	header                  http.Header
}

func (c *caller) parse(send string) request {
	c.t.Helper()
	parts := strings.Split(c.expand(send), " | ")
	var r request
	line := strings.SplitN(parts[0], " ", 2)
	if strings.HasPrefix(line[0], "@") {
		r.replica = line[0]
		line = strings.SplitN(line[1], " ", 2)
	}
	r.method = line[0]
	if len(line) == 2 {
		r.target = line[1]
	}
	r.header = http.Header{}
	for _, h := range parts[1:] {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			c.t.Fatalf("%q is no header", h)
		}
		r.header.Add(name, strings.TrimSpace(value))
	}
	return r
}

func (c *caller) send(s step) answer {
	c.t.Helper()
	r := c.parse(s.send)
	server := c.site.server(r.replica, c.sent)
	if r.isRaw() {
		return c.raw(server, http.MethodGet, c.expand(s.body), r.method == "CUT")
	}
	if length := r.header.Get("Content-Length"); length != "" && length != strconv.Itoa(len(s.body)) {
		return c.raw(server, r.method, rawText(r, s.body), true)
	}
	r.header.Del("Content-Length")
	return c.roundTrip(server, r, strings.NewReader(s.body))
}

// roundTrip sends a request in good HTTP.
func (c *caller) roundTrip(server *httptest.Server, r request, body io.Reader) answer {
	c.t.Helper()
	return c.roundTripUntil(c.t.Context(), server, r, body)
}

// roundTripUntil is roundTrip for a client that may leave.
func (c *caller) roundTripUntil(ctx context.Context, server *httptest.Server, r request, body io.Reader) answer {
	c.t.Helper()
	u, err := url.Parse(r.target)
	if err != nil {
		c.t.Fatal(err)
	}
	target, err := url.Parse(server.URL)
	if err != nil {
		c.t.Fatal(err)
	}
	u.Scheme, u.Host = target.Scheme, target.Host
	req, err := http.NewRequestWithContext(ctx, r.method, "http://placeholder/", body)
	if err != nil {
		c.t.Fatal(err)
	}
	req.URL, req.Host = u, r.header.Get("Host")
	req.Header = r.header
	if r.header.Get("Transfer-Encoding") != "" {
		r.header.Del("Transfer-Encoding")
		req.ContentLength, req.GetBody = -1, nil
	}
	res, err := c.site.client.RoundTrip(req)
	if err != nil {
		return answer{err: err}
	}
	return readAnswer(res)
}

func readAnswer(res *http.Response) answer {
	defer res.Body.Close()
	var b strings.Builder
	b.Grow(int(max(res.ContentLength, 0)))
	_, err := io.Copy(&b, res.Body)
	return answer{res.StatusCode, res.Header, b.String(), err}
}

// rawText writes a request whose Content-Length need not be that of its body.
func rawText(r request, body string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: registry\r\n", r.method, r.target)
	r.header.Write(&b)
	return b.String() + "\r\n" + body
}

// raw sends text and, with cut, closes its half of the connection.
func (c *caller) raw(server *httptest.Server, method, text string, cut bool) answer {
	c.t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		return answer{err: err}
	}
	if cut {
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			return answer{err: err}
		}
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return answer{err: err}
	}
	return readAnswer(res)
}
