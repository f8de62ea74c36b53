package api_test

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/longshore-registry/longshore/registry"
)

const unknownType = "application/vnd.foo+json"

// manifestRows are about manifests that are taken.
func manifestRows() []row {
	img := image()
	digest := sum(img)
	quoted := `"` + digest + `"`
	blobs := steps{has(small), has(layer)}
	// taken is a row of a manifest that is pushed and pulled, byte by byte.
	taken := func(from, name, mediaType, manifest string) row {
		return row{from: from, name: name, steps: then(blobs,
			step{"PUT $R/manifests/1 | Content-Type: " + mediaType, manifest, "201 | Docker-Content-Digest: " + sum(manifest), nothing},
			step{"GET $R/manifests/1", "", "200 | Content-Type: " + mediaType + " | Content-Length: " + fmt.Sprint(len(manifest)), manifest},
			step{"GET $R/manifests/" + sum(manifest), "", "200 | Content-Type: " + mediaType, manifest},
		)}
	}
	// accepting is a row of a GET with Accept headers.
	accepting := func(name, headers string) row {
		return row{from: "D67", name: name, steps: then(pushed("1"),
			step{"GET $R/manifests/1" + headers, "", "200 | Content-Type: $image | Vary: -", img},
			step{"GET $R/manifests/" + digest + headers, "", "200 | Content-Type: $image", img},
		)}
	}
	return []row{
		{from: "spec: Pushing manifests", name: "by tag", steps: then(blobs,
			step{"PUT $R/manifests/v1 | Content-Type: $image", img, "201 | Location: $R/manifests/" + digest + " | Docker-Content-Digest: " + digest + " | ETag: " + quoted, nothing},
			step{"GET $R/manifests/v1", "", "200 | Docker-Content-Digest: " + digest + " | ETag: " + quoted, img},
			step{"GET $R/manifests/" + digest, "", "200", img},
			step{"HEAD $R/manifests/v1", "", "200 | Content-Type: $image | Content-Length: " + fmt.Sprint(len(img)), nothing},
		)},
		{from: "spec: Pushing manifests", name: "by digest", steps: then(blobs,
			step{"PUT $R/manifests/" + digest + " | Content-Type: $image", img, "201 | Location: $R/manifests/" + digest + " | Docker-Content-Digest: " + digest, nothing},
			step{"GET $R/manifests/" + digest, "", "200", img},
			step{"GET $R/tags/list", "", "200", `{"name":"$N","tags":[]}`},
		)},
		{from: "D50", name: "by digest with an encoded colon", steps: then(blobs,
			step{"PUT $R/manifests/" + strings.Replace(digest, ":", "%3A", 1) + " | Content-Type: $image", img, "201", ""},
			step{"GET $R/manifests/" + strings.Replace(digest, ":", "%3a", 1), "", "200", img},
		)},
		{from: "spec: Pushing manifests", name: "the same again", steps: then(pushed("1"),
			step{"PUT $R/manifests/1 | Content-Type: $image", img, "201", ""},
			step{"PUT $R/manifests/2 | Content-Type: $image", img, "201", ""},
			step{"GET $R/tags/list", "", "200", `{"name":"$N","tags":["1","2"]}`},
		)},
		{from: "spec: Pushing manifests", name: "of unknown length", steps: then(blobs,
			step{"PUT $R/manifests/1 | Content-Type: $image | Transfer-Encoding: chunked", img, "201", ""},
			step{"GET $R/manifests/1", "", "200", img},
		)},
		{from: "spec: Pulling manifests", name: "a tag that is not there", steps: then(pushed("1"),
			step{"GET $R/manifests/2", "", "404 MANIFEST_UNKNOWN", "~2"},
			step{"HEAD $R/manifests/2", "", "404", nothing},
			step{"GET $R/manifests/" + sum(absent), "", "404 MANIFEST_UNKNOWN", ""},
			step{"HEAD $R/manifests/" + sum(absent), "", "404", nothing},
		)},
		{from: "spec: Pulling manifests", name: "a repository that is not there", steps: steps{
			{"GET $R/manifests/1", "", "~^404$", ""},
			{"GET $R/manifests/" + digest, "", "~^404$", ""},
			{"HEAD $R/manifests/1", "", "404", ""},
		}},
		{from: "C46", name: "a manifest of another repository", steps: then(pushed("1"),
			step{"GET $R-b/manifests/" + digest, "", "404 MANIFEST_UNKNOWN", ""},
			step{"GET $R-b/manifests/1", "", "404 MANIFEST_UNKNOWN", ""},
			step{"GET $R/x/manifests/1", "", "404 MANIFEST_UNKNOWN", ""},
		)},

		{from: "D48", name: "a manifest of exactly 4 MiB", steps: then(blobs,
			step{"PUT $R/manifests/1 | Content-Type: $image", manifestOf(4 << 20), "201", ""},
			step{"GET $R/manifests/1", "", "200 | Content-Length: 4194304", manifestOf(4 << 20)},
		)},
		{from: "D48", name: "a manifest of exactly 4 MiB and unknown length", steps: then(blobs,
			step{"PUT $R/manifests/1 | Content-Type: $image | Transfer-Encoding: chunked", manifestOf(4 << 20), "201", ""},
		)},
		{from: "D48", name: "a manifest of a byte more", steps: then(blobs,
			step{"PUT $R/manifests/1 | Content-Type: $image", manifestOf(4<<20 + 1), "413 MANIFEST_TOO_LARGE", `~"limit":4194304`},
			step{"GET $R/manifests/1", "", "404 MANIFEST_UNKNOWN", ""},
		)},
		{from: "D48", name: "a manifest of a byte more and unknown length", steps: then(blobs,
			step{"PUT $R/manifests/1 | Content-Type: $image | Transfer-Encoding: chunked", manifestOf(4<<20 + 1), "413 MANIFEST_TOO_LARGE", ""},
			step{"GET $R/manifests/1", "", "404 MANIFEST_UNKNOWN", ""},
		)},
		{from: "D48", name: "a limit that is configured", with: func(o *options) { o.registry.MaxManifest = 1000 }, steps: then(blobs,
			step{"PUT $R/manifests/1 | Content-Type: $image", manifestOf(1000), "201", ""},
			step{"PUT $R/manifests/2 | Content-Type: $image", manifestOf(1001), "413 MANIFEST_TOO_LARGE", ""},
		)},

		{from: "D51", name: "a manifest by sha512", steps: then(blobs,
			step{"PUT $R/manifests/" + sum512(img) + " | Content-Type: $image", img, "201 | Docker-Content-Digest: " + sum512(img) + " | Location: $R/manifests/" + sum512(img), ""},
			step{"GET $R/manifests/" + sum512(img), "", "200 | Docker-Content-Digest: " + sum512(img) + ` | ETag: "` + sum512(img) + `"`, img},
			step{"GET $R/manifests/" + digest, "", "404 MANIFEST_UNKNOWN", ""},
			step{"DELETE $R/manifests/" + sum512(img), "", "202", ""},
			step{"GET $R/manifests/" + sum512(img), "", "404 MANIFEST_UNKNOWN", ""},
		)},
		{from: "D51", name: "a manifest whose blobs are named by sha512", steps: steps{
			{"POST $R/blobs/uploads/?digest=" + sum512(small), small, "201", ""},
			{"POST $R/blobs/uploads/?digest=" + sum512(layer), layer, "201", ""},
			{"PUT $R/manifests/1 | Content-Type: $image", image512(), "201 | Docker-Content-Digest: " + sum(image512()), ""},
			{"GET $R/manifests/1", "", "200", image512()},
		}},
		{from: "D51", name: "a manifest by sha512 whose blobs are there by sha256 only", steps: then(blobs,
			step{"PUT $R/manifests/1 | Content-Type: $image", image512(), "400 MANIFEST_BLOB_UNKNOWN MANIFEST_BLOB_UNKNOWN", ""},
		)},
		{from: "D51", name: "a tag of a manifest by sha512", steps: then(blobs,
			step{"PUT $R/manifests/" + sum512(img) + "?tag=v1 | Content-Type: $image", img, "201 | OCI-Tag: v1", ""},
			step{"GET $R/manifests/v1", "", "200 | Docker-Content-Digest: " + sum512(img), img},
		)},
		{from: "D51", name: "an index of children by sha512", steps: then(blobs,
			step{"PUT $R/manifests/" + sum512(img) + " | Content-Type: $image", img, "201", ""},
			step{"PUT $R/manifests/1 | Content-Type: $index", index512(img), "201", ""},
			step{"DELETE $R/manifests/" + sum512(img), "", "405 UNSUPPORTED", ""},
		)},

		taken("spec: Pushing manifests", "an image of OCI", "$image", img),
		taken("spec: Pushing manifests", "an image of Docker", "$dimage", dockerImage()),
		taken("spec: Pushing manifests", "an image without layers", "$image", imageOf("")),
		taken("spec: Pushing manifests", "an image that does not say its media type", "$image", strings.Replace(img, `"mediaType":"application/vnd.oci.image.manifest.v1+json",`, "", 1)),
		taken("spec: Pushing manifests", "an index without manifests", "$index", index()),
		taken("spec: Pushing manifests", "a layer twice", "$image", imageOf(descriptor(layerType, layer)+","+descriptor(layerType, layer))),
		taken("spec: Pushing manifests", "annotations, and fields that nobody knows", "$image", image(`"annotations":{"a.b/c":"d","A.b/c":"e"}`, `"x":{"y":[1,2.5,null,true]}`)),
		taken("image-spec: manifest", "data within a descriptor", "$image", imageOf(descriptorBy(sum(layer), layerType, layer, `"data":"YQ=="`))),
		taken("D57", "a config of a type that nobody knows", "$image", strings.Replace(img, configType, "application/vnd.cncf.helm.config.v1+json", 1)),
		taken("D57", "a layer of a type that nobody knows", "$image", imageOf(descriptor("text/x-anything", layer))),
		taken("D57", "an artifact without a subject", "$image", artifact("application/x.sbom", "")),
		taken("D68", "odd spacing and a newline at the end", "$image", "\n "+strings.ReplaceAll(img, ",", " ,\r\n\t")+"\n\n"),
		taken("D68", "letters beyond ASCII", "$image", image(`"annotations":{"naïve":"日本語 – \u00e9 \ud83d\ude00"}`)),
		taken("D68", "numbers and escapes that another writer would write in another way", "$image", image(`"x":[1e2,1.0,-0,"\/\u003c"]`)),

		{from: "D56", name: "the media type is taken from the manifest where Content-Type says nothing", steps: then(blobs,
			step{"PUT $R/manifests/1", img, "201", ""},
			step{"PUT $R/manifests/2 | Content-Type: application/json", img, "201", ""},
			step{"PUT $R/manifests/3 | Content-Type: application/octet-stream", img, "201", ""},
			step{"GET $R/manifests/1", "", "200 | Content-Type: $image", img},
			step{"GET $R/manifests/2", "", "200 | Content-Type: $image", img},
		)},
		{from: "D56", name: "Content-Type with a parameter", steps: then(blobs,
			step{"PUT $R/manifests/1 | Content-Type: $image; charset=utf-8", img, "201", ""},
			step{"GET $R/manifests/1", "", "200 | Content-Type: $image", img},
		)},
		{from: "D56", name: "Content-Type in capitals", steps: then(blobs,
			step{"PUT $R/manifests/1 | Content-Type: Application/Vnd.OCI.Image.Manifest.V1+JSON", img, "201", ""},
			step{"GET $R/manifests/1", "", "200 | Content-Type: $image", img},
		)},

		accepting("no Accept", ""),
		accepting("anything", " | Accept: */*"),
		accepting("another type only", " | Accept: $index"),
		accepting("several lines", " | Accept: $dimage | Accept: $index | Accept: $image"),
		accepting("weights", " | Accept: $image;q=0, $index;q=1.0"),
		accepting("Docker's first schema", " | Accept: application/vnd.docker.distribution.manifest.v1+prettyjws"),
		accepting("words that are no type", " | Accept: ,;,="),
		{from: "D67", name: "no media type is converted into another", steps: steps{
			has(small), has(layer), put("1", "$dimage", dockerImage()),
			{"GET $R/manifests/1 | Accept: $image", "", "200 | Content-Type: $dimage", dockerImage()},
		}},
		{from: "D67", name: "gzip is not applied to manifests", steps: then(pushed("1"),
			step{"GET $R/manifests/1 | Accept-Encoding: gzip", "", "200 | Content-Encoding: - | Content-Length: " + fmt.Sprint(len(img)) + " | Cache-Control: ~no-transform", img},
		)},

		{from: "D66", name: "If-None-Match of a tag", steps: then(pushed("1"),
			step{"GET $R/manifests/1 | If-None-Match: " + quoted, "", "304 | ETag: " + quoted + " | Docker-Content-Digest: " + digest, nothing},
			step{"HEAD $R/manifests/1 | If-None-Match: W/" + quoted, "", "304", ""},
			step{"GET $R/manifests/1 | If-None-Match: " + digest, "", "304", ""},
			step{"GET $R/manifests/" + digest + " | If-None-Match: *", "", "304", ""},
			put("1", "$image", imageOf("")),
			step{"GET $R/manifests/1 | If-None-Match: " + quoted, "", "200 | Docker-Content-Digest: " + sum(imageOf("")), imageOf("")},
		)},
		{from: "D66", name: "If-Match of a GET", steps: then(pushed("1"),
			step{"GET $R/manifests/1 | If-Match: " + quoted, "", "200", img},
			step{"GET $R/manifests/1 | If-Match: \"x\"", "", "412 PRECONDITION_FAILED", ""},
		)},
		{from: "D66", name: "no cache may keep what a tag points at", steps: then(pushed("1"),
			step{"GET $R/manifests/1", "", "200 | Cache-Control: ~no-cache", ""},
			step{"GET $R/manifests/" + digest, "", "200 | Cache-Control: ~immutable", ""},
		)},

		{from: "D63", name: "a tag moved off a manifest", steps: then(pushed("1"),
			put("1", "$image", imageOf("")),
			step{"GET $R/manifests/1", "", "200", imageOf("")},
			step{"GET $R/manifests/" + digest, "", "200", img},
			step{"GET $R/tags/list", "", "200", `{"name":"$N","tags":["1"]}`},
		)},
		{from: "D63", name: "a tag moved at another replica", steps: then(pushed("1"),
			step{"@B GET $R/manifests/1", "", "200", img},
			step{"PUT $R/manifests/1 | Content-Type: $image", imageOf(""), "201", ""},
			step{"@B GET $R/manifests/1", "", "200", imageOf("")},
			step{"@B PUT $R/manifests/1 | Content-Type: $image", img, "201", ""},
			step{"GET $R/manifests/1", "", "200", img},
		)},
		{from: "D63", name: "the media type of a manifest is that of its last push", steps: then(blobs,
			put("1", "$image", untyped(img)),
			step{"GET $R/manifests/1", "", "200 | Content-Type: $image", untyped(img)},
			put("2", "$dimage", untyped(img)),
			step{"GET $R/manifests/2", "", "200 | Content-Type: $dimage", untyped(img)},
			step{"GET $R/manifests/" + sum(untyped(img)), "", "200 | Content-Type: $dimage", untyped(img)},
		)},
		{from: "D71", name: "fifty tags at once over two replicas", steps: pushed("first"), run: func(c *caller) {
			answers := c.atOnce(50, func(i int) step {
				return step{fmt.Sprintf("%s PUT $R/manifests/t%02d | Content-Type: $image", []string{"@A", "@B"}[i%2], i), img, "", ""}
			})
			tags := []string{`"first"`}
			for i, a := range answers {
				c.check(step{"PUT $R/manifests/t", "", "201", ""}, a)
				tags = append(tags, fmt.Sprintf(`"t%02d"`, i))
			}
			list := fmt.Sprintf(`{"name":"$N","tags":[%s]}`, strings.Join(tags, ","))
			c.all(steps{{"@A GET $R/tags/list", "", "200", list}, {"@B GET $R/tags/list", "", "200", list}})
		}},
		{from: "D71", name: "twenty pushes of one tag at once leave one of them", steps: blobs, run: func(c *caller) {
			manifest := func(i int) string { return image(fmt.Sprintf(`"annotations":{"n":"%d"}`, i)) }
			for _, a := range c.atOnce(20, func(i int) step { return step{"PUT $R/manifests/1 | Content-Type: $image", manifest(i), "", ""} }) {
				c.check(step{"PUT $R/manifests/1", "", "201", ""}, a)
			}
			got := c.do(step{"GET $R/manifests/1", "", "200", ""})
			c.do(step{"@B GET $R/manifests/1", "", "200", got.body})
			for i := range 20 {
				c.do(step{"GET $R/manifests/" + sum(manifest(i)), "", "200", manifest(i)})
			}
		}},
	}
}

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

// untyped takes the mediaType out of a manifest.
func untyped(manifest string) string {
	return strings.Replace(manifest, `"mediaType":"application/vnd.oci.image.manifest.v1+json",`, "", 1)
}

// manifestOf is an image manifest of n bytes.
func manifestOf(n int) string {
	const field = `"annotations":{"x":"%s"}`
	least := len(image(fmt.Sprintf(field, "")))
	return image(fmt.Sprintf(field, strings.Repeat("y", n-least)))
}

// image512 is image with its blobs named by sha512.
func image512() string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}`,
		descriptorBy(sum512(small), configType, small), descriptorBy(sum512(layer), layerType, layer))
}

// index512 is an index that names a manifest by sha512.
func index512(manifest string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]}`,
		descriptorBy(sum512(manifest), "application/vnd.oci.image.manifest.v1+json", manifest))
}

const foreignType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

// contentRows are about what a manifest names.
func contentRows() []row {
	img := image()
	missing := func(what ...string) string { return "400" + strings.Repeat(" MANIFEST_BLOB_UNKNOWN", len(what)) }
	// foreign is a row of a layer that is not there and need not be.
	foreign := func(mediaType string) row {
		return row{from: "D60", name: "a layer of type " + mediaType, steps: steps{
			has(small),
			{"PUT $R/manifests/1 | Content-Type: $image", imageOf(descriptor(mediaType, absent)), "201", ""},
			{"PUT $R/manifests/2 | Content-Type: $image", imageOf(descriptorBy(sum(absent), mediaType, absent, `"urls":["https://example.com/layer"]`)), "201", ""},
			{"GET $R/manifests/2", "", "200", `~"urls":\["https://example.com/layer"\]`},
		}}
	}
	return []row{
		{from: "D59", name: "no blob is there", steps: steps{
			{"PUT $R/manifests/1 | Content-Type: $image", img, missing("config", "layer"), "~" + sum(small) + "(?s).*" + sum(layer) + "|" + sum(layer) + "(?s).*" + sum(small)},
			{"GET $R/manifests/1", "", "404 MANIFEST_UNKNOWN", ""},
			{"GET $R/manifests/" + sum(img), "", "404 MANIFEST_UNKNOWN", ""},
			{"GET $R/tags/list", "", "404 NAME_UNKNOWN", ""},
		}},
		{from: "D59", name: "the layer is not there", steps: steps{
			has(small),
			{"PUT $R/manifests/1 | Content-Type: $image", img, missing("layer"), "~" + sum(layer)},
			has(layer),
			put("1", "$image", img),
		}},
		{from: "D59", name: "the config is not there", steps: steps{
			has(layer),
			{"PUT $R/manifests/1 | Content-Type: $image", img, missing("config"), "~" + sum(small)},
			{"PUT $R/manifests/" + sum(img) + " | Content-Type: $image", img, missing("config"), ""},
			{"PUT $R/manifests/1 | Content-Type: $dimage", dockerImage(), missing("config"), ""},
		}},
		{from: "D59", name: "a layer that is missing and named twice is told once", steps: steps{
			has(small),
			{"PUT $R/manifests/1 | Content-Type: $image", imageOf(descriptor(layerType, absent) + "," + descriptor(layerType, absent)), missing("layer"), ""},
		}},
		{from: "D59", name: "the blobs are in another repository", steps: steps{
			hasAlso(small), hasAlso(layer),
			{"PUT $R/manifests/1 | Content-Type: $image", img, missing("config", "layer"), ""},
		}},
		{from: "D59", name: "a blob was deleted", alone: true, steps: steps{
			has(small), has(layer),
			{"DELETE $R/blobs/" + sum(layer), "", "202", ""},
			{"PUT $R/manifests/1 | Content-Type: $image", img, missing("layer"), ""},
		}},
		{from: "D59", name: "a blob was deleted at another replica", steps: steps{
			has(small), has(layer),
			{"@A HEAD $R/blobs/" + sum(layer), "", "200", ""},
			{"@B DELETE $R/blobs/" + sum(layer), "", "202", ""},
			{"@new PUT $R/manifests/1 | Content-Type: $image", img, missing("layer"), ""},
		}},
		{from: "D59", name: "the image was there before and a blob is gone", steps: then(pushed("1"),
			step{"DELETE $R/blobs/" + sum(layer), "", "202", ""},
			step{"GET $R/manifests/1", "", "200", img},
			step{"PUT $R/manifests/2 | Content-Type: $image", img, missing("layer"), ""},
			step{"GET $R/manifests/2", "", "404 MANIFEST_UNKNOWN", ""},
			step{"GET $R/manifests/1", "", "200", img},
		)},
		{from: "D59", name: "a blob that is a manifest is none", steps: then(pushed("1"),
			step{"PUT $R/manifests/2 | Content-Type: $image", imageOf(descriptor(layerType, img)), missing("layer"), ""},
		)},
		foreign(foreignType),
		foreign("application/vnd.oci.image.layer.nondistributable.v1.tar"),
		foreign("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
		foreign("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"),
		{from: "D60", name: "a usual layer with urls has to be there", steps: steps{
			has(small),
			{"PUT $R/manifests/1 | Content-Type: $image", imageOf(descriptorBy(sum(absent), layerType, absent, `"urls":["https://example.com/layer"]`)), missing("layer"), ""},
		}},
		{from: "D60", name: "a foreign layer of Docker's in its own format", steps: steps{
			has(small),
			put("1", "$dimage", strings.Replace(dockerImage(), descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", layer), descriptor(foreignType, absent), 1)),
		}},
		{from: "D61", name: "an index", steps: then(pushed("1"),
			put("2", "$index", index(img)),
			step{"GET $R/manifests/2", "", "200 | Content-Type: $index", index(img)},
		)},
		{from: "D61", name: "an index of children that are not there", steps: then(pushed("1"),
			step{"PUT $R/manifests/2 | Content-Type: $index", index(img, absent, absent+"!"), missing("two", "children"), "~" + sum(absent)},
			step{"GET $R/manifests/2", "", "404 MANIFEST_UNKNOWN", ""},
		)},
		{from: "D61", name: "a list of Docker's of children that are not there", steps: steps{
			{"PUT $R/manifests/1 | Content-Type: $dlist", dockerList(), missing("child"), ""},
		}},
		{from: "D61", name: "an index of a child that another repository has", steps: then(pushed("1"),
			step{"PUT $R-b/manifests/2 | Content-Type: $index", index(img), missing("child"), ""},
		)},
		{from: "D61", name: "an index of a blob", steps: steps{
			has(layer),
			{"PUT $R/manifests/1 | Content-Type: $index", index(layer), missing("child"), ""},
		}},
		{from: "D61", name: "an index of an index", steps: then(pushed("1"),
			put("2", "$index", index(img)),
			put("3", "$index", index(index(img), img)),
			step{"GET $R/manifests/3", "", "200", index(index(img), img)},
		)},
		{from: "D61", name: "an index may be sparse where that is configured", with: func(o *options) {
			o.registry.SparseIndexes = func(repository string) bool { return strings.HasPrefix(repository, "row/") }
		}, steps: then(pushed("1"),
			put("2", "$index", index(img, absent)),
			step{"GET $R/manifests/2", "", "200", index(img, absent)},
			step{"GET $R/manifests/" + sum(absent), "", "404 MANIFEST_UNKNOWN", ""},
			step{"PUT /v2/elsewhere/manifests/2 | Content-Type: $index", index(absent), missing("child"), ""},
			step{"PUT $R/manifests/3 | Content-Type: $image", imageOf(descriptor(layerType, absent)), missing("layer"), ""},
			step{"DELETE $R/manifests/2", "", "202", ""},
			step{"DELETE $R/manifests/" + sum(index(img, absent)), "", "202", ""},
		)},
		{from: "D64", name: "a subject that is not there", steps: steps{
			has(small), has(layer),
			{"PUT $R/manifests/1 | Content-Type: $image", artifact("text/x", absent), "201 | OCI-Subject: " + sum(absent), ""},
		}},
		{from: "D64", name: "a subject by sha512", steps: steps{
			has(small), has(layer),
			{"PUT $R/manifests/1 | Content-Type: $image", image(`"subject":` + descriptorBy(sum512(absent), layerType, absent)), "201 | OCI-Subject: " + sum512(absent), ""},
		}},
		{from: "D64", name: "no subject, no OCI-Subject", steps: steps{
			has(small), has(layer),
			{"PUT $R/manifests/1 | Content-Type: $image", img, "201 | OCI-Subject: -", ""},
		}},
		{from: "D64", name: "a subject of an index", steps: steps{
			{"PUT $R/manifests/1 | Content-Type: $index", indexWith([]string{`"subject":` + descriptor(layerType, absent)}), "201 | OCI-Subject: " + sum(absent), ""},
		}},
		{from: "D56", name: "a type that is no manifest's", steps: steps{
			has(small), has(layer),
			{"PUT $R/manifests/1 | Content-Type: " + unknownType, untyped(img), "400 MANIFEST_INVALID", "~" + unknownType[:20]},
			{"PUT $R/manifests/1 | Content-Type: text/plain", untyped(img), "400 MANIFEST_INVALID", ""},
			{"PUT $R/manifests/1 | Content-Type: application/vnd.docker.distribution.manifest.v1+prettyjws", untyped(img), "400 MANIFEST_INVALID", ""},
			{"PUT $R/manifests/1", untyped(img), "400 MANIFEST_INVALID", "~Content-Type"},
			{"PUT $R/manifests/1 | Content-Type: " + registry.MediaTypeDockerManifest + "x", untyped(img), "400 MANIFEST_INVALID", ""},
			{"GET $R/manifests/1", "", "404 MANIFEST_UNKNOWN", ""},
		}},
	}
}
