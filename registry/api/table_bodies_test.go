package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// bodyRows are about bodies that break off, or stall.
func bodyRows() []row {
	return []row{
		{from: "design: uploads", name: "what came before the connection broke is kept", steps: steps{
			beginning,
			{"PATCH $U | Content-Length: 20", ten, "400 BODY_INCOMPLETE | Location: * | Range: 0-9", ""},
			{"GET $U", "", "204 | Range: 0-9", ""},
			{"PATCH $U | Content-Range: 10-19", more, "202 | Range: 0-19", ""},
			{"PUT $U&digest=" + sum(ten+more), "", "201", ""},
			{"GET $R/blobs/" + sum(ten+more), "", "200", ten + more},
		}},
		{from: "A3", name: "a client that never saw the answer to a broken PATCH asks by its old Location", steps: steps{
			beginning,
			{"PATCH $U | Content-Range: 0-19 | Content-Length: 20", ten, "400 BODY_INCOMPLETE", ""},
			{"GET $U1", "", "204 | Range: 0-9", ""},
			{"PATCH $U1 | Content-Range: 10-19", more, "202 | Range: 0-19", ""},
			{"PUT $U&digest=" + sum(ten+more), "", "201", ""},
		}},
		{from: "A23", name: "a connection broke and then the process was restarted", steps: steps{
			beginning,
			{"PATCH $U | Content-Length: 20", ten, "400 BODY_INCOMPLETE", ""},
			{"@new GET $U1", "", "204 | Range: 0-9", ""},
			{"@new PATCH $U1 | Content-Range: 10-19", more, "202 | Range: 0-19", ""},
			{"@new PUT $U&digest=" + sum(ten+more), "", "201", ""},
		}},
		{from: "design: uploads", name: "a connection that broke late in a large body", steps: steps{
			beginning,
			{"PATCH $U | Content-Length: " + fmt.Sprint(len(bigger)+1000), bigger, "400 BODY_INCOMPLETE", ""},
			{"GET $U1", "", "204 | Range: 0-" + fmt.Sprint(len(bigger)-1), ""},
			{"PATCH $U", ten, "202", ""},
			{"PUT $U&digest=" + sum(bigger+ten), "", "201", ""},
		}},
		{from: "design: uploads", name: "a connection that broke in the closing PUT", steps: steps{
			beginning,
			{"PUT $U&digest=" + sum(ten+more) + " | Content-Length: 20", ten, "400 BODY_INCOMPLETE | Range: 0-9", ""},
			{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
			{"PUT $U&digest=" + sum(ten+more) + " | Content-Range: 10-19", more, "201", ""},
			{"GET $R/blobs/" + sum(ten+more), "", "200", ten + more},
		}},
		{from: "design: uploads", name: "what came of a closing PUT is no blob, even where its digest is right", steps: steps{
			beginning,
			{"PUT $U&digest=" + sum(ten) + " | Content-Length: 20", ten, "400 BODY_INCOMPLETE", ""},
			{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
		}},
		{from: "A16", name: "a single POST that broke off leaves nothing", steps: steps{
			{"POST $R/blobs/uploads/?digest=" + sum(ten) + " | Content-Length: 20", ten, "400 BODY_INCOMPLETE", ""},
			{"POST $R/blobs/uploads/?digest=" + sum(bigger) + " | Content-Length: " + fmt.Sprint(len(bigger)+1), bigger, "400 BODY_INCOMPLETE", ""},
			{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
			{"HEAD $R/blobs/" + sum(bigger), "", "404", ""},
		}},
		{from: "A9", name: "a stream whose next chunk has no size", steps: steps{
			beginning,
			{"RAW", "PATCH $U HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\na\r\n" + ten + "\r\nzz\r\n", "400 | Range: 0-9", "~BODY_INCOMPLETE"},
			{"GET $U1", "", "204 | Range: 0-9", ""},
			{"PUT $U&digest=" + sum(ten), "", "201", ""},
		}},
		{from: "A9", name: "a stream that ends without its last chunk", steps: steps{
			beginning,
			{"CUT", "PATCH $U HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\na\r\n" + ten + "\r\n", "400 | Range: 0-9", "~BODY_INCOMPLETE"},
			{"GET $U1", "", "204 | Range: 0-9", ""},
		}},
		{from: "A9", name: "a stream in many chunks with extensions and a trailer", steps: steps{
			beginning,
			{"RAW", "PATCH $U HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n012\r\n7\r\n3456789\r\n0\r\nX-Sum: 1\r\n\r\n", "202 | Range: 0-9", ""},
			{"PUT $U&digest=" + sum(ten), "", "201", ""},
		}},
		{from: "A9", name: "HTTP/1.0", steps: steps{
			beginning,
			{"RAW", "PATCH $U HTTP/1.0\r\nContent-Length: 10\r\n\r\n" + ten, "202 | Range: 0-9", ""},
			{"PUT $U&digest=" + sum(ten), "", "201", ""},
		}},
		{from: "A10", name: "a client that waits for 100 Continue", steps: steps{
			beginning,
			{"PATCH $U | Expect: 100-continue", big, "202", ""},
			{"PUT $U&digest=" + sum(big), "", "201", ""},
		}},
		{from: "A29", name: "a client that waits for 100 Continue is refused before it sends", steps: steps{
			beginning,
			{"PATCH $U | Expect: 100-continue | Content-Range: 5-9999999999 | Transfer-Encoding: chunked", big, "416 RANGE_INVALID", ""},
			{"PUT $R/manifests/1 | Expect: 100-continue | Content-Type: $image", bigger, "413 MANIFEST_TOO_LARGE", ""},
		}},
		{from: "D53", name: "a manifest that broke off", steps: steps{
			has(small), has(layer),
			{"PUT $R/manifests/1 | Content-Type: $image | Content-Length: 9999", image(), "400 BODY_INCOMPLETE", ""},
			{"GET $R/manifests/1", "", "404 MANIFEST_UNKNOWN", ""},
			{"GET $R/manifests/" + sum(image()), "", "404 MANIFEST_UNKNOWN", ""},
		}},
		{from: "A24", name: "a body that stalls ends the request, and what came is kept", steps: steps{beginning}, run: func(c *caller) {
			c.stalled(step{"PATCH $U | Content-Length: 20", ten, "408 BODY_INCOMPLETE | Range: 0-9 | Connection: close", ""})
			c.all(steps{
				{"GET $U", "", "204 | Range: 0-9", ""},
				{"PATCH $U | Content-Range: 10-19", more, "202", ""},
				{"PUT $U&digest=" + sum(ten+more), "", "201", ""},
			})
		}},
		{from: "A24", name: "a large body that stalls", steps: steps{beginning}, run: func(c *caller) {
			c.stalled(step{"PATCH $U | Content-Length: 99999999", big, "408 BODY_INCOMPLETE | Range: 0-" + fmt.Sprint(len(big)-1), ""})
			c.all(steps{{"PATCH $U", more, "202", ""}, {"PUT $U&digest=" + sum(big+more), "", "201", ""}})
		}},
		{from: "A24", name: "a body of which nothing comes", steps: steps{beginning}, run: func(c *caller) {
			c.stalled(step{"PATCH $U | Content-Length: 20", "", "408 BODY_INCOMPLETE | Range: 0-0", ""})
			c.do(step{"PUT $U&digest=" + sum(ten), ten, "201", ""})
		}},
		{from: "A24", name: "a closing PUT that stalls", steps: steps{beginning}, run: func(c *caller) {
			c.stalled(step{"PUT $U&digest=" + sum(ten+more) + " | Content-Length: 20", ten, "408 BODY_INCOMPLETE | Range: 0-9", ""})
			c.do(step{"PUT $U&digest=" + sum(ten+more), more, "201", ""})
		}},
		{from: "A24", name: "a single POST that stalls", run: func(c *caller) {
			c.stalled(step{"POST $R/blobs/uploads/?digest=" + sum(ten) + " | Content-Length: 20", ten, "408 BODY_INCOMPLETE", ""})
			c.do(step{"HEAD $R/blobs/" + sum(ten), "", "404", ""})
		}},
		{from: "A24", name: "a manifest that stalls", run: func(c *caller) {
			c.stalled(step{"PUT $R/manifests/1 | Content-Type: $image | Content-Length: 999", ten, "408 BODY_INCOMPLETE", ""})
			c.do(step{"GET $R/manifests/1", "", "404 MANIFEST_UNKNOWN", ""})
		}},
	}
}

// stalled sends a step with a body that is shorter than its Content-Length, and then nothing, on a connection that
// stays open. It is sent to a process that lets a body stall for a moment only.
func (c *caller) stalled(s step) {
	c.t.Helper()
	c.sent++
	r := c.parse(s.send)
	hasty := *c.site
	hasty.options.api.IdleTimeout = 300 * time.Millisecond
	conn, err := net.Dial("tcp", hasty.serve().Listener.Addr().String())
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, rawText(r, s.body)); err != nil {
		c.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: r.method})
	if err != nil {
		c.check(s, answer{err: err})
		return
	}
	a := readAnswer(res)
	if res.Close {
		a.header.Set("Connection", "close") // net/http takes it out of the header
	}
	c.check(s, a)
	c.note(a)
}
