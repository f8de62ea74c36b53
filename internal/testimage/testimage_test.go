package testimage

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var (
	base = Layer{Seed: 1, Size: 200_000}
	amd  = Image{Architecture: "amd64", Layers: []Layer{base, {Seed: 2, Size: 1}}}
	arm  = Image{Architecture: "arm64", Layers: []Layer{base, {Seed: 3, Size: 0}}}
)

// TestWrite follows every digest from index.json down and checks bytes, sizes and diff ids.
func TestWrite(t *testing.T) {
	for _, tc := range []struct {
		name   string
		images []Image
		blobs  int
	}{
		{"one image", []Image{amd}, 4},
		{"two images share a layer", []Image{amd, arm}, 8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			top, err := Write(dir, "1", tc.images...)
			if err != nil {
				t.Fatal(err)
			}
			var index Manifest
			decode(t, filepath.Join(dir, "index.json"), &index)
			if len(index.Manifests) != 1 || index.Manifests[0].Digest != top {
				t.Fatalf("index.json names %+v, Write returned %s", index.Manifests, top)
			}
			if ref := index.Manifests[0].Annotations["org.opencontainers.image.ref.name"]; ref != "1" {
				t.Errorf("the reference is %q, want 1", ref)
			}
			follow(t, dir, index.Manifests[0])
			blobs, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256"))
			if err != nil || len(blobs) != tc.blobs {
				t.Errorf("%d blobs (%v), want %d", len(blobs), err, tc.blobs)
			}
		})
	}
}

func TestWriteIsDeterministic(t *testing.T) {
	first, err := Write(t.TempDir(), "1", amd, arm)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := Write(t.TempDir(), "1", amd, arm); err != nil || first != second {
		t.Errorf("digest %s, then %s (%v)", first, second, err)
	}
}

func TestWriteWithoutImage(t *testing.T) {
	if _, err := Write(t.TempDir(), "1"); err == nil {
		t.Error("no error")
	}
}

func follow(t *testing.T, dir string, d Descriptor) {
	t.Helper()
	body := blob(t, dir, d)
	if d.MediaType != MediaTypeManifest && d.MediaType != MediaTypeIndex {
		return
	}
	var m Manifest
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	for _, child := range m.Manifests {
		follow(t, dir, child)
	}
	if m.Config == nil {
		return
	}
	var config struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(blob(t, dir, *m.Config), &config); err != nil {
		t.Fatal(err)
	}
	var diffIDs []string
	for _, layer := range m.Layers {
		plain, err := gzip.NewReader(strings.NewReader(string(blob(t, dir, layer))))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, plain); err != nil {
			t.Fatal(err)
		}
		diffIDs = append(diffIDs, digest(sum))
	}
	if !slices.Equal(config.RootFS.DiffIDs, diffIDs) {
		t.Errorf("diff ids %v, the layers have %v", config.RootFS.DiffIDs, diffIDs)
	}
}

func blob(t *testing.T, dir string, d Descriptor) []byte {
	t.Helper()
	body, err := os.ReadFile(layout{dir: dir}.path(d.Digest))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	sum.Write(body)
	if digest(sum) != d.Digest || int64(len(body)) != d.Size {
		t.Errorf("%s of %d bytes holds %s, %d bytes", d.Digest, d.Size, digest(sum), len(body))
	}
	return body
}

func decode(t *testing.T, file string, v any) {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		t.Fatal(err)
	}
}
