package api_test

import (
	"fmt"
	"strings"
)

// nameRows are about names of repositories and tags.
func nameRows() []row {
	img := imageOf("")
	good := func(name string) row {
		return row{from: "H92", name: "a good name: " + brief(name), with: own, steps: steps{
			{"POST /v2/" + name + "/blobs/uploads/?digest=" + sum(small), small, "201 | Location: /v2/" + name + "/blobs/" + sum(small), ""},
			{"PUT /v2/" + name + "/manifests/1 | Content-Type: $image", img, "201", ""},
			{"GET /v2/" + name + "/manifests/1", "", "200", img},
			{"GET /v2/" + name + "/tags/list", "", "200", fmt.Sprintf(`{"name":%q,"tags":["1"]}`, name)},
			{"GET /v2/_catalog", "", "200", fmt.Sprintf(`{"repositories":[%q]}`, name)},
			{"DELETE /v2/" + name + "/manifests/1", "", "202", ""},
		}}
	}
	bad := func(name string) row {
		return row{from: "H92", name: "a bad name: " + brief(name), steps: steps{
			{"GET /v2/" + name + "/tags/list", "", "400 NAME_INVALID", ""},
			{"HEAD /v2/" + name + "/tags/list", "", "400", ""},
			{"POST /v2/" + name + "/blobs/uploads/", "", "400 NAME_INVALID", ""},
			{"POST /v2/" + name + "/blobs/uploads/?digest=" + sum(small), small, "400 NAME_INVALID", ""},
			{"GET /v2/" + name + "/blobs/uploads/x", "", "400 NAME_INVALID", ""},
			{"GET /v2/" + name + "/blobs/" + sum(small), "", "400 NAME_INVALID", ""},
			{"DELETE /v2/" + name + "/blobs/" + sum(small), "", "400 NAME_INVALID", ""},
			{"GET /v2/" + name + "/manifests/1", "", "400 NAME_INVALID", ""},
			{"PUT /v2/" + name + "/manifests/1 | Content-Type: $image", img, "400 NAME_INVALID", ""},
			{"DELETE /v2/" + name + "/manifests/1", "", "400 NAME_INVALID", ""},
			{"GET /v2/" + name + "/referrers/" + sum(small), "", "400 NAME_INVALID", ""},
		}}
	}
	goodTag := func(tag string) row {
		return row{from: "H94", name: "a good tag: " + brief(tag), steps: steps{
			has(small), put(tag, "$image", img),
			{"GET $R/manifests/" + tag, "", "200", img},
			{"GET $R/tags/list", "", "200", fmt.Sprintf(`{"name":"$N","tags":[%q]}`, tag)},
			{"DELETE $R/manifests/" + tag, "", "202", ""},
		}}
	}
	badTag := func(tag string) row {
		return row{from: "H94", name: "a bad tag: " + brief(tag), steps: steps{
			has(small),
			{"PUT $R/manifests/" + tag + " | Content-Type: $image", img, "400 TAG_INVALID", ""},
			{"GET $R/manifests/" + tag, "", "400 TAG_INVALID", ""},
			{"HEAD $R/manifests/" + tag, "", "400", ""},
			{"DELETE $R/manifests/" + tag, "", "400 TAG_INVALID", ""},
		}}
	}
	part := func(n int) string { return strings.Repeat("n", n) }
	return []row{
		good("a"), good("0"), good("a/b/c"), good("a.b"), good("a_b"), good("a__b"), good("a-b"), good("a--b"), good("a---b"), good("a----------b"),
		good("a/b.c/d_e/f__g/h-i"), good("library/ubuntu"), good("1/2/3/4/5/6/7/8/9/10/11/12"), good("manifests"), good("blobs/uploads"), good("a/tags/list"),
		good("v2/v2"), good("tags"), good("x/manifests/y"), good("x/blobs/y"), good(part(255)), good(part(127) + "/" + part(127)), good(part(100) + "/" + part(100) + "/" + part(53)),
		bad("A"), bad("a/B"), bad("-a"), bad("a-"), bad(".a"), bad("a."), bad("_a"), bad("a_"), bad("a..b"), bad("a._b"), bad("a_.b"), bad("a.-b"), bad("a___b"), bad("a-_b"),
		bad("a//b"), bad("/a"), bad("a/"), bad("a/-b"), bad("a/b-"), bad("a/_b"), bad("a/./b"), bad("a/../b"), bad("..") /* of the whole registry */, bad("../a"),
		bad("a%2Fb"), bad("a%2fb"), bad("..%2f..%2fformat"), bad("a%00b"), bad("a%20b"), bad("a+b"), bad("a:b"), bad("a@b"), bad("a,b"), bad("%C3%A4"), bad("a~b"), bad("a%25b"),
		bad("_catalog"), bad("a/_tags"), bad("a%0ab"), bad("a;b"), bad("a*b"), bad(part(256)), bad(part(128) + "/" + part(127)), bad(strings.Repeat("a/", 2000) + "a"),
		goodTag("a"), goodTag("_"), goodTag("_x"), goodTag("1.2.3"), goodTag("v1-rc.1_x"), goodTag("A"), goodTag("a.."), goodTag("a--"), goodTag(part(128)), goodTag("latest"), goodTag("sha256-" + sum(small)[7:]),
		badTag(".x"), badTag("-x"), badTag(part(129)), badTag("a+b"), badTag("a%20b"), badTag("a%2Fb"), badTag("%00"), badTag("%E2%82%AC"), badTag("a@b"), badTag(".."), badTag("%2e%2e"), badTag("a%0a"), badTag("~"),
		{from: "H94", name: "tags that differ in case are two", steps: then(steps{has(small), has(layer)},
			put("V1", "$image", img), put("v1", "$image", image()),
			step{"GET $R/manifests/V1", "", "200", img},
			step{"GET $R/manifests/v1", "", "200", image()},
			step{"DELETE $R/manifests/V1", "", "202", ""},
			step{"GET $R/manifests/v1", "", "200", image()},
		)},
		{from: "H95", name: "encoded letters of a tag are those letters", steps: steps{
			has(small), put("v%31", "$image", img),
			{"GET $R/manifests/v1", "", "200", img},
		}},
		{from: "H92", name: "names that hold the words of paths", with: own, steps: steps{
			{"POST /v2/a/blobs/uploads/blobs/uploads/?digest=" + sum(small), small, "201 | Location: /v2/a/blobs/uploads/blobs/" + sum(small), ""},
			{"GET /v2/a/blobs/uploads/blobs/" + sum(small), "", "200", small},
			{"GET /v2/a/blobs/" + sum(small), "", "404 BLOB_UNKNOWN", ""},
			{"PUT /v2/a/manifests/manifests/1 | Content-Type: $image", img, "400 MANIFEST_BLOB_UNKNOWN", ""},
		}},
	}
}

// brief is a text, or how long it is.
func brief(text string) string {
	if len(text) < 40 {
		return text
	}
	return fmt.Sprintf("%s… (%d with %d slashes)", text[:10], len(text), strings.Count(text, "/"))
}

// pathRows are about paths and methods.
func pathRows() []row {
	missing := func(path string) row {
		return row{from: "I100", name: "no such path: " + path, steps: steps{
			{"GET " + path, "", "404 NOT_FOUND", ""},
			{"HEAD " + path, "", "404", ""},
			{"POST " + path, "x", "404 NOT_FOUND", ""},
		}}
	}
	wrong := func(method, path, allow string) row {
		return row{from: "I100", name: method + " of " + path, steps: steps{{method + " " + path, "", "405 UNSUPPORTED | Allow: " + allow, ""}}}
	}
	return []row{
		{from: "spec: Determining support", name: "the base", steps: steps{
			{"GET /v2/", "", "200 | Docker-Distribution-Api-Version: registry/2.0 | Content-Type: application/json", "{}"},
			{"HEAD /v2/", "", "200 | Docker-Distribution-Api-Version: registry/2.0", nothing},
		}},
		{from: "H95", name: "the base without its slash", steps: steps{
			{"GET /v2", "", "200 | Docker-Distribution-Api-Version: registry/2.0", "{}"},
		}},
		{from: "H95", name: "the base with a query", steps: steps{{"GET /v2/?ns=docker.io", "", "200", "{}"}}},
		{from: "H95", name: "uploads without their slash", steps: steps{
			{"POST $R/blobs/uploads", "", "202", ""},
			{"PUT $U&digest=" + sum(ten), ten, "201", ""},
		}},
		missing("/"), missing("/v1/"), missing("/v3/"), missing("/v2x"), missing("//v2/"), missing("/v2//"), missing("/V2/"), missing("/index.html"), missing("/v2/a"), missing("/v2/a/b"),
		missing("/v2/../"), missing("/v2/./"), missing("/%76%32/"), missing("/v2/a/tags"), missing("/v2/a/tags/list/x"), missing("/v2//tags/list"), missing("/v2/tags/list"), missing("/v2/manifests/1"),
		missing("/v2/a/manifests"), missing("/v2/a/referrers/"), missing("/v2/a/blobs/"), missing("/v2/a/manifests/1/2"), missing("/metrics"), missing("/debug/pprof/"), missing("/v2/a/blobs/uploads/x/y"),
		wrong("POST", "/v2/", "GET, HEAD"), wrong("DELETE", "/v2/_catalog", "GET, HEAD"), wrong("PUT", "/v2/a/tags/list", "GET, HEAD"), wrong("POST", "/v2/a/manifests/1", "DELETE, GET, HEAD, PUT"),
		wrong("PATCH", "/v2/a/manifests/1", "DELETE, GET, HEAD, PUT"), wrong("PUT", "/v2/a/blobs/"+sum(small), "DELETE, GET, HEAD"), wrong("POST", "/v2/a/blobs/"+sum(small), "DELETE, GET, HEAD"),
		wrong("DELETE", "/v2/a/referrers/"+sum(small), "GET, HEAD"), wrong("POST", "/v2/a/blobs/uploads/x", "DELETE, GET, HEAD, PATCH, PUT"), wrong("OPTIONS", "/v2/", "GET, HEAD"), wrong("PUT", "/v1/search", "GET, HEAD"),
		wrong("TRACE", "/v2/", "GET, HEAD"), wrong("FOO", "/v2/a/tags/list", "GET, HEAD"),
		{from: "H95", name: "no redirect cleans a path", steps: then(pushed("1"),
			step{"GET /v2/$N/../$N/manifests/1", "", "400 NAME_INVALID | Location: -", ""},
			step{"GET /v2//$N/manifests/1", "", "400 NAME_INVALID | Location: -", ""},
			step{"GET $R//manifests/1", "", "400 NAME_INVALID | Location: -", ""},
			step{"GET /v2/./$N/manifests/1", "", "400 NAME_INVALID | Location: -", ""},
			step{"PUT /v2//$N/manifests/1", "{}", "400 NAME_INVALID | Location: -", ""},
			step{"GET $R/manifests/1/", "", "404 NOT_FOUND | Location: -", ""},
			step{"GET $R/tags/list/", "", "404 NOT_FOUND | Location: -", ""},
		)},
		{from: "H95", name: "a slash that is encoded is no slash", steps: then(pushed("1"),
			step{"GET $R%2Fmanifests%2F1", "", "404 NOT_FOUND", ""},
			step{"GET $R/manifests%2F1", "", "404 NOT_FOUND", ""},
			step{"GET $R/blobs%2F" + sum(small), "", "404 NOT_FOUND", ""},
		)},
		{from: "design: health", name: "it lives and is ready", steps: steps{
			{"GET /livez", "", "200", "true"},
			{"GET /readyz", "", "200", "true"},
		}},
	}
}
