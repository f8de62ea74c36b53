package api_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/counting"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// TestAttackBombs sends manifests that are small to send and may be dear to read: each costs little of the store, of memory and of the network,
// and is refused.
func TestAttackBombs(t *testing.T) {
	const limit = 4 << 20 // of a manifest
	fill := func(before, one, after string) string {
		n := (limit - len(before) - len(after)) / len(one)
		return before + strings.Repeat(one, n) + after
	}
	descriptors := func(field string, head string) string {
		var b strings.Builder
		b.WriteString(head + `,"` + field + `":[`)
		for i := 0; b.Len() < limit-200; i++ {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"digest":"sha256:%064x","size":1}`, i)
		}
		return b.String() + "]}"
	}
	config := `{"schemaVersion":2,"config":` + descriptor(configType, small)
	for name, bomb := range map[string]struct{ mediaType, body string }{
		"arrays in arrays":          {"$image", fill("", "[", "")},
		"arrays in arrays, closed":  {"$image", strings.Repeat("[", limit/2) + strings.Repeat("]", limit/2)},
		"objects in objects":        {"$image", fill("", `{"a":`, "")},
		"within annotations":        {"$image", fill(config+`,"layers":[],"annotations":`, `{"a":`, "")},
		"within a platform":         {"$index", fill(`{"schemaVersion":2,"manifests":[{"platform":`, `[`, "")},
		"empty objects":             {"$image", fill(config+`,"layers":[`, `{},`, `{}]}`)},
		"empty arrays":              {"$image", fill(config+`,"layers":[`, `[],`, `[]]}`)},
		"nulls":                     {"$image", fill(config+`,"layers":[`, `null,`, `null]}`)},
		"numbers":                   {"$image", fill(config+`,"layers":[`, `1,`, `1]}`)},
		"a long number as a size":   {"$image", fill(`{"schemaVersion":2,"config":{"digest":"`+sum(small)+`","size":`, `9`, `},"layers":[]}`)},
		"a long exponent":           {"$image", config + `,"layers":[{"digest":"` + sum(small) + `","size":1e999999999}]}`},
		"a long string":             {"$image", fill(config+`,"layers":[],"mediaType":"`, `x`, `"}`)},
		"a long key":                {"$image", fill(config+`,"layers":[],"`, `x`, `":1,"a":1,"a":2}`)},
		"escapes":                   {"$image", fill(config+`,"layers":[],"mediaType":"`, `\u0061`, `"}`)},
		"a long digest":             {"$image", fill(config+`,"layers":[{"size":1,"digest":"sha256:`, `0`, `"}]}`)},
		"one key over and over":     {"$image", fill(config+`,"layers":[]`, `,"a":1`, `}`)},
		"spaces":                    {"$image", fill("", " ", "")},
		"layers that are not there": {"$image", descriptors("layers", config)},
		"blobs that are not there":  {"application/vnd.oci.artifact.manifest.v1+json", descriptors("blobs", `{"mediaType":"application/vnd.oci.artifact.manifest.v1+json"`)},
		"children that are not":     {"$index", descriptors("manifests", `{"schemaVersion":2`)},
	} {
		t.Run(name, func(t *testing.T) {
			var counted *counting.Driver
			c := newSite(t, one, options{open: openMemory, wrap: func(d drivers.Driver) drivers.Driver {
				counted = counting.New(d, counting.Options{})
				return counted
			}}).caller(t)
			c.do(has(small))
			counted.Reset()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			a := c.do(step{"PUT $R/manifests/1 | Content-Type: " + bomb.mediaType, bomb.body, "~^400$", ""})
			runtime.ReadMemStats(&after)
			if n := counted.Counts().Total(); n > 250 {
				t.Errorf("%d requests to the store", n)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 300<<20 {
				t.Errorf("%d MiB were allocated", allocated>>20)
			}
			if len(a.body) > 64<<10 {
				t.Errorf("the answer has %d bytes", len(a.body))
			}
			c.do(step{"GET $R/tags/list", "", "404 NAME_UNKNOWN", ""})
		})
	}
}

// TestAttackManyUploads begins ten thousand uploads and leaves them: that costs the store nothing, and memory within cache.memory.
func TestAttackManyUploads(t *testing.T) {
	const uploads = 10_000
	store := memory.New(memory.Options{})
	var counted *counting.Driver
	c := newSite(t, one, options{
		open: func(*testing.T) drivers.Driver { return store },
		wrap: func(d drivers.Driver) drivers.Driver {
			counted = counting.New(d, counting.Options{})
			return counted
		},
	}).caller(t)
	objects := len(c.keys(""))
	counted.Reset()
	held := heldMemory()
	var locations []string
	for range uploads {
		if status := c.try("POST $R/blobs/uploads/", ""); status != http.StatusAccepted {
			t.Fatalf("got %d", status)
		}
		locations = append(locations, c.upload)
		delete(c.locations, c.sent)
	}
	if counts := counted.Counts(); counts.Total() > 0 {
		t.Errorf("the store was asked %v", counts)
	}
	if n := len(c.keys("")); n != objects {
		t.Errorf("the store has %d objects, had %d", n, objects)
	}
	const ours = uploads * 1 << 10 // the test's own list of Locations
	if grown := int64(heldMemory()) - int64(held); grown > 16<<20+ours {
		t.Errorf("%d MiB more are held", grown>>20)
	}
	// Those that have been forgotten go on as well as the others: all that they are is in their Location.
	for _, i := range []int{0, 1, uploads / 2, uploads - 1} {
		content := fmt.Sprint("content ", i)
		c.all(steps{
			{"PATCH " + locations[i], content, "202", ""},
			{"PUT $U&digest=" + sum(content), "", "201", ""},
			{"GET $R/blobs/" + sum(content), "", "200", content},
		})
	}
}

// heldMemory is what is in use after a collection.
func heldMemory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
