package api_test

import (
	"encoding/base64"
	"strings"
	"testing"
)

// TestAttackForgedStates sends every value that is one byte or one length away from a good one: none of them is taken, and the upload goes on.
func TestAttackForgedStates(t *testing.T) {
	c := newSite(t, one, options{open: openMemory}).caller(t)
	c.all(steps{beginning, {"PATCH $U", ten, "202", ""}})
	good := c.upload
	before, value := split(good)
	refuse := func(what, value string) {
		t.Helper()
		if status := c.try("GET "+before+value, ""); status != 404 {
			t.Errorf("%s: %d", what, status)
		}
	}
	raw := decode(value)
	for i := range raw {
		changed := append([]byte(nil), raw...)
		changed[i] ^= 1 << (i % 8)
		refuse("a changed byte", base64.RawURLEncoding.EncodeToString(changed))
		refuse("cut short", base64.RawURLEncoding.EncodeToString(raw[:i]))
		refuse("without its beginning", base64.RawURLEncoding.EncodeToString(raw[i+1:]))
	}
	for i := range value {
		refuse("cut short as text", value[:i])
		refuse("a line end", value[:i]+"%0A"+value[i:])
	}
	for _, last := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		if again := value[:len(value)-1] + string(last); again != value {
			refuse("another end", again) // also one whose last bits are of no byte
		}
	}
	refuse("padding", value+"=")
	refuse("the other alphabet", strings.NewReplacer("-", "+", "_", "/").Replace(value)+"+/")
	c.upload = good
	c.all(steps{{"GET $U", "", "204 | Range: 0-9", ""}, {"PUT $U&digest=" + sum(ten), "", "201", ""}})
}

// TestAttackStateOfAnotherStore takes a value that another cluster has signed.
func TestAttackStateOfAnotherStore(t *testing.T) {
	ours, theirs := newSite(t, one, options{open: openMemory}).caller(t), newSite(t, one, options{open: openMemory}).caller(t)
	theirs.name = ours.name
	theirs.all(steps{beginning, {"PATCH $U", ten, "202", ""}})
	ours.all(refused(theirs.upload))
	theirs.do(step{"PUT $U&digest=" + sum(ten), "", "201", ""})
	ours.do(step{"HEAD $R/blobs/" + sum(ten), "", "404", ""})
}

// replayRows send again what a client once sent, to any replica.
func replayRows() []row {
	replay := func(name string, end ...step) row {
		return row{from: "attack", name: "every Location of an upload, replayed " + name, steps: then(steps{
			beginning, {"PATCH $U", ten, "202", ""}, {"PATCH $U", big, "202", ""}, {"PATCH $U", more, "202", ""},
		}, end...), run: func(c *caller) {
			for _, location := range []string{c.locations[1], c.locations[2], c.locations[3], c.locations[4]} {
				for _, replica := range []string{"@A ", "@B ", "@new "} {
					c.all(steps{
						{replica + "PATCH " + location + " | Content-Range: 0-9", more, "~^(202|404|416)$", ""},
						{replica + "PATCH " + location, more, "~^(202|404|416)$", ""},
						{replica + "PUT " + location + "&digest=" + sum(ten+big+more+small), small, "~^(201|400|404|416)$", ""},
						{replica + "PUT " + strings.Replace(location, c.name, c.name+"-b", 1) + "&digest=" + sum(small), small, "404 BLOB_UPLOAD_UNKNOWN", ""},
					})
				}
			}
			c.do(step{"HEAD $R-b/blobs/" + sum(small), "", "404", ""})
		}}
	}
	done := replay("after its end", step{"PUT $U&digest=" + sum(ten+big+more), "", "201", ""})
	done.run = withCheck(done.run, step{"GET $R/blobs/" + sum(ten+big+more), "", "200", ten + big + more})
	return []row{
		done,
		replay("after a wrong digest", step{"PUT $U&digest=" + sum(absent), "", "400 DIGEST_INVALID", ""}),
		{from: "attack", name: "every Location of an upload that was cancelled, replayed", steps: steps{
			beginning, {"PATCH $U", ten, "202", ""}, {"PATCH $U", more, "202", ""}, {"@A DELETE $U", "", "204", ""},
		}, run: func(c *caller) {
			for _, location := range []string{c.locations[1], c.locations[2], c.locations[3]} {
				for _, replica := range []string{"@A ", "@new "} {
					for _, s := range refused(location) {
						s.send = replica + s.send
						c.do(s)
					}
				}
			}
			c.do(step{"HEAD $R/blobs/" + sum(ten+more), "", "404", ""})
		}},
	}
}

// withCheck is run and then a step.
func withCheck(run func(*caller), s step) func(*caller) {
	return func(c *caller) {
		run(c)
		c.do(s)
	}
}
