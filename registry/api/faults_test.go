package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// faults decides what becomes of each call of a store.
type faults struct {
	mu   sync.Mutex
	hook memory.Hook
}

// set makes hook decide from now on; nil lets everything proceed.
func (f *faults) set(hook memory.Hook) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

func (f *faults) ask(ctx context.Context, op, key string) memory.Outcome {
	f.mu.Lock()
	hook := f.hook
	f.mu.Unlock()
	if hook == nil {
		return memory.Outcome{}
	}
	return hook(ctx, op, key)
}

// faulty gives a row a store in memory whose faults it decides.
func faulty(o *options) {
	o.faults = &faults{}
	o.open = func(*testing.T) drivers.Driver { return memory.New(memory.Options{Hook: o.faults.ask}) }
}

// fail makes every call of the ops (all of them if there are none) fail with err.
func (c *caller) fail(err error, ops ...string) {
	c.site.options.faults.set(func(_ context.Context, op, _ string) memory.Outcome {
		if len(ops) == 0 || slices.Contains(ops, op) {
			return memory.Outcome{Err: err}
		}
		return memory.Outcome{}
	})
}

func (c *caller) heal() { c.site.options.faults.set(nil) }

// change replaces an object behind the registry's back.
func (c *caller) change(key string, to func(body string) string) {
	c.t.Helper()
	if err := c.site.driver.Put(c.t.Context(), key, []byte(to(readAll(c.t, c.site.driver, key)))); err != nil {
		c.t.Fatal(err)
	}
}

// keys lists the keys below prefix.
func (c *caller) keys(prefix string) []string {
	c.t.Helper()
	var keys []string
	for e, err := range c.site.driver.List(c.t.Context(), prefix, "", "") {
		if err != nil {
			c.t.Fatal(err)
		}
		keys = append(keys, e.Key)
	}
	return keys
}

var (
	writes = []string{"put", "putifabsent", "putifmatch", "writer", "write", "suspend", "commit", "delete"}
	reads  = []string{"reader", "stat", "list"}
)

var errStrange = errors.New("something that no driver has a name for")

// faultRows are about stores that fail. They run over memory only, which can be told to.
func faultRows() []row {
	img := image()
	digest := sum(img)
	// reading fails at whatever a pull asks of the store.
	reading := func(name string, kind error, want string) row {
		return row{from: "I101", name: "pulls from a store that is " + name, with: faulty, steps: pushed("1"), run: func(c *caller) {
			c.fail(&drivers.Error{Op: "op", Driver: "memory", Key: "some/key", Kind: kind, Err: errStrange}, reads...)
			for _, path := range []string{
				"$R/manifests/1", "$R/manifests/" + digest, "$R/blobs/" + sum(layer), "$R/tags/list", "/v2/_catalog", "$R/referrers/" + digest, "/v1/search?q=x", "/readyz",
			} {
				a := c.do(step{"GET " + path, "", want, ""})
				if strings.Contains(a.body, "memory") || strings.Contains(a.body, "key") || strings.Contains(a.body, errStrange.Error()) {
					c.t.Errorf("the answer tells what is inside: %s", a.body)
				}
				c.do(step{"HEAD " + path, "", strings.Fields(want)[0], nothing})
			}
			c.heal()
			c.all(steps{{"GET $R/manifests/1", "", "200", img}, {"GET $R/blobs/" + sum(layer), "", "200", layer}, {"GET /readyz", "", "200", "true"}})
		}}
	}
	// writing fails at whatever a push asks of the store.
	writing := func(name string, kind error, want string) row {
		return row{from: "I101", name: "pushes to a store that is " + name, with: faulty, steps: then(pushed("1"), step{"POST $R/blobs/uploads/", "", "202", ""}), run: func(c *caller) {
			c.fail(&drivers.Error{Op: "op", Driver: "memory", Key: "some/key", Kind: kind, Err: errStrange}, writes...)
			c.all(steps{
				{"POST $R/blobs/uploads/?digest=" + sum(ten), ten, want, ""},
				{"POST $R/blobs/uploads/?digest=" + sum(big), big, want, ""},
				{"PATCH $U", ten, want, ""},
				{"PATCH $U", big, want, ""},
				{"PUT $U&digest=" + sum(ten), ten, want, ""},
				{"DELETE $U", "", want, ""},
				{"POST $R-b/blobs/uploads/?mount=" + sum(layer) + "&from=$N", "", want, ""},
				{"PUT $R/manifests/2 | Content-Type: $image", img, want, ""},
				{"PUT $R/manifests/2 | Content-Type: $image", imageOf(""), want, ""},
				{"DELETE $R/manifests/1", "", want, ""},
				{"DELETE $R/manifests/" + digest, "", want, ""},
				{"DELETE $R/blobs/" + sum(layer), "", want, ""},
				{"GET $R/manifests/1", "", "200", img},
				{"GET $R/blobs/" + sum(layer), "", "200", layer},
				{"HEAD $R/blobs/" + sum(ten), "", "404", ""},
			})
			c.heal()
			c.all(steps{
				{"POST $R/blobs/uploads/", "", "202", ""},
				{"PUT $U&digest=" + sum(ten), ten, "201", ""},
				put("2", "$image", img),
				{"GET $R/manifests/2", "", "200", img},
			})
			checkStore(c.t, c.site.driver)
		}}
	}
	// damaged is an image of which change has damaged what a request needs.
	damaged := func(name string, change func(*caller), requests ...string) row {
		return row{from: "C45", name: "damage: " + name, with: faulty, steps: pushed("1"), run: func(c *caller) {
			change(c)
			for _, r := range requests {
				c.do(step{"@new " + r, "", "500 UNKNOWN | ETag: - | Accept-Ranges: -", "~damaged"})
			}
		}}
	}
	dataOf := func(c *caller, content string) string {
		record := readAll(c.t, c.site.driver, "blobs/sha256/"+sum(content)[7:9]+"/"+sum(content)[7:])
		_, rest, _ := strings.Cut(record, `"data":"`)
		key, _, _ := strings.Cut(rest, `"`)
		return key
	}
	blob := "GET $R/blobs/" + sum(layer)
	const unavailable = "503 UNAVAILABLE | Retry-After: ~^[1-9][0-9]*$"
	return []row{
		reading("busy", drivers.ErrThrottled, unavailable),
		reading("read-only", drivers.ErrReadOnly, unavailable),
		reading("closed to the registry", drivers.ErrDenied, "500 UNKNOWN"),
		reading("damaged", drivers.ErrCorrupt, "500 UNKNOWN"),
		reading("strange", nil, "500 UNKNOWN"),
		reading("too slow", context.DeadlineExceeded, unavailable),
		writing("busy", drivers.ErrThrottled, unavailable),
		writing("full", drivers.ErrNoSpace, "507 STORAGE_FULL"),
		writing("read-only", drivers.ErrReadOnly, unavailable),
		writing("closed to the registry", drivers.ErrDenied, "500 UNKNOWN"),
		writing("strange", nil, "500 UNKNOWN"),

		damaged("the data is shorter", func(c *caller) { c.change(dataOf(c, layer), func(b string) string { return b[1:] }) }, blob, blob+" | Range: bytes=0-3", blob+" | Range: bytes=0-0,5-6"),
		damaged("the data is longer", func(c *caller) { c.change(dataOf(c, layer), func(b string) string { return b + "x" }) }, blob),
		damaged("the data is empty", func(c *caller) { c.change(dataOf(c, layer), func(string) string { return "" }) }, blob),
		damaged("the data is gone", func(c *caller) { c.site.driver.Delete(c.t.Context(), dataOf(c, layer)) }, blob, blob+" | Range: bytes=-3"),
		damaged("the record is no JSON", func(c *caller) {
			c.change(c.keys("blobs/sha256/" + sum(layer)[7:9])[0], func(string) string { return "x" })
		}, blob),
		damaged("the record is empty", func(c *caller) {
			c.change(c.keys("blobs/sha256/" + sum(layer)[7:9])[0], func(string) string { return "{}" })
		}, blob),
		damaged("the record has a negative size", func(c *caller) {
			c.change(c.keys("blobs/sha256/" + sum(layer)[7:9])[0], func(b string) string { return strings.Replace(b, `"size":`, `"size":-`, 1) })
		}, blob),
		damaged("the tag is no JSON", func(c *caller) { c.change("repos/"+c.name+"/_tags/1", func(string) string { return "x" }) }, "GET $R/manifests/1"),
		damaged("the tag has a digest that is none", func(c *caller) { c.change("repos/"+c.name+"/_tags/1", func(string) string { return `{"digest":"x"}` }) }, "GET $R/manifests/1"),
		damaged("the manifest has other bytes", func(c *caller) {
			c.change(c.keys("repos/" + c.name + "/_manifests/")[0], func(b string) string { return strings.Replace(b, `"config"`, `"konfig"`, 1) })
		}, "GET $R/manifests/1", "GET $R/manifests/"+digest),
		damaged("the manifest has no header", func(c *caller) {
			c.change(c.keys("repos/" + c.name + "/_manifests/")[0], func(string) string { return img })
		}, "GET $R/manifests/"+digest),
		damaged("the manifest is empty", func(c *caller) {
			c.change(c.keys("repos/" + c.name + "/_manifests/")[0], func(string) string { return "" })
		}, "GET $R/manifests/"+digest),
		{from: "C45", name: "damage: a tag of a manifest that is gone is a tag that is not there", with: faulty, steps: pushed("1"), run: func(c *caller) {
			c.site.driver.Delete(c.t.Context(), c.keys("repos/"+c.name+"/_manifests/")...)
			c.all(steps{
				{"@new GET $R/manifests/1", "", "404 MANIFEST_UNKNOWN", ""},
				put("1", "$image", img),
				{"@new GET $R/manifests/1", "", "200", img},
			})
		}},
		{from: "E79", name: "a manifest that is in the store and would not be taken any more is served and can be deleted", with: faulty, steps: pushed("1"), run: func(c *caller) {
			c.change(c.keys("repos/" + c.name + "/_manifests/")[0], func(b string) string { return strings.Replace(b, "oci.image.manifest.v1", "foo.old", 1) })
			c.all(steps{
				{"@new GET $R/manifests/" + digest, "", "200 | Content-Type: application/vnd.foo.old+json", img},
				{"@new DELETE $R/manifests/" + digest, "", "202", ""},
				{"@new GET $R/manifests/1", "", "404 MANIFEST_UNKNOWN", ""},
			})
		}},
		wrongBytes("a small blob", layer), wrongBytes("a blob of more than one piece", strings.Repeat(layer, 5000)), wrongBytes("a large blob", bigger),
		{from: "C45", name: "the store breaks off in the middle of a blob", with: faulty, steps: steps{has(bigger)}, run: func(c *caller) {
			for _, r := range []string{"", " | Range: bytes=0-9999999", " | Range: bytes=0-4999999,6000000-9999999"} {
				n := 0
				c.site.options.faults.set(func(_ context.Context, op, _ string) memory.Outcome {
					if op == "read" {
						n++
					}
					if n > 20 {
						return memory.Outcome{Err: errStrange}
					}
					return memory.Outcome{}
				})
				c.sent++
				a := c.send(step{send: "GET $R/blobs/" + sum(bigger) + r})
				if a.err == nil || len(a.body) == 0 || len(a.body) >= len(bigger) {
					c.t.Errorf("got %d of %d bytes and %v, want a part and an error", len(a.body), len(bigger), a.err)
				}
			}
			c.heal()
			c.do(step{"GET $R/blobs/" + sum(bigger), "", "200", bigger})
		}},
		{from: "C45", name: "the store gives fewer bytes than it said", with: faulty, steps: steps{has(big)}, run: func(c *caller) {
			c.site.options.faults.set(func(_ context.Context, op, key string) memory.Outcome {
				if op == "read" && strings.HasPrefix(key, "data/") {
					return memory.Outcome{Err: drivers.ErrCorrupt}
				}
				return memory.Outcome{}
			})
			c.sent++
			if a := c.send(step{send: "GET $R/blobs/" + sum(big)}); a.err == nil {
				c.t.Errorf("got a whole answer, %s", a)
			}
		}},
		{from: "I101", name: "a client that leaves takes its request to the store with it", with: faulty, steps: pushed("1"), run: func(c *caller) {
			for _, r := range []string{"GET $R/manifests/1", "GET $R/blobs/" + sum(layer), "GET $R/tags/list", "DELETE $R/manifests/1", "PUT $R/manifests/2 | Content-Type: $image"} {
				asked, left := make(chan struct{}, 99), make(chan struct{}, 99)
				c.site.options.faults.set(func(ctx context.Context, _, _ string) memory.Outcome {
					asked <- struct{}{}
					<-ctx.Done()
					left <- struct{}{}
					return memory.Outcome{}
				})
				ctx, leave := context.WithCancel(c.t.Context())
				c.sent++
				q := c.parse(r)
				body := ""
				if q.method == http.MethodPut {
					body = img
				}
				server := c.site.server("", c.sent)
				done := make(chan answer)
				go func() { done <- c.roundTripUntil(ctx, server, q, strings.NewReader(body)) }()
				<-asked
				leave()
				<-left
				<-done
			}
			c.heal()
			c.do(step{"GET $R/manifests/1", "", "200", img})
		}},
		{from: "I101", name: "a store that takes no writes is served all the same", with: faulty, steps: pushed("1"), run: func(c *caller) {
			c.fail(&drivers.Error{Op: "op", Driver: "memory", Kind: drivers.ErrReadOnly}, writes...)
			c.all(steps{
				{"@new GET $R/manifests/1", "", "200", img},
				{"@new GET $R/blobs/" + sum(layer), "", "200", layer},
				{"@new PUT $R/manifests/2 | Content-Type: $image", img, unavailable, ""},
			})
		}},
		lostReplies("docker's push", false, false), lostReplies("docker's push", true, false),
		lostReplies("containerd's push", false, true), lostReplies("containerd's push", true, true),
	}
}

// wrongBytes changes a byte of a blob in the store: nobody gets all of it, and nothing of it is kept.
func wrongBytes(name, content string) row {
	return row{from: "C45", name: "damage: the store returns other bytes for " + name, with: faulty, steps: steps{has(content)}, run: func(c *caller) {
		key := c.keys("data/")[0]
		flip := func(b string) string { return b[:len(b)/2] + string(b[len(b)/2]^1) + b[len(b)/2+1:] }
		c.change(key, flip)
		for _, r := range []string{"@new GET", "@A GET", "@A GET", "@B GET"} {
			c.sent++
			a := c.send(step{send: r + " $R/blobs/" + sum(content)})
			if broken := a.err != nil && len(a.body) < len(content); !broken && a.status != http.StatusInternalServerError {
				c.t.Errorf("%s: %d bytes of %d and %v", r, len(a.body), len(content), a.err)
			}
		}
		c.do(step{"@A HEAD $R/blobs/" + sum(content), "", "200", nothing})
		c.change(key, flip) // it was the store's reading that was wrong
		c.do(step{"@A GET $R/blobs/" + sum(content), "", "200", content})
	}}
}

// lostReplies fails each call of a push in turn, once: the call has had its effect (lost) or not. A client that sends the
// request again, or begins the upload again, gets through.
func lostReplies(name string, lost, single bool) row {
	how := "fails"
	if lost {
		how = "has its effect, but the reply is lost"
	}
	return row{from: "I101", name: name + ": each call of the store " + how + " once", with: faulty, run: func(c *caller) {
		large := layer
		if !single {
			large = big
		}
		for n := 1; ; n++ {
			c.name = fmt.Sprintf("lost/%d", n)
			var mu sync.Mutex
			calls := 0
			c.site.options.faults.set(func(_ context.Context, op, _ string) memory.Outcome {
				mu.Lock()
				defer mu.Unlock()
				if op == "read" {
					return memory.Outcome{}
				}
				if calls++; calls == n {
					return memory.Outcome{Err: drivers.ErrThrottled, Stored: lost}
				}
				return memory.Outcome{}
			})
			content := fmt.Sprintf("%s%d", large, n)
			for _, blob := range []string{small, content} {
				c.stubborn(func() bool { return c.tryBlob(blob, single) })
			}
			manifest := imageOf(descriptor(layerType, content))
			c.stubborn(func() bool { return c.try("PUT $R/manifests/1 | Content-Type: $image", manifest) == http.StatusCreated })
			c.heal()
			c.all(steps{
				{"GET $R/manifests/1", "", "200", manifest},
				{"GET $R/blobs/" + sum(small), "", "200", small},
				{"GET $R/blobs/" + sum(content), "", "200", content},
				{"GET $R/tags/list", "", "200", `{"name":"$N","tags":["1"]}`},
			})
			if calls < n {
				break
			}
		}
		checkStore(c.t, c.site.driver)
	}}
}

// stubborn does it up to five times.
func (c *caller) stubborn(do func() bool) {
	c.t.Helper()
	for range 5 {
		if do() {
			return
		}
	}
	c.t.Fatal("it does not succeed, however often it is tried")
}

// try sends a request and returns the status of its answer.
func (c *caller) try(send, body string) int {
	c.t.Helper()
	c.sent++
	a := c.send(step{send: send, body: body})
	if a.err != nil {
		c.t.Fatalf("%s: %v", send, a.err)
	}
	c.note(a)
	return a.status
}

// tryBlob uploads a blob as a client does: what fails with 5xx is sent once more, then everything begins again.
func (c *caller) tryBlob(blob string, single bool) bool {
	c.t.Helper()
	twice := func(send, body string, want int) bool {
		status := c.try(send, body)
		if status >= 500 {
			status = c.try(send, body)
		}
		return status == want
	}
	if !twice("POST $R/blobs/uploads/", "", http.StatusAccepted) {
		return false
	}
	if single {
		return twice("PUT $U&digest="+sum(blob), blob, http.StatusCreated)
	}
	return twice("PATCH $U | Transfer-Encoding: chunked", blob, http.StatusAccepted) && twice("PUT $U&digest="+sum(blob), "", http.StatusCreated)
}

func TestFaults(t *testing.T) {
	for _, r := range faultRows() {
		t.Run(r.from+": "+r.name, func(t *testing.T) { r.play(t, one, nil) })
	}
	r := lostReplies("docker's push to two replicas", true, false)
	t.Run(r.from+": "+r.name, func(t *testing.T) { r.play(t, alternating, nil) })
}
