//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/internal/testimage"
)

// A heldStore is what a store holds, by what docs/storage-format.md says and not by the registry's code.
type heldStore struct {
	records map[string]heldRecord      // by digest
	data    map[string]int64           // sizes by key
	links   map[string]map[string]bool // digests by repository
	named   map[string]map[string]bool // digests of blobs that manifests name, by repository
	tags    map[string]string          // digests by repository:tag
	whole   map[string][]string        // digests of blobs by repository:digest of the manifest
	loose   []string                   // keys that nothing may leave behind

	mu    sync.Mutex // guards all
	wrong []string   // what is wrong
}

type heldRecord struct {
	Size int64
	Data string
}

// readStore reads a whole store in which two collections have run since all that nothing refers to was old, and finds
// what is missing, what is wrong and what is left over.
func readStore(t *testing.T, d drivers.Driver) *heldStore {
	t.Helper()
	s := &heldStore{
		records: map[string]heldRecord{}, data: map[string]int64{}, links: map[string]map[string]bool{}, named: map[string]map[string]bool{},
		tags: map[string]string{}, whole: map[string][]string{},
	}
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(16)
	for entry, err := range d.List(ctx, "", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(entry.Key, "data/") {
			s.data[entry.Key] = entry.Size
			continue
		}
		g.Go(func() error {
			r, _, err := d.Reader(ctx, entry.Key, 0, -1)
			if err != nil {
				return err
			}
			defer r.Close()
			body, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.add(entry.Key, body)
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if sweep := drivers.ExtrasOf(d).Sweep; sweep != nil {
		for l, err := range sweep.Leftovers(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			s.loose = append(s.loose, "a stream to "+l.Key)
		}
	}
	s.compare()
	if err := s.readData(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	slices.Sort(s.wrong)
	return s
}

// String tells how much there is.
func (s *heldStore) String() string {
	bytes := int64(0)
	for _, size := range s.data {
		bytes += size
	}
	return fmt.Sprintf("%d tags, %d manifests, %d blobs of %d bytes", len(s.tags), len(s.whole), len(s.records), bytes)
}

func (s *heldStore) find(format string, args ...any) {
	s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
}

// add takes in an object.
func (s *heldStore) add(key string, body []byte) error {
	top, rest, _ := strings.Cut(key, "/")
	switch top {
	case "format", "catalog", "certs", "access":
	case "gc":
		if !strings.HasPrefix(rest, "named/") && rest != "state" {
			s.loose = append(s.loose, key)
		}
	case "blobs":
		parts := strings.Split(rest, "/")
		var r heldRecord
		if err := json.Unmarshal(body, &r); err != nil {
			return err
		}
		s.records[parts[0]+":"+parts[2]] = r
	case "repos":
		repo, rest, _ := strings.Cut(rest, "/_")
		section, rest, _ := strings.Cut(rest, "/")
		return s.addTo(repo, section, strings.Replace(rest, "/", ":", 1), body, key)
	default: // uploads, condemned, and what is not known
		s.loose = append(s.loose, key)
	}
	return nil
}

func (s *heldStore) addTo(repo, section, rest string, body []byte, key string) error {
	put := func(m map[string]map[string]bool, digest string) {
		if m[repo] == nil {
			m[repo] = map[string]bool{}
		}
		m[repo][digest] = true
	}
	switch section {
	case "blobs":
		put(s.links, rest)
	case "tags":
		var tag struct{ Digest string }
		if err := json.Unmarshal(body, &tag); err != nil {
			return err
		}
		s.tags[repo+":"+rest] = tag.Digest
	case "manifests":
		_, text, _ := bytes.Cut(body, []byte("\n"))
		if got := describe("", string(text)).Digest; got != rest {
			s.find("%s has bytes of the digest %s", key, got)
		}
		var m testimage.Manifest
		if err := json.Unmarshal(text, &m); err != nil {
			return err
		}
		names := []string{}
		for _, d := range blobs(m) {
			names = append(names, d.Digest)
			put(s.named, d.Digest)
		}
		s.whole[repo+":"+rest] = names
	default: // history, announcements and what was deleted are over
		s.loose = append(s.loose, key)
	}
	return nil
}

// compare looks at what refers to what.
func (s *heldStore) compare() {
	for _, key := range s.loose {
		s.find("left over: %s", key)
	}
	for tag, digest := range s.tags {
		repo, _, _ := strings.Cut(tag, ":")
		names, ok := s.whole[repo+":"+digest]
		if !ok {
			s.find("the tag %s dangles: %s is not there", tag, digest)
		}
		for _, blob := range names {
			if _, ok := s.records[blob]; !ok || !s.links[repo][blob] {
				s.find("the image of the tag %s lacks the blob %s", tag, blob)
			}
		}
	}
	linked := map[string]bool{}
	for repo, links := range s.links {
		for blob := range links {
			if linked[blob] = true; !s.named[repo][blob] {
				s.find("left over: the link of %s to %s, which no manifest names", repo, blob)
			}
		}
	}
	named := map[string]string{}
	for digest, r := range s.records {
		if !linked[digest] {
			s.find("left over: the record of %s, which no repository has", digest)
		}
		if other, twice := named[r.Data]; twice {
			s.find("%s and %s name the same data", min(digest, other), max(digest, other))
		}
		named[r.Data] = digest
		if size, ok := s.data[r.Data]; !ok || size != r.Size {
			s.find("the data of %s has %d bytes, the record says %d", digest, size, r.Size)
		}
	}
	for key, size := range s.data {
		if named[key] == "" {
			s.find("left over: %s, %d bytes that no record names", key, size)
		}
	}
}

// readData compares the bytes of all blobs with their digests.
func (s *heldStore) readData(ctx context.Context, d drivers.Driver) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for digest, r := range s.records {
		if _, ok := s.data[r.Data]; !ok {
			continue
		}
		g.Go(func() error {
			body, _, err := d.Reader(ctx, r.Data, 0, -1)
			if err != nil {
				return err
			}
			defer body.Close()
			sum := sha256.New()
			if _, err := io.Copy(sum, body); err != nil {
				return err
			}
			if got := fmt.Sprintf("sha256:%x", sum.Sum(nil)); got != digest {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.find("the data of %s has the digest %s", digest, got)
			}
			return nil
		})
	}
	return g.Wait()
}

// TestReadStore damages a store in one way after the other, and wants each found.
func TestReadStore(t *testing.T) {
	const repo = "repos/a/_"
	body, other := "a layer", "another"
	layer := describe("", body).Digest
	im := makeImage(makeBlob("", body))
	hex := func(digest string) string { return strings.TrimPrefix(digest, "sha256:") }
	record := "blobs/sha256/" + hex(layer)[:2] + "/" + hex(layer)
	whole := map[string]string{
		"format": "{}", "catalog/a-": "", "gc/state": "{}", "data/aa/2026-01-01/aa": body,
		record:                              `{"size":7,"data":"data/aa/2026-01-01/aa"}`,
		repo + "blobs/sha256/" + hex(layer): "x",
		repo + "tags/1":                     `{"digest":"` + im.digest + `"}`,
		repo + "manifests/sha256/" + hex(im.digest): "{}\n" + im.body,
	}
	for name, c := range map[string]struct {
		key, body string // "": the object is deleted
		want      string // "": nothing is wrong
	}{
		"whole":         {"format", "{}", ""},
		"no manifest":   {repo + "manifests/sha256/" + hex(im.digest), "", "the tag a:1 dangles"},
		"manifest":      {repo + "manifests/sha256/" + hex(im.digest), "{}\n" + strings.Replace(im.body, "{", "{ ", 1), "has bytes of the digest"},
		"no link":       {repo + "blobs/sha256/" + hex(layer), "", "the image of the tag a:1 lacks the blob"},
		"no record":     {record, "", "the image of the tag a:1 lacks the blob"},
		"no data":       {"data/aa/2026-01-01/aa", "", "has 0 bytes, the record says 7"},
		"short data":    {"data/aa/2026-01-01/aa", "a", "has 1 bytes, the record says 7"},
		"data":          {"data/aa/2026-01-01/aa", other, "has the digest"},
		"loose data":    {"data/ab/2026-01-01/ab", other, "bytes that no record names"},
		"loose record":  {"blobs/sha256/00/00" + hex(layer)[2:], `{"size":7,"data":"data/aa/2026-01-01/aa"}`, "which no repository has"},
		"same data":     {"blobs/sha256/00/00" + hex(layer)[2:], `{"size":7,"data":"data/aa/2026-01-01/aa"}`, "name the same data"},
		"loose link":    {"repos/b/_blobs/sha256/" + hex(layer), "x", "which no manifest names"},
		"history":       {repo + "history/1/x", "x", "left over"},
		"upload":        {"uploads/x/1", "x", "left over"},
		"announcement":  {"condemned/sha256/" + hex(layer), "{}", "left over"},
		"note":          {"gc/log/x", "{}", "left over"},
		"what is that?": {"else", "x", "left over"},
	} {
		t.Run(name, func(t *testing.T) {
			d := memory.New(memory.Options{})
			for key, text := range whole {
				if err := d.Put(t.Context(), key, []byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			if c.body == "" {
				err = d.Delete(t.Context(), c.key)
			} else {
				err = d.Put(t.Context(), c.key, []byte(c.body))
			}
			if err != nil {
				t.Fatal(err)
			}
			found := readStore(t, d).wrong
			if ok := slices.ContainsFunc(found, func(line string) bool { return strings.Contains(line, c.want) }); ok != (c.want != "") {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}
