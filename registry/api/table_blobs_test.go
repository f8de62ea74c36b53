package api_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/registry/api"
)

// blobRows are about GET and HEAD of blobs.
func blobRows() []row {
	blob := "GET $R/blobs/" + sum(ten)
	quoted := `"` + sum(ten) + `"`
	// ranged is a row of one Range header.
	ranged := func(name, header, want, gets string) row {
		return row{from: "C38", name: name, steps: steps{has(ten), {blob + " | Range: " + header, "", want, gets}, {blob, "", "200", ten}}}
	}
	// conditional is a row of GET and HEAD with conditions.
	conditional := func(name, headers, want string) row {
		return row{from: "C43", name: name, steps: steps{has(ten), {blob + headers, "", want, ""}, {"HEAD $R/blobs/" + sum(ten) + headers, "", strings.Fields(want)[0], ""}}}
	}
	return []row{
		{from: "spec: Pulling blobs", name: "a blob", steps: steps{
			has(ten),
			{blob, "", "200 | Content-Length: 10 | Content-Type: application/octet-stream | Accept-Ranges: bytes | Docker-Content-Digest: " + sum(ten) + " | ETag: " + quoted, ten},
		}},
		{from: "spec: Pulling blobs", name: "a large blob", steps: steps{
			has(bigger),
			{"GET $R/blobs/" + sum(bigger), "", "200 | Content-Length: " + fmt.Sprint(len(bigger)), bigger},
		}},
		{from: "spec: Pulling blobs", name: "a blob that is not there", steps: steps{
			{"GET $R/blobs/" + sum(absent), "", "404 BLOB_UNKNOWN", "~" + sum(absent)},
			{"HEAD $R/blobs/" + sum(absent), "", "404", nothing},
			{"GET $R/blobs/" + sum512(absent), "", "404 BLOB_UNKNOWN", ""},
		}},
		{from: "C46", name: "a blob that another repository has", steps: steps{
			hasAlso(ten),
			{blob, "", "404 BLOB_UNKNOWN", ""},
			{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
			{blob + " | Range: bytes=0-3", "", "404 BLOB_UNKNOWN", ""},
			{blob + " | If-None-Match: " + quoted, "", "404 BLOB_UNKNOWN", ""},
			{"DELETE $R/blobs/" + sum(ten), "", "404 BLOB_UNKNOWN", ""},
			{"GET $R-b/blobs/" + sum(ten), "", "200", ten},
		}},
		{from: "C46", name: "a blob that the repository above or below has", steps: steps{
			has(ten),
			{"GET $R/below/blobs/" + sum(ten), "", "404 BLOB_UNKNOWN", ""},
			{"GET /v2/row/blobs/" + sum(ten), "", "404 BLOB_UNKNOWN", ""},
		}},
		{from: "spec: Pulling blobs", name: "a manifest is no blob, and a blob no manifest", steps: then(pushed("1"),
			step{"GET $R/blobs/" + sum(image()), "", "404 BLOB_UNKNOWN", ""},
			step{"GET $R/manifests/" + sum(layer), "", "404 MANIFEST_UNKNOWN", ""},
		)},
		{from: "D50", name: "a blob's digest that is none", steps: steps{
			{"GET $R/blobs/" + badDigest, "", "400 DIGEST_INVALID", ""},
			{"HEAD $R/blobs/" + badDigest, "", "400", ""},
			{"GET $R/blobs/" + strings.ToUpper(sum(ten)), "", "400 DIGEST_INVALID", ""},
			{"GET $R/blobs/latest", "", "400 DIGEST_INVALID", ""},
			{"GET $R/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", "", "400 DIGEST_INVALID", ""},
			{"GET $R/blobs/sha256:..%2f..%2fformat", "", "400 DIGEST_INVALID", ""},
			{"DELETE $R/blobs/" + badDigest, "", "400 DIGEST_INVALID", ""},
		}},
		{from: "spec: Pulling blobs", name: "a query is not looked at", steps: steps{
			has(ten),
			{blob + "?ns=docker.io", "", "200", ten},
		}},

		ranged("the first bytes", "bytes=0-3", "206 | Content-Range: bytes 0-3/10 | Content-Length: 4 | Docker-Content-Digest: "+sum(ten), "0123"),
		ranged("from the middle on", "bytes=4-", "206 | Content-Range: bytes 4-9/10 | Content-Length: 6", "456789"),
		ranged("the last five", "bytes=-5", "206 | Content-Range: bytes 5-9/10", "56789"),
		ranged("one byte", "bytes=9-9", "206 | Content-Range: bytes 9-9/10 | Content-Length: 1", "9"),
		ranged("everything, as a range", "bytes=0-9", "206 | Content-Range: bytes 0-9/10", ten),
		ranged("an end past the end", "bytes=0-999999", "206 | Content-Range: bytes 0-9/10", ten),
		ranged("an end far past the end", "bytes=2-9223372036854775807", "206 | Content-Range: bytes 2-9/10", "23456789"),
		ranged("a suffix longer than all", "bytes=-9999", "206 | Content-Range: bytes 0-9/10", ten),
		ranged("a start at the end", "bytes=10-", "416 RANGE_INVALID | Content-Range: bytes */10", ""),
		ranged("a start past the end", "bytes=999-", "416 RANGE_INVALID | Content-Range: bytes */10", `~"size":10`),
		ranged("a range past the end", "bytes=10-20", "416 RANGE_INVALID | Content-Range: bytes */10", ""),
		ranged("a suffix of nothing", "bytes=-0", "416 RANGE_INVALID | Content-Range: bytes */10", ""),
		ranged("a range that ends before it begins", "bytes=5-2", "416 RANGE_INVALID | Content-Range: bytes */10", ""),
		ranged("words for numbers", "bytes=a-b", "416 RANGE_INVALID | Content-Range: bytes */10", ""),
		ranged("no number at all", "bytes=-", "416 RANGE_INVALID | Content-Range: bytes */10", ""),
		ranged("no range at all", "bytes=", "416 RANGE_INVALID | Content-Range: bytes */10", ""),
		ranged("signs", "bytes=+1-+3", "416 RANGE_INVALID | Content-Range: bytes */10", ""),
		ranged("beyond 64 bits", "bytes=99999999999999999999-", "416 RANGE_INVALID | Content-Range: bytes */10", ""),
		ranged("another unit", "items=0-3", "200 | Content-Range: -", ten),
		ranged("a unit in capitals", "Bytes=0-3", "206 | Content-Range: bytes 0-3/10", "0123"),
		ranged("no unit", "0-3", "200 | Content-Range: -", ten),
		ranged("two ranges", "bytes=0-0,4-5", "206 | Content-Type: ~^multipart/byteranges; boundary= | Content-Range: - | Content-Length: *",
			`~(?s)^--\w+\r\nContent-Range: bytes 0-0/10\r\n(Content-Type: application/octet-stream\r\n)?\r\n0\r\n--\w+\r\n(Content-Range: bytes 4-5/10|Content-Type: application/octet-stream)\r\n.*\r\n45\r\n--\w+--\r\n$`),
		ranged("two ranges, spaced, the later first", "bytes=8-9 , 0-1", "206 | Content-Type: ~^multipart/byteranges", `~(?s)\r\n89\r\n.*\r\n01\r\n`),
		ranged("two ranges, one of them past the end", "bytes=0-0,999-", "206 | Content-Range: bytes 0-0/10", "0"),
		ranged("two ranges, both past the end", "bytes=10-11,999-", "416 RANGE_INVALID | Content-Range: bytes */10", ""),
		ranged("two ranges, one of them malformed", "bytes=0-0,x", "416 RANGE_INVALID | Content-Range: bytes */10", ""),
		ranged("ranges that are more than everything", "bytes=0-9,0-9,0-9", "200 | Content-Range: -", ten),
		ranged("an empty element", "bytes=0-3,", "206 | Content-Range: bytes 0-3/10", "0123"),
		{from: "RFC 9110, 14.2", name: "a great many small ranges are answered with everything", steps: steps{
			has(bigger),
			{"GET $R/blobs/" + sum(bigger) + " | Range: bytes=" + smallRanges(17), "", "200 | Content-Range: -", bigger},
		}},
		{from: "RFC 9110, 14.2", name: "a few small ranges are answered with those", steps: steps{
			has(bigger),
			{"GET $R/blobs/" + sum(bigger) + " | Range: bytes=" + smallRanges(16), "", "206", `~Content-Range: bytes 150-150/`},
		}},
		{from: "C38", name: "HEAD knows no ranges", steps: steps{
			has(ten),
			{"HEAD $R/blobs/" + sum(ten) + " | Range: bytes=0-3", "", "200 | Content-Length: 10 | Content-Range: -", ""},
			{"HEAD $R/blobs/" + sum(ten) + " | Range: bytes=99-", "", "200 | Content-Length: 10 | Content-Range: -", ""},
		}},
		{from: "C38", name: "ranges of an empty blob", steps: steps{
			has(empty),
			{"GET $R/blobs/" + sum(empty) + " | Range: bytes=0-", "", "416 RANGE_INVALID | Content-Range: bytes */0", ""},
			{"GET $R/blobs/" + sum(empty) + " | Range: bytes=-1", "", "~^(200|416)$", ""},
		}},
		{from: "C38", name: "ranges of a large blob", steps: steps{
			has(bigger),
			{"GET $R/blobs/" + sum(bigger) + " | Range: bytes=5000000-9999999", "", "206 | Content-Length: 5000000", bigger[5000000:10000000]},
			{"GET $R/blobs/" + sum(bigger) + " | Range: bytes=-100", "", "206 | Content-Length: 100", bigger[len(bigger)-100:]},
			{"GET $R/blobs/" + sum(bigger) + " | Range: bytes=1-1,6000000-6000009,-2", "", "206", `~(?s)\r\no\r\n.*\r\n` + bigger[6000000:6000010] + `\r\n.*\r\n` + bigger[len(bigger)-2:]},
		}},
		{from: "C38", name: "a pull that goes on after a break", steps: steps{
			has(big),
			{"GET $R/blobs/" + sum(big) + " | Range: bytes=0-999999", "", "206", big[:1000000]},
			{"GET $R/blobs/" + sum(big) + ` | Range: bytes=1000000- | If-Range: "` + sum(big) + `"`, "", "206", big[1000000:]},
		}},

		conditional("If-None-Match with the ETag", " | If-None-Match: "+quoted, "304 | ETag: "+quoted+" | Docker-Content-Digest: "+sum(ten)+" | Cache-Control: *"),
		conditional("If-None-Match with a star", " | If-None-Match: *", "304"),
		conditional("If-None-Match with the weak ETag", " | If-None-Match: W/"+quoted, "304"),
		conditional("If-None-Match without quotes", " | If-None-Match: "+sum(ten), "304"),
		conditional("If-None-Match with a list", ` | If-None-Match: "x", `+quoted+`, "y"`, "304"),
		conditional("If-None-Match in several lines", ` | If-None-Match: "x" | If-None-Match: `+quoted, "304"),
		conditional("If-None-Match with another", ` | If-None-Match: "`+sum(more)+`"`, "200"),
		conditional("If-None-Match with a part of the ETag", ` | If-None-Match: "`+sum(ten)[:20]+`"`, "200"),
		conditional("If-None-Match that is empty", " | If-None-Match: ", "200"),
		conditional("If-Match with the ETag", " | If-Match: "+quoted, "200"),
		conditional("If-Match with a star", " | If-Match: *", "200"),
		conditional("If-Match with another", ` | If-Match: "x"`, "412 PRECONDITION_FAILED"),
		conditional("If-Match that fails comes before If-None-Match", ` | If-Match: "x" | If-None-Match: *`, "412 PRECONDITION_FAILED"),
		conditional("dates are not looked at", " | If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT | If-Unmodified-Since: Mon, 01 Jan 2001 00:00:00 GMT", "200 | Last-Modified: -"),
		conditional("If-None-Match comes before a range", " | If-None-Match: "+quoted+" | Range: bytes=0-3", "304"),
		{from: "C43", name: "If-Range with the ETag", steps: steps{has(ten), {blob + " | Range: bytes=0-3 | If-Range: " + quoted, "", "206", "0123"}}},
		{from: "C43", name: "If-Range with another ETag", steps: steps{has(ten), {blob + ` | Range: bytes=0-3 | If-Range: "x"`, "", "200 | Content-Range: -", ten}}},
		{from: "C43", name: "If-Range with the weak ETag", steps: steps{has(ten), {blob + " | Range: bytes=0-3 | If-Range: W/" + quoted, "", "200 | Content-Range: -", ten}}},
		{from: "C43", name: "If-Range with a date", steps: steps{has(ten), {blob + " | Range: bytes=0-3 | If-Range: Fri, 01 Jan 2100 00:00:00 GMT", "", "200 | Content-Range: -", ten}}},
		{from: "C43", name: "If-Range with another ETag and a range past the end", steps: steps{has(ten), {blob + ` | Range: bytes=99- | If-Range: "x"`, "", "200", ten}}},

		{from: "C44", name: "gzip is not applied", steps: steps{
			has(big),
			{"GET $R/blobs/" + sum(big) + " | Accept-Encoding: gzip", "", "200 | Content-Encoding: - | Content-Length: " + fmt.Sprint(len(big)) + " | Cache-Control: ~no-transform", big},
			{"GET $R/blobs/" + sum(big) + " | Accept-Encoding: x-gzip, br;q=1.0, identity;q=0", "", "200 | Content-Encoding: -", big},
		}},
		{from: "C44", name: "Accept is not looked at", steps: steps{
			has(ten),
			{blob + " | Accept: text/html", "", "200 | Content-Type: application/octet-stream", ten},
		}},
		{from: "C44", name: "no shared cache may keep a blob", steps: steps{
			has(ten),
			{blob, "", "200 | Cache-Control: ~private.*immutable", ten},
		}},
		{from: "I97", name: "a blob is not taken for a page", steps: steps{
			{"POST $R/blobs/uploads/?digest=" + sum("<html>"), "<html>", "201", ""},
			{"GET $R/blobs/" + sum("<html>"), "", "200 | Content-Type: application/octet-stream | X-Content-Type-Options: nosniff", "<html>"},
		}},
		{from: "C42", name: "no redirects unless they are configured", with: func(o *options) { o.wrap = signing }, steps: steps{
			has(big),
			{"GET $R/blobs/" + sum(big), "", "200 | Location: -", big},
		}},
		{from: "C41", name: "GET is sent to the store, HEAD never is", with: redirecting(asUsual), steps: steps{
			has(big),
			{"GET $R/blobs/" + sum(big), "", "307 | Location: ~^https://store\\.example/data/ | Cache-Control: no-store | Docker-Content-Digest: " + sum(big), nothing},
			{"HEAD $R/blobs/" + sum(big), "", "200 | Location: - | Content-Length: " + fmt.Sprint(len(big)), ""},
			{"GET $R/blobs/" + sum(big) + " | Range: bytes=0-3", "", "307", ""},
			{"GET $R/blobs/" + sum(big) + " | If-None-Match: *", "", "304 | Location: -", ""},
			{"GET $R/blobs/" + sum(absent), "", "404 BLOB_UNKNOWN", ""},
		}},
		{from: "C42", name: "small blobs are served directly", with: redirecting(asUsual), steps: steps{
			has(ten),
			{blob, "", "200", ten},
		}},
		{from: "C42", name: "the size from which blobs are redirected is configured", with: redirecting(func(o *redirect) { o.MinSize = 10 }), steps: steps{
			has(ten), has("123456789"),
			{blob, "", "307", ""},
			{"GET $R/blobs/" + sum("123456789"), "", "200", ""},
		}},
		{from: "C42", name: "manifests are never redirected", with: redirecting(func(o *redirect) { o.MinSize = 1 }), steps: then(pushed("1"),
			step{"GET $R/manifests/1", "", "200", image()})},
		{from: "C42", name: "only clients of the networks named are redirected", with: redirecting(func(o *redirect) {
			o.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		}), steps: steps{
			has(big),
			{"GET $R/blobs/" + sum(big), "", "200", big},
			{"GET $R/blobs/" + sum(big) + " | X-Forwarded-For: 10.1.2.3", "", "200", big},
			{"GET $R/blobs/" + sum(big) + " | Forwarded: for=10.1.2.3", "", "200", big},
		}},
		{from: "C42", name: "a proxy that is trusted says where a client is", with: func(o *options) {
			redirecting(func(o *redirect) { o.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })(o)
			o.api.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24")}
		}, steps: steps{
			has(big),
			{"GET $R/blobs/" + sum(big) + " | X-Forwarded-For: 10.1.2.3", "", "307", ""},
			{"GET $R/blobs/" + sum(big) + " | Forwarded: for=10.1.2.3", "", "307", ""},
			{"GET $R/blobs/" + sum(big) + " | Forwarded: for=\"10.1.2.3:4711\";proto=https, for=192.0.2.1", "", "307", ""},
			{"GET $R/blobs/" + sum(big) + " | X-Forwarded-For: 10.1.2.3, 203.0.113.9", "", "200", ""},
			{"GET $R/blobs/" + sum(big) + " | X-Forwarded-For: 203.0.113.9, 10.1.2.3", "", "307", ""},
			{"GET $R/blobs/" + sum(big), "", "200", ""},
		}},
		{from: "C41", name: "a store that signs nothing serves everything itself", with: func(o *options) {
			redirecting(asUsual)(o)
			o.wrap = plain
		}, steps: steps{
			has(big),
			{"GET $R/blobs/" + sum(big), "", "200", big},
		}},
	}
}

// smallRanges is a list of n ranges of one byte each.
func smallRanges(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%d-%d", 10*i, 10*i)
	}
	return strings.Join(all, ",")
}

type redirect = api.Redirect

func asUsual(*redirect) {}

// redirecting switches redirects on, with a signer in front of the store.
func redirecting(set func(*redirect)) func(*options) {
	return func(o *options) {
		o.wrap = signing
		o.api.Redirect.Enabled = true
		set(&o.api.Redirect)
	}
}

// wrapped is a driver with other extras.
type wrapped struct {
	drivers.Driver
	extras drivers.Extras
}

func (w wrapped) Extras() drivers.Extras { return w.extras }

// signing is a driver that signs URLs.
func signing(d drivers.Driver) drivers.Driver {
	e := drivers.ExtrasOf(d)
	e.Signer = signer{}
	return wrapped{d, e}
}

// plain is a driver that neither signs nor has files.
func plain(d drivers.Driver) drivers.Driver {
	e := drivers.ExtrasOf(d)
	e.Signer, e.Files = nil, nil
	return wrapped{d, e}
}

type signer struct{}

func (signer) SignURL(_ context.Context, key string, ttl time.Duration) (string, error) {
	return fmt.Sprintf("https://store.example/%s?life=%s", key, ttl), nil
}
