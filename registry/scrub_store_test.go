package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/fs"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// scrub runs one scrub, without a pause worth the name, and returns what it found, a line for each: kind, key and digest.
func scrub(t *testing.T, r *Registry, o ScrubOptions) (map[string]Finding, ScrubReport) {
	t.Helper()
	found := map[string]Finding{}
	o.Pause = time.Millisecond
	o.Found = func(f Finding) {
		key := string(f.Kind) + " " + f.Key
		if f.Kind == FoundMissingBlob || f.Kind == FoundMissingManifest || f.Kind == FoundIncomplete {
			key += " " + f.Digest.String()
		}
		if _, twice := found[key]; twice {
			t.Errorf("told twice of %s", key)
		}
		found[key] = f
	}
	report, err := r.Scrub(t.Context(), o)
	must(t, err)
	return found, report
}

// wantFound compares what was found.
func wantFound(t *testing.T, found map[string]Finding, want ...string) {
	t.Helper()
	for _, one := range want {
		if _, ok := found[one]; !ok {
			t.Errorf("not found: %s", one)
		}
	}
	for one, f := range found {
		if !slices.Contains(want, one) {
			t.Errorf("found: %s: %s (%v)", one, f.Reason, f.Err)
		}
	}
}

// scrubbed is a store with images of all kinds, and what is in it.
type scrubbed struct {
	t     *testing.T
	clk   *clock
	d     drivers.Driver
	r     *Registry
	bytes map[digest.Digest][]byte

	config, layer, long digest.Digest // blobs of a:t and b:t; long is a sha512
	image, index        digest.Digest // a:t, and a:multi, which names it
	signature           digest.Digest // of image, in a
	other               digest.Digest // b:t
	body, indexBody     []byte
}

func newScrubbed(t *testing.T, d drivers.Driver, clk *clock) *scrubbed {
	t.Helper()
	s := &scrubbed{t: t, clk: clk, d: d, bytes: map[digest.Digest][]byte{}}
	s.r = openWith(t, d, Options{Now: clk.now, HistoryKeep: 90 * 24 * time.Hour})
	s.config, s.layer = s.blob("a", 1, 100), s.blob("a", 2, 5000)
	long := randomBytes(3, 700)
	s.long = digest.SHA512.FromBytes(long)
	s.bytes[s.long] = long
	must(t, s.r.PutBlob(t.Context(), "a", chunk(long), s.long))
	s.body = imageOf(t, s.config, s.layer, s.long)
	s.image = pushTag(t, s.r, "a", "t", s.body)
	s.indexBody = indexOf(t, s.image)
	s.index = pushTag(t, s.r, "a", "multi", s.indexBody)
	var m map[string]any
	must(t, json.Unmarshal(imageOf(t, s.config), &m))
	m["subject"] = v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: s.image, Size: int64(len(s.body))}
	signature, err := json.Marshal(m)
	must(t, err)
	p, err := s.r.PushManifest(t.Context(), Push{Repo: "a", Body: signature, ContentType: v1.MediaTypeImageManifest})
	must(t, err)
	s.signature = p.Digest
	ok, err := s.r.Mount(t.Context(), "b", "a", s.layer)
	if must(t, err); !ok {
		t.Fatal("not mounted")
	}
	s.other = pushTag(t, s.r, "b", "t", imageOf(t, s.layer))
	second := pushTag(t, s.r, "b", "t2", imageOf(t, s.layer, s.layer))
	pushTag(t, s.r, "b", "t", imageOf(t, s.layer, s.layer)) // the first is in the history now
	pushTag(t, s.r, "b", "t", imageOf(t, s.layer))
	must(t, s.r.DeleteManifest(t.Context(), "b", second, false))
	u, err := s.r.StartUpload("a", "")
	must(t, err)
	_, err = s.r.Append(t.Context(), "a", u.ID, u.Value, chunk(randomBytes(4, 1000)))
	must(t, err)
	return s
}

func (s *scrubbed) blob(repo string, seed uint64, n int) digest.Digest {
	b := randomBytes(seed, n)
	d := putBlob(s.t, s.r, repo, b)
	s.bytes[d] = b
	return d
}

// data is the key of a blob's bytes.
func (s *scrubbed) data(d digest.Digest) string {
	s.t.Helper()
	o, err := readObject(s.t.Context(), s.d, recordKey(d))
	must(s.t, err)
	record, err := decodeRecord(recordKey(d), o.body)
	must(s.t, err)
	return record.Data
}

func (s *scrubbed) put(key string, body string) { must(s.t, s.d.Put(s.t.Context(), key, []byte(body))) }
func (s *scrubbed) remove(keys ...string)       { must(s.t, s.d.Delete(s.t.Context(), keys...)) }

func (s *scrubbed) get(key string) string {
	s.t.Helper()
	o, err := readObject(s.t.Context(), s.d, key)
	must(s.t, err)
	return string(o.body)
}

// pull pulls all images by another process, which remembers nothing.
func (s *scrubbed) pull() {
	s.t.Helper()
	r := s.clk.open(s.t, s.d)
	for _, image := range []struct {
		repo, tag string
		want      digest.Digest
	}{{"a", "t", s.image}, {"a", "multi", s.index}, {"b", "t", s.other}} {
		m, err := r.ManifestByTag(s.t.Context(), image.repo, image.tag)
		must(s.t, err)
		if m.Digest != image.want {
			s.t.Errorf("%s:%s is %s", image.repo, image.tag, m.Digest)
		}
		for _, d := range readContent(m.Body).children() {
			if m, err = r.Manifest(s.t.Context(), image.repo, d); err != nil {
				s.t.Fatal(err)
			}
		}
		for _, one := range readContent(m.Body).named() {
			wantBlob(s.t, r, image.repo, s.bytes[one.Digest], one.Digest)
		}
	}
	list, _, err := r.Referrers(s.t.Context(), "a", s.image, nil, "", 10)
	must(s.t, err)
	if len(list) != 1 || list[0].Digest != s.signature {
		s.t.Errorf("referrers: %v", list)
	}
	repos, _, err := r.Catalog(s.t.Context(), "", 10)
	must(s.t, err)
	if !slices.Equal(repos, []string{"a", "b"}) {
		s.t.Errorf("catalogue: %v", repos)
	}
}

// again pushes a blob once more.
func (s *scrubbed) again(repo string, d digest.Digest) {
	s.t.Helper()
	must(s.t, s.r.PutBlob(s.t.Context(), repo, chunk(s.bytes[d]), d))
}

// onStores runs a test on a store in memory and in a folder.
func onStores(t *testing.T, test func(t *testing.T, s *scrubbed)) {
	t.Run("memory", func(t *testing.T) {
		clk := &clock{}
		test(t, newScrubbed(t, memory.New(memory.Options{Now: clk.now}), clk))
	})
	t.Run("fs", func(t *testing.T) {
		c := fs.Defaults()
		c.Root, c.Durability = t.TempDir(), fs.Fast
		d, err := fs.Open(t.Context(), c)
		must(t, err)
		test(t, newScrubbed(t, d, &clock{}))
	})
}

// corrupt changes a bit of a blob's bytes.
func (s *scrubbed) corrupt(d digest.Digest) {
	key := s.data(d)
	b := []byte(s.get(key))
	b[len(b)/2] ^= 1
	s.remove(key)
	s.put(key, string(b))
}

// moved is the finding of what is below quarantine/ and was at a key that begins so.
func (s *scrubbed) moved(key string) string {
	s.t.Helper()
	all := keys(s.t, s.d, quarantinePrefix+key)
	if len(all) != 1 {
		s.t.Errorf("below quarantine/ for %s: %v", key, all)
		return ""
	}
	return "quarantined " + all[0]
}

// lost is what is found of a blob whose record was moved: each manifest that names it lacks it.
func (s *scrubbed) lost(d digest.Digest) []string {
	all := []string{s.moved(recordKey(d)), "missing blob " + manifestKey("a", s.image) + " " + d.String()}
	if d == s.layer {
		all = append(all, "missing blob "+manifestKey("b", s.other)+" "+d.String())
	}
	return all
}

// contents is all that a store has.
func contents(t *testing.T, d drivers.Driver) string {
	t.Helper()
	var all strings.Builder
	for e, err := range d.List(context.WithoutCancel(t.Context()), "", "", "") {
		must(t, err)
		fmt.Fprintln(&all, e.Key, e.ETag)
	}
	return all.String()
}
