package api_test

import (
	"fmt"
	"strings"
)

// invalidRows are manifests that are refused, each before anything of its repository exists.
func invalidRows() []row {
	img := image()
	config := descriptor(configType, small)
	one := descriptor(layerType, layer)
	refused := func(from, name, mediaType, manifest string) row {
		return row{from: from, name: name, steps: steps{
			{"PUT $R/manifests/1 | Content-Type: " + mediaType, manifest, "400 MANIFEST_INVALID", ""},
			{"PUT $R/manifests/" + sum(manifest) + " | Content-Type: " + mediaType, manifest, "400 MANIFEST_INVALID", ""},
			{"GET $R/manifests/1", "", "~^404$", ""},
			{"GET $R/tags/list", "", "404 NAME_UNKNOWN", ""},
		}}
	}
	with := func(fields string) string { return `{"schemaVersion":2,` + fields + `}` }
	layers := func(value string) string { return with(`"config":` + config + `,"layers":` + value) }
	rows := []row{
		refused("D53", "an empty body", "$image", ""),
		refused("D53", "spaces", "$image", " \n\t "),
		refused("D53", "an array", "$image", "[]"),
		refused("D53", "a string", "$image", `"x"`),
		refused("D53", "null", "$image", "null"),
		refused("D53", "a number", "$image", "42"),
		refused("D53", "an empty object", "$image", "{}"),
		refused("D53", "no JSON", "$image", "<html>"),
		refused("D53", "JSON that is cut off", "$image", img[:len(img)-1]),
		refused("D53", "JSON with something after it", "$image", img+"{}"),
		refused("D53", "JSON with a comment", "$image", "/* */"+img),
		refused("D53", "JSON with a comma too many", "$image", strings.TrimSuffix(img, "}")+",}"),
		refused("D53", "bytes that are no UTF-8", "$image", strings.Replace(img, "schemaVersion", "schema\xffVersion", 1)),
		refused("D53", "UTF-16", "$image", "\xff\xfe{\x00}\x00"),
		refused("D68", "a byte order mark", "$image", "\ufeff"+img),
		refused("D53", "no config", "$image", with(`"layers":[]`)),
		refused("D53", "config is null", "$image", with(`"config":null,"layers":[]`)),
		refused("D53", "config is a string", "$image", with(`"config":"x","layers":[]`)),
		refused("D53", "config is a list", "$image", with(`"config":[`+config+`],"layers":[]`)),
		refused("D53", "config is empty", "$image", with(`"config":{},"layers":[]`)),
		refused("D53", "layers is a string", "$image", layers(`"x"`)),
		refused("D53", "layers is an object", "$image", layers(one)),
		refused("D53", "a layer is null", "$image", layers(`[null]`)),
		refused("D53", "a layer is a digest", "$image", layers(fmt.Sprintf("[%q]", sum(layer)))),
		refused("D53", "a layer without a digest", "$image", layers(`[{"mediaType":"a/b","size":1}]`)),
		refused("D53", "a layer without a size", "$image", layers(fmt.Sprintf(`[{"mediaType":"a/b","digest":%q}]`, sum(layer)))),
		refused("D53", "a layer whose digest is none", "$image", layers(`[{"mediaType":"a/b","digest":"sha256:xyz","size":1}]`)),
		refused("D53", "a layer whose digest is a path", "$image", layers(`[{"mediaType":"a/b","digest":"sha256:../../../format","size":1}]`)),
		refused("D53", "a layer whose digest is in capitals", "$image", layers(fmt.Sprintf(`[{"mediaType":"a/b","digest":%q,"size":1}]`, strings.ToUpper(sum(layer))))),
		refused("D53", "a size in words", "$image", layers(fmt.Sprintf(`[{"mediaType":"a/b","digest":%q,"size":"big"}]`, sum(layer)))),
		refused("D53", "a negative size", "$image", layers(fmt.Sprintf(`[{"mediaType":"a/b","digest":%q,"size":-1}]`, sum(layer)))),
		refused("D53", "a size beyond 64 bits", "$image", layers(fmt.Sprintf(`[{"mediaType":"a/b","digest":%q,"size":99999999999999999999}]`, sum(layer)))),
		refused("D53", "a size that is no whole number", "$image", layers(fmt.Sprintf(`[{"mediaType":"a/b","digest":%q,"size":1.5}]`, sum(layer)))),
		refused("D53", "an index without manifests", "$index", `{"schemaVersion":2}`),
		refused("D53", "an index whose manifests are null", "$index", with(`"manifests":null`)),
		refused("D53", "an index whose manifests are an object", "$index", with(`"manifests":{}`)),
		refused("D53", "an index with a child that is null", "$index", with(`"manifests":[null]`)),
		refused("D53", "an index with a child without a digest", "$index", with(`"manifests":[{"size":1}]`)),
		refused("D53", "a subject that is a string", "$image", layers("[]")[:len(layers("[]"))-1]+`,"subject":"x"}`),
		refused("D53", "a subject whose digest is none", "$image", image(`"subject":{"digest":"sha256:x","size":1}`)),
		refused("D53", "a subject whose digest is a path", "$image", image(`"subject":{"digest":"../../x:y","size":1}`)),
		refused("D53", "annotations that are no strings", "$image", image(`"annotations":{"a":1}`)),
		refused("D53", "annotations that are a list", "$image", image(`"annotations":[]`)),
		refused("D53", "Docker's first schema", "$image", `{"schemaVersion":1,"name":"x","tag":"1","fsLayers":[],"history":[]}`),
		refused("D53", "schemaVersion 3", "$image", strings.Replace(img, `"schemaVersion":2`, `"schemaVersion":3`, 1)),
		refused("D53", "no schemaVersion", "$image", strings.Replace(img, `"schemaVersion":2,`, "", 1)),
		refused("D53", "schemaVersion in words", "$image", strings.Replace(img, `"schemaVersion":2`, `"schemaVersion":"2"`, 1)),
		refused("D53", "nesting of half a million", "$image", strings.Repeat(`{"a":`, 500_000)),
		refused("D53", "nesting that is closed again", "$image", image(`"x":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000))),

		refused("D54", "an image that is an index too, as an image", "$image", image(`"manifests":[]`)),
		refused("D54", "an image that is an index too, as an index", "$index", image(`"manifests":[]`)),
		refused("D54", "an image that is an index too, without mediaType", "$index", untyped(image(`"manifests":[]`))),
		refused("D54", "an index with layers", "$index", with(`"manifests":[],"layers":[]`)),
		refused("D54", "an index with a config", "$index", with(`"manifests":[],"config":`+config)),
		refused("D54", "mediaType is not Content-Type", "$dimage", img),
		refused("D54", "an index sent as an image", "$image", index()),
		refused("D54", "an image sent as an index", "$index", img),
		refused("D54", "mediaType is one that nobody knows", "$image", strings.Replace(img, "application/vnd.oci.image.manifest.v1+json", unknownType, 1)),
		refused("D54", "fsLayers beside layers", "$image", image(`"fsLayers":[{"blobSum":"sha256:x"}]`)),
		refused("D54", "layers twice", "$image", image(`"layers":[]`)),
		refused("D54", "config twice", "$image", image(`"config":`+config)),
		refused("D54", "mediaType twice", "$image", image(`"mediaType":"application/vnd.oci.image.manifest.v1+json"`)),
		refused("D54", "layers and Layers", "$image", image(`"Layers":[]`)),
		refused("D54", "config and CONFIG", "$image", image(`"CONFIG":`+config)),
		refused("D54", "a key twice, once escaped", "$image", image(`"\u006cayers":[]`)),
		refused("D54", "Manifests in an image", "$image", image(`"Manifests":[]`)),
		refused("D54", "subject and Subject", "$image", image(`"subject":`+one, `"Subject":`+config)),
		refused("D54", "a key that differs by a letter that folds to another", "$image", image(`"layerſ":[]`)),
		refused("D54", "Layers alone", "$image", strings.Replace(img, `"layers"`, `"Layers"`, 1)),
		refused("D54", "Manifests alone", "$index", with(`"Manifests":[]`)),
		refused("D54", "a digest twice in one descriptor", "$image", layers(fmt.Sprintf(`[{"mediaType":"a/b","digest":%q,"digest":%q,"size":1}]`, sum(layer), sum(small)))),
		refused("D54", "digest and Digest in one descriptor", "$image", layers(fmt.Sprintf(`[{"mediaType":"a/b","digest":%q,"Digest":%q,"size":1}]`, sum(layer), sum(small)))),
	}
	return append(rows,
		row{from: "D49", name: "by the digest of something else", steps: steps{
			has(small), has(layer),
			{"PUT $R/manifests/" + sum(absent) + " | Content-Type: $image", img, "400 DIGEST_INVALID", "~" + sum(img)},
			{"GET $R/manifests/" + sum(absent), "", "404 MANIFEST_UNKNOWN", ""},
			{"GET $R/manifests/" + sum(img), "", "404 MANIFEST_UNKNOWN", ""},
			{"PUT $R/manifests/" + sum512(absent) + " | Content-Type: $image", img, "400 DIGEST_INVALID", ""},
		}},
		row{from: "D49", name: "by its own digest with a newline more", steps: steps{
			has(small), has(layer),
			{"PUT $R/manifests/" + sum(img) + " | Content-Type: $image", img + "\n", "400 DIGEST_INVALID", ""},
		}},
		badReference("a digest that is too short", badDigest),
		badReference("a digest in capitals", "sha256:"+strings.ToUpper(sum(img)[7:])),
		badReference("an algorithm that nobody has", "foo:bar"),
		badReference("md5", "md5:d41d8cd98f00b204e9800998ecf8427e"),
		badReference("sha512 with the length of sha256", "sha512:"+sum(img)[7:]),
		badReference("a digest with nothing in it", "sha256:"),
		badReference("a digest that is a path", "sha256:..%2f..%2f..%2fformat"),
		badReference("a tag with a digest", "latest@"+sum(img)),
	)
}

// badReference is a text with a colon that is no digest: never a tag.
func badReference(name, text string) row {
	return row{from: "D50", name: name, steps: steps{
		has(small), has(layer),
		{"GET $R/manifests/" + text, "", "400 DIGEST_INVALID", ""},
		{"HEAD $R/manifests/" + text, "", "400", ""},
		{"PUT $R/manifests/" + text + " | Content-Type: $image", image(), "400 DIGEST_INVALID", ""},
		{"DELETE $R/manifests/" + text, "", "400 DIGEST_INVALID", ""},
		{"GET $R/tags/list", "", "404 NAME_UNKNOWN", ""},
	}}
}
