package api_test

// bodyRows are about bodies that break off.
func bodyRows() []row {
	return []row{
		{from: "design: uploads", name: "what came before the connection broke is kept", steps: steps{
			beginning,
			{"PATCH $U | Content-Length: 20", ten, "400 BODY_INCOMPLETE | Location: * | Range: 0-9", ""},
			{"GET $U", "", "204 | Range: 0-9", ""},
			{"PATCH $U | Content-Range: 10-19", more, "202 | Range: 0-19", ""},
			{"PUT $U&digest=" + sum(ten+more), "", "201", ""},
			{"GET $R/blobs/" + sum(ten+more), "", "200", ten + more},
		}},
	}
}
