package simulation

import (
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// blob is some bytes that clients push.
type blob struct {
	bytes  []byte
	digest digest.Digest
}

// image is a manifest, or an index, and what it names.
type image struct {
	name     string
	body     []byte
	digest   digest.Digest
	blobs    []blob
	children []*image
	subject  *image
}

var repos = []string{"a", "b", "a/c"}

var tags = []string{"t", "u"}

// universe is all that clients may push: little, so that they meet.
type universe struct {
	blobs  []blob
	images []*image // children and subjects before what names them
}

var theUniverse = newUniverse()

func newUniverse() *universe {
	u := &universe{}
	for i := range 4 {
		b := []byte(fmt.Sprintf("blob %d", i))
		u.blobs = append(u.blobs, blob{b, digest.FromBytes(b)})
	}
	of := func(blobs ...int) (all []blob) {
		for _, i := range blobs {
			all = append(all, u.blobs[i])
		}
		return all
	}
	one := newImage("one", nil, of(0, 1)...)
	two := newImage("two", nil, of(0, 2)...)
	three := newImage("three", nil, of(1, 3)...)
	u.images = []*image{one, two, three, newIndex("index", one, two), newImage("referrer", one, of(3)...), newImage("small", nil, of(0)...)}
	return u
}

func newImage(name string, subject *image, blobs ...blob) *image {
	m := v1.Manifest{MediaType: v1.MediaTypeImageManifest, Layers: []v1.Descriptor{}, Annotations: map[string]string{"name": name}}
	m.SchemaVersion = 2
	m.Config = v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: blobs[0].digest, Size: int64(len(blobs[0].bytes))}
	for _, b := range blobs[1:] {
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: v1.MediaTypeImageLayerGzip, Digest: b.digest, Size: int64(len(b.bytes))})
	}
	if subject != nil {
		m.Subject = &v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: subject.digest, Size: int64(len(subject.body))}
	}
	return finish(&image{name: name, blobs: blobs, subject: subject}, m)
}

func newIndex(name string, children ...*image) *image {
	m := v1.Index{MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{}}
	m.SchemaVersion = 2
	for _, c := range children {
		m.Manifests = append(m.Manifests, v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: c.digest, Size: int64(len(c.body))})
	}
	return finish(&image{name: name, children: children}, m)
}

func finish(i *image, content any) *image {
	body, err := json.Marshal(content)
	if err != nil {
		panic(err) // the types of this file can be written
	}
	i.body, i.digest = body, digest.FromBytes(body)
	return i
}

// image finds an image by its digest.
func (u *universe) image(d digest.Digest) *image {
	for _, i := range u.images {
		if i.digest == d {
			return i
		}
	}
	return nil
}
