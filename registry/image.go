package registry

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/longshore-registry/longshore/drivers"
)

// Image is what people want to know of an image before they pull it.
type Image struct {
	Size        int64             // bytes of the config and the layers; of an index, those of its first image
	Labels      map[string]string // of the config
	Annotations map[string]string // of the manifest or index itself
}

// IsIndex reports whether it is an index, or a list, which names the manifests of images.
func (m *Manifest) IsIndex() bool {
	return m.MediaType == v1.MediaTypeImageIndex || m.MediaType == MediaTypeDockerList
}

// mostConfig is the size in bytes of the configs that are read for their labels; real ones have a few KiB.
const mostConfig = 1 << 20

// Image reads the manifest and, for its labels, the config: of an index, those of the first image that is none of its attestations. What
// an index or a manifest names and the repository lacks is left out. MANIFEST_UNKNOWN if there is no such manifest.
func (r *Registry) Image(ctx context.Context, repo string, d digest.Digest) (Image, error) {
	m, err := r.Manifest(ctx, repo, d)
	if err != nil {
		return Image{}, err
	}
	c := readContent(m.Body)
	image := Image{Annotations: c.Annotations}
	for _, child := range c.Manifests {
		if child.Annotations["vnd.docker.reference.type"] != "" { // as BuildKit marks attestations
			continue
		}
		m, err = r.Manifest(ctx, repo, child.Digest)
		if HasCode(err, ManifestUnknown) {
			return image, nil
		} else if err != nil {
			return Image{}, err
		}
		c = readContent(m.Body)
		break
	}
	for _, one := range append(append([]*descriptor{c.Config}, c.Layers...), c.Blobs...) {
		if one.check("") == nil {
			image.Size += *one.Size
		}
	}
	if c.Config.check("") == nil && *c.Config.Size <= mostConfig {
		image.Labels, err = r.labels(ctx, repo, c.Config.Digest)
	}
	return image, err
}

// labels reads those of a config; of a blob that is none, or is not there, there are none.
func (r *Registry) labels(ctx context.Context, repo string, d digest.Digest) (map[string]string, error) {
	b, err := r.Blob(ctx, repo, d)
	if HasCode(err, BlobUnknown) || err == nil && b.Size > mostConfig {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	body, err := r.OpenBlob(ctx, b, 0, -1)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	var config struct {
		Config struct {
			Labels map[string]string `json:"Labels"`
		} `json:"config"`
	}
	if json.Unmarshal(text, &config) != nil {
		return nil, nil
	}
	return config.Config.Labels, nil
}

// NewestTag is the tag that was written last, by the store's clock; signatures and the like, which are tagged by a digest, don't count unless
// there is nothing else. "" if there is none. It lists all tags of the repository.
func (r *Registry) NewestTag(ctx context.Context, repo string) (string, error) {
	if err := CheckName(repo); err != nil {
		return "", err
	}
	newest, when, attached := "", time.Time{}, true
	for entry, err := range r.driver.List(drivers.WithListLimit(ctx, 0), tagsPrefix(repo), "", "") {
		if err != nil {
			return "", err
		}
		tag := strings.TrimPrefix(entry.Key, tagsPrefix(repo))
		if a := Attached(tag); newest == "" || attached && !a || attached == a && entry.ModTime.After(when) {
			newest, when, attached = tag, entry.ModTime, a
		}
	}
	return newest, nil
}

// Attached reports whether a tag is one that clients without the referrers API give to what belongs to another image: the image's digest, with
// a dash, as cosign and the OCI distribution spec ("Referrers Tag Schema") have it.
func Attached(tag string) bool {
	return strings.HasPrefix(tag, "sha256-") || strings.HasPrefix(tag, "sha512-")
}

// Exists reports whether there is such a repository.
func (r *Registry) Exists(ctx context.Context, repo string) (bool, error) {
	_, _, err := r.Tags(ctx, repo, "", 0)
	if HasCode(err, NameUnknown) {
		return false, nil
	}
	return err == nil, err
}

// Repositories yields the names of all repositories in the order of their lines in the catalogue. After an error nothing more is yielded.
func (r *Registry) Repositories(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for entry, err := range r.driver.List(drivers.WithListLimit(ctx, 0), catalogPrefix, "", "") {
			if err != nil {
				yield("", err)
				return
			}
			if name := catalogName(entry.Key); CheckName(name) == nil && catalogKey(name) == entry.Key && !yield(name, nil) {
				return
			}
		}
	}
}
