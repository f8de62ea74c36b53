package api_test

import (
	"regexp"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/registry"
)

// keeping is a registry that keeps a history.
func keeping(o *options) {
	o.registry.HistoryKeep = 24 * time.Hour
	o.api.DeleteRepositories = true
}

// pastRows are about what tags pointed at before, and what was deleted.
func pastRows() []row {
	first, second := image(), imageOf("")
	const from = "design: Tags"
	history := func(tag string) string { return "GET $R/_longshore/tags/history?tag=" + tag }
	restoring := func(query string) string { return "POST $R/_longshore/tags/restore?" + query }
	moved := then(pushed("1"), put("1", "$image", second))
	return []row{
		{from: from, name: "the history of a tag that moved", with: keeping, steps: then(moved,
			step{history("1"), "", "200 | Content-Type: application/json | Link: -",
				`~"name":"$N","tag":"1","now":{"name":"1","digest":"` + sum(second) + `".*"history":\[{"entry":"[^"]+","digest":"` + sum(first) + `".*"how":"moved","next":"` + sum(second) + `"}\]`},
		)},
		{from: from, name: "the history page by page", with: keeping, steps: then(moved, put("1", "$image", first), put("1", "$image", second),
			step{history("1&n=2"), "", `200 | Link: ~^</v2/$N/_longshore/tags/history\?last=[^&]+&n=2&tag=1>; rel="next"$`, `~"history":\[[^]]*` + sum(first) + `[^]]*` + sum(second) + `[^]]*\]`},
			step{history("1&n=x"), "", "400 PAGINATION_NUMBER_INVALID", ""},
			step{history("1&n=0"), "", "200", ""},
		)},
		{from: from, name: "the history of a tag that never moved", with: keeping, steps: then(pushed("1"), put("1", "$image", first),
			step{history("1"), "", "200", `~"history":\[\]`},
		)},
		{from: from, name: "the history of a tag that never was", with: keeping, steps: then(pushed("1"),
			step{history("2"), "", "404 MANIFEST_UNKNOWN", ""},
			step{history("-"), "", "400 TAG_INVALID", ""},
			step{"GET $R/_longshore/tags/history", "", "400 TAG_INVALID", ""},
			step{"GET /v2/A/_longshore/tags/history?tag=1", "", "400 NAME_INVALID", ""},
			step{"PUT $R/_longshore/tags/history?tag=1", "", "405 UNSUPPORTED | Allow: GET, HEAD", ""},
			step{"GET $R/_longshore/tags/other", "", "404 NOT_FOUND", ""},
			step{"GET $R/_longshore", "", "404 NOT_FOUND", ""},
		)},
		{from: from, name: "no history unless it is kept", steps: then(moved,
			step{history("1"), "", "200", `~"history":\[\]`},
			step{restoring("tag=1"), "", "404 MANIFEST_UNKNOWN", ""},
		)},
		{from: from, name: "a tag is restored", with: keeping, steps: then(moved,
			step{restoring("tag=1"), "", "201 | Docker-Content-Digest: " + sum(first) + " | Location: /v2/$N/manifests/" + sum(first), nothing},
			step{"GET $R/manifests/1", "", "200", first},
			step{restoring("tag=1&digest=" + sum(second)), "", "201", nothing},
			step{"GET $R/manifests/1", "", "200", second},
			step{restoring("tag=1&digest=" + sum(absent)), "", "404 MANIFEST_UNKNOWN", ""},
			step{restoring("tag=1&digest=x"), "", "400 DIGEST_INVALID", ""},
			step{"GET $R/_longshore/tags/restore?tag=1", "", "405 UNSUPPORTED | Allow: POST", ""},
		)},
		{from: from, name: "a deleted tag, and a deleted manifest", with: keeping, steps: then(pushed("1"), put("2", "$image", first),
			step{"GET $R/_longshore/tags/deleted", "", "200", `{"name":"$N","tags":[]}`},
			step{"DELETE $R/manifests/1", "", "202", ""},
			step{history("1"), "", "200", `~"now":null,"history":.*"how":"deleted"`},
			step{"GET $R/_longshore/tags/deleted", "", "200", `{"name":"$N","tags":["1"]}`},
			step{restoring("tag=1"), "", "201", ""},
			step{"DELETE $R/manifests/" + sum(first), "", "202", ""},
			step{"GET $R/manifests/" + sum(first), "", "404 MANIFEST_UNKNOWN", ""},
			step{"GET $R/_longshore/tags/deleted?n=1", "", `200 | Link: ~last=1&n=1`, `{"name":"$N","tags":["1"]}`},
			step{restoring("tag=2"), "", "201", ""},
			step{"GET $R/manifests/" + sum(first), "", "200", first},
			step{"GET $R/manifests/2", "", "200", first},
			step{"GET $R/manifests/1", "", "404 MANIFEST_UNKNOWN", ""},
		)},
		{from: from, name: "a tag whose layer was deleted is not restored", with: keeping, steps: then(pushed("1"),
			step{"DELETE $R/manifests/1", "", "202", ""},
			step{"DELETE $R/blobs/" + sum(layer), "", "202", ""},
			step{restoring("tag=1"), "", "400 MANIFEST_BLOB_UNKNOWN", "~" + sum(layer)},
			step{"GET $R/manifests/1", "", "404 MANIFEST_UNKNOWN", ""},
		)},
		{from: "design: Deletes", name: "a repository is deleted and restored", with: keeping, steps: then(pushed("1"), put("i", "$index", index(first)), put("s", "$image", artifact("text/x", first)),
			step{"DELETE $R/_longshore/repository/contents", "", "202", nothing},
			step{"GET $R/manifests/1", "", "404 MANIFEST_UNKNOWN", ""},
			step{"GET $R/manifests/" + sum(first), "", "404 MANIFEST_UNKNOWN", ""},
			step{"GET $R/blobs/" + sum(layer), "", "404 BLOB_UNKNOWN", ""},
			step{"GET $R/tags/list", "", "404 NAME_UNKNOWN", ""},
			step{"GET /v2/_catalog", "", "200", `{"repositories":[]}`},
			step{"DELETE $R/_longshore/repository/contents", "", "404 NAME_UNKNOWN", ""},
			step{"POST $R/_longshore/repository/restore", "", "200", `{"tags":["1","i","s"],"manifests":3,"blobs":2}`},
			step{"GET $R/tags/list", "", "200", `{"name":"$N","tags":["1","i","s"]}`},
			step{"GET $R/manifests/i", "", "200", index(first)},
			step{"GET $R/blobs/" + sum(layer), "", "200", layer},
			step{"GET $R/referrers/" + sum(first), "", "200", "~" + sum(artifact("text/x", first))},
			step{"POST $R/_longshore/repository/restore", "", "404 NAME_UNKNOWN", ""},
			step{"DELETE $R/", "", "202", nothing},
			step{"POST $R/_longshore/repository/restore", "", "200", ""},
		)},
		{from: "design: Deletes", name: "deletion of repositories is switched off", steps: then(pushed("1"),
			step{"DELETE $R/_longshore/repository/contents", "", "405 UNSUPPORTED", ""},
			step{"POST $R/_longshore/repository/restore", "", "405 UNSUPPORTED", ""},
			step{"GET $R/manifests/1", "", "200", first},
		)},
	}
}

// immutableRows are about tags that stay where they are.
func immutableRows() []row {
	first, second := image(), imageOf("")
	rules := func(o *options) {
		o.registry.Immutable = []registry.ImmutableRule{{Tags: regexp.MustCompile("^v")}}
		o.api.DeleteRepositories = true
	}
	before := then(pushed("v1"), put("other", "$image", second))
	const from = "design: Tags"
	put := func(reference, manifest, want string) step {
		return step{"PUT $R/manifests/" + reference + " | Content-Type: $image", manifest, want, ""}
	}
	return []row{
		{from: from, name: "an immutable tag does not move", with: rules, steps: then(before,
			put("v1", second, "403 DENIED"),
			step{"PUT $R/manifests/v1 | Content-Type: $image | If-Match: *", second, "403 DENIED", "~immutable.*" + sum(first)},
			put("x?tag=v1", second, "403 DENIED"),
			step{"GET $R/manifests/v1", "", "200", first},
			step{"GET $R/manifests/x", "", "404 MANIFEST_UNKNOWN", ""},
			put("other", first, "201"), put("other", second, "201"),
		)},
		{from: from, name: "an immutable tag is pushed again as it is", with: rules, steps: then(before,
			put("v1", first, "201"), put("v1?tag=v2", first, "201"), put("v1", first, "201"),
			put("v2", second, "403 DENIED"),
			step{"GET $R/manifests/v2", "", "200", first},
		)},
		{from: from, name: "an immutable tag is not deleted", with: rules, steps: then(before,
			step{"DELETE $R/manifests/v1", "", "403 DENIED", ""},
			step{"DELETE $R/manifests/" + sum(first), "", "403 DENIED", ""},
			step{"DELETE $R/", "", "403 DENIED", ""},
			step{"GET $R/manifests/v1", "", "200", first},
			step{"DELETE $R/manifests/other", "", "202", ""},
			step{"DELETE $R/manifests/" + sum(second), "", "202", ""},
		)},
		{from: from, name: "twenty clients make the same immutable tag: one of them does", with: rules, steps: before, run: func(c *caller) {
			const send = "PUT $R/manifests/v9 | Content-Type: $image"
			answers := c.atOnce(20, func(i int) step {
				return step{[]string{"@A ", "@B "}[i%2] + send, []string{first, second}[i%2], "", ""}
			})
			made := 0
			for i, a := range answers {
				if a.status == 201 {
					made |= 1 << (i % 2)
				} else if a.status != 403 {
					c.t.Errorf("got %s, want 201 or 403", a)
				}
			}
			if made != 1 && made != 2 {
				c.t.Errorf("both images or none were taken (%b)", made)
			}
		}},
		{from: "D69", name: "conditions where the store can't compare", with: func(o *options) {
			o.wrap = func(d drivers.Driver) drivers.Driver { return wrapped{d, drivers.Extras{}} }
		}, steps: then(pushed("1"),
			step{"PUT $R/manifests/1 | Content-Type: $image | If-Match: *", second, "501 CONDITION_UNSUPPORTED", ""},
			step{"PUT $R/manifests/2 | Content-Type: $image | If-None-Match: *", second, "501 CONDITION_UNSUPPORTED", ""},
			put("1", second, "201"),
			step{"GET $R/manifests/1", "", "200", second},
			step{"PUT $R/manifests/" + sum(second) + " | Content-Type: $image | If-None-Match: *", second, "412 PRECONDITION_FAILED", ""},
		)},
	}
}
