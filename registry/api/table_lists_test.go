package api_test

import (
	"fmt"
	"strings"
)

// tagged pushes an image of no layers under each tag.
func tagged(tags ...string) steps {
	all := steps{has(small)}
	for _, t := range tags {
		all = append(all, put(t, "$image", imageOf("")))
	}
	return all
}

// holding pushes an image to each repository.
func holding(repositories ...string) steps {
	var all steps
	for _, name := range repositories {
		all = append(all,
			step{"POST /v2/" + name + "/blobs/uploads/?digest=" + sum(small), small, "201", ""},
			step{"PUT /v2/" + name + "/manifests/1 | Content-Type: $image", imageOf(""), "201", ""})
	}
	return all
}

// listRows are about the lists of tags and repositories.
func listRows() []row {
	list := func(tags string) string { return `{"name":"$N","tags":[` + tags + `]}` }
	repos := func(names string) string { return `{"repositories":[` + names + `]}` }
	badNumber := func(text string) row {
		return row{from: "F80", name: fmt.Sprintf("n is %q", text), steps: then(tagged("a"),
			step{"GET $R/tags/list?n=" + text, "", "400 PAGINATION_NUMBER_INVALID", ""},
			step{"GET /v2/_catalog?n=" + text, "", "400 PAGINATION_NUMBER_INVALID", ""},
			step{"GET $R/referrers/" + sum(absent) + "?n=" + text, "", "400 PAGINATION_NUMBER_INVALID", ""},
		)}
	}
	return []row{
		{from: "spec: Listing tags", name: "all of them", steps: then(tagged("b", "a"),
			step{"GET $R/tags/list", "", "200 | Content-Type: application/json | Link: -", list(`"a","b"`)},
		)},
		{from: "spec: Listing tags", name: "a repository without tags", steps: then(tagged(),
			put(sum(imageOf("")), "$image", imageOf("")),
			step{"GET $R/tags/list", "", "200 | Link: -", list("")},
		)},
		{from: "spec: Listing tags", name: "a repository that is not there", steps: steps{
			{"GET $R/tags/list", "", "404 NAME_UNKNOWN", "~$N"},
			{"HEAD $R/tags/list", "", "404", ""},
		}},
		{from: "spec: Listing tags", name: "a repository to which blobs were pushed and nothing else", steps: steps{
			has(small),
			{"GET $R/tags/list", "", "404 NAME_UNKNOWN", ""},
		}},
		{from: "spec: Listing tags", name: "tags of a repository below are not among them", steps: then(tagged("a"),
			step{"POST $R/x/blobs/uploads/?digest=" + sum(small), small, "201", ""},
			step{"PUT $R/x/manifests/b | Content-Type: $image", imageOf(""), "201", ""},
			step{"GET $R/tags/list", "", "200", list(`"a"`)},
			step{"GET $R/x/tags/list", "", "200", `{"name":"$N/x","tags":["b"]}`},
		)},
		{from: "F80", name: "n is 0", steps: then(tagged("a", "b"),
			step{"GET $R/tags/list?n=0", "", "200 | Link: -", list("")},
			step{"GET $R/tags/list?n=0&last=a", "", "200 | Link: -", list("")},
		)},
		{from: "F80", name: "n is 0 in a repository that is not there", steps: steps{
			{"GET $R/tags/list?n=0", "", "404 NAME_UNKNOWN", ""},
		}},
		{from: "F80", name: "n is 1", steps: then(tagged("a", "b", "c"),
			step{"GET $R/tags/list?n=1", "", `200 | Link: <$R/tags/list?last=a&n=1>; rel="next"`, list(`"a"`)},
			step{"GET $R/tags/list?last=a&n=1", "", `200 | Link: <$R/tags/list?last=b&n=1>; rel="next"`, list(`"b"`)},
			step{"GET $R/tags/list?last=b&n=1", "", "200 | Link: -", list(`"c"`)},
		)},
		{from: "F80", name: "n is as many as there are", steps: then(tagged("a", "b"),
			step{"GET $R/tags/list?n=2", "", "200 | Link: -", list(`"a","b"`)},
		)},
		{from: "F80", name: "n is very large", steps: then(tagged("a", "b"),
			step{"GET $R/tags/list?n=100000", "", "200 | Link: -", list(`"a","b"`)},
			step{"GET $R/tags/list?n=9223372036854775807", "", "200", list(`"a","b"`)},
		)},
		{from: "F80", name: "n is larger than the registry serves at once", with: func(o *options) { o.api.MaxPageSize = 2 }, steps: then(tagged("a", "b", "c"),
			step{"GET $R/tags/list?n=100000", "", `200 | Link: <$R/tags/list?last=b&n=2>; rel="next"`, list(`"a","b"`)},
			step{"GET $R/tags/list", "", `200 | Link: <$R/tags/list?last=b&n=2>; rel="next"`, list(`"a","b"`)},
		)},
		{from: "F80", name: "a page is as long as is configured", with: func(o *options) { o.api.PageSize = 2 }, steps: then(tagged("a", "b", "c"),
			step{"GET $R/tags/list", "", "200 | Link: *", list(`"a","b"`)},
			step{"GET $R/tags/list?n=3", "", "200 | Link: -", list(`"a","b","c"`)},
			step{"GET $R/tags/list?last=b", "", "200 | Link: -", list(`"c"`)},
		)},
		badNumber("-1"), badNumber("abc"), badNumber(""), badNumber("1.5"), badNumber("0x10"), badNumber("99999999999999999999"), badNumber("%201"), badNumber("1%00"),
		{from: "F81", name: "last is between two tags", steps: then(tagged("a", "c"),
			step{"GET $R/tags/list?last=b", "", "200", list(`"c"`)},
		)},
		{from: "F81", name: "last is after all tags", steps: then(tagged("a", "c"),
			step{"GET $R/tags/list?last=zzz", "", "200 | Link: -", list("")},
			step{"GET $R/tags/list?last=c&n=5", "", "200 | Link: -", list("")},
		)},
		{from: "F81", name: "last is empty", steps: then(tagged("a"),
			step{"GET $R/tags/list?last=", "", "200", list(`"a"`)},
		)},
		{from: "F81", name: "last is no tag", steps: then(tagged("a", "b"),
			step{"GET $R/tags/list?last=%20", "", "200", list(`"a","b"`)},
			step{"GET $R/tags/list?last=..%2f..%2f", "", "200", list(`"a","b"`)},
			step{"GET $R/tags/list?last=a%2Fb", "", "200", list(`"b"`)},
			step{"GET $R/tags/list?last=%ff", "", "200", list("")},
			step{"GET $R/tags/list?last=a%00", "", "200", list(`"b"`)},
			step{"GET $R/tags/list?last=" + strings.Repeat("a", 2000), "", "200", list(`"b"`)},
			step{"GET $R/tags/list?last=%F0%9F%90%B3", "", "200", list("")},
		)},
		{from: "F81", name: "last was deleted meanwhile", steps: then(tagged("a", "b", "c"),
			step{"GET $R/tags/list?n=2", "", "200 | Link: *", list(`"a","b"`)},
			step{"DELETE $R/manifests/b", "", "202", ""},
			step{"GET $R/tags/list?n=2&last=b", "", "200", list(`"c"`)},
		)},
		{from: "F82", name: "the Link keeps what else was asked for", steps: then(tagged("a", "b"),
			step{"GET $R/tags/list?n=1&x=y%20z&ns=docker.io", "", `200 | Link: <$R/tags/list?last=a&n=1&ns=docker.io&x=y+z>; rel="next"`, ""},
		)},
		{from: "F82", name: "the Link is absolute where the registry's URL is configured", with: public, steps: then(tagged("a", "b"),
			step{"GET $R/tags/list?n=1", "", `200 | Link: <https://registry.example$R/tags/list?last=a&n=1>; rel="next"`, ""},
		)},
		{from: "F82", name: "following the Links gives each tag once", steps: tagged("a", "b", "c", "d", "e", "f", "g"), run: func(c *caller) {
			var pages []string
			next := "$R/tags/list?n=3"
			for next != "" {
				a := c.do(step{"GET " + next, "", "200", ""})
				pages = append(pages, a.body)
				next, _, _ = strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
			}
			want := c.expand(list(`"a","b","c"`) + list(`"d","e","f"`) + list(`"g"`))
			if got := strings.Join(pages, ""); got != want {
				c.t.Errorf("got %s, want %s", got, want)
			}
		}},
		{from: "F84", name: "tags are in the order of their bytes", steps: then(tagged("b", "B", "a.", "a-", "a_", "a", "10", "9", "_", "A", "aa"),
			step{"GET $R/tags/list", "", "200", list(`"10","9","A","B","_","a","a-","a.","a_","aa","b"`)},
			step{"GET $R/tags/list?n=3&last=A", "", "200", list(`"B","_","a"`)},
			step{"GET $R/tags/list?n=3&last=a", "", "200", list(`"a-","a.","a_"`)},
		)},
		{from: "F85", name: "the catalogue", with: own, steps: then(holding("b", "a/b", "a", "a-b", "a/b/c", "a0"),
			step{"GET /v2/_catalog", "", "200 | Content-Type: application/json | Link: -", repos(`"a","a-b","a/b","a/b/c","a0","b"`)},
			step{"GET /v2/_catalog/", "", "200", repos(`"a","a-b","a/b","a/b/c","a0","b"`)},
		)},
		{from: "F85", name: "the catalogue page by page", with: own, steps: then(holding("b", "a/b", "a"),
			step{"GET /v2/_catalog?n=1", "", `200 | Link: </v2/_catalog?last=a&n=1>; rel="next"`, repos(`"a"`)},
			step{"GET /v2/_catalog?last=a&n=1", "", `200 | Link: </v2/_catalog?last=a%2Fb&n=1>; rel="next"`, repos(`"a/b"`)},
			step{"GET /v2/_catalog?last=a%2Fb&n=1", "", "200 | Link: -", repos(`"b"`)},
			step{"GET /v2/_catalog?last=zzz", "", "200 | Link: -", repos("")},
			step{"GET /v2/_catalog?n=0", "", "200 | Link: -", repos("")},
			step{"GET /v2/_catalog?n=100000", "", "200 | Link: -", repos(`"a","a/b","b"`)},
			step{"GET /v2/_catalog?last=a-&n=5", "", "200", repos(`"a/b","b"`)},
			step{"GET /v2/_catalog?last=a..%2f&n=5", "", "200", ""},
		)},
		{from: "F85", name: "the catalogue of an empty registry", with: own, steps: steps{
			{"GET /v2/_catalog", "", "200 | Link: -", repos("")},
		}},
		{from: "F85", name: "a repository of blobs alone is not in the catalogue", with: own, steps: steps{
			has(ten),
			{"GET /v2/_catalog", "", "200", repos("")},
		}},
		{from: "F85", name: "a push that was refused leaves nothing in the catalogue", with: own, steps: steps{
			{"PUT $R/manifests/1 | Content-Type: $image", image(), "400 MANIFEST_BLOB_UNKNOWN MANIFEST_BLOB_UNKNOWN", ""},
			{"PUT $R/manifests/1 | Content-Type: $image", "{}", "400 MANIFEST_INVALID", ""},
			{"GET /v2/_catalog", "", "200", repos("")},
		}},
		{from: "F85", name: "a name that is the beginning of another", with: own, steps: then(holding("a", "a/b"),
			step{"GET /v2/a/tags/list", "", "200", `{"name":"a","tags":["1"]}`},
			step{"GET /v2/a/b/tags/list", "", "200", `{"name":"a/b","tags":["1"]}`},
			step{"DELETE /v2/a/manifests/" + sum(imageOf("")), "", "202", ""},
			step{"GET /v2/a/b/manifests/1", "", "200", imageOf("")},
		)},
	}
}

// public makes Locations absolute.
func public(o *options) { o.api.PublicURL = "https://registry.example/" }

// searchRows are about docker search.
func searchRows() []row {
	result := func(query string, names ...string) string {
		all := make([]string, len(names))
		for i, name := range names {
			all[i] = fmt.Sprintf(`{"name":%q,"description":"","star_count":0,"is_official":false,"is_automated":false}`, name)
		}
		return fmt.Sprintf(`{"num_results":%d,"query":%q,"results":[%s]}`, len(names), query, strings.Join(all, ","))
	}
	held := holding("d/built", "lib/term", "terminal", "x")
	return []row{
		{from: "clients: docker search", name: "ping", steps: steps{{"GET /v1/_ping", "", "200 | Content-Type: application/json", ""}}},
		{from: "clients: docker search", name: "a term", with: own, steps: then(held,
			step{"GET /v1/search?q=term&n=25", "", "200 | Content-Type: application/json", result("term", "lib/term", "terminal")},
			step{"GET /v1/search?n=25&q=term", "", "200", result("term", "lib/term", "terminal")},
		)},
		{from: "clients: docker search", name: "a term with a slash", with: own, steps: then(held,
			step{"GET /v1/search?q=lib%2Fterm&n=25", "", "200", result("lib/term", "lib/term")},
		)},
		{from: "clients: docker search", name: "a term in capitals", with: own, steps: then(held,
			step{"GET /v1/search?q=TERM", "", "200", result("TERM", "lib/term", "terminal")},
		)},
		{from: "clients: docker search", name: "no term", with: own, steps: then(held,
			step{"GET /v1/search", "", "200", result("", "d/built", "lib/term", "terminal", "x")},
			step{"GET /v1/search?q=&n=2", "", "200", result("", "d/built", "lib/term")},
		)},
		{from: "clients: docker search", name: "a limit", with: own, steps: then(held,
			step{"GET /v1/search?q=term&n=1", "", "200", result("term", "lib/term")},
			step{"GET /v1/search?q=term&n=0", "", "200", result("term")},
			step{"GET /v1/search?q=term&n=", "", "200", result("term", "lib/term", "terminal")},
			step{"GET /v1/search?q=term&n=-1", "", "400 PAGINATION_NUMBER_INVALID", ""},
			step{"GET /v1/search?q=term&n=x", "", "400 PAGINATION_NUMBER_INVALID", ""},
		)},
		{from: "clients: docker search", name: "nothing is found", with: own, steps: then(held,
			step{"GET /v1/search?q=nowhere", "", "200", result("nowhere")},
			step{"GET /v1/search?q=%22%3C%00%E2%82%AC", "", "200", ""},
		)},
		{from: "clients: podman search", name: "the catalogue is what it reads without a term", with: own, steps: then(held,
			step{"GET /v2/_catalog", "", "200", `{"repositories":["d/built","lib/term","terminal","x"]}`},
		)},
	}
}

// referrerRows are about the referrers of a manifest.
func referrerRows() []row {
	img := image()
	digest := sum(img)
	sbom, signature := artifact("text/sbom", img, `"annotations":{"a.b":"c"}`), artifact("text/sig", img)
	list := func(descriptors ...string) string {
		return fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]}`, strings.Join(descriptors, ","))
	}
	entry := func(manifest, artifactType, rest string) string {
		fields := fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":%d`, sum(manifest), len(manifest))
		if rest != "" {
			fields += "," + rest
		}
		if artifactType != "" {
			fields += fmt.Sprintf(`,"artifactType":%q`, artifactType)
		}
		return fields + "}"
	}
	sbomEntry, signatureEntry := entry(sbom, "text/sbom", `"annotations":{"a.b":"c"}`), entry(signature, "text/sig", "")
	both := list(sbomEntry, signatureEntry)
	if sum(signature) < sum(sbom) {
		both = list(signatureEntry, sbomEntry)
	}
	referring := then(pushed("1"), put(sum(sbom), "$image", sbom), put(sum(signature), "$image", signature))
	return []row{
		{from: "spec: Listing referrers", name: "two of them", steps: then(referring,
			step{"GET $R/referrers/" + digest, "", "200 | Content-Type: $index | OCI-Filters-Applied: - | Link: -", both},
		)},
		{from: "spec: Listing referrers", name: "PUT tells that it has understood", steps: then(pushed("1"),
			step{"PUT $R/manifests/" + sum(sbom) + " | Content-Type: $image", sbom, "201 | OCI-Subject: " + digest, ""},
		)},
		{from: "G87", name: "one type of them", steps: then(referring,
			step{"GET $R/referrers/" + digest + "?artifactType=text/sbom", "", "200 | Content-Type: $index | OCI-Filters-Applied: artifactType", list(sbomEntry)},
			step{"GET $R/referrers/" + digest + "?artifactType=text%2Fsig", "", "200 | OCI-Filters-Applied: artifactType", list(signatureEntry)},
			step{"GET $R/referrers/" + digest + "?artifactType=text", "", "200 | OCI-Filters-Applied: artifactType", list()},
			step{"GET $R/referrers/" + digest + "?artifactType=TEXT/SBOM", "", "200 | OCI-Filters-Applied: artifactType", list()},
		)},
		{from: "G87", name: "a type that is empty", steps: then(referring,
			step{"GET $R/referrers/" + digest + "?artifactType=", "", "200 | OCI-Filters-Applied: artifactType", list()},
		)},
		{from: "G87", name: "parameters that nobody knows", steps: then(referring,
			step{"GET $R/referrers/" + digest + "?x=y", "", "200 | OCI-Filters-Applied: -", both},
		)},
		{from: "G88", name: "nothing refers to it", steps: then(pushed("1"),
			step{"GET $R/referrers/" + digest, "", "200 | Content-Type: $index", list()},
		)},
		{from: "G88", name: "it was never pushed", steps: then(pushed("1"),
			step{"GET $R/referrers/" + sum(absent), "", "200 | Content-Type: $index", list()},
			step{"GET $R/referrers/" + sum512(absent), "", "200", list()},
		)},
		{from: "G88", name: "the repository was never pushed to", steps: steps{
			{"GET $R/referrers/" + sum(absent), "", "200 | Content-Type: $index", list()},
			{"GET $R/referrers/" + sum(absent) + "?artifactType=x", "", "200 | OCI-Filters-Applied: artifactType", list()},
		}},
		{from: "G88", name: "a digest that is none", steps: then(pushed("1"),
			step{"GET $R/referrers/" + badDigest, "", "400 DIGEST_INVALID", ""},
			step{"GET $R/referrers/1", "", "400 DIGEST_INVALID", ""},
			step{"GET $R/referrers/" + strings.ToUpper(digest), "", "400 DIGEST_INVALID", ""},
			step{"GET $R/referrers/foo:bar", "", "400 DIGEST_INVALID", ""},
		)},
		{from: "G89", name: "the type of an image is that of its config", steps: then(pushed("1"),
			put("2", "$image", image(`"subject":`+descriptor(layerType, img))),
			step{"GET $R/referrers/" + digest, "", "200", `~"artifactType":"` + strings.ReplaceAll(configType, "+", `\+`) + `"`},
			step{"GET $R/referrers/" + digest + "?artifactType=" + strings.ReplaceAll(configType, "+", "%2B"), "", "200", `~"digest"`},
		)},
		{from: "G89", name: "an artifactType that is empty counts for none", steps: then(pushed("1"),
			put("2", "$image", artifact("", img)),
			step{"GET $R/referrers/" + digest, "", "200", `~"artifactType":"` + strings.ReplaceAll(configType, "+", `\+`) + `"`},
		)},
		{from: "G89", name: "an index without a type has none in the list", steps: then(pushed("1"),
			put("2", "$index", indexWith([]string{`"subject":` + descriptor(layerType, img)})),
			step{"GET $R/referrers/" + digest, "", "200", `~^\{"schemaVersion":2,"mediaType":"[^"]*","manifests":\[\{"mediaType":"[^"]*","digest":"[^"]*","size":[0-9]+\}\]\}$`},
		)},
		{from: "G89", name: "an index with a type, and its annotations", steps: then(pushed("1"),
			put("2", "$index", indexWith([]string{`"artifactType":"text/i"`, `"annotations":{"k":"v"}`, `"subject":` + descriptor(layerType, img)})),
			step{"GET $R/referrers/" + digest + "?artifactType=text/i", "", "200", `~"annotations":\{"k":"v"\},"artifactType":"text/i"`},
		)},
		{from: "G89", name: "an image of Docker's may have a subject", steps: then(pushed("1"),
			put("2", "$dimage", strings.TrimSuffix(dockerImage(), "}")+`,"subject":`+descriptor(layerType, img)+"}"),
			step{"GET $R/referrers/" + digest, "", "200", "~docker.container.image"},
		)},
		{from: "G90", name: "whatever Accept says", steps: then(referring,
			step{"GET $R/referrers/" + digest + " | Accept: text/html", "", "200 | Content-Type: $index", both},
		)},
		{from: "G88", name: "the subject is pushed after what refers to it", steps: steps{
			has(small), has(layer), put(sum(sbom), "$image", sbom),
			{"GET $R/referrers/" + digest, "", "200", list(sbomEntry)},
			put("1", "$image", img),
			{"GET $R/referrers/" + digest, "", "200", list(sbomEntry)},
		}},
		{from: "G88", name: "what refers to it in another repository", steps: then(referring,
			step{"GET $R-b/referrers/" + digest, "", "200", list()},
			step{"GET $R/x/referrers/" + digest, "", "200", list()},
		)},
		{from: "G87", name: "the same pushed twice is there once", steps: then(pushed("1"),
			put("2", "$image", sbom), put("3", "$image", sbom),
			step{"GET $R/referrers/" + digest, "", "200", list(sbomEntry)},
		)},
		{from: "D51", name: "a subject by sha512", steps: then(pushed("1"),
			put(sum512(img), "$image", img),
			put("2", "$image", image(`"artifactType":"text/a"`, `"subject":`+descriptorBy(sum512(img), layerType, img))),
			step{"GET $R/referrers/" + sum512(img), "", "200", "~text/a"},
			step{"GET $R/referrers/" + digest, "", "200", list()},
		)},
		{from: "D51", name: "a manifest by sha512 with a subject", steps: then(pushed("1"),
			put(sum512(sbom), "$image", sbom),
			step{"GET $R/referrers/" + digest, "", "200", "~" + sum512(sbom)},
			step{"DELETE $R/manifests/" + sum512(sbom), "", "202", ""},
			step{"GET $R/referrers/" + digest, "", "200", list()},
		)},
		{from: "spec: Listing referrers", name: "page by page", steps: then(referring,
			step{"GET $R/referrers/" + digest + "?n=1", "", `200 | Link: ~^<$R/referrers/sha256:[0-9a-f]{64}\?last=\S+&n=1>; rel="next"$`, ""},
		), run: func(c *caller) {
			next, found := "$R/referrers/"+digest+"?n=1", 0
			for next != "" && found < 9 {
				a := c.do(step{"GET " + next, "", "200", ""})
				found += strings.Count(a.body, `"digest"`)
				next, _, _ = strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
			}
			if found != 2 {
				c.t.Errorf("the pages have %d referrers, want 2", found)
			}
		}},
		{from: "spec: Listing referrers", name: "the Link keeps the filter", steps: then(referring,
			step{"GET $R/referrers/" + digest + "?n=1&artifactType=text/none", "", `200 | OCI-Filters-Applied: artifactType | Link: ~artifactType=text%2Fnone&last=`, ""},
		)},
		{from: "G87", name: "a referrer of a referrer", steps: then(referring,
			put("4", "$image", artifact("text/sig", sbom)),
			step{"GET $R/referrers/" + sum(sbom), "", "200", "~" + sum(artifact("text/sig", sbom))},
			step{"GET $R/referrers/" + digest, "", "200", both},
		)},
		{from: "G91", name: "an index under the tag of the old scheme is an index like any", steps: then(pushed("1"),
			put(strings.Replace(digest, ":", "-", 1), "$index", index(img)),
			step{"GET $R/manifests/" + strings.Replace(digest, ":", "-", 1), "", "200", index(img)},
			step{"GET $R/referrers/" + digest, "", "200", list()},
		)},
		{from: "G87", name: "twenty referrers at once over two replicas", steps: pushed("1"), run: func(c *caller) {
			manifest := func(i int) string { return artifact(fmt.Sprintf("text/%d", i), img) }
			for _, a := range c.atOnce(20, func(i int) step {
				return step{[]string{"@A", "@B"}[i%2] + " PUT $R/manifests/" + sum(manifest(i)) + " | Content-Type: $image", manifest(i), "", ""}
			}) {
				c.check(step{"PUT $R/manifests/x", "", "201 | OCI-Subject: " + digest, ""}, a)
			}
			if n := strings.Count(c.do(step{"GET $R/referrers/" + digest, "", "200", ""}).body, `"digest"`); n != 20 {
				c.t.Errorf("%d are in the list, want 20", n)
			}
		}},
	}
}
