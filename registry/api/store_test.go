package api_test

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

// checkStore reads the whole store: no record may name bytes that have another digest, and no bytes may be named twice.
func checkStore(t *testing.T, d drivers.Driver) {
	t.Helper()
	named := map[string]string{}
	for e, err := range d.List(t.Context(), "blobs/", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		var record struct {
			Size int64
			Data string
		}
		if err := json.Unmarshal([]byte(readAll(t, d, e.Key)), &record); err != nil {
			t.Errorf("%s: %v", e.Key, err)
			continue
		}
		if other := named[record.Data]; other != "" {
			t.Errorf("%s and %s name the same data", e.Key, other)
		}
		named[record.Data] = e.Key
		content := readAll(t, d, record.Data)
		parts := strings.Split(e.Key, "/") // blobs, algorithm, two digits, all digits
		want := parts[1] + ":" + parts[3]
		if int64(len(content)) != record.Size || want != sum(content) && want != sum512(content) {
			t.Errorf("%s: its data does not have that digest, or not the size %d", e.Key, record.Size)
		}
	}
	if len(named) == 0 {
		t.Error("the store has no blobs at all")
	}
}

func readAll(t testing.TB, d drivers.Driver, key string) string {
	t.Helper()
	body, _, err := d.Reader(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return string(b)
}
