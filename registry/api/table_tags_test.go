package api_test

import (
	"fmt"
	"net/http"
	"strings"
)

// conditionRows are about PUT of manifests with If-Match and If-None-Match.
func conditionRows() []row {
	first, second := image(), imageOf("")
	before := pushed("1")
	etag := func(manifest string) string { return `"` + sum(manifest) + `"` }
	return []row{
		{from: "D69", name: "If-Match holds", steps: then(before,
			step{"PUT $R/manifests/1 | Content-Type: $image | If-Match: " + etag(first), second, "201 | ETag: " + etag(second), ""},
			step{"GET $R/manifests/1", "", "200", second},
		)},
		{from: "D69", name: "If-Match does not hold", steps: then(before,
			step{"PUT $R/manifests/1 | Content-Type: $image | If-Match: " + etag(second), second, "412 PRECONDITION_FAILED", ""},
			step{"GET $R/manifests/1", "", "200", first},
		)},
		{from: "D69", name: "If-Match of a tag that is not there", steps: then(before,
			step{"PUT $R/manifests/2 | Content-Type: $image | If-Match: " + etag(first), first, "412 PRECONDITION_FAILED", ""},
			step{"PUT $R/manifests/2 | Content-Type: $image | If-Match: *", first, "412 PRECONDITION_FAILED", ""},
			step{"GET $R/manifests/2", "", "404 MANIFEST_UNKNOWN", ""},
		)},
		{from: "D69", name: "If-Match with a star and with a list", steps: then(before,
			step{"PUT $R/manifests/1 | Content-Type: $image | If-Match: *", second, "201", ""},
			step{"PUT $R/manifests/1 | Content-Type: $image | If-Match: \"x\", " + etag(second), first, "201", ""},
			step{"GET $R/manifests/1", "", "200", first},
		)},
		{from: "D69", name: "If-None-Match with a star makes a tag once", steps: then(before,
			step{"PUT $R/manifests/2 | Content-Type: $image | If-None-Match: *", second, "201", ""},
			step{"PUT $R/manifests/2 | Content-Type: $image | If-None-Match: *", first, "412 PRECONDITION_FAILED", ""},
			step{"PUT $R/manifests/1 | Content-Type: $image | If-None-Match: *", second, "412 PRECONDITION_FAILED", ""},
			step{"GET $R/manifests/2", "", "200", second},
		)},
		{from: "D69", name: "If-None-Match with a digest", steps: then(before,
			step{"PUT $R/manifests/1 | Content-Type: $image | If-None-Match: " + etag(first), second, "412 PRECONDITION_FAILED", ""},
			step{"PUT $R/manifests/1 | Content-Type: $image | If-None-Match: " + etag(second), second, "201", ""},
		)},
		{from: "D69", name: "conditions of a manifest by digest", steps: steps{
			has(small),
			{"PUT $R/manifests/" + sum(second) + " | Content-Type: $image | If-Match: *", second, "412 PRECONDITION_FAILED", ""},
			{"PUT $R/manifests/" + sum(second) + " | Content-Type: $image | If-None-Match: *", second, "201", ""},
			{"PUT $R/manifests/" + sum(second) + " | Content-Type: $image | If-None-Match: *", second, "412 PRECONDITION_FAILED", ""},
		}},
		{from: "D69", name: "conditions of several tags: one that fails stops all", steps: then(before,
			step{"PUT $R/manifests/2?tag=1 | Content-Type: $image | If-None-Match: *", second, "412 PRECONDITION_FAILED", ""},
			step{"GET $R/manifests/2", "", "404 MANIFEST_UNKNOWN", ""},
			step{"GET $R/manifests/1", "", "200", first},
			step{"PUT $R/manifests/2?tag=3 | Content-Type: $image | If-None-Match: *", second, "201 | OCI-Tag: 3", ""},
		)},
		{from: "D69", name: "a condition of a tag that is named twice", steps: then(before,
			step{"PUT $R/manifests/2?tag=2&tag=2 | Content-Type: $image | If-None-Match: *", second, "201", ""},
			step{"GET $R/manifests/2", "", "200", second},
		)},
		{from: "D69", name: "twenty clients make the same tag: one of them does", steps: before, run: func(c *caller) {
			made := c.race("PUT $R/manifests/race | Content-Type: $image | If-None-Match: *")
			c.do(step{"GET $R/manifests/race", "", "200", made})
		}},
		{from: "D69", name: "twenty clients move the same tag: one of them does", steps: before, run: func(c *caller) {
			made := c.race("PUT $R/manifests/1 | Content-Type: $image | If-Match: " + etag(first))
			c.do(step{"GET $R/manifests/1", "", "200", made})
		}},
	}
}

// race sends twenty manifests at once, of which one is to be taken, and returns that one.
func (c *caller) race(send string) string {
	c.t.Helper()
	manifest := func(i int) string { return imageOf("", fmt.Sprintf(`"annotations":{"n":"%d"}`, i)) }
	answers := c.atOnce(20, func(i int) step { return step{[]string{"@A ", "@B "}[i%2] + send, manifest(i), "", ""} })
	won := ""
	for i, a := range answers {
		switch {
		case a.status == http.StatusCreated && won == "":
			won = manifest(i)
		case a.status == http.StatusCreated:
			c.t.Error("two were taken")
		case a.status != http.StatusPreconditionFailed:
			c.t.Errorf("got %s, want 201 or 412", a)
		}
	}
	if won == "" {
		c.t.Error("none was taken")
	}
	return won
}

// tagRows are about the tag parameter.
func tagRows() []row {
	img := image()
	digest := sum(img)
	blobs := steps{has(small), has(layer)}
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "&tag=t%03d", i)
		}
		return b.String()[1:]
	}
	return []row{
		{from: "dev: tag parameters", name: "several tags beside a digest", steps: then(blobs,
			step{"PUT $R/manifests/" + digest + "?tag=a&tag=b | Content-Type: $image", img, "201 | OCI-Tag: a, b | Docker-Content-Digest: " + digest, nothing},
			step{"GET $R/manifests/a", "", "200", img},
			step{"GET $R/manifests/b", "", "200", img},
			step{"GET $R/tags/list", "", "200", `{"name":"$N","tags":["a","b"]}`},
		)},
		{from: "dev: tag parameters", name: "several tags beside a tag", steps: then(blobs,
			step{"PUT $R/manifests/c?tag=a&tag=b | Content-Type: $image", img, "201 | OCI-Tag: a, b", ""},
			step{"GET $R/tags/list", "", "200", `{"name":"$N","tags":["a","b","c"]}`},
		)},
		{from: "dev: tag parameters", name: "no tags, no OCI-Tag", steps: then(blobs,
			step{"PUT $R/manifests/a | Content-Type: $image", img, "201 | OCI-Tag: -", ""},
		)},
		{from: "dev: tag parameters", name: "a tag twice counts once", steps: then(blobs,
			step{"PUT $R/manifests/" + digest + "?tag=a&tag=a | Content-Type: $image", img, "201 | OCI-Tag: a", ""},
			step{"GET $R/tags/list", "", "200", `{"name":"$N","tags":["a"]}`},
		)},
		{from: "dev: tag parameters", name: "a tag that is none stops all", steps: then(blobs,
			step{"PUT $R/manifests/" + digest + "?tag=a&tag=-x | Content-Type: $image", img, "400 TAG_INVALID", ""},
			step{"PUT $R/manifests/" + digest + "?tag= | Content-Type: $image", img, "400 TAG_INVALID", ""},
			step{"PUT $R/manifests/" + digest + "?tag=a%2Fb | Content-Type: $image", img, "400 TAG_INVALID", ""},
			step{"PUT $R/manifests/" + digest + "?tag=" + digest + " | Content-Type: $image", img, "400 TAG_INVALID", ""},
			step{"GET $R/manifests/" + digest, "", "404 MANIFEST_UNKNOWN", ""},
			step{"GET $R/manifests/a", "", "404 MANIFEST_UNKNOWN", ""},
		)},
		{from: "dev: tag parameters", name: "a hundred tags, and one more", steps: then(blobs,
			step{"PUT $R/manifests/" + digest + "?" + many(100) + " | Content-Type: $image", img, "201", ""},
			step{"GET $R/tags/list?n=1&last=t098", "", "200", `{"name":"$N","tags":["t099"]}`},
			step{"PUT $R/manifests/" + digest + "?" + many(101) + " | Content-Type: $image", img, "414 TAG_INVALID", ""},
			step{"GET $R/manifests/t100", "", "404 MANIFEST_UNKNOWN", ""},
		)},
		{from: "dev: tag parameters", name: "a number of tags that is configured", with: func(o *options) { o.api.MaxTags = 2 }, steps: then(blobs,
			step{"PUT $R/manifests/x?tag=a&tag=b | Content-Type: $image", img, "201", ""},
			step{"PUT $R/manifests/x?tag=a&tag=b&tag=c | Content-Type: $image", img, "414 TAG_INVALID", ""},
		)},
		{from: "dev: tag parameters", name: "the digest is compared first", steps: then(blobs,
			step{"PUT $R/manifests/" + sum(absent) + "?tag=a | Content-Type: $image", img, "400 DIGEST_INVALID", ""},
			step{"GET $R/manifests/a", "", "404 MANIFEST_UNKNOWN", ""},
		)},
		{from: "dev: tag parameters", name: "tags of an index", steps: then(pushed("1"),
			step{"PUT $R/manifests/" + sum(index(img)) + "?tag=a&tag=b | Content-Type: $index", index(img), "201 | OCI-Tag: a, b", ""},
			step{"GET $R/manifests/b", "", "200 | Content-Type: $index", index(img)},
		)},
	}
}
