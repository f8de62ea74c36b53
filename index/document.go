package index

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/registry"
)

// The keys of the index; docs/storage-format.md describes them.
const (
	documentPrefix = "index/repos/"
	changesPrefix  = "index/changes/"
	suffix         = "-"
)

// documentKey has the form of the catalogue's keys, so that both listings have the order of the names.
func documentKey(repo string) string {
	if len(repo) == registry.MaxName {
		return documentPrefix + repo
	}
	return documentPrefix + repo + suffix
}

// documentName is the name in a key below documentPrefix; false if it is none.
func documentName(key string) (string, bool) {
	repo := strings.TrimSuffix(strings.TrimPrefix(key, documentPrefix), suffix)
	return repo, registry.CheckName(repo) == nil && documentKey(repo) == key
}

// The most that is kept of a text, in bytes.
const (
	mostDescription = 4 << 10
	mostText        = 4 << 10 // of labels, and of annotations
)

// The annotations and labels that describe an image: OCI image spec, "Pre-Defined Annotation Keys", and its forerunner.
const (
	descriptionKey    = "org.opencontainers.image.description"
	oldDescriptionKey = "org.label-schema.description"
)

// document is the object of a repository, and what other replicas are told of it.
type document struct {
	Repo        string            `json:"repository"`
	Rev         int64             `json:"rev"` // grows with each change, also across a deletion: milliseconds since 1970, or more
	Gone        bool              `json:"gone,omitempty"`
	Description string            `json:"description,omitempty"`
	Tag         string            `json:"tag,omitempty"` // that was pushed last
	Pushed      time.Time         `json:"pushed,omitzero"`
	By          string            `json:"by,omitempty"`
	Size        int64             `json:"size"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Pulls       int64             `json:"pulls"`
}

// describe takes over what an image says of itself.
func (d *document) describe(image registry.Image) {
	d.Size = image.Size
	d.Labels, d.Annotations = shortened(image.Labels), shortened(image.Annotations)
	d.Description = ""
	for _, from := range []map[string]string{image.Annotations, image.Labels} {
		for _, key := range []string{descriptionKey, oldDescriptionKey} {
			if d.Description == "" {
				d.Description = cut(from[key], mostDescription)
			}
		}
	}
}

// shortened keeps the short ones, the first by name.
func shortened(all map[string]string) map[string]string {
	kept, size := map[string]string{}, 0
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if n := len(key) + len(all[key]); size+n <= mostText && key != descriptionKey && key != oldDescriptionKey {
			kept[key] = all[key]
			size += n
		}
	}
	return kept
}

// cut shortens a text to at most n bytes of valid UTF-8.
func cut(text string, n int) string {
	if len(text) > n {
		text = text[:n]
	}
	return strings.ToValidUTF8(text, "")
}

// decodeDocument reads the object of a repository.
func decodeDocument(repo string, body []byte) (document, bool) {
	var d document
	if json.Unmarshal(body, &d) != nil || d.Repo != repo {
		return document{}, false
	}
	return d, true
}

// stamp is the time in the key of a change: milliseconds in 13 digits, so that keys have the order of their times until the year 2286.
func stamp(t time.Time) string {
	text := strconv.FormatInt(max(t.UnixMilli(), 0), 10)
	return strings.Repeat("0", max(13-len(text), 0)) + text
}

// changeTime is the time in the key of a change.
func changeTime(key string) (time.Time, bool) {
	text, _, ok := strings.Cut(strings.TrimPrefix(key, changesPrefix), "-")
	ms, err := strconv.ParseUint(text, 10, 62)
	return time.UnixMilli(int64(ms)), ok && err == nil && len(text) == 13
}

// entry is what is kept in memory of a document.
type entry struct {
	About
	lower      string // the description, in lower case
	text       string // labels and annotations in lower case, "key=value" a line
	rev        int64
	etag       string // of the object, if that is known
	generation int
	gone       bool // nothing else counts; it outlives changes that are read late
}

// About is what is known of a repository.
type About struct {
	Repo        string
	Description string
	Tag         string    // that was pushed last
	Pushed      time.Time // zero if unknown
	By          string
	Size        int64 // bytes of what was pushed last
	Pulls       int64
}

func newEntry(d document) *entry {
	e := &entry{rev: d.Rev, gone: d.Gone, About: About{Repo: d.Repo}}
	if d.Gone {
		return e
	}
	e.About = About{d.Repo, d.Description, d.Tag, d.Pushed, d.By, d.Size, d.Pulls}
	e.lower = strings.ToLower(d.Description)
	var text strings.Builder
	for _, all := range []map[string]string{d.Labels, d.Annotations} {
		for _, key := range slices.Sorted(maps.Keys(all)) {
			text.WriteString(strings.ToLower(key + "=" + all[key] + "\n"))
		}
	}
	e.text = text.String()
	return e
}

// perEntry is what an entry takes in bytes beside its texts: itself, its place in the map, and what allocations round up to.
const perEntry = 384

func (e *entry) bytes() int64 {
	return int64(perEntry + 2*len(e.Repo) + len(e.Description) + len(e.lower) + len(e.text) + len(e.Tag) + len(e.By) + len(e.etag))
}
