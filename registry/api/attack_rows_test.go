package api_test

import (
	"fmt"
	"slices"
	"strings"
)

// attackRows are requests of people who mean ill. They run over every store, as all rows do. What is in other rows
// is not here again: forged values (valueRows), names (nameRows), what is no manifest (invalidRows), content of other repositories (blobRows),
// framing (httpRows and TestAttackSmuggling).
func attackRows() []row {
	img := image()
	unknown := func(path string) steps { return steps{{"@B " + path, "", "~^404$", ""}} }
	gone := func(name string, delete, path string) row {
		return row{from: "attack", name: "deleted at one replica, asked for at another that has it in memory: " + name, steps: then(pushed("1"),
			step{"@B GET " + path, "", "200", ""}, step{"@B HEAD " + path, "", "200", ""},
			step{"@A DELETE " + delete, "", "202", ""}), run: func(c *caller) {
			c.all(unknown("GET " + path))
			c.all(unknown("HEAD " + path))
			c.all(unknown("GET " + path + " | Range: bytes=0-1"))
			for _, etag := range []string{`"` + sum(layer) + `"`, `"` + sum(img) + `"`, "*"} { // no 304 for what is gone
				c.all(unknown("GET " + path + " | If-None-Match: " + etag))
				c.all(unknown("HEAD " + path + " | If-None-Match: " + etag))
				c.all(unknown("GET " + path + " | If-Match: " + etag))
			}
		}}
	}
	rows := []row{
		gone("a manifest by tag", "$R/manifests/1", "$R/manifests/1"),
		gone("a manifest by digest", "$R/manifests/"+sum(img), "$R/manifests/"+sum(img)),
		gone("a tag of a manifest that is deleted by digest", "$R/manifests/"+sum(img), "$R/manifests/1"),
		gone("a blob", "$R/blobs/"+sum(layer), "$R/blobs/"+sum(layer)),
		{from: "attack", name: "a blob that was deleted at another replica is no source of mounts and no part of an image", steps: then(pushed("1"),
			step{"@B GET $R/blobs/" + sum(layer), "", "200", ""},
			step{"@A DELETE $R/blobs/" + sum(layer), "", "202", ""},
			step{"@B POST $R-b/blobs/uploads/?mount=" + sum(layer) + "&from=$N", "", "202 | Docker-Content-Digest: -", ""},
			step{"@B HEAD $R-b/blobs/" + sum(layer), "", "404", ""},
			step{"@B PUT $R/manifests/2 | Content-Type: $image", image(`"annotations":{"a":"2"}`), "400 MANIFEST_BLOB_UNKNOWN", ""},
			step{"@B GET $R/manifests/2", "", "404 MANIFEST_UNKNOWN", ""},
		)},
		{from: "attack", name: "who knows a digest does not have the blob", steps: steps{
			hasAlso(big), hasAlso(layer), hasAlso(small),
			{"HEAD $R/blobs/" + sum(layer), "", "404", ""},
			{"GET $R/blobs/" + sum(layer), "", "404 BLOB_UNKNOWN", ""},
			{"GET $R/blobs/" + sum(big) + " | Range: bytes=0-0", "", "404 BLOB_UNKNOWN", ""},
			{"GET $R/blobs/" + sum(layer) + ` | If-None-Match: "` + sum(layer) + `"`, "", "404 BLOB_UNKNOWN", ""},
			{"DELETE $R/blobs/" + sum(layer), "", "404 BLOB_UNKNOWN", ""},
			{"GET $R/manifests/" + sum(layer), "", "404 MANIFEST_UNKNOWN", ""},
			{"PUT $R/manifests/1 | Content-Type: $image", img, "400 MANIFEST_BLOB_UNKNOWN MANIFEST_BLOB_UNKNOWN", ""},
			{"POST $R/blobs/uploads/?digest=" + sum(layer), "", "202", ""}, // no body: a session
			{"PUT $U&digest=" + sum(layer), "", "400 DIGEST_INVALID", ""},
			{"POST $R/blobs/uploads/?digest=" + sum(layer), layer[:len(layer)-1], "400 DIGEST_INVALID", ""},
			{"POST $R/blobs/uploads/?digest=" + sum(layer), layer[:len(layer)-1] + "x", "400 DIGEST_INVALID", ""},
			{"POST $R/blobs/uploads/?mount=" + sum(layer) + "&from=$N", "", "202", ""},
			{"HEAD $R/blobs/" + sum(layer), "", "404", ""},
		}},
		{from: "attack", name: "a state of one algorithm does not close under another's digest of the same length", steps: steps{
			{"POST $R/blobs/uploads/?digest-algorithm=sha512", "", "202", ""},
			{"PATCH $U", ten, "202", ""},
			{"PUT $U&digest=sha512:" + sum(ten)[7:], "", "400 DIGEST_INVALID", ""},
			{"PUT $U&digest=sha256:" + sum512(ten)[7:], "", "400 DIGEST_INVALID", ""},
			{"PUT $U&digest=sha256:" + sum512(ten)[7:71], "", "400 DIGEST_INVALID", ""},
			{"PUT $U&digest=" + sum512(ten), "", "201", ""},
			{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
			{"HEAD $R/blobs/sha256:" + sum512(ten)[7:71], "", "404", ""},
			{"GET $R/blobs/" + sum512(ten), "", "200", ten},
		}},
		{from: "attack", name: "an image and an index have one digest and one media type at a time", steps: then(pushed("1"),
			step{"PUT $R/manifests/" + sum(img) + " | Content-Type: $index", img, "400 MANIFEST_INVALID", ""},
			step{"PUT $R/manifests/" + sum(img) + " | Content-Type: $dimage", img, "400 MANIFEST_INVALID", ""},
			step{"GET $R/manifests/" + sum(img), "", "200 | Content-Type: $image", img},
		)},
		{from: "attack", name: "a body in gzip is what it is: nothing unpacks it", steps: steps{
			has(small), has(layer),
			{"PUT $R/manifests/1 | Content-Type: $image | Content-Encoding: gzip", gzipped(img), "400 MANIFEST_INVALID", ""},
			{"PUT $R/manifests/1 | Content-Type: $image | Content-Encoding: gzip", bomb(), "400 MANIFEST_INVALID", ""},
			{"PUT $R/manifests/1 | Content-Type: $image | Content-Encoding: br, gzip", bomb(), "400 MANIFEST_INVALID", ""},
			{"POST $R/blobs/uploads/?digest=" + sum(bomb()) + " | Content-Encoding: gzip", bomb(), "201", ""},
			{"POST $R/blobs/uploads/?digest=" + sum(layer) + " | Content-Encoding: gzip", gzipped(layer), "400 DIGEST_INVALID", ""},
			{"GET $R/blobs/" + sum(bomb()) + " | Accept-Encoding: gzip", "", "200 | Content-Encoding: -", bomb()},
		}},
	}
	return slices.Concat(rows, digestRows(), headerRows(), replayRows())
}

// digestRows try what is nearly a digest everywhere that one can stand.
func digestRows() []row {
	half := sum512(layer)[7:71]
	var rows []row
	for name, text := range map[string]string{
		"sha512 with the digits of sha256": "sha512:" + sum(layer)[7:], "sha256 with the digits of sha512": "sha256:" + sum512(layer)[7:],
		"digits in capitals": "sha256:" + strings.ToUpper(sum(layer)[7:]), "the algorithm in capitals": "SHA256:" + sum(layer)[7:],
		"another algorithm of the same length": "sha3-256:" + sum(layer)[7:], "blake2": "blake2b256:" + half, "sha384": "sha384:" + half[:32] + half,
		"two algorithms": "sha256:" + sum(layer), "a plus": "sha256+b64:" + sum(layer)[7:], "no algorithm": ":" + sum(layer)[7:],
		"a digit too few": sum(layer)[:70], "a digit too many": sum(layer) + "0", "a zero byte": sum(layer) + "%00", "a line end": sum(layer) + "%0A",
		"a slash": sum(layer)[:40] + "%2F" + sum(layer)[41:], "digits of another script": "sha256:" + strings.Repeat("%D9%A3", 32), "full width": "sha256:" + strings.Repeat("%EF%BC%91", 64),
		"a path": "sha256:..%2F..%2Fformat", "a space": "%20" + sum(layer),
	} {
		plain := strings.NewReplacer("%00", "\x00", "%0A", "\n", "%2F", "/", "%D9%A3", "\u0663", "%EF%BC%91", "\uff11", "%20", " ").Replace(text)
		escaped := strings.ReplaceAll(fmt.Sprintf("%q", plain), `\x`, `\u00`)
		in := func(fields string) string { return imageOf(descriptor(layerType, layer), fields) }
		rows = append(rows, row{from: "attack", name: "nearly a digest: " + name, steps: steps{
			has(small), has(layer),
			{"GET $R/blobs/" + text, "", "400 DIGEST_INVALID", ""},
			{"HEAD $R/blobs/" + text, "", "400", ""},
			{"DELETE $R/blobs/" + text, "", "400 DIGEST_INVALID", ""},
			{"GET $R/manifests/" + text, "", "400 DIGEST_INVALID", ""},
			{"PUT $R/manifests/" + text + " | Content-Type: $image", image(), "400 DIGEST_INVALID", ""},
			{"GET $R/referrers/" + text, "", "400 DIGEST_INVALID", ""},
			{"POST $R/blobs/uploads/?digest=" + strings.ReplaceAll(text, "+", "%2B"), layer, "400 DIGEST_INVALID", ""},
			{"POST $R/blobs/uploads/?mount=" + strings.ReplaceAll(text, "+", "%2B") + "&from=$N", "", "400 DIGEST_INVALID", ""},
			{"POST $R/blobs/uploads/", "", "202", ""},
			{"PUT $U&digest=" + strings.ReplaceAll(text, "+", "%2B"), layer, "400 DIGEST_INVALID", ""},
			{"PUT $R/manifests/1 | Content-Type: $image", in(`"subject":{"mediaType":"a/b","size":1,"digest":` + escaped + `}`), "400 MANIFEST_INVALID", ""},
			{"PUT $R/manifests/1 | Content-Type: $image", imageOf(`{"mediaType":"a/b","size":1,"digest":` + escaped + `}`), "400 MANIFEST_INVALID", ""},
			{"PUT $R/manifests/1 | Content-Type: $index", `{"schemaVersion":2,"manifests":[{"mediaType":"a/b","size":1,"digest":` + escaped + `}]}`, "400 MANIFEST_INVALID", ""},
			{"GET $R/tags/list", "", "404 NAME_UNKNOWN", ""},
		}})
	}
	return rows
}

// headerRows try to get a header of their own into an answer, or to make one lead elsewhere.
func headerRows() []row {
	const split = "%0d%0aX-Evil:%20yes%0d%0a%0d%0a<html>"
	const safe = " | X-Evil: - | Set-Cookie: -"
	return []row{{from: "attack", name: "nothing of a request becomes a header", steps: steps{
		has(small),
		{"GET /v2/a" + split + "/tags/list", "", "400 NAME_INVALID" + safe, ""},
		{"POST $R/blobs/uploads/?mount=" + sum(small) + split, "", "400 DIGEST_INVALID" + safe, ""},
		{"POST $R/blobs/uploads/?mount=" + sum(small) + "&from=a" + split, "", "202" + safe + " | Location: ~^$R/blobs/uploads/[0-9a-f-]+\\?_state=[A-Za-z0-9_-]+$", ""},
		{"POST $R/blobs/uploads/?digest=" + sum(small) + split, small, "400 DIGEST_INVALID" + safe, ""},
		{"POST $R/blobs/uploads/?digest-algorithm=sha256" + split, "", "400 DIGEST_INVALID" + safe, ""},
		{"GET $U" + split, "", "404 BLOB_UPLOAD_UNKNOWN" + safe, ""},
		{"PATCH $U&x=" + split, ten, "202" + safe + " | Location: ~^$R/blobs/uploads/[0-9a-f-]+\\?_state=[A-Za-z0-9_-]+$", ""},
		{"PATCH $R/blobs/uploads/x" + split + "?_state=x" + split, ten, "404 BLOB_UPLOAD_UNKNOWN" + safe + " | Location: -", ""},
		{"PUT $U&digest=" + sum(ten) + "&x=" + split, "", "201" + safe + " | Location: $R/blobs/" + sum(ten), ""},
		{"PUT $R/manifests/1" + split + " | Content-Type: $image", imageOf(""), "400 DIGEST_INVALID" + safe, ""},
		{"PUT $R/manifests/1?tag=b" + split + " | Content-Type: $image", imageOf(""), "400 TAG_INVALID" + safe, ""},
		{"PUT $R/manifests/1?tag=b | Content-Type: $image", imageOf(""), "201" + safe, ""},
		{"GET $R/tags/list?n=1&x=" + split + "&last=" + split, "", "200" + safe + " | Link: ~^<$R/tags/list\\?[A-Za-z0-9=&%.+_-]+>; rel=\"next\"$", ""},
		{"GET /v2/_catalog?n=1&x=" + split + ">", "", "200" + safe, ""},
		{"GET $R/referrers/" + sum(small) + "?artifactType=" + split, "", "200" + safe + " | OCI-Filters-Applied: artifactType", ""},
		{"GET /v1/search?q=" + split, "", "200" + safe + " | Content-Type: application/json", ""},
		{"GET $R/manifests/1 | Accept: a/b%0d%0aX-Evil: yes", "", "200" + safe, ""},
	}}, {from: "attack", name: "no Location leads to another host", steps: steps{
		has(small),
		{"RAW", "POST //evil.example$R/blobs/uploads/ HTTP/1.1\r\nHost: r\r\n\r\n", "404 | Location: -", ""},
		{"RAW", "GET //evil.example/%2e%2e HTTP/1.1\r\nHost: r\r\n\r\n", "404 | Location: -", ""},
		{"RAW", "POST http://evil.example$R/blobs/uploads/ HTTP/1.1\r\nHost: r\r\n\r\n", "202 | Location: ~^$R/blobs/uploads/", ""},
		{"RAW", "POST $R/blobs/uploads/ HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nX-Original-URL: /v2/evil/\r\nX-Rewrite-URL: /v2/evil/\r\n\r\n", "202 | Location: ~^$R/blobs/uploads/", ""},
		{"RAW", "POST $R/blobs/uploads/ HTTP/1.1\r\nHost: evil.example@r:80/x?\r\n\r\n", "400", ""},
		{"RAW", "POST $R/blobs/uploads/ HTTP/1.1\r\nHost: \r\n\r\n", "202 | Location: ~^$R/blobs/uploads/", ""},
		{"RAW", "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", "404", ""},
		{"RAW", "TRACE $R/tags/list HTTP/1.1\r\nHost: r\r\nCookie: secret\r\n\r\n", "405", "~^[^:]*UNSUPPORTED|UNSUPPORTED"},
		{"RAW", "OPTIONS * HTTP/1.1\r\nHost: r\r\n\r\n", "~^(200|404)$", ""},
	}}, {from: "attack", name: "last can be anything", steps: then(steps{has(small), put("a", "$image", imageOf("")), put("b", "$image", imageOf(""))},
		step{"GET $R/tags/list?last=%00", "", "200", `{"name":"$N","tags":["a","b"]}`},
		step{"GET $R/tags/list?last=a%00", "", "200", `{"name":"$N","tags":["b"]}`},
		step{"GET $R/tags/list?last=a%ff%fe", "", "200", `{"name":"$N","tags":["b"]}`},
		step{"GET $R/tags/list?last=%ff", "", "200", `{"name":"$N","tags":[]}`},
		step{"GET $R/tags/list?last=../../../format", "", "200", `{"name":"$N","tags":["a","b"]}`},
		step{"GET $R/tags/list?last=a/../b", "", "200", `{"name":"$N","tags":["b"]}`},
		step{"GET $R/tags/list?last=%0a%0d", "", "200", `{"name":"$N","tags":["a","b"]}`},
		step{"GET $R/tags/list?last=" + strings.Repeat("a", 10_000), "", "200", `{"name":"$N","tags":["b"]}`},
		step{"GET /v2/_catalog?n=1&last=%00%ff", "", "200", ""},
		step{"GET /v2/_catalog?last=" + strings.Repeat("~", 10_000), "", "200", `{"repositories":[]}`},
		step{"GET $R/referrers/" + sum(small) + "?last=%ff%00", "", "200", `~"manifests":\[\]`},
		step{"GET $R/referrers/" + sum(small) + "?last=" + strings.Repeat("z/", 5000), "", "200", `~"manifests":\[\]`},
	)}}
}
