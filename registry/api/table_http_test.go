package api_test

import "strings"

// httpRows are about HTTP as such, and the proxies on the way.
func httpRows() []row {
	const proxied = " | X-Forwarded-Proto: https | X-Forwarded-Host: evil.example | X-Forwarded-Port: 8443 | X-Forwarded-Prefix: /x | Forwarded: proto=https;host=evil.example"
	return []row{
		{from: "I96", name: "Locations are relative, whatever headers say", steps: steps{
			{"POST $R/blobs/uploads/" + proxied, "", "202 | Location: ~^/v2/$N/blobs/uploads/", ""},
			{"PATCH $U" + proxied, ten, "202 | Location: ~^/v2/$N/blobs/uploads/", ""},
			{"GET $U" + proxied, "", "204 | Location: ~^/v2/$N/blobs/uploads/", ""},
			{"PUT $U&digest=" + sum(ten) + proxied, "", "201 | Location: $R/blobs/" + sum(ten), ""},
		}},
		{from: "I97", name: "Locations are relative, whatever Host says", steps: steps{
			{"POST $R/blobs/uploads/ | Host: evil.example:1234", "", "202 | Location: ~^/v2/", ""},
			{"POST $R/blobs/uploads/ | Host: [::1]:5000", "", "202 | Location: ~^/v2/", ""},
			{"POST $R/blobs/uploads/?digest=" + sum(ten) + " | Host: evil.example", ten, "201 | Location: $R/blobs/" + sum(ten), ""},
		}},
		{from: "I96", name: "Locations are absolute where the registry's URL is configured", with: public, steps: steps{
			{"POST $R/blobs/uploads/ | Host: evil.example" + proxied, "", "202 | Location: ~^https://registry\\.example/v2/$N/blobs/uploads/", ""},
			{"PATCH $U", small, "202 | Location: ~^https://registry\\.example/v2/", ""},
			{"PUT $U&digest=" + sum(small), "", "201 | Location: https://registry.example$R/blobs/" + sum(small), ""},
			{"PUT $R/manifests/1 | Content-Type: $image", imageOf(""), "201 | Location: https://registry.example$R/manifests/" + sum(imageOf("")), ""},
			{"POST $R-b/blobs/uploads/?mount=" + sum(small) + "&from=$N", "", "201 | Location: https://registry.example$R-b/blobs/" + sum(small), ""},
		}},
		{from: "I96", name: "the registry's URL may have a path", with: func(o *options) { o.api.PublicURL = "https://example.com/registry" }, steps: steps{
			{"POST $R/blobs/uploads/?digest=" + sum(ten), ten, "201 | Location: https://example.com/registry$R/blobs/" + sum(ten), ""},
		}},
		{from: "I100", name: "an error says what it is about", steps: steps{
			{"GET $R/manifests/1", "", "404 MANIFEST_UNKNOWN", `~^\{"errors":\[\{"code":"MANIFEST_UNKNOWN","message":"[a-z][^"]*","detail":\{"name":"$N","reference":"1"\}\}\]\}$`},
			{"GET $R/blobs/" + sum(absent), "", "404 BLOB_UNKNOWN", `~"detail":\{"digest":"` + sum(absent) + `"\}`},
			{"GET /v2/A/tags/list", "", "400 NAME_INVALID", `~"detail":\{"name":"A"\}`},
			{"GET $R/blobs/" + badDigest, "", "400 DIGEST_INVALID", `~"detail":\{"digest":"` + badDigest + `"\}`},
		}},
		{from: "I100", name: "what a client sent is no markup in an error", steps: steps{
			{"GET /v2/%3Cscript%3E/tags/list", "", "400 NAME_INVALID | Content-Type: application/json | X-Content-Type-Options: nosniff", "~^[^<>]*$"},
			{"GET $R/manifests/%3Cb%3E", "", "400 TAG_INVALID", "~^[^<>]*$"},
		}},
		{from: "I104", name: "errors of HEAD have the length of their body and no body", steps: steps{
			{"HEAD $R/manifests/1", "", "404 | Content-Length: * | Content-Type: application/json", nothing},
			{"HEAD $R/blobs/" + sum(absent), "", "404 | Content-Length: * | Content-Type: application/json", nothing},
			{"HEAD /nowhere", "", "404 | Content-Length: *", nothing},
			{"HEAD $R/blobs/uploads/x", "", "404 | Content-Length: *", nothing},
		}},
		{from: "I104", name: "HEAD is not compressed", steps: steps{
			has(big),
			{"HEAD $R/blobs/" + sum(big) + " | Accept-Encoding: gzip", "", "200 | Content-Encoding: - | Content-Length: *", nothing},
		}},
		{from: "I100", name: "the headers of content are not those of an error", steps: steps{
			has(ten),
			{"GET $R/blobs/" + sum(ten) + " | Range: bytes=99-", "", "416 RANGE_INVALID | ETag: - | Cache-Control: -", ""},
			{"GET $R/blobs/" + sum(ten) + ` | If-Match: "x"`, "", "412 PRECONDITION_FAILED | ETag: - | Cache-Control: -", ""},
		}},
		{from: "clients: curl", name: "a body with a request that has none is not looked at", steps: steps{
			has(ten),
			{"GET $R/blobs/" + sum(ten), "some words", "200", ten},
			{"DELETE $R/blobs/" + sum(ten), "some words", "202", ""},
		}},
		{from: "RFC 9112", name: "a request for an absolute URL", steps: steps{
			has(ten),
			{"RAW", "GET http://registry.example$R/blobs/" + sum(ten) + " HTTP/1.1\r\nHost: registry.example\r\n\r\n", "200", ten},
		}},
		{from: "RFC 9112", name: "two requests on one connection, sent at once", steps: steps{
			{"RAW", "GET /v2/ HTTP/1.1\r\nHost: r\r\n\r\nGET $R/tags/list HTTP/1.1\r\nHost: r\r\n\r\n", "200", "{}"},
		}},
		{from: "RFC 9112", name: "a path that is no path", steps: steps{
			{"RAW", "GET /v2/%zz/tags/list HTTP/1.1\r\nHost: r\r\n\r\n", "400", ""},
			{"RAW", "GET v2/ HTTP/1.1\r\nHost: r\r\n\r\n", "400", ""},
			{"RAW", "GET  HTTP/1.1\r\nHost: r\r\n\r\n", "400", ""},
			{"GET /v2/", "", "200", ""},
		}},
		{from: "RFC 9112", name: "a request without Host", steps: steps{
			{"RAW", "GET /v2/ HTTP/1.1\r\n\r\n", "400", ""},
			{"RAW", "GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400", ""},
		}},
		{from: "RFC 9112", name: "two lengths", steps: steps{
			beginning,
			{"RAW", "PATCH $U HTTP/1.1\r\nHost: r\r\nContent-Length: 10\r\nContent-Length: 20\r\n\r\n" + ten, "400", ""},
			{"RAW", "PATCH $U HTTP/1.1\r\nHost: r\r\nContent-Length: -1\r\n\r\n" + ten, "400", ""},
			{"RAW", "PATCH $U HTTP/1.1\r\nHost: r\r\nContent-Length: ten\r\n\r\n" + ten, "400", ""},
			{"RAW", "PATCH $U HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: gzip\r\n\r\n" + ten, "501", ""},
			{"GET $U", "", "204 | Range: 0-0", ""},
		}},
		{from: "RFC 9112", name: "a header of a megabyte and more", steps: steps{
			{"RAW", "GET /v2/ HTTP/1.1\r\nHost: r\r\nX-A: " + strings.Repeat("a", 1<<20+8<<10) + "\r\n\r\n", "431", ""},
		}},
		{from: "RFC 9112", name: "a header of a hundred kilobytes", steps: steps{
			{"GET /v2/ | X-A: " + strings.Repeat("a", 100<<10), "", "200", ""},
		}},
		{from: "RFC 9110, 9.3.2", name: "a client that closes its half of the connection gets no answer that looks whole and is not", steps: steps{
			beginning,
			{"CUT", "PUT $R/manifests/1 HTTP/1.1\r\nHost: r\r\nContent-Length: 99\r\nContent-Type: $image\r\n\r\n{", "400", "~BODY_INCOMPLETE"},
			{"CUT", "PUT $U&digest=" + sum(ten) + " HTTP/1.1\r\nHost: r\r\nContent-Length: 99\r\n\r\n" + ten, "400", "~BODY_INCOMPLETE"},
			{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
		}},
		{from: "H95", name: "a query that is no query", steps: steps{
			{"RAW", "POST $R/blobs/uploads/?%zz HTTP/1.1\r\nHost: r\r\n\r\n", "202", ""},
			{"RAW", "GET $R/tags/list?n=1;last=a HTTP/1.1\r\nHost: r\r\n\r\n", "404", "~NAME_UNKNOWN"},
		}},
		{from: "clients: all", name: "methods in small letters are others", steps: steps{
			{"RAW", "get /v2/ HTTP/1.1\r\nHost: r\r\n\r\n", "405", "~UNSUPPORTED"},
		}},
	}
}
