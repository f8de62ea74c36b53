package api_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// expiring gives the registry a clock that later moves.
func expiring(o *options) {
	o.clock = &clock{now: time.Now()}
	o.registry.Now = o.clock.Now
}

func later(c *caller, d time.Duration) {
	k := c.site.options.clock
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = k.now.Add(d)
}

// split takes a Location apart: before the value, and the value.
func split(location string) (before, value string) {
	i := strings.LastIndex(location, "=") + 1
	return location[:i], location[i:]
}

// refused says that the session at location is unknown, to every method.
func refused(location string) steps {
	return steps{
		{"GET " + location, "", "404 BLOB_UPLOAD_UNKNOWN", ""},
		{"PATCH " + location, more, "404 BLOB_UPLOAD_UNKNOWN", ""},
		{"PUT " + location + "&digest=" + sum(more), more, "404 BLOB_UPLOAD_UNKNOWN", ""},
		{"DELETE " + location, "", "404 BLOB_UPLOAD_UNKNOWN", ""},
	}
}

// valueRows are about the value in a Location: it is signed.
func valueRows() []row {
	begun := steps{beginning, {"PATCH $U", ten, "202", ""}}
	finished := steps{{"PUT $U2&digest=" + sum(ten), "", "201", ""}, {"GET $R/blobs/" + sum(ten), "", "200", ten}}
	forged := func(name string, forge func(before, value string) string) row {
		return row{from: "design: uploads", name: "a value that is " + name, steps: begun, run: func(c *caller) {
			c.all(refused(forge(split(c.upload))))
			c.all(finished)
		}}
	}
	return []row{
		forged("cut short", func(before, value string) string { return before + value[:len(value)-4] }),
		forged("longer", func(before, value string) string { return before + value + "AAAA" }),
		forged("empty", func(before, _ string) string { return before }),
		forged("missing", func(before, _ string) string { return strings.TrimSuffix(before, "?_state=") + "?x=1" }),
		forged("no base64", func(before, _ string) string { return before + "%2e%2e%2f%00" }),
		forged("signed by nobody", func(before, value string) string {
			b := decode(value)
			clear(b[len(b)-16:])
			return before + base64.RawURLEncoding.EncodeToString(b)
		}),
		forged("changed in one bit", func(before, value string) string {
			b := decode(value)
			b[len(b)/2] ^= 1
			return before + base64.RawURLEncoding.EncodeToString(b)
		}),
		forged("changed in its first byte", func(before, value string) string {
			b := decode(value)
			b[0]++
			return before + base64.RawURLEncoding.EncodeToString(b)
		}),
		forged("nothing but a signature", func(before, value string) string {
			b := decode(value)
			return before + base64.RawURLEncoding.EncodeToString(b[len(b)-16:])
		}),
		forged("zeros", func(before, _ string) string { return before + strings.Repeat("A", 120) }),
		{from: "design: uploads", name: "a value under another id", steps: append(begun[:2:2], beginning), run: func(c *caller) {
			before, _ := split(c.locations[3])
			_, value := split(c.locations[2])
			c.all(refused(before + value))
			c.all(finished)
		}},
		{from: "design: uploads", name: "a value in another repository", steps: begun, run: func(c *caller) {
			c.all(refused(strings.Replace(c.upload, c.name, c.name+"-b", 1)))
			c.all(finished)
			c.do(step{"HEAD $R-b/blobs/" + sum(more), "", "404", ""})
		}},
		{from: "design: uploads", name: "two values: the first counts", steps: begun, run: func(c *caller) {
			c.do(step{"GET $U&_state=x", "", "204 | Range: 0-9", ""})
			c.all(finished)
		}},
		{from: "A19", name: "other parameters of the Location are kept and not looked at", steps: append(begun[:2:2],
			step{"PUT $U&x=1&digest=" + sum(ten) + "&y=%26", "", "201", ""})},
		{from: "design: uploads", name: "a Location is short enough for every proxy", run: func(c *caller) {
			c.do(beginning)
			for _, chunk := range []string{ten, big, more, bigger} {
				c.do(step{"PATCH $U", chunk, "202", ""})
				if len(c.upload) > 2000 {
					c.t.Errorf("a Location of %d bytes", len(c.upload))
				}
			}
			c.do(step{"PUT $U&digest=" + sum(ten+big+more+bigger), "", "201", ""})
		}},
		{from: "design: uploads", name: "a Location may be sent with its value percent-encoded", steps: begun, run: func(c *caller) {
			before, value := split(c.upload)
			encoded := strings.NewReplacer("-", "%2D", "_", "%5f").Replace(value)
			c.do(step{"GET " + before + encoded, "", "204 | Range: 0-9", ""})
			c.all(finished)
		}},
		{from: "design: uploads", name: "a value replayed after the end can't change the blob", steps: steps{
			beginning,
			{"PATCH $U", big, "202", ""},
			{"PUT $U&digest=" + sum(big), "", "201", ""},
			{"PATCH $U2", ten, "~^(404|416)$", ""},
			{"PUT $U2&digest=" + sum(big+ten), ten, "~^(404|416)$", ""},
			{"GET $R/blobs/" + sum(big), "", "200", big},
		}},
	}
}

// decode takes apart a value that the registry made.
func decode(value string) []byte {
	b, _ := base64.RawURLEncoding.DecodeString(value) // one that is no base64 fails the row
	return b
}

// replicaRows are about sessions that several processes, or several requests, work on.
func replicaRows() []row {
	return []row{
		{from: "A22", name: "POST to one replica, PATCH to another, PUT to the first", steps: steps{
			{"POST $R/blobs/uploads/", "", "202", ""},
			{"@B PATCH $U", ten, "202 | Range: 0-9", ""},
			{"PUT $U&digest=" + sum(ten), "", "201", ""},
			{"@B GET $R/blobs/" + sum(ten), "", "200", ten},
		}},
		{from: "A22", name: "chunks to two replicas by turns", steps: steps{
			beginning,
			{"@B PATCH $U | Content-Range: 0-9", ten, "202 | Range: 0-9", ""},
			{"PATCH $U | Content-Range: 10-19", more, "202 | Range: 0-19", ""},
			{"@B PATCH $U | Content-Range: 20-29", ten, "202 | Range: 0-29", ""},
			{"GET $U", "", "204 | Range: 0-29", ""},
			{"@B PUT $U&digest=" + sum(ten+more+ten+more), more, "201", ""},
			{"GET $R/blobs/" + sum(ten+more+ten+more), "", "200", ten + more + ten + more},
		}},
		{from: "A22", name: "large chunks to two replicas by turns", steps: steps{
			beginning,
			{"@B PATCH $U", big, "202", ""},
			{"PATCH $U", bigger, "202", ""},
			{"@B PATCH $U", ten, "202", ""},
			{"PATCH $U", big, "202", ""},
			{"@B PUT $U&digest=" + sum(big+bigger+ten+big), "", "201", ""},
			{"GET $R/blobs/" + sum(big+bigger+ten+big), "", "200", big + bigger + ten + big},
		}},
		{from: "A22", name: "another replica refuses the chunk that is not next", steps: steps{
			beginning,
			{"PATCH $U | Content-Range: 0-9", ten, "202", ""},
			{"@B PATCH $U | Content-Range: 0-9", ten, "416 RANGE_INVALID | Range: 0-9", ""},
			{"@B PATCH $U | Content-Range: 20-29", ten, "416 RANGE_INVALID | Range: 0-9", ""},
			{"@B PUT $U&digest=" + sum(ten), "", "201", ""},
		}},
		{from: "A22", name: "cancel at one replica, for another that has not seen the session", steps: steps{
			{"@B POST $R/blobs/uploads/", "", "202", ""},
			{"@B DELETE $U", "", "204", ""},
			{"@new GET $U", "", "404 BLOB_UPLOAD_UNKNOWN", ""},
			{"@new PUT $U&digest=" + sum(ten), ten, "404 BLOB_UPLOAD_UNKNOWN", ""},
		}},
		{from: "A22", name: "the digest is wrong at one replica and right at the other", steps: steps{
			beginning,
			{"PATCH $U", ten, "202", ""},
			{"@B PUT $U2&digest=" + sum(more), "", "400 DIGEST_INVALID", ""},
			{"PUT $U2&digest=" + sum(ten), "", "201", ""},
		}},
		{from: "A22", name: "a large stream repeated at another replica mixes no bytes", steps: steps{
			beginning,
			{"PATCH $U", big, "202", ""},
			{"PATCH $U2", ten, "202", ""},
			{"PUT $U3&digest=" + sum(big+ten), "", "201", ""},
			{"@B PATCH $U2", more, "~^(202|404|416)$", ""},
			{"GET $R/blobs/" + sum(big+ten), "", "200", big + ten},
		}},
		{from: "A23", name: "a restart in the middle of an upload", steps: steps{
			beginning,
			{"PATCH $U | Content-Range: 0-9", ten, "202 | Range: 0-9", ""},
			{"@new GET $U", "", "204 | Range: 0-9", ""},
			{"@new PATCH $U | Content-Range: 10-19", more, "202 | Range: 0-19", ""},
			{"@new PUT $U&digest=" + sum(ten+more), "", "201", ""},
			{"@new GET $R/blobs/" + sum(ten+more), "", "200", ten + more},
		}},
		{from: "A23", name: "restarts in the middle of a large upload", steps: steps{
			beginning,
			{"PATCH $U", bigger, "202", ""},
			{"@new PATCH $U", big, "202", ""},
			{"@new PATCH $U", ten, "202", ""},
			{"@new PUT $U&digest=" + sum(bigger+big+ten), "", "201", ""},
			{"@new GET $R/blobs/" + sum(bigger+big+ten), "", "200", bigger + big + ten},
		}},
		{from: "A30", name: "two chunks at once: one is taken", alone: true, steps: steps{beginning}, run: func(c *caller) {
			first, finish := c.begin(step{"PATCH $U | Transfer-Encoding: chunked | Content-Range: 0-9", ten[:5], "", ""})
			c.do(step{"PATCH $U | Content-Range: 0-9", ten, "416 RANGE_INVALID", ""})
			finish(ten[5:])
			c.check(step{"PATCH $U", "", "202 | Range: 0-9", ""}, <-first)
			c.all(steps{{"GET $U", "", "204 | Range: 0-9", ""}})
			c.all(steps{{"PUT $U&digest=" + sum(ten), "", "201", ""}, {"GET $R/blobs/" + sum(ten), "", "200", ten}})
		}},
		{from: "A30", name: "twenty chunks at once: what is stored is one of them after the other", alone: true, steps: steps{beginning}, run: func(c *caller) {
			location := c.upload
			answers := c.atOnce(20, func(int) step { return step{"PATCH " + location + " | Content-Range: 0-9", ten, "", ""} })
			taken := 0
			for _, a := range answers {
				if a.status == http.StatusAccepted {
					taken++
				} else if a.status != http.StatusRequestedRangeNotSatisfiable {
					c.t.Errorf("got %s, want 202 or 416", a)
				}
			}
			if taken != 1 {
				c.t.Errorf("%d chunks were taken, want 1", taken)
			}
			c.all(steps{{"GET $U", "", "204 | Range: 0-9", ""}, {"PUT $U&digest=" + sum(ten), "", "201", ""}, {"GET $R/blobs/" + sum(ten), "", "200", ten}})
		}},
		{from: "A30", name: "two streams at once do not mix", steps: steps{beginning}, run: func(c *caller) {
			first, finishFirst := c.begin(step{"PATCH $U | Transfer-Encoding: chunked", ten[:5], "", ""})
			second, finishSecond := c.begin(step{"@B PATCH $U | Transfer-Encoding: chunked", more[:5], "", ""})
			finishFirst(ten[5:])
			finishSecond(more[5:])
			a, b := <-first, <-second
			c.check(step{"PATCH $U", "", "202 | Range: 0-9", ""}, a)
			c.check(step{"PATCH $U", "", "202 | Range: 0-9", ""}, b)
			// Either Location is that of the stream that it answered.
			c.do(step{"@new PUT " + a.header.Get("Location") + "&digest=" + sum(ten), "", "201", ""})
			c.do(step{"GET $R/blobs/" + sum(ten), "", "200", ten})
		}},
		{from: "A31", name: "twenty clients push the same blob at once", run: func(c *caller) {
			for _, a := range c.atOnce(20, func(int) step { return step{"POST $R/blobs/uploads/?digest=" + sum(big), big, "", ""} }) {
				c.check(step{"POST $R/blobs/uploads/", "", "201", ""}, a)
			}
			c.do(step{"GET $R/blobs/" + sum(big), "", "200", big})
		}},
		{from: "A31", name: "twenty clients push the same blob to repositories of their own at once", run: func(c *caller) {
			target := func(i int) string { return "$R/" + string(rune('a'+i)) }
			for _, a := range c.atOnce(20, func(i int) step {
				return step{"POST " + target(i) + "/blobs/uploads/?digest=" + sum(layer+c.name), layer + c.name, "", ""}
			}) {
				c.check(step{"POST $R/blobs/uploads/", "", "201", ""}, a)
			}
			for i := range 20 {
				c.do(step{"GET " + target(i) + "/blobs/" + sum(layer+c.name), "", "200", layer + c.name})
			}
		}},
		{from: "A31", name: "a blob is read by others while it is pushed once more", steps: steps{has(ten), beginning}, run: func(c *caller) {
			push, finish := c.begin(step{"PUT $U&digest=" + sum(ten) + " | Transfer-Encoding: chunked", ten[:5], "", ""})
			c.do(step{"GET $R/blobs/" + sum(ten), "", "200", ten})
			finish(ten[5:])
			c.check(step{"PUT $U", "", "201", ""}, <-push)
		}},
	}
}

// begin sends the first part of a body and returns when the server has begun to read it; finish sends the rest.
func (c *caller) begin(s step) (<-chan answer, func(rest string)) {
	c.t.Helper()
	c.sent++
	r := c.parse(s.send)
	r.header.Set("Expect", "100-continue")
	server := c.site.server(r.replica, c.sent)
	reader, writer := io.Pipe()
	result := make(chan answer, 1)
	go func() { result <- c.roundTrip(server, r, reader) }()
	// The client sends no byte of the body before the server's 100, which goes out when the server first reads: by then
	// the request has found its session.
	io.WriteString(writer, s.body)
	return result, func(rest string) {
		io.WriteString(writer, rest)
		writer.Close()
	}
}

// atOnce sends n steps that do not wait for one another.
func (c *caller) atOnce(n int, each func(int) step) []answer {
	c.t.Helper()
	answers := make([]answer, n)
	var wg sync.WaitGroup
	for i := range n {
		c.sent++
		s := each(i)
		r := c.parse(s.send)
		server := c.site.server(r.replica, c.sent)
		wg.Go(func() { answers[i] = c.roundTrip(server, r, strings.NewReader(s.body)) })
	}
	wg.Wait()
	return answers
}
