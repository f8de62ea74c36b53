package api_test

import (
	"strings"
	"time"
)

const empty = ""

// beginning is a POST that asks for a session.
var beginning = step{"POST $R/blobs/uploads/", "", "202 | Range: 0-0", nothing}

// sessionRows are about what a session says of itself.
func sessionRows() []row {
	return []row{
		{from: "spec: Pushing a blob in chunks", name: "POST gives a Location to go on with", steps: steps{
			{"POST $R/blobs/uploads/ | Content-Length: 0", "", `202 | Location: ~^/v2/$N/blobs/uploads/[0-9a-f-]{36}\?\S+$ | Content-Length: 0`, nothing},
		}},
		{from: "A7", name: "an empty session has the Range 0-0", steps: steps{
			beginning,
			{"GET $U", "", "204 | Range: 0-0", nothing},
			{"HEAD $U", "", "204 | Range: 0-0", nothing},
		}},
		{from: "A7", name: "one byte has the same Range as none, and the next one is still byte 1", steps: steps{
			beginning,
			{"PATCH $U | Content-Range: 0-0", "x", "202 | Range: 0-0", ""},
			{"PATCH $U | Content-Range: 0-0", "x", "416 RANGE_INVALID | Range: 0-0", ""},
			{"PATCH $U | Content-Range: 1-1", "y", "202 | Range: 0-1", ""},
			{"PUT $U&digest=" + sum("xy"), "", "201", ""},
		}},
		{from: "A8", name: "status of a session", steps: steps{
			beginning,
			{"PATCH $U | Content-Range: 0-9", ten, "202", ""},
			{"GET $U", "", "204 | Location: ~^/v2/$N/blobs/uploads/ | Range: 0-9 | Docker-Upload-UUID: ~^[0-9a-f-]{36}$", nothing},
			{"HEAD $U", "", "204 | Location: ~^/v2/$N/blobs/uploads/ | Range: 0-9 | Docker-Upload-UUID: ~^[0-9a-f-]{36}$", nothing},
		}},
		{from: "A8", name: "the Location of the status goes on as well as that of the PATCH", steps: steps{
			beginning,
			{"PATCH $U", ten, "202", ""},
			{"GET $U", "", "204 | Range: 0-9", ""},
			{"PATCH $U", more, "202 | Range: 0-19", ""},
			{"PUT $U&digest=" + sum(ten+more), "", "201", ""},
		}},
		{from: "A8", name: "status of an id that never was", steps: steps{
			{"GET $R/blobs/uploads/4ad34a2c-6b1b-4f67-b1c2-0123456789ab", "", "404 BLOB_UPLOAD_UNKNOWN", ""},
			{"HEAD $R/blobs/uploads/4ad34a2c-6b1b-4f67-b1c2-0123456789ab", "", "404", ""},
			{"PATCH $R/blobs/uploads/4ad34a2c-6b1b-4f67-b1c2-0123456789ab", ten, "404 BLOB_UPLOAD_UNKNOWN", ""},
			{"PUT $R/blobs/uploads/4ad34a2c-6b1b-4f67-b1c2-0123456789ab?digest=" + sum(ten), ten, "404 BLOB_UPLOAD_UNKNOWN", ""},
			{"DELETE $R/blobs/uploads/4ad34a2c-6b1b-4f67-b1c2-0123456789ab", "", "404 BLOB_UPLOAD_UNKNOWN", ""},
		}},
		{from: "spec: Pushing blobs", name: "all answers of a session name the same session", steps: steps{beginning}, run: func(c *caller) {
			id := c.do(step{"GET $U", "", "204", ""}).header.Get("Docker-Upload-UUID")
			c.do(step{"PATCH $U", ten, "202 | Docker-Upload-UUID: " + id, ""})
			c.do(step{"PATCH $U | Content-Range: 99-100", "xy", "416 RANGE_INVALID | Docker-Upload-UUID: " + id, ""})
			c.do(step{"GET $U", "", "204 | Docker-Upload-UUID: " + id, ""})
		}},
		{from: "A27", name: "cancel", steps: steps{
			beginning,
			{"PATCH $U", ten, "202", ""},
			{"DELETE $U | Content-Length: 0", "", "204", nothing},
			{"GET $U", "", "404 BLOB_UPLOAD_UNKNOWN", ""},
			{"PATCH $U | Content-Range: 10-19", more, "404 BLOB_UPLOAD_UNKNOWN", ""},
			{"PATCH $U", more, "404 BLOB_UPLOAD_UNKNOWN", ""},
			{"PUT $U&digest=" + sum(ten), "", "404 BLOB_UPLOAD_UNKNOWN", ""},
			{"DELETE $U", "", "404 BLOB_UPLOAD_UNKNOWN", ""},
			{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
		}},
		{from: "A27", name: "cancel before the first byte", steps: steps{
			beginning,
			{"DELETE $U", "", "204", nothing},
			{"GET $U", "", "404 BLOB_UPLOAD_UNKNOWN", ""},
			{"PUT $U&digest=" + sum(ten), ten, "404 BLOB_UPLOAD_UNKNOWN", ""},
			{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
		}},
		{from: "A27", name: "cancel by a Location that is not the newest", steps: steps{
			beginning,
			{"PATCH $U", ten, "202", ""},
			{"DELETE $U1", "", "204", nothing},
			{"GET $U2", "", "404 BLOB_UPLOAD_UNKNOWN", ""},
			{"PUT $U2&digest=" + sum(ten), "", "404 BLOB_UPLOAD_UNKNOWN", ""},
		}},
		{from: "A27", name: "cancel of what has outgrown its Location", steps: steps{
			beginning,
			{"PATCH $U", big, "202", ""},
			{"DELETE $U", "", "204", nothing},
			{"GET $U", "", "404 BLOB_UPLOAD_UNKNOWN", ""},
			{"PUT $U&digest=" + sum(big), "", "404 BLOB_UPLOAD_UNKNOWN", ""},
		}},
		{from: "A27", name: "cancel of one session leaves the others", steps: steps{
			beginning,
			{"POST $R/blobs/uploads/", "", "202", ""},
			{"DELETE $U1", "", "204", ""},
			{"PUT $U2&digest=" + sum(ten), ten, "201", ""},
		}},
		{from: "A27", name: "cancel works where deletion is switched off", with: func(o *options) { o.api.NoDelete = true }, steps: steps{
			beginning,
			{"DELETE $U", "", "204", ""},
			{"GET $U", "", "404 BLOB_UPLOAD_UNKNOWN", ""},
		}},
		{from: "spec: Pushing blobs", name: "a finished session is gone", alone: true, steps: steps{
			beginning,
			{"PATCH $U", ten, "202", ""},
			{"PUT $U&digest=" + sum(ten), "", "201", ""},
			{"GET $U2", "", "404 BLOB_UPLOAD_UNKNOWN", ""},
			{"PATCH $U2", more, "404 BLOB_UPLOAD_UNKNOWN", ""},
			{"DELETE $U2", "", "404 BLOB_UPLOAD_UNKNOWN", ""},
		}},
		{from: "A1", name: "a PUT whose answer was lost can be sent again", steps: steps{
			beginning,
			{"PATCH $U", ten, "202", ""},
			{"PUT $U&digest=" + sum(ten), "", "201 | Location: $R/blobs/" + sum(ten), ""},
			{"PUT $U2&digest=" + sum(ten), "", "201 | Location: $R/blobs/" + sum(ten), ""},
			{"GET $R/blobs/" + sum(ten), "", "200", ten},
		}},
		{from: "A1", name: "a finished session does not finish as another blob", alone: true, steps: steps{
			beginning,
			{"PUT $U&digest=" + sum(ten), ten, "201", ""},
			{"PUT $U&digest=" + sum(more), more, "404 BLOB_UPLOAD_UNKNOWN", ""},
			{"GET $R/blobs/" + sum(ten), "", "200", ten},
		}},
		{from: "design", name: "a session ends after its life", with: expiring, steps: steps{beginning, {"PATCH $U", ten, "202", ""}}, run: func(c *caller) {
			later(c, 23*time.Hour)
			c.all(steps{{"GET $U", "", "204", ""}, {"PATCH $U", more, "202 | Range: 0-19", ""}})
			later(c, 2*time.Hour)
			c.all(steps{
				{"GET $U", "", "404 BLOB_UPLOAD_UNKNOWN", "~expired"},
				{"PATCH $U", more, "404 BLOB_UPLOAD_UNKNOWN", ""},
				{"PUT $U&digest=" + sum(ten+more), "", "404 BLOB_UPLOAD_UNKNOWN", ""},
				{"DELETE $U", "", "404 BLOB_UPLOAD_UNKNOWN", ""},
				{"HEAD $R/blobs/" + sum(ten+more), "", "404", ""},
			})
		}},
		{from: "dev: OCI-Chunk-Min-Length", name: "announced where it is configured", with: func(o *options) { o.api.MinChunk = 5 << 20 }, steps: steps{
			{"POST $R/blobs/uploads/", "", "202 | OCI-Chunk-Min-Length: 5242880", ""},
			{"PATCH $U", ten, "202", ""},
			{"PUT $U&digest=" + sum(ten), "", "201", ""},
		}},
		{from: "dev: OCI-Chunk-Min-Length", name: "not announced otherwise", steps: steps{
			{"POST $R/blobs/uploads/", "", "202 | OCI-Chunk-Min-Length: -", ""},
		}},
	}
}

// chunkRows are about PATCH.
func chunkRows() []row {
	return []row{
		{from: "A1", name: "a first chunk that does not begin at 0", steps: steps{
			beginning,
			{"PATCH $U | Content-Range: 3-24", strings.Repeat("x", 22), "416 RANGE_INVALID | Location: ~^/v2/ | Range: 0-0", ""},
			{"GET $U", "", "204 | Range: 0-0", ""},
			{"PATCH $U | Content-Range: 0-9", ten, "202 | Range: 0-9", ""},
			{"PUT $U&digest=" + sum(ten), "", "201", ""},
			{"GET $R/blobs/" + sum(ten), "", "200", ten},
		}},
		{from: "A1", name: "a gap after the first chunk", steps: steps{
			beginning,
			{"PATCH $U | Content-Range: 0-9", ten, "202", ""},
			{"PATCH $U | Content-Range: 11-20", more, "416 RANGE_INVALID | Range: 0-9", ""},
			{"PATCH $U | Content-Range: 10-19", more, "202 | Range: 0-19", ""},
			{"PUT $U&digest=" + sum(ten+more), "", "201", ""},
		}},
		{from: "A3", name: "a chunk sent twice, then one that overlaps", steps: steps{
			beginning,
			{"PATCH $U | Content-Range: 0-9", ten, "202 | Range: 0-9", ""},
			{"PATCH $U | Content-Range: 0-9", ten, "416 RANGE_INVALID | Range: 0-9", ""},
			{"PATCH $U | Content-Range: 5-14", ten, "416 RANGE_INVALID | Range: 0-9", ""},
			{"PUT $U&digest=" + sum(ten), "", "201", ""},
			{"GET $R/blobs/" + sum(ten), "", "200 | Content-Length: 10", ten},
		}},
		{from: "A3", name: "a chunk sent twice to the Location that it was first sent to", alone: true, steps: steps{
			beginning,
			{"PATCH $U1 | Content-Range: 0-9", ten, "202 | Range: 0-9", ""},
			{"PATCH $U1 | Content-Range: 0-9", ten, "416 RANGE_INVALID | Location: * | Range: 0-9", ""},
			{"PATCH $U | Content-Range: 10-19", more, "202 | Range: 0-19", ""},
			{"PUT $U&digest=" + sum(ten+more), "", "201", ""},
		}},
		{from: "A3", name: "a stream sent twice to one Location is stored once", steps: steps{
			beginning,
			{"PATCH $U1", ten, "202 | Range: 0-9", ""},
			{"PATCH $U1", ten, "202 | Range: 0-9", ""},
			{"PUT $U&digest=" + sum(ten), "", "201", ""},
			{"GET $R/blobs/" + sum(ten), "", "200", ten},
		}},
		{from: "A4", name: "Range counts the blob, not the chunk", steps: steps{
			beginning,
			{"PATCH $U | Content-Range: 0-1048575", big[:1<<20], "202 | Range: 0-1048575", ""},
			{"PATCH $U | Content-Range: 1048576-2097151", big[1<<20 : 2<<20], "202 | Range: 0-2097151", ""},
			{"PUT $U&digest=" + sum(big[:2<<20]), "", "201", ""},
		}},
		{from: "A5", name: "three chunks, each with a status after it", steps: steps{
			beginning,
			{"PATCH $U | Content-Range: 0-9", ten, "202 | Range: 0-9", ""},
			{"GET $U", "", "204 | Range: 0-9", ""},
			{"PATCH $U | Content-Range: 10-19", more, "202 | Range: 0-19", ""},
			{"GET $U", "", "204 | Range: 0-19", ""},
			{"PATCH $U | Content-Range: 20-29", ten, "202 | Range: 0-29", ""},
			{"GET $U", "", "204 | Range: 0-29", ""},
			{"PUT $U&digest=" + sum(ten+more+ten), "", "201", ""},
			{"GET $R/blobs/" + sum(ten+more+ten), "", "200", ten + more + ten},
		}},
		{from: "A6", name: "Range in the answer has no unit", steps: steps{
			beginning,
			{"PATCH $U", ten, "202 | Range: 0-9", ""},
		}},
		{from: "A6", name: "Content-Range as RFC 9110 has it", steps: steps{
			beginning,
			{"PATCH $U | Content-Range: bytes 0-9/*", ten, "202 | Range: 0-9", ""},
			{"PATCH $U | Content-Range: bytes 10-19/20", more, "202 | Range: 0-19", ""},
			{"PUT $U&digest=" + sum(ten+more), "", "201", ""},
		}},
		{from: "A6", name: "Content-Range with the unit of a request", steps: steps{
			beginning,
			{"PATCH $U | Content-Range: bytes=0-9", ten, "202 | Range: 0-9", ""},
			{"PATCH $U | Content-Range: bytes=5-14", ten, "416 RANGE_INVALID | Range: 0-9", ""},
		}},
		{from: "A9", name: "a stream of unknown length without Content-Range", steps: steps{
			beginning,
			{"PATCH $U | Transfer-Encoding: chunked", ten, "202 | Range: 0-9", ""},
			{"PUT $U&digest=" + sum(ten), "", "201", ""},
			{"GET $R/blobs/" + sum(ten), "", "200", ten},
		}},
		{from: "A9", name: "a stream of unknown length with Content-Range", steps: steps{
			beginning,
			{"PATCH $U | Transfer-Encoding: chunked | Content-Range: 0-9", ten, "202 | Range: 0-9", ""},
			{"PUT $U&digest=" + sum(ten), "", "201", ""},
		}},
		{from: "A9", name: "a large stream of unknown length", steps: steps{
			beginning,
			{"PATCH $U | Transfer-Encoding: chunked", bigger, "202 | Range: ~^0-[0-9]{8}$", ""},
			{"PUT $U&digest=" + sum(bigger), "", "201", ""},
			{"GET $R/blobs/" + sum(bigger), "", "200", bigger},
		}},
		{from: "A9", name: "two streams, one after the other", steps: steps{
			beginning,
			{"PATCH $U | Transfer-Encoding: chunked", ten, "202 | Range: 0-9", ""},
			{"PATCH $U | Transfer-Encoding: chunked", more, "202 | Range: 0-19", ""},
			{"PUT $U&digest=" + sum(ten+more), "", "201", ""},
		}},
		{from: "A13", name: "Content-Range that ends before it begins", steps: malformedRange("5-2", "416 RANGE_INVALID")},
		{from: "A13", name: "Content-Range that is no range", steps: malformedRange("abc", "416 RANGE_INVALID")},
		{from: "A13", name: "Content-Range without a start", steps: malformedRange("-9", "416 RANGE_INVALID")},
		{from: "A13", name: "Content-Range without an end", steps: malformedRange("0-", "416 RANGE_INVALID")},
		{from: "A13", name: "Content-Range of two ranges", steps: malformedRange("0-4,5-9", "416 RANGE_INVALID")},
		{from: "A13", name: "Content-Range with a sign", steps: malformedRange("+0-+9", "416 RANGE_INVALID")},
		{from: "A13", name: "Content-Range with spaces", steps: malformedRange("0 - 9", "416 RANGE_INVALID")},
		{from: "A13", name: "Content-Range beyond 64 bits", steps: malformedRange("0-99999999999999999999", "416 RANGE_INVALID")},
		{from: "A13", name: "Content-Range that begins beyond 64 bits", steps: malformedRange("99999999999999999990-99999999999999999999", "416 RANGE_INVALID")},
		{from: "A13", name: "Content-Range in hex", steps: malformedRange("0x0-0x9", "416 RANGE_INVALID")},
		{from: "A13", name: "Content-Range of another unit", steps: malformedRange("items 0-9/10", "416 RANGE_INVALID")},
		{from: "A13", name: "Content-Range longer than the body", steps: malformedRange("0-9", "400 SIZE_INVALID")},
		{from: "A13", name: "Content-Range shorter than the body", steps: malformedRange("0-2", "400 SIZE_INVALID")},
		{from: "A13", name: "Content-Range longer than a body of unknown length", steps: steps{
			beginning,
			{"PATCH $U | Transfer-Encoding: chunked | Content-Range: 0-19", ten, "400 SIZE_INVALID | Range: 0-0", ""},
			{"GET $U", "", "204 | Range: 0-0", ""},
		}},
		{from: "A13", name: "Content-Range shorter than a body of unknown length", steps: steps{
			beginning,
			{"PATCH $U | Content-Range: 0-9", ten, "202", ""},
			{"PATCH $U | Transfer-Encoding: chunked | Content-Range: 10-12", more, "400 SIZE_INVALID | Range: 0-9", ""},
			{"GET $U", "", "204 | Range: 0-9", ""},
			{"PUT $U&digest=" + sum(ten), "", "201", ""},
		}},
		{from: "A13", name: "Content-Range that disagrees with a large body takes nothing back from before", steps: steps{
			beginning,
			{"PATCH $U | Content-Range: 0-9", ten, "202", ""},
			{"PATCH $U | Transfer-Encoding: chunked | Content-Range: 10-9999999", big, "400 SIZE_INVALID | Range: 0-9", ""},
			{"PUT $U&digest=" + sum(ten), "", "201", ""},
		}},
		{from: "A14", name: "a PATCH of no bytes", steps: steps{
			beginning,
			{"PATCH $U | Content-Length: 0", "", "202 | Range: 0-0", ""},
			{"PATCH $U", ten, "202 | Range: 0-9", ""},
			{"PATCH $U | Content-Length: 0", "", "202 | Range: 0-9", ""},
			{"PUT $U&digest=" + sum(ten), "", "201", ""},
		}},
		{from: "A14", name: "a PATCH of no bytes with a Content-Range", steps: steps{
			beginning,
			{"PATCH $U | Content-Range: 0-0 | Content-Length: 0", "", "202 | Range: 0-0", ""},
			{"PATCH $U | Content-Range: 0-9", ten, "202 | Range: 0-9", ""},
			{"PATCH $U | Content-Range: 10-9 | Content-Length: 0", "", "202 | Range: 0-9", ""},
			{"PUT $U&digest=" + sum(ten), "", "201", ""},
		}},
		{from: "A14", name: "a stream of no bytes", steps: steps{
			beginning,
			{"PATCH $U | Transfer-Encoding: chunked", "", "202 | Range: 0-0", ""},
			{"PATCH $U", ten, "202 | Range: 0-9", ""},
			{"PATCH $U | Transfer-Encoding: chunked", "", "202 | Range: 0-9", ""},
			{"PUT $U&digest=" + sum(ten), "", "201", ""},
		}},
		{from: "A14", name: "a PATCH of no bytes in the middle of a large upload", steps: steps{
			beginning,
			{"PATCH $U", big, "202", ""},
			{"PATCH $U | Content-Length: 0", "", "202", ""},
			{"PATCH $U", ten, "202", ""},
			{"PUT $U&digest=" + sum(big+ten), "", "201", ""},
			{"HEAD $R/blobs/" + sum(big+ten), "", "200", ""},
		}},
		{from: "A29", name: "there is no limit on one chunk", steps: steps{
			beginning,
			{"PATCH $U", bigger, "202", ""},
			{"PATCH $U", bigger, "202", ""},
			{"PUT $U&digest=" + sum(bigger+bigger), "", "201", ""},
			{"GET $R/blobs/" + sum(bigger+bigger), "", "200", bigger + bigger},
		}},
		{from: "spec: Pushing a blob in chunks", name: "large and small chunks by turns", steps: steps{
			beginning,
			{"PATCH $U", ten, "202 | Range: 0-9", ""},
			{"PATCH $U", big, "202", ""},
			{"PATCH $U", more, "202", ""},
			{"PATCH $U", big, "202", ""},
			{"PUT $U&digest=" + sum(ten+big+more+big+ten), ten, "201", ""},
			{"GET $R/blobs/" + sum(ten+big+more+big+ten), "", "200", ten + big + more + big + ten},
		}},
		{from: "spec: Pushing a blob in chunks", name: "many small chunks that are large together", steps: manyChunks()},
		{from: "A21", name: "a range goes on from where the upload stands, by an old Location too", alone: true, steps: steps{
			beginning,
			{"PATCH $U1 | Content-Range: 0-9", ten, "202 | Range: 0-9", ""},
			{"PATCH $U1 | Content-Range: 10-19", more, "202 | Range: 0-19", ""},
			{"PUT $U1&digest=" + sum(ten+more), "", "201", ""},
			{"GET $R/blobs/" + sum(ten+more), "", "200", ten + more},
		}},
		{from: "A21", name: "status by an old Location tells the newest", alone: true, steps: steps{
			beginning,
			{"PATCH $U", ten, "202", ""},
			{"GET $U1", "", "204 | Range: 0-9", ""},
		}},
		{from: "spec: Pushing a blob in chunks", name: "Content-Type of a chunk is not looked at", steps: steps{
			beginning,
			{"PATCH $U | Content-Type: application/octet-stream", ten, "202", ""},
			{"PATCH $U | Content-Type: text/html; charset=utf-8", more, "202 | Range: 0-19", ""},
			{"PATCH $U | Content-Type: not a type", ten, "202 | Range: 0-29", ""},
			{"PUT $U&digest=" + sum(ten+more+ten) + " | Content-Type: application/json", "", "201", ""},
		}},
	}
}

// malformedRange sends four bytes under a Content-Range that is not theirs, before and after a chunk.
func malformedRange(header, want string) steps {
	return steps{
		beginning,
		{"PATCH $U | Content-Range: " + header, "wxyz", want + " | Location: ~^/v2/ | Range: 0-0", ""},
		{"GET $U", "", "204 | Range: 0-0", ""},
		{"PUT $U&digest=" + sum("wxyz") + " | Content-Range: " + header, "wxyz", want + " | Range: 0-0", ""},
		{"HEAD $R/blobs/" + sum("wxyz"), "", "404", ""},
		{"PATCH $U | Content-Range: 0-9", ten, "202 | Range: 0-9", ""},
		{"PUT $U&digest=" + sum(ten), "", "201", ""},
	}
}

func manyChunks() steps {
	all := steps{beginning}
	const size = 700_000
	for at := 0; at < len(big); at += size {
		all = append(all, step{"PATCH $U", big[at:min(at+size, len(big))], "202", ""})
	}
	return append(all, step{"PUT $U&digest=" + sum(big), "", "201", ""}, step{"GET $R/blobs/" + sum(big), "", "200", big})
}
