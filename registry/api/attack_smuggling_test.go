package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/registry/api"
)

// lastRequest makes the server close the connection, if it is taken for a request.
const lastRequest = "GET /livez HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n"

// talk sends text and lastRequest over one connection, and returns the statuses of all answers until the server closes it.
func (c *caller) talk(server *httptest.Server, text string) (statuses []int, all string) {
	c.t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, c.expand(text)+lastRequest); err != nil {
		c.t.Log(err) // it has answered and closed the connection already
	}
	b, err := io.ReadAll(conn)
	if err != nil {
		c.t.Logf("after %d bytes: %v", len(b), err) // a reset ends it as well
	}
	reader := bufio.NewReader(strings.NewReader(string(b)))
	for {
		res, err := http.ReadResponse(reader, nil)
		if err != nil {
			return statuses, string(b)
		}
		statuses = append(statuses, res.StatusCode)
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return statuses, string(b)
		}
	}
}

// behindServer is the API behind a server as longshore serve has it, whose clients can't be slow.
func behindServer(t *testing.T) (*caller, *httptest.Server) {
	s := newSite(t, one, options{open: openMemory, api: api.Options{IdleTimeout: 2 * time.Second}})
	server := httptest.NewUnstartedServer(s.servers[0].Config.Handler)
	server.Config.ReadHeaderTimeout, server.Config.IdleTimeout = 2*time.Second, 2*time.Second
	server.Start()
	t.Cleanup(server.Close)
	return s.caller(t), server
}

// TestAttackSmuggling sends requests of which a proxy in front may think that they end elsewhere. Hidden in the body is a second request, whose
// answer would be the next client's: it must never be answered.
func TestAttackSmuggling(t *testing.T) {
	c, server := behindServer(t)
	const hidden = "GET /v2/smuggled/manifests/1 HTTP/1.1\r\nHost: r\r\n\r\n"
	post := func(headers, body string) string {
		return "POST $R/blobs/uploads/?digest=" + sum(ten) + " HTTP/1.1\r\nHost: r\r\nX-Forwarded-For: 192.0.2.1\r\n" + headers + "\r\n" + body
	}
	chunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)
	length := fmt.Sprintf("Content-Length: %d\r\n", len("0\r\n\r\n"+hidden))
	for name, text := range map[string]string{
		"both lengths, chunked last":          post(length+"Transfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden),
		"both lengths, chunked first":         post("Transfer-Encoding: chunked\r\n"+length, "0\r\n\r\n"+hidden),
		"both lengths, the chunks are longer": post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", chunk),
		"an encoding that is none":            post(length+"Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"+hidden),
		"chunked and identity":                post(length+"Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"+hidden),
		"identity":                            post(length+"Transfer-Encoding: identity\r\n", "0\r\n\r\n"+hidden),
		"chunked twice":                       post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden),
		"chunked and another line":            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", "0\r\n\r\n"+hidden),
		"a space before the colon":            post(length+"Transfer-Encoding : chunked\r\n", "0\r\n\r\n"+hidden),
		"a tab in the value":                  post(length+"Transfer-Encoding:\tchunked\r\n", "0\r\n\r\n"+hidden),
		"a vertical tab in the value":         post(length+"Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"+hidden),
		"a quoted encoding":                   post(length+"Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"+hidden),
		"a folded line":                       post(length+"Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"+hidden),
		"a folded length":                     post("Content-Length: 5\r\n 0\r\n", "0\r\n\r\n"+hidden),
		"a zero byte in the name":             post("Content-Length\x00: 99\r\n", hidden),
		"a bare CR":                           post("X: y\rContent-Length: 99\r\n", hidden),
		"lengths that differ":                 post("Content-Length: 0\r\nContent-Length: 99\r\n", hidden),
		"lengths in one line":                 post("Content-Length: 0, 99\r\n", hidden),
		"a length with a sign":                post("Content-Length: +0\r\n", hidden),
		"a length in hex":                     post("Content-Length: 0x0\r\n", hidden),
		"a length with a space in it":         post("Content-Length: 1 0\r\n", hidden),
		"a length that overflows":             post("Content-Length: 18446744073709551616\r\n", hidden),
		"an empty length":                     post("Content-Length:\r\n", hidden),
		"a chunk's size that overflows":       post("Transfer-Encoding: chunked\r\n", "10000000000000000\r\n"+hidden),
		"a chunk's size with a sign":          post("Transfer-Encoding: chunked\r\n", "-1\r\n\r\n"+hidden),
		"a chunk's size in 0x":                post("Transfer-Encoding: chunked\r\n", "0x0\r\n\r\n"+hidden),
		"a chunk longer than its size":        post("Transfer-Encoding: chunked\r\n", "1\r\nab\r\n0\r\n\r\n"+hidden),
		"a chunk without its line end":        post("Transfer-Encoding: chunked\r\n", "1\r\na0\r\n\r\n"+hidden),
		"a trailer that is a length":          post("Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n", "0\r\nContent-Length: 99\r\n\r\n"+hidden),
		"HTTP/1.0 with chunks":                strings.Replace(post("Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n", "0\r\n\r\n"+hidden), "HTTP/1.1", "HTTP/1.0", 1),
		"HTTP/0.9":                            "GET $R/tags/list\r\n" + hidden,
		"another version":                     "GET $R/tags/list HTTP/1.2\r\nHost: r\r\nContent-Length: 99\r\n\r\n" + hidden,
		"a line before the request":           "\r\n\r\n" + post("Content-Length: 99\r\n", hidden),
		"a header before the request":         "X: y\r\n" + post("Content-Length: 0\r\n", hidden),
		"a space before the first header":     "GET /nowhere HTTP/1.1\r\n X: y\r\nHost: r\r\nContent-Length: 99\r\n\r\n" + hidden,
		"HTTP/2's preface":                    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hidden,
		"an upgrade":                          "GET $R/tags/none HTTP/1.1\r\nHost: r\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nContent-Length: 99\r\n\r\n" + hidden,
	} {
		t.Run(name, func(t *testing.T) {
			statuses, all := c.in(t).talk(server, text)
			if strings.Contains(all, "smuggled") || len(statuses) == 0 || len(statuses) > 1 && statuses[len(statuses)-1] < 400 {
				t.Errorf("the hidden request is answered: %d\n%s", statuses, all)
			}
			if slices.ContainsFunc(statuses, func(status int) bool { return status/100 == 5 && status != http.StatusNotImplemented }) {
				t.Errorf("got %d", statuses)
			}
		})
	}
}

// in is the caller for a test within.
func (c *caller) in(t *testing.T) *caller {
	inner := *c
	inner.t = t
	return &inner
}

// Without a proxy nobody shares the connection, and clients that stream go on using it.
func TestChunksWithoutAProxyKeepTheConnection(t *testing.T) {
	c, server := behindServer(t)
	const put = "POST $R/blobs/uploads/?digest=%s HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\na\r\n%s\r\n0\r\n\r\n"
	statuses, all := c.talk(server, fmt.Sprintf(put, sum(ten), ten)+fmt.Sprintf(put, sum(more), more))
	if !slices.Equal(statuses, []int{201, 201, 200}) {
		t.Errorf("got %d\n%s", statuses, all)
	}
}
