package api_test

import (
	"fmt"
	"strings"
)

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
