package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// The media types of Docker's image format, schema 2.
const (
	MediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"

	mediaTypeDockerForeign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	mediaTypeOCIArtifact   = "application/vnd.oci.artifact.manifest.v1+json"
)

// Manifest is a manifest, index or list as it was pushed.
type Manifest struct {
	Digest    digest.Digest
	MediaType string
	Body      []byte // never changed
	Pushed    time.Time

	id  string // of this very push
	raw []byte // the object in the store, whose end Body is; nil if this was never written or read

	listed bool // this process has put, or seen, what lists find it by: the repository in the catalogue, and the entry of a referrer
}

// descriptor is one in a manifest; fields that the registry has no use for are left out.
type descriptor struct {
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Digest       digest.Digest     `json:"digest"`
	Size         *int64            `json:"size"`
	URLs         []string          `json:"urls"`
	Annotations  map[string]string `json:"annotations"`
}

// content is what the registry reads in a manifest.
type content struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        *descriptor       `json:"config"`
	Layers        []*descriptor     `json:"layers"`
	Blobs         []*descriptor     `json:"blobs"`
	Manifests     []*descriptor     `json:"manifests"`
	Subject       *descriptor       `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
	FSLayers      json.RawMessage   `json:"fsLayers"`

	isIndex bool
}

// maxNesting bounds the depth of a manifest's JSON; real ones have 5.
const maxNesting = 64

// parseManifest checks a manifest by the rules of its media type. MANIFEST_INVALID says what is wrong and where.
func parseManifest(mediaType string, body []byte) (*content, error) {
	bad := func(format string, args ...any) error {
		return errorf(ManifestInvalid, "%s", brief(fmt.Sprintf(format, args...)))
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, bad("the manifest is empty")
	}
	if !utf8.Valid(body) {
		return nil, bad("the manifest is not UTF-8")
	}
	if err := checkKeys(body); err != nil {
		return nil, bad("the manifest %v", err)
	}
	var c content
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, bad("the manifest does not have the form of its media type: %v", err)
	}
	switch mediaType {
	case v1.MediaTypeImageManifest, MediaTypeDockerManifest, mediaTypeOCIArtifact:
	case v1.MediaTypeImageIndex, MediaTypeDockerList:
		c.isIndex = true
	case "":
		return nil, bad("the request has no Content-Type, and the manifest no mediaType")
	default:
		return nil, bad("media type %q is not one of a manifest that this registry takes: %s, %s, %s, %s", mediaType,
			v1.MediaTypeImageManifest, v1.MediaTypeImageIndex, MediaTypeDockerManifest, MediaTypeDockerList)
	}
	if c.MediaType != "" && c.MediaType != mediaType {
		return nil, bad("mediaType is %q in the manifest and %q in Content-Type", c.MediaType, mediaType)
	}
	if c.FSLayers != nil {
		return nil, bad("fsLayers does not belong into a manifest of this media type")
	}
	var err error
	switch {
	case mediaType == mediaTypeOCIArtifact:
		err = c.checkArtifact()
	case c.isIndex:
		err = c.checkIndex()
	default:
		err = c.checkImage()
	}
	if err == nil && c.Subject != nil {
		err = c.Subject.check("subject")
	}
	if err != nil {
		return nil, bad("%v", err)
	}
	return &c, nil
}

// readContent reads as much as can be read of a manifest that was taken once, perhaps by other rules than today's.
func readContent(body []byte) *content {
	var c content
	if json.Unmarshal(body, &c) != nil {
		return &content{}
	}
	valid := func(d *descriptor) bool { return d.check("") == nil }
	if !valid(c.Subject) {
		c.Subject = nil
	}
	c.Manifests = slices.DeleteFunc(c.Manifests, func(d *descriptor) bool { return !valid(d) })
	return &c
}

func (c *content) checkImage() error {
	switch {
	case c.SchemaVersion != 2:
		return fmt.Errorf("schemaVersion is %d and has to be 2", c.SchemaVersion)
	case c.Manifests != nil:
		return fmt.Errorf("manifests does not belong into an image manifest")
	case c.Config == nil:
		return fmt.Errorf("config is missing")
	}
	if err := c.Config.check("config"); err != nil {
		return err
	}
	return checkAll("layers", c.Layers)
}

func (c *content) checkIndex() error {
	switch {
	case c.SchemaVersion != 2:
		return fmt.Errorf("schemaVersion is %d and has to be 2", c.SchemaVersion)
	case c.Layers != nil || c.Config != nil:
		return fmt.Errorf("layers and config do not belong into an index")
	case c.Manifests == nil:
		return fmt.Errorf("manifests is missing")
	}
	return checkAll("manifests", c.Manifests)
}

func (c *content) checkArtifact() error {
	if c.Layers != nil || c.Config != nil || c.Manifests != nil {
		return fmt.Errorf("layers, config and manifests do not belong into an artifact manifest")
	}
	return checkAll("blobs", c.Blobs)
}

func checkAll(field string, all []*descriptor) error {
	for i, d := range all {
		if err := d.check(fmt.Sprintf("%s[%d]", field, i)); err != nil {
			return err
		}
	}
	return nil
}

func (d *descriptor) check(field string) error {
	switch {
	case d == nil:
		return fmt.Errorf("%s is null", field)
	case d.Digest == "":
		return fmt.Errorf("%s.digest is missing", field)
	case d.Size == nil:
		return fmt.Errorf("%s.size is missing", field)
	case *d.Size < 0:
		return fmt.Errorf("%s.size is negative", field)
	}
	if _, err := ParseDigest(string(d.Digest)); err != nil {
		return fmt.Errorf("%s.digest %q is not a valid digest", field, d.Digest)
	}
	return nil
}

// needed are the digests of the blobs that have to be in the repository, each once. Layers of a type that is not
// distributed need not be.
func (c *content) needed() []digest.Digest {
	var all []digest.Digest
	seen := map[digest.Digest]bool{}
	add := func(d *descriptor) {
		if d != nil && !seen[d.Digest] {
			seen[d.Digest] = true
			all = append(all, d.Digest)
		}
	}
	add(c.Config)
	for _, d := range append(c.Layers, c.Blobs...) {
		if !d.foreign() {
			add(d)
		}
	}
	return all
}

// children are the digests of the manifests of an index, each once.
func (c *content) children() []digest.Digest {
	var all []digest.Digest
	seen := map[digest.Digest]bool{}
	for _, d := range c.Manifests {
		if !seen[d.Digest] {
			seen[d.Digest] = true
			all = append(all, d.Digest)
		}
	}
	return all
}

func (d *descriptor) foreign() bool {
	return d.MediaType == mediaTypeDockerForeign || strings.HasPrefix(d.MediaType, "application/vnd.oci.image.layer.nondistributable.v1.tar")
}

// artifactType is the one that referrers lists show: the manifest's, else that of an image's config; OCI distribution
// spec, "Listing Referrers".
func (c *content) artifactType() string {
	if c.ArtifactType == "" && c.Config != nil {
		return c.Config.MediaType
	}
	return c.ArtifactType
}

// manifestType finds a manifest's media type: Content-Type without parameters, else what the manifest says of itself.
func manifestType(contentType string, body []byte) string {
	if t, _, err := mime.ParseMediaType(contentType); err == nil && t != "application/octet-stream" && t != "application/json" {
		return t
	}
	var c struct {
		MediaType string `json:"mediaType"`
	}
	if json.Unmarshal(body, &c) != nil {
		return ""
	}
	return c.MediaType
}

// keysOfUs are the keys whose values the registry reads.
var keysOfUs = []string{
	"schemaVersion", "mediaType", "artifactType", "config", "layers", "blobs", "manifests", "subject", "annotations", "fsLayers",
	"digest", "size", "urls", "data", "platform",
}

// checkKeys refuses JSON that readers can understand in different ways: not an object, a key twice in one object, and in
// the manifest itself and its descriptors a key that differs from one of the format's by its case only (Go's decoder takes
// any case, others don't). It refuses what is nested very deep too, and lists of more descriptors than fit into body. It keeps nothing but
// keys, so no JSON costs much more than its length.
func checkKeys(body []byte) error {
	var whole json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil {
		return fmt.Errorf("is not JSON: %v", err)
	}
	if whole[0] != '{' {
		return fmt.Errorf("is not a JSON object")
	}
	s := keyScan{most: len(body) / smallestDescriptor}
	for i := 0; i < len(body); i++ {
		if body[i] == '"' {
			end := i + 1 + stringEnd(body[i+1:])
			if err := s.text(body[i : end+1]); err != nil {
				return err
			}
			i = end
		} else if err := s.token(body[i]); err != nil {
			return err
		}
	}
	return nil
}

// smallestDescriptor is less than the bytes that a digest and a size take.
const smallestDescriptor = 90

// stringEnd is the place of the quote that ends a string.
func stringEnd(b []byte) int {
	for i := 0; ; i++ {
		switch b[i] {
		case '"':
			return i
		case '\\':
			i++
		}
	}
}

// keyScan goes through JSON that is known to be valid.
type keyScan struct {
	open []container
	most int // descriptors in one list
}

// container is an object or a list that has not ended.
type container struct {
	object bool
	ours   bool // its keys are the format's, not anybody's; or those of what is in the list
	atKey  bool // the next string is a key
	below  bool // what the next value's ours is
	others int  // elements of a list that are no strings, which can be short
	seen   map[string]bool
}

// token takes a byte outside of strings.
func (s *keyScan) token(c byte) error {
	top := len(s.open) - 1
	switch c {
	case '{', '[':
		if len(s.open) == maxNesting {
			return fmt.Errorf("is nested more than %d deep", maxNesting)
		}
		ours := top < 0 || s.open[top].below
		s.open = append(s.open, container{object: c == '{', ours: ours, atKey: c == '{', below: ours && c == '['})
	case '}', ']':
		s.open = s.open[:top]
	case ',':
		in := &s.open[top]
		in.atKey = in.object
		if !in.object && in.ours {
			if in.others++; in.others > s.most {
				return fmt.Errorf("has a long list of what is no descriptor")
			}
		}
	}
	return nil
}

// text takes a string with its quotes.
func (s *keyScan) text(quoted []byte) error {
	in := &s.open[len(s.open)-1]
	if !in.atKey {
		in.others--
		return nil
	}
	in.atKey, in.below = false, false
	key := string(quoted[1 : len(quoted)-1])
	if strings.Contains(key, `\`) {
		if err := json.Unmarshal(quoted, &key); err != nil {
			return fmt.Errorf("is not JSON: %v", err)
		}
	}
	if in.seen[key] {
		return fmt.Errorf("has the key %q twice in one object", key)
	}
	if in.seen == nil {
		in.seen = map[string]bool{}
	}
	in.seen[key] = true
	for _, k := range keysOfUs {
		if !in.ours || !strings.EqualFold(k, key) {
			continue
		}
		if k != key {
			return fmt.Errorf("has the key %q, which has to be written %q", key, k)
		}
		in.below = k != "annotations" && k != "platform"
	}
	return nil
}

// manifestHeader is the line before a manifest in the store.
type manifestHeader struct {
	MediaType string    `json:"mediaType"`
	Size      int64     `json:"size"`
	Pushed    time.Time `json:"pushed"`
	ID        string    `json:"id"` // a nonce: tells this push from any other of the same bytes
}

// encode returns the object that is to be stored.
func (m *Manifest) encode() ([]byte, error) {
	head, err := json.Marshal(manifestHeader{m.MediaType, int64(len(m.Body)), m.Pushed, m.id})
	if err != nil {
		return nil, err
	}
	m.raw = bytes.Join([][]byte{head, m.Body}, []byte{'\n'})
	m.Body = m.raw[len(head)+1:]
	return m.raw, nil
}

func decodeManifest(d digest.Digest, b []byte) (*Manifest, error) {
	head, body, _ := bytes.Cut(b, []byte{'\n'})
	var h manifestHeader
	if err := json.Unmarshal(head, &h); err != nil {
		return nil, fmt.Errorf("manifest %s: header: %w", d, err)
	}
	if h.Size != int64(len(body)) || d.Algorithm().FromBytes(body) != d {
		return nil, fmt.Errorf("manifest %s: its content is not what was stored", d)
	}
	return &Manifest{Digest: d, MediaType: h.MediaType, Body: body, Pushed: h.Pushed, id: h.ID, raw: b}, nil
}
