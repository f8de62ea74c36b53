package api_test

import (
	"strings"
)

const badDigest = "sha256:0123"

// finishRows are about the PUT that closes a session, and the POST that needs none.
func finishRows() []row {
	return []row{
		{from: "spec: POST then PUT", name: "the closing PUT has the only body", steps: steps{
			beginning,
			{"PUT $U&digest=" + sum(ten) + " | Content-Type: application/octet-stream", ten, "201 | Location: $R/blobs/" + sum(ten) + " | Docker-Content-Digest: " + sum(ten), nothing},
			{"GET $R/blobs/" + sum(ten), "", "200 | Content-Length: 10", ten},
		}},
		{from: "A10", name: "the closing PUT has the only body, of unknown length", steps: steps{
			beginning,
			{"PUT $U&digest=" + sum(ten) + " | Transfer-Encoding: chunked", ten, "201", ""},
			{"GET $R/blobs/" + sum(ten), "", "200", ten},
		}},
		{from: "A10", name: "the closing PUT has the only body, a large one", steps: steps{
			beginning,
			{"PUT $U&digest=" + sum(bigger), bigger, "201", ""},
			{"GET $R/blobs/" + sum(bigger), "", "200", bigger},
		}},
		{from: "A10", name: "the closing PUT has the only body, with its Content-Range", steps: steps{
			beginning,
			{"PUT $U&digest=" + sum(ten) + " | Content-Range: 0-9", ten, "201", ""},
		}},
		{from: "A11", name: "the closing PUT has the last chunk", steps: steps{
			beginning,
			{"PATCH $U | Content-Range: 0-9", ten, "202", ""},
			{"PUT $U&digest=" + sum(ten+"lorem") + " | Content-Range: 10-14", "lorem", "201", ""},
			{"GET $R/blobs/" + sum(ten+"lorem"), "", "200", ten + "lorem"},
		}},
		{from: "A11", name: "the closing PUT has the last chunk without a range", steps: steps{
			beginning,
			{"PATCH $U", ten, "202", ""},
			{"PUT $U&digest=" + sum(ten+"lorem"), "lorem", "201", ""},
			{"GET $R/blobs/" + sum(ten+"lorem"), "", "200", ten + "lorem"},
		}},
		{from: "A11", name: "the closing PUT has a chunk that is not the next", steps: steps{
			beginning,
			{"PATCH $U", ten, "202", ""},
			{"PUT $U&digest=" + sum(ten+"lorem") + " | Content-Range: 11-15", "lorem", "416 RANGE_INVALID | Range: 0-9", ""},
			{"PUT $U&digest=" + sum(ten+"lorem") + " | Content-Range: 9-13", "lorem", "416 RANGE_INVALID | Range: 0-9", ""},
			{"PUT $U&digest=" + sum(ten+"lorem") + " | Content-Range: 10-14", "lorem", "201", ""},
		}},
		{from: "A11", name: "the closing PUT has a large last chunk", steps: steps{
			beginning,
			{"PATCH $U", big, "202", ""},
			{"PUT $U&digest=" + sum(big+bigger) + " | Transfer-Encoding: chunked", bigger, "201", ""},
			{"GET $R/blobs/" + sum(big+bigger), "", "200", big + bigger},
		}},
		{from: "A15", name: "an empty blob by POST and PUT", steps: steps{
			beginning,
			{"PUT $U&digest=" + sum(empty) + " | Content-Length: 0", "", "201 | Docker-Content-Digest: " + sum(empty), ""},
			{"HEAD $R/blobs/" + sum(empty), "", "200 | Content-Length: 0", nothing},
			{"GET $R/blobs/" + sum(empty), "", "200 | Content-Length: 0", nothing},
		}},
		{from: "A15", name: "an empty blob by POST", steps: steps{
			{"POST $R/blobs/uploads/?digest=" + sum(empty) + " | Content-Length: 0", "", "201 | Location: $R/blobs/" + sum(empty), ""},
			{"GET $R/blobs/" + sum(empty), "", "200 | Content-Length: 0", nothing},
		}},
		{from: "A15", name: "an empty blob by POST, PATCH and PUT", steps: steps{
			beginning,
			{"PATCH $U | Transfer-Encoding: chunked", "", "202", ""},
			{"PUT $U&digest=" + sum(empty), "", "201", ""},
			{"GET $R/blobs/" + sum(empty), "", "200", nothing},
		}},
		{from: "A15", name: "an empty blob by sha512", steps: steps{
			{"POST $R/blobs/uploads/?digest=" + sum512(empty), "", "201 | Docker-Content-Digest: " + sum512(empty), ""},
			{"GET $R/blobs/" + sum512(empty), "", "200", nothing},
		}},
		{from: "A16", name: "a single POST", steps: steps{
			{"POST $R/blobs/uploads/?digest=" + sum(ten), ten, "201 | Location: $R/blobs/" + sum(ten) + " | Docker-Content-Digest: " + sum(ten), nothing},
			{"GET $R/blobs/" + sum(ten), "", "200", ten},
		}},
		{from: "A16", name: "a single POST of unknown length", steps: steps{
			{"POST $R/blobs/uploads/?digest=" + sum(ten) + " | Transfer-Encoding: chunked", ten, "201", ""},
			{"GET $R/blobs/" + sum(ten), "", "200", ten},
		}},
		{from: "A16", name: "a single POST of a large blob", steps: steps{
			{"POST $R/blobs/uploads/?digest=" + sum(bigger), bigger, "201", ""},
			{"GET $R/blobs/" + sum(bigger), "", "200", bigger},
		}},
		{from: "A16", name: "a single POST without the slash", steps: steps{
			{"POST $R/blobs/uploads?digest=" + sum(ten), ten, "201", ""},
			{"HEAD $R/blobs/" + sum(ten), "", "200", ""},
		}},
		{from: "A16", name: "a POST with a digest and no body begins a session", steps: steps{
			{"POST $R/blobs/uploads/?digest=" + sum(ten), "", "202 | Range: 0-0", ""},
			{"PUT $U&digest=" + sum(ten), ten, "201", ""},
		}},
		{from: "A16", name: "a single POST whose body is another", steps: steps{
			{"POST $R/blobs/uploads/?digest=" + sum(ten), more, "400 DIGEST_INVALID", "~" + sum(more)},
			{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
			{"HEAD $R/blobs/" + sum(more), "", "404", ""},
		}},
		{from: "A16", name: "a single POST of a large blob whose body is another", steps: steps{
			{"POST $R/blobs/uploads/?digest=" + sum(ten), bigger, "400 DIGEST_INVALID", ""},
			{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
			{"HEAD $R/blobs/" + sum(bigger), "", "404", ""},
		}},
		{from: "A16", name: "a single POST with a digest that is none", steps: badDigests("POST $R/blobs/uploads/?")},
		{from: "A17", name: "pushing what is there already", steps: steps{
			has(ten), has(ten),
			beginning,
			{"PATCH $U", ten, "202", ""},
			{"PUT $U&digest=" + sum(ten), "", "201", ""},
			{"GET $R/blobs/" + sum(ten), "", "200", ten},
		}},
		{from: "A17", name: "pushing to one repository what another has", steps: steps{
			hasAlso(ten),
			{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
			has(ten),
			{"GET $R/blobs/" + sum(ten), "", "200", ten},
			{"GET $R-b/blobs/" + sum(ten), "", "200", ten},
		}},
		{from: "A18", name: "a wrong digest keeps the session", steps: steps{
			beginning,
			{"PATCH $U", ten, "202", ""},
			{"PUT $U&digest=" + sum(more), "", "400 DIGEST_INVALID | Location: *", "~" + sum(ten)},
			{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
			{"HEAD $R/blobs/" + sum(more), "", "404", ""},
			{"GET $U", "", "204 | Range: 0-9", ""},
			{"PUT $U&digest=" + sum(ten), "", "201", ""},
			{"GET $R/blobs/" + sum(ten), "", "200", ten},
		}},
		{from: "A18", name: "a wrong digest of a body in the PUT takes that body back", steps: steps{
			beginning,
			{"PATCH $U", ten, "202", ""},
			{"PUT $U&digest=" + sum(ten), more, "400 DIGEST_INVALID", ""},
			{"GET $U", "", "204 | Range: 0-9", ""},
			{"PUT $U&digest=" + sum(ten+more), more, "201", ""},
		}},
		{from: "A18", name: "a wrong digest of a large upload", steps: steps{
			beginning,
			{"PATCH $U", bigger, "202", ""},
			{"PUT $U&digest=" + sum(ten), "", "400 DIGEST_INVALID", ""},
			{"HEAD $R/blobs/" + sum(bigger), "", "404", ""},
			{"GET $U", "", "204", ""},
			{"PUT $U&digest=" + sum(bigger), "", "201", ""},
		}},
		{from: "A18", name: "a wrong digest of a large body after others ends the session", alone: true, steps: steps{
			beginning,
			{"PATCH $U", bigger, "202", ""},
			{"PUT $U&digest=" + sum(ten), big, "400 DIGEST_INVALID", ""},
			{"GET $U", "", "404 BLOB_UPLOAD_UNKNOWN", ""},
			{"PUT $U&digest=" + sum(bigger), "", "404 BLOB_UPLOAD_UNKNOWN", ""},
			{"HEAD $R/blobs/" + sum(bigger), "", "404", ""},
		}},
		{from: "A19", name: "a digest that is none", steps: append(steps{beginning, {"PATCH $U", ten, "202", ""}}, append(badDigests("PUT $U&"),
			step{"GET $U", "", "204 | Range: 0-9", ""}, step{"PUT $U&digest=" + sum(ten), "", "201", ""})...)},
		{from: "A19", name: "no digest", steps: steps{
			beginning,
			{"PUT $U", ten, "400 DIGEST_INVALID", ""},
			{"PUT $U&digest=", ten, "400 DIGEST_INVALID", ""},
			{"GET $U", "", "204 | Range: 0-0", ""},
			{"PUT $U&digest=" + sum(ten), ten, "201", ""},
		}},
		{from: "A19", name: "two digests", steps: steps{
			beginning,
			{"PUT $U&digest=" + sum(ten) + "&digest=" + sum(more), ten, "400 DIGEST_INVALID", ""},
			{"PUT $U&digest=" + sum(ten) + "&digest=" + sum(ten), ten, "400 DIGEST_INVALID", ""},
			{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
		}},
		{from: "A19", name: "a digest with an encoded colon", steps: steps{
			beginning,
			{"PUT $U&digest=" + strings.Replace(sum(ten), ":", "%3A", 1), ten, "201 | Docker-Content-Digest: " + sum(ten), ""},
			{"GET $R/blobs/" + strings.Replace(sum(ten), ":", "%3a", 1), "", "200", ten},
		}},
		{from: "A51", name: "a blob by sha512 from a session for it", steps: steps{
			{"POST $R/blobs/uploads/?digest-algorithm=sha512", "", "202", ""},
			{"PATCH $U", ten, "202", ""},
			{"PUT $U&digest=" + sum512(ten), more, "400 DIGEST_INVALID", ""},
			{"PUT $U&digest=" + sum512(ten+more), more, "201 | Docker-Content-Digest: " + sum512(ten+more) + " | Location: $R/blobs/" + sum512(ten+more), ""},
			{"GET $R/blobs/" + sum512(ten+more), "", "200 | Docker-Content-Digest: " + sum512(ten+more), ten + more},
			{"HEAD $R/blobs/" + sum(ten+more), "", "404", ""},
		}},
		{from: "A51", name: "a blob by sha512 from a session that asked for nothing", steps: steps{
			beginning,
			{"PUT $U&digest=" + sum512(ten), ten, "201 | Docker-Content-Digest: " + sum512(ten), ""},
			{"GET $R/blobs/" + sum512(ten), "", "200", ten},
		}},
		{from: "A51", name: "a blob by sha512 after chunks of a session that asked for nothing", steps: steps{
			beginning,
			{"PATCH $U", ten, "202", ""},
			{"PATCH $U", big, "202", ""},
			{"PUT $U&digest=" + sum512(ten), "", "400 DIGEST_INVALID", ""},
			{"HEAD $R/blobs/" + sum512(ten+big), "", "404", ""},
		}},
		{from: "A51", name: "a small chunk and then a digest by sha512", steps: steps{
			beginning,
			{"PATCH $U", ten, "202", ""},
			{"PUT $U&digest=" + sum512(ten), "", "201 | Docker-Content-Digest: " + sum512(ten), ""},
			{"GET $R/blobs/" + sum512(ten), "", "200", ten},
		}},
		{from: "A51", name: "a large chunk and then a digest by sha512", steps: steps{
			beginning,
			{"PATCH $U", big, "202", ""},
			{"PUT $U&digest=" + sum512(big+ten), ten, "201 | Docker-Content-Digest: " + sum512(big+ten), ""},
			{"GET $R/blobs/" + sum512(big+ten), "", "200", big + ten},
		}},
		{from: "A51", name: "a session for sha512 that is closed by sha256", steps: steps{
			{"POST $R/blobs/uploads/?digest-algorithm=sha512", "", "202", ""},
			{"PATCH $U", ten, "202", ""},
			{"PUT $U&digest=" + sum(ten), "", "201 | Docker-Content-Digest: " + sum(ten), ""},
			{"GET $R/blobs/" + sum(ten), "", "200", ten},
		}},
		{from: "A51", name: "a single POST by sha512", steps: steps{
			{"POST $R/blobs/uploads/?digest=" + sum512(ten), ten, "201 | Docker-Content-Digest: " + sum512(ten), ""},
			{"HEAD $R/blobs/" + sum512(ten), "", "200 | Content-Length: 10", ""},
		}},
		{from: "A51", name: "the same bytes by both algorithms are two blobs", steps: steps{
			has(ten),
			{"POST $R/blobs/uploads/?digest=" + sum512(ten), ten, "201", ""},
			{"DELETE $R/blobs/" + sum(ten), "", "202", ""},
			{"GET $R/blobs/" + sum512(ten), "", "200", ten},
			{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
		}},
		{from: "dev: digest-algorithm", name: "sha256 is the usual one", steps: steps{
			{"POST $R/blobs/uploads/?digest-algorithm=sha256", "", "202", ""},
			{"PUT $U&digest=" + sum(ten), ten, "201", ""},
		}},
		{from: "dev: digest-algorithm", name: "one that the registry does not have", steps: steps{
			{"POST $R/blobs/uploads/?digest-algorithm=md5", "", "400 DIGEST_INVALID", "~md5"},
			{"POST $R/blobs/uploads/?digest-algorithm=sha384", "", "400 DIGEST_INVALID", ""},
			{"POST $R/blobs/uploads/?digest-algorithm=SHA256", "", "400 DIGEST_INVALID", ""},
			{"POST $R/blobs/uploads/?digest-algorithm=", "", "400 DIGEST_INVALID", ""},
		}},
	}
}

// badDigests sends texts that are no digests as the digest parameter.
func badDigests(before string) steps {
	hex := sum(ten)[len("sha256:"):]
	var all steps
	for _, text := range []string{
		"sha256:" + strings.ToUpper(hex), badDigest, "sha256:", "sha256", hex, ":" + hex, "md5:d41d8cd98f00b204e9800998ecf8427e",
		"SHA256:" + hex, "sha256:" + hex + "0", "sha256:" + hex[:63] + "g", "sha256:" + hex[:62] + "%0a1", "sha512:" + hex,
		"sha256:..%2f..%2f..%2fetc%2fpasswd", "sha384:" + strings.Repeat("0", 96), "sha256%2b" + hex, "sha256:sha256:" + hex, "foo:bar",
	} {
		all = append(all, step{before + "digest=" + text, ten, "400 DIGEST_INVALID", ""})
	}
	return all
}
