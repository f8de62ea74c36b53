package api_test

import "strings"

// mountRows are about POST with a mount parameter.
func mountRows() []row {
	encoded := func(d string) string { return strings.Replace(d, ":", "%3A", 1) }
	return []row{
		{from: "B37", name: "a mount", steps: steps{
			hasAlso(ten),
			{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
			{"POST $R/blobs/uploads/?mount=" + sum(ten) + "&from=$N-b", "", "201 | Location: $R/blobs/" + sum(ten) + " | Docker-Content-Digest: " + sum(ten), nothing},
			{"HEAD $R/blobs/" + sum(ten), "", "200 | Content-Length: 10", ""},
			{"GET $R/blobs/" + sum(ten), "", "200", ten},
		}},
		{from: "B37", name: "a mount with everything percent-encoded", steps: steps{hasAlso(ten)}, run: func(c *caller) {
			from := strings.ReplaceAll(c.name, "/", "%2F") + "-b"
			c.do(step{"POST $R/blobs/uploads/?from=" + from + "&mount=" + encoded(sum(ten)), "", "201", ""})
		}},
		{from: "B37", name: "a mount without the slash", steps: steps{
			hasAlso(ten),
			{"POST $R/blobs/uploads?mount=" + sum(ten) + "&from=$N-b", "", "201", ""},
		}},
		{from: "B37", name: "a mount by sha512", steps: steps{
			{"POST $R-b/blobs/uploads/?digest=" + sum512(ten), ten, "201", ""},
			{"POST $R/blobs/uploads/?mount=" + sum512(ten) + "&from=$N-b", "", "201 | Docker-Content-Digest: " + sum512(ten), ""},
			{"GET $R/blobs/" + sum512(ten), "", "200", ten},
		}},
		{from: "B37", name: "a mount of an empty blob", steps: steps{
			hasAlso(empty),
			{"POST $R/blobs/uploads/?mount=" + sum(empty) + "&from=$N-b", "", "201", ""},
			{"GET $R/blobs/" + sum(empty), "", "200", nothing},
		}},
		{from: "B37", name: "what is mounted stays when the source goes", steps: steps{
			hasAlso(ten),
			{"POST $R/blobs/uploads/?mount=" + sum(ten) + "&from=$N-b", "", "201", ""},
			{"DELETE $R-b/blobs/" + sum(ten), "", "202", ""},
			{"GET $R/blobs/" + sum(ten), "", "200", ten},
		}},
		{from: "B37", name: "a mount of what is there already", steps: steps{
			has(ten), hasAlso(ten),
			{"POST $R/blobs/uploads/?mount=" + sum(ten) + "&from=$N-b", "", "201", ""},
			{"GET $R/blobs/" + sum(ten), "", "200", ten},
		}},
		{from: "B37", name: "a mount from the repository itself", steps: steps{
			has(ten),
			{"POST $R/blobs/uploads/?mount=" + sum(ten) + "&from=$N", "", "201", ""},
		}},
		{from: "B37", name: "a chain of mounts", steps: steps{
			hasAlso(ten),
			{"POST $R-c/blobs/uploads/?mount=" + sum(ten) + "&from=$N-b", "", "201", ""},
			{"DELETE $R-b/blobs/" + sum(ten), "", "202", ""},
			{"POST $R/blobs/uploads/?mount=" + sum(ten) + "&from=$N-c", "", "201", ""},
			{"GET $R/blobs/" + sum(ten), "", "200", ten},
		}},
		{from: "B37", name: "an image of mounted blobs", steps: steps{
			hasAlso(small), hasAlso(layer),
			{"POST $R/blobs/uploads/?mount=" + sum(small) + "&from=$N-b", "", "201", ""},
			{"POST $R/blobs/uploads/?mount=" + sum(layer) + "&from=$N-b", "", "201", ""},
			put("1", "$image", image()),
			{"GET $R/manifests/1", "", "200", image()},
		}},
		{from: "B32", name: "the source does not exist", steps: steps{
			{"POST $R/blobs/uploads/?mount=" + sum(absent) + "&from=no/such", "", "202 | Location: ~^/v2/$N/blobs/uploads/ | Range: 0-0", nothing},
			{"PUT $U&digest=" + sum(ten), ten, "201", ""},
		}},
		{from: "B33", name: "the source does not have it", steps: steps{
			hasAlso(more),
			{"POST $R/blobs/uploads/?mount=" + sum(absent) + "&from=$N-b", "", "202", ""},
			{"PATCH $U", ten, "202", ""},
			{"PUT $U&digest=" + sum(ten), "", "201", ""},
		}},
		{from: "B33", name: "the source does not have it any more", steps: steps{
			hasAlso(ten),
			{"DELETE $R-b/blobs/" + sum(ten), "", "202", ""},
			{"POST $R/blobs/uploads/?mount=" + sum(ten) + "&from=$N-b", "", "202", ""},
			{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
		}},
		{from: "B33", name: "another repository has it, the source does not", steps: steps{
			{"POST $R-c/blobs/uploads/?digest=" + sum(ten), ten, "201", ""},
			hasAlso(more),
			{"POST $R/blobs/uploads/?mount=" + sum(ten) + "&from=$N-b", "", "202", ""},
			{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
		}},
		{from: "B33", name: "a manifest is no blob to mount", steps: then(pushed("1"),
			step{"POST $R-b/blobs/uploads/?mount=" + sum(image()) + "&from=$N", "", "202", ""},
		)},
		{from: "B32", name: "the source is no name", steps: steps{
			hasAlso(ten),
			{"POST $R/blobs/uploads/?mount=" + sum(ten) + "&from=../..", "", "202", ""},
			{"POST $R/blobs/uploads/?mount=" + sum(ten) + "&from=NO", "", "202", ""},
			{"POST $R/blobs/uploads/?mount=" + sum(ten) + "&from=a//b", "", "202", ""},
			{"POST $R/blobs/uploads/?mount=" + sum(ten) + "&from=" + strings.Repeat("a", 300), "", "202", ""},
			{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
		}},
		{from: "B35", name: "no source is named and one is known", with: own, alone: true, steps: steps{
			hasAlso(ten),
			{"POST $R/blobs/uploads/?mount=" + sum(ten), "", "201 | Location: $R/blobs/" + sum(ten), ""},
			{"GET $R/blobs/" + sum(ten), "", "200", ten},
			{"POST $R-c/blobs/uploads/?mount=" + sum(ten) + "&from=", "", "201", ""},
		}},
		{from: "B35", name: "no source is named and the one that had it has it no more", with: own, steps: steps{
			hasAlso(ten),
			{"DELETE $R-b/blobs/" + sum(ten), "", "202", ""},
			{"POST $R/blobs/uploads/?mount=" + sum(ten), "", "202", ""},
			{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
		}},
		{from: "B35", name: "no source is named and nobody has it", steps: steps{
			{"POST $R/blobs/uploads/?mount=" + sum(absent), "", "202", ""},
			{"POST $R/blobs/uploads/?mount=" + sum512(absent), "", "202", ""},
			{"PUT $U&digest=" + sum512(ten), ten, "201 | Docker-Content-Digest: " + sum512(ten), ""},
		}},
		{from: "B35", name: "what is to be mounted is no digest", steps: steps{
			hasAlso(ten),
			{"POST $R/blobs/uploads/?mount=" + badDigest + "&from=$N-b", "", "400 DIGEST_INVALID", ""},
			{"POST $R/blobs/uploads/?mount=&from=$N-b", "", "400 DIGEST_INVALID", ""},
			{"POST $R/blobs/uploads/?mount=latest&from=$N-b", "", "400 DIGEST_INVALID", ""},
			{"POST $R/blobs/uploads/?mount=" + strings.ToUpper(sum(ten)) + "&from=$N-b", "", "400 DIGEST_INVALID", ""},
			{"POST $R/blobs/uploads/?mount=md5:d41d8cd98f00b204e9800998ecf8427e", "", "400 DIGEST_INVALID", ""},
		}},
		{from: "B37", name: "a mount into a name that is none", steps: steps{
			hasAlso(ten),
			{"POST /v2/A/blobs/uploads/?mount=" + sum(ten) + "&from=$N-b", "", "400 NAME_INVALID", ""},
		}},
		{from: "B37", name: "a mount at a replica that has never seen the blob", steps: steps{
			hasAlso(ten),
			{"@new POST $R/blobs/uploads/?mount=" + sum(ten) + "&from=$N-b", "", "201", ""},
			{"GET $R/blobs/" + sum(ten), "", "200", ten},
		}},
	}
}

// own gives a row a store of its own.
func own(*options) {}
