package api_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/longshore-registry/longshore/registry"
)

// sum is the sha256 digest of content.
func sum(content string) string {
	h := sha256.Sum256([]byte(content))
	return "sha256:" + hex.EncodeToString(h[:])
}

// sum512 is the sha512 digest of content.
func sum512(content string) string {
	h := sha512.Sum512([]byte(content))
	return "sha512:" + hex.EncodeToString(h[:])
}

// Contents of blobs. big is more than the registry holds in memory, bigger is more than the smallest part of S3 as well.
const (
	ten   = "0123456789"
	more  = "abcdefghij"
	small = "{}"
	layer = "a layer, as far as anyone here can tell"
)

var (
	big    = strings.Repeat("All the bytes of a larger layer.\n", 5<<20/33)
	bigger = strings.Repeat("More than two of the smallest parts that S3 takes.\n", 11<<20/51)
)

const absent = "nobody has pushed this"

// has puts a blob into the row's repository.
func has(blob string) step {
	return step{"POST $R/blobs/uploads/?digest=" + sum(blob), blob, "201", ""}
}

// hasAlso puts it into the repository beside it, "$R-b".
func hasAlso(blob string) step {
	return step{"POST $R-b/blobs/uploads/?digest=" + sum(blob), blob, "201", ""}
}

// put pushes a manifest; to is a tag or a digest.
func put(to, mediaType, manifest string) step {
	return step{"PUT $R/manifests/" + to + " | Content-Type: " + mediaType, manifest, "201", ""}
}

// pushed is an image of one layer under a tag, with its blobs.
func pushed(tag string) steps { return steps{has(small), has(layer), put(tag, "$image", image())} }

// then joins steps.
func then(before steps, after ...step) steps {
	return append(before[:len(before):len(before)], after...)
}

const (
	layerType  = v1.MediaTypeImageLayerGzip
	configType = v1.MediaTypeImageConfig
)

func descriptor(mediaType, content string) string {
	return descriptorBy(sum(content), mediaType, content)
}

func descriptorBy(digest, mediaType, content string, fields ...string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d%s}`, mediaType, digest, len(content), extra(fields))
}

func extra(fields []string) string {
	if len(fields) == 0 {
		return ""
	}
	return "," + strings.Join(fields, ",")
}

// image is a manifest of the blobs small and layer; fields are added to it.
func image(fields ...string) string { return imageOf(descriptor(layerType, layer), fields...) }

// imageOf is a manifest with the config small and the layers, which are descriptors joined by commas.
func imageOf(layers string, fields ...string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]%s}`,
		v1.MediaTypeImageManifest, descriptor(configType, small), layers, extra(fields))
}

// dockerImage is the same in Docker's format.
func dockerImage() string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`, registry.MediaTypeDockerManifest,
		descriptor("application/vnd.docker.container.image.v1+json", small), descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", layer))
}

// index is an index of manifests of images.
func index(manifests ...string) string { return indexWith(nil, manifests...) }

func indexWith(fields []string, manifests ...string) string {
	all := make([]string, len(manifests))
	for i, m := range manifests {
		all[i] = descriptor(v1.MediaTypeImageManifest, m)
	}
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]%s}`, v1.MediaTypeImageIndex, strings.Join(all, ","), extra(fields))
}

// artifact is an image manifest with an artifactType and, unless it is "", a subject.
func artifact(artifactType, subject string, fields ...string) string {
	fields = append([]string{fmt.Sprintf(`"artifactType":%q`, artifactType)}, fields...)
	if subject != "" {
		fields = append(fields, `"subject":`+descriptor(v1.MediaTypeImageManifest, subject))
	}
	return image(fields...)
}

// dockerList is a manifest list of dockerImage.
func dockerList() string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, registry.MediaTypeDockerList,
		descriptorBy(sum(dockerImage()), registry.MediaTypeDockerManifest, dockerImage(), `"platform":{"architecture":"amd64","os":"linux"}`))
}

// gzipped is content, packed.
func gzipped(content string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, content)
	if err := errors.Join(err, w.Close()); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.String()
}

// bomb is 100 KB that would be 100 MB.
var bomb = sync.OnceValue(func() string { return gzipped(strings.Repeat("\x00", 100<<20)) })
