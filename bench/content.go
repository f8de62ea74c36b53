package bench

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	mathrand "math/rand/v2"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// LeastLayer is the size of the smallest layer in bytes: that of what tells one from another.
const LeastLayer = tailSize

const (
	tailSize  = 32
	blockSize = 4 << 20 // longer than the windows of common compressors, so that a store that compresses gains nothing within it
)

// blob is what is pushed as one.
type blob struct {
	digest digest.Digest
	size   int64
	open   func() io.Reader
}

func blobOf(body []byte) blob {
	return blob{digest: digest.FromBytes(body), size: int64(len(body)), open: func() io.Reader { return &filler{tail: body} }}
}

// layers makes layers of one size of which no two are equal, in this run or another. They differ in their last bytes alone.
type layers struct {
	block []byte      // random; a layer repeats it
	size  int64       // of a layer
	hash  hash.Cloner // of all but the last bytes
	run   [tailSize - 8]byte
	count atomic.Uint64
}

func newLayers(size int64) (*layers, error) {
	l := &layers{size: size}
	var seed [32]byte
	_, _ = rand.Read(seed[:])  // never fails
	_, _ = rand.Read(l.run[:]) // nor this
	l.block = make([]byte, min(blockSize, size))
	_, _ = mathrand.NewChaCha8(seed).Read(l.block) // nor this
	h := sha256.New()
	if _, err := io.Copy(h, &filler{block: l.block, left: size - tailSize}); err != nil {
		return nil, err
	}
	var ok bool
	if l.hash, ok = h.(hash.Cloner); !ok {
		return nil, errors.New("this build's SHA-256 can't be cloned")
	}
	return l, nil
}

// next makes a layer. It is safe for concurrent use.
func (l *layers) next() (blob, error) {
	tail := binary.BigEndian.AppendUint64(append([]byte(nil), l.run[:]...), l.count.Add(1))
	h, err := l.hash.Clone()
	if err != nil {
		return blob{}, err
	}
	_, _ = h.Write(tail) // never fails
	return blob{
		digest: digest.NewDigest(digest.SHA256, h), size: l.size,
		open: func() io.Reader { return &filler{block: l.block, left: l.size - tailSize, tail: tail} },
	}, nil
}

// filler reads left bytes of a block that is repeated, then a tail.
type filler struct {
	block []byte
	left  int64
	at    int // in block
	tail  []byte
}

// Read is part of io.Reader.
func (f *filler) Read(p []byte) (n int, err error) {
	for f.left > 0 && n < len(p) {
		part := f.block[f.at:]
		part = part[:min(int64(len(part)), f.left)]
		k := copy(p[n:], part)
		n += k
		f.left -= int64(k)
		f.at = (f.at + k) % len(f.block)
	}
	if f.left == 0 {
		k := copy(p[n:], f.tail)
		n += k
		f.tail = f.tail[k:]
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// image is one that is pushed.
type image struct {
	layers   []blob
	config   blob
	manifest []byte
	digest   digest.Digest // of the manifest
}

func (r *run) newImage() (image, error) {
	im := image{layers: make([]blob, r.o.Layers)}
	config := v1.Image{Platform: v1.Platform{Architecture: "amd64", OS: "linux"}, RootFS: v1.RootFS{Type: "layers"}}
	manifest := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest}
	for i := range im.layers {
		one, err := r.layers.next()
		if err != nil {
			return im, err
		}
		im.layers[i] = one
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, one.digest)
		manifest.Layers = append(manifest.Layers, descriptor(v1.MediaTypeImageLayer, one))
	}
	body, err := json.Marshal(config)
	if err != nil {
		return im, err
	}
	im.config = blobOf(body)
	manifest.Config = descriptor(v1.MediaTypeImageConfig, im.config)
	if im.manifest, err = json.Marshal(manifest); err != nil {
		return im, err
	}
	im.digest = digest.FromBytes(im.manifest)
	return im, nil
}

func descriptor(mediaType string, b blob) v1.Descriptor {
	return v1.Descriptor{MediaType: mediaType, Digest: b.digest, Size: b.size}
}

// tagOf names the nth of what a workload has pushed.
func tagOf(work string, n int64) string { return fmt.Sprintf("%s-%06d", work, n) }
