package registry

import (
	"bytes"
	"testing"

	"github.com/longshore-registry/longshore/drivers/counting"
)

// A tag whose manifest was pushed again with another tag names an older push of it. That costs one request more only once.
func TestPullByAnOlderTag(t *testing.T) {
	store := newStore(t)
	pusher := open(t, store)
	config := putBlob(t, pusher, "r", []byte("config"))
	manifest := imageOf(t, config)
	d := pushTag(t, pusher, "r", "v1", manifest)
	pushTag(t, pusher, "r", "latest", manifest)

	counted := counting.New(store, counting.Options{})
	reader := open(t, counted)
	pull := func(tag string, requests int) {
		t.Helper()
		counted.Reset()
		m, err := reader.ManifestByTag(t.Context(), "r", tag)
		must(t, err)
		if !bytes.Equal(m.Body, manifest) || m.Digest != d {
			t.Errorf("tag %s: got %s %s", tag, m.Digest, m.Body)
		}
		if n := counted.Reset().Total(); n != requests {
			t.Errorf("tag %s: %d requests, want %d", tag, n, requests)
		}
	}
	pull("v1", 2)
	pull("v1", 1)
	pull("latest", 1)
	pull("v1", 1)
	counted.Reset()
	if _, err := reader.Manifest(t.Context(), "r", d); err != nil || counted.Reset().Total() != 1 {
		t.Errorf("by digest: %v", err)
	}

	must(t, pusher.DeleteManifest(t.Context(), "r", d, false))
	for _, tag := range []string{"v1", "latest"} {
		_, err := reader.ManifestByTag(t.Context(), "r", tag)
		wantCode(t, err, ManifestUnknown)
	}
	_, err := reader.Manifest(t.Context(), "r", d)
	wantCode(t, err, ManifestUnknown)

	pushTag(t, pusher, "r", "latest", manifest)
	_, err = reader.ManifestByTag(t.Context(), "r", "v1")
	wantCode(t, err, ManifestUnknown)
	pull("latest", 2)
	pull("latest", 1)

	other := imageOf(t, config, putBlob(t, pusher, "r", []byte("layer")))
	moved := pushTag(t, pusher, "r", "latest", other)
	m, err := reader.ManifestByTag(t.Context(), "r", "latest")
	must(t, err)
	if m.Digest != moved || !bytes.Equal(m.Body, other) {
		t.Errorf("the tag has moved, and still gives %s", m.Body)
	}
}

// Who pushed a tag pulls it in one request.
func TestPullAfterOwnPush(t *testing.T) {
	counted := counting.New(newStore(t), counting.Options{})
	r := open(t, counted)
	manifest := imageOf(t, putBlob(t, r, "r", []byte("config")))
	pushTag(t, r, "r", "v1", manifest)
	counted.Reset()
	if _, err := r.ManifestByTag(t.Context(), "r", "v1"); err != nil || counted.Reset().Total() != 1 {
		t.Errorf("error %v, or more than one request", err)
	}
}
