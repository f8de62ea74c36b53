package api_test

import (
	"strings"

	"github.com/longshore-registry/longshore/registry"
)

const (
	foreignType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	unknownType = "application/vnd.foo+json"
)

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
