// Package testimage makes container images of a chosen shape, as OCI image layouts on disk, with
// neither network nor tools. The same arguments give the same bytes, and so the same digests.
//
//	digest, err := testimage.Write(dir, "1",
//		testimage.Image{Architecture: "amd64", Layers: []testimage.Layer{{Seed: 1, Size: 2e6}, {Seed: 2, Size: 1e6}}},
//		testimage.Image{Architecture: "arm64", Layers: []testimage.Layer{{Seed: 1, Size: 2e6}, {Seed: 3, Size: 1e6}}})
package testimage

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Media types of the OCI image spec 1.1.
const (
	MediaTypeIndex    = "application/vnd.oci.image.index.v1+json"
	MediaTypeManifest = "application/vnd.oci.image.manifest.v1+json"
	MediaTypeConfig   = "application/vnd.oci.image.config.v1+json"
	MediaTypeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// A Layer is a gzipped tar that holds one file, /opt/<seed>, of Size random bytes. Equal layers are the same blob.
type Layer struct {
	Seed uint64
	Size int64 // in bytes
}

// An Image is for Linux and holds at least one layer.
type Image struct {
	Architecture string // such as "amd64"
	Layers       []Layer
}

// Descriptor is the OCI content descriptor, as far as these images use it.
type Descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Platform    *Platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Platform is what an image runs on.
type Platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

// Manifest is both the image manifest and the image index of OCI: the one has Config and Layers, the other Manifests.
type Manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        *Descriptor  `json:"config,omitempty"`
	Layers        []Descriptor `json:"layers,omitempty"`
	Manifests     []Descriptor `json:"manifests,omitempty"`
}

// Write makes the OCI image layout dir, whose only reference is tag: the image itself, or an index of the images
// if there are several. It returns the digest of what tag names.
func Write(dir, tag string, images ...Image) (digest string, err error) {
	if len(images) == 0 {
		return "", errors.New("testimage: no image given")
	}
	l := layout{dir: dir, layers: map[Layer]layerBlob{}}
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return "", err
	}
	var all []Descriptor
	for _, image := range images {
		d, err := l.image(image)
		if err != nil {
			return "", fmt.Errorf("testimage: %s: %w", image.Architecture, err)
		}
		all = append(all, d)
	}
	top := all[0]
	top.Platform = nil
	if len(all) > 1 {
		if top, err = l.json(MediaTypeIndex, Manifest{SchemaVersion: 2, MediaType: MediaTypeIndex, Manifests: all}); err != nil {
			return "", fmt.Errorf("testimage: index: %w", err)
		}
	}
	top.Annotations = map[string]string{"org.opencontainers.image.ref.name": tag}
	index, err := json.Marshal(Manifest{SchemaVersion: 2, MediaType: MediaTypeIndex, Manifests: []Descriptor{top}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "index.json"), index, 0o644); err != nil {
		return "", err
	}
	return top.Digest, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644)
}

type layout struct {
	dir    string
	layers map[Layer]layerBlob // those written already
}

type layerBlob struct {
	Descriptor
	diffID string // digest of the tar before compression
}

func (l layout) image(image Image) (Descriptor, error) {
	platform := Platform{Architecture: image.Architecture, OS: "linux"}
	type rootfs struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	}
	config := struct {
		Platform
		RootFS rootfs `json:"rootfs"`
	}{platform, rootfs{Type: "layers"}}

	m := Manifest{SchemaVersion: 2, MediaType: MediaTypeManifest}
	for _, layer := range image.Layers {
		blob, ok := l.layers[layer]
		if !ok {
			var err error
			if blob, err = l.layer(layer); err != nil {
				return Descriptor{}, err
			}
			l.layers[layer] = blob
		}
		m.Layers = append(m.Layers, blob.Descriptor)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, blob.diffID)
	}
	c, err := l.json(MediaTypeConfig, config)
	if err != nil {
		return Descriptor{}, err
	}
	m.Config = &c
	d, err := l.json(MediaTypeManifest, m)
	d.Platform = &platform
	return d, err
}

func (l layout) json(mediaType string, v any) (Descriptor, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return Descriptor{}, err
	}
	d := Descriptor{MediaType: mediaType, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(body)), Size: int64(len(body))}
	return d, os.WriteFile(l.path(d.Digest), body, 0o644)
}

func (l layout) path(digest string) string {
	return filepath.Join(l.dir, "blobs", "sha256", digest[len("sha256:"):])
}

func (l layout) layer(layer Layer) (blob layerBlob, err error) {
	f, err := os.CreateTemp(l.dir, "layer-")
	if err != nil {
		return blob, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	sum, diff := sha256.New(), sha256.New()
	size, err := writeLayer(io.MultiWriter(f, sum), diff, layer)
	if err := errors.Join(err, f.Close()); err != nil {
		return blob, err
	}
	blob = layerBlob{Descriptor{MediaType: MediaTypeLayer, Digest: digest(sum), Size: size}, digest(diff)}
	return blob, os.Rename(f.Name(), l.path(blob.Digest))
}

// writeLayer writes the compressed layer to w and the plain one to diff. It stores the random bytes without trying
// to make them smaller, which is fast and does not change with the version of the compressor.
func writeLayer(w io.Writer, diff hash.Hash, layer Layer) (size int64, err error) {
	count := &counter{w: w}
	zip, err := gzip.NewWriterLevel(count, gzip.NoCompression)
	if err != nil {
		return 0, err
	}
	archive := tar.NewWriter(io.MultiWriter(zip, diff))
	name := fmt.Sprintf("opt/%d", layer.Seed)
	err = errors.Join(
		archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "opt/", Mode: 0o755}),
		archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: layer.Size}))
	if err != nil {
		return 0, err
	}
	_, err = io.CopyN(archive, Random(layer.Seed), layer.Size)
	err = errors.Join(err, archive.Close(), zip.Close())
	return count.n, err
}

// Random is an endless stream of bytes, the same for the same seed, that nothing can compress.
func Random(seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

func digest(h hash.Hash) string { return fmt.Sprintf("sha256:%x", h.Sum(nil)) }

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
