//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
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
}

type heldRecord struct {
	Size int64
	Data string
}

// checkStore reads a whole store in which two collections have run since all that nothing refers to was old. It fails the test for
// what is missing, what is wrong and what is left over.
func checkStore(t *testing.T, d drivers.Driver) {
	t.Helper()
	s := heldStore{map[string]heldRecord{}, map[string]int64{}, map[string]map[string]bool{}, map[string]map[string]bool{}, map[string]string{}, map[string][]string{}, nil}
	var mu sync.Mutex
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
			mu.Lock()
			defer mu.Unlock()
			return s.add(t, entry.Key, body)
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
	s.check(t, d)
}

// add takes in an object.
func (s *heldStore) add(t *testing.T, key string, body []byte) error {
	top, rest, _ := strings.Cut(key, "/")
	switch top {
	case "format", "catalog":
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
		return s.addTo(t, repo, section, strings.Replace(rest, "/", ":", 1), body, key)
	default: // uploads, condemned, and what is not known
		s.loose = append(s.loose, key)
	}
	return nil
}

func (s *heldStore) addTo(t *testing.T, repo, section, rest string, body []byte, key string) error {
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
			t.Errorf("%s has bytes of the digest %s", key, got)
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

// check compares what refers with what is referred to.
func (s *heldStore) check(t *testing.T, d drivers.Driver) {
	t.Helper()
	if len(s.loose) > 0 {
		slices.Sort(s.loose)
		t.Errorf("%d things are left over: %q", len(s.loose), s.loose[:min(len(s.loose), 10)])
	}
	for tag, digest := range s.tags {
		repo, _, _ := strings.Cut(tag, ":")
		names, ok := s.whole[repo+":"+digest]
		if !ok {
			t.Errorf("the tag %s dangles: %s is not there", tag, digest)
		}
		for _, blob := range names {
			if _, ok := s.records[blob]; !ok || !s.links[repo][blob] {
				t.Errorf("the image %s of tag %s lacks the blob %s", digest, tag, blob)
			}
		}
	}
	linked := map[string]bool{}
	for repo, links := range s.links {
		for blob := range links {
			linked[blob] = true
			if !s.named[repo][blob] {
				t.Errorf("leaked: the link of %s to %s, which no manifest names", repo, blob)
			}
		}
	}
	named := map[string]string{}
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(4)
	for digest, r := range s.records {
		if !linked[digest] {
			t.Errorf("leaked: the record of %s, which no repository has", digest)
		}
		if other, twice := named[r.Data]; twice {
			t.Errorf("%s and %s name the same data %s", digest, other, r.Data)
		}
		named[r.Data] = digest
		if size, ok := s.data[r.Data]; !ok || size != r.Size {
			t.Errorf("the data of %s has %d bytes, the record says %d", digest, size, r.Size)
			continue
		}
		g.Go(func() error {
			body, _, err := d.Reader(ctx, r.Data, 0, -1)
			if err != nil {
				return err
			}
			defer body.Close()
			text, err := io.ReadAll(body)
			if got := describe("", string(text)).Digest; err == nil && got != digest {
				t.Errorf("the data of %s has the digest %s", digest, got)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	bytes := int64(0)
	for key, size := range s.data {
		if bytes += size; named[key] == "" {
			t.Errorf("leaked: %s, %d bytes that no record names", key, size)
		}
	}
	t.Logf("the store holds %d tags, %d manifests, %d blobs of %d bytes", len(s.tags), len(s.whole), len(s.records), bytes)
}
