package registry

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers/counting"
	"github.com/longshore-registry/longshore/drivers/memory"
)

func TestScrubOfAHealthyStore(t *testing.T) {
	onStores(t, func(t *testing.T, s *scrubbed) {
		for range 2 {
			for _, o := range []ScrubOptions{{}, {Bytes: true}, {Bytes: true, Repair: true}} {
				found, report := scrub(t, s.r, o)
				wantFound(t, found)
				if report.Blobs != 3 || report.Repositories != 2 || report.Manifests != 4 || report.Tags != 3 || report.Unnamed.Count != 1 {
					t.Errorf("%+v", report)
				}
				if o.Bytes && (report.Verified != 3 || report.ReadBlobs != 5800 || report.BlobBytes != 5800) {
					t.Errorf("bytes: %+v", report)
				}
			}
			s.clk.later(2 * grace)
		}
		s.pull()
	})
}

// TestScrubFinds plants each kind of damage.
func TestScrubFinds(t *testing.T) {
	const away = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	gone := digest.Digest(away)
	for name, c := range map[string]struct {
		plant func(s *scrubbed)
		bytes bool
		old   bool // the damage is old
		want  func(s *scrubbed) []string
		mends func(s *scrubbed) []string // what the second scrub finds after repair, before heal
		heal  func(s *scrubbed)
		open  int // damage that a scrub without repair leaves
		left  int // that one with repair leaves
	}{
		"data changed": {
			plant: func(s *scrubbed) { s.corrupt(s.layer) }, bytes: true, open: 1, left: 1,
			want:  func(s *scrubbed) []string { return []string{"bytes " + recordKey(s.layer)} },
			mends: func(s *scrubbed) []string { return s.lost(s.layer) },
			heal:  func(s *scrubbed) { s.again("b", s.layer) },
		},
		"sha512 data changed": {
			plant: func(s *scrubbed) { s.corrupt(s.long) }, bytes: true, open: 1, left: 1,
			want:  func(s *scrubbed) []string { return []string{"bytes " + recordKey(s.long)} },
			mends: func(s *scrubbed) []string { return s.lost(s.long) },
			heal:  func(s *scrubbed) { s.again("a", s.long) },
		},
		"data missing": {
			plant: func(s *scrubbed) { s.remove(s.data(s.layer)) }, open: 1, left: 1,
			want:  func(s *scrubbed) []string { return []string{"missing data " + recordKey(s.layer)} },
			mends: func(s *scrubbed) []string { return s.lost(s.layer) },
			heal:  func(s *scrubbed) { s.again("a", s.layer) },
		},
		"data cut": {
			plant: func(s *scrubbed) { key := s.data(s.layer); body := s.get(key); s.remove(key); s.put(key, body[1:]) }, open: 1, left: 1,
			want:  func(s *scrubbed) []string { return []string{"size " + recordKey(s.layer)} },
			mends: func(s *scrubbed) []string { return s.lost(s.layer) },
			heal:  func(s *scrubbed) { s.again("a", s.layer) },
		},
		"record": {
			plant: func(s *scrubbed) { s.put(recordKey(s.layer), "{") }, open: 1, left: 1,
			want:  func(s *scrubbed) []string { return []string{"record " + recordKey(s.layer)} },
			mends: func(s *scrubbed) []string { return s.lost(s.layer) },
			heal:  func(s *scrubbed) { s.again("a", s.layer) },
		},
		"record of a blob that nobody has": {
			plant: func(s *scrubbed) { s.put(recordKey(gone), `{"size":1,"data":"elsewhere"}`) }, open: 1,
			want:  func(s *scrubbed) []string { return []string{"record " + recordKey(gone)} },
			mends: func(s *scrubbed) []string { return []string{s.moved(recordKey(gone))} },
		},
		"record gone": {
			plant: func(s *scrubbed) { s.remove(recordKey(s.long)) }, open: 1, left: 1,
			want: func(s *scrubbed) []string {
				return []string{"missing blob " + manifestKey("a", s.image) + " " + s.long.String()}
			},
			heal: func(s *scrubbed) { s.again("a", s.long) },
		},
		"link gone": {
			plant: func(s *scrubbed) { s.remove(linkKey("a", s.config)) }, open: 2, left: 2,
			want: func(s *scrubbed) []string {
				return []string{"missing blob " + manifestKey("a", s.image) + " " + s.config.String(), "missing blob " + manifestKey("a", s.signature) + " " + s.config.String()}
			},
			heal: func(s *scrubbed) { s.again("a", s.config) },
		},
		"shared data": {
			plant: func(s *scrubbed) { s.put(recordKey(gone), s.get(recordKey(s.layer))) }, bytes: true, open: 2, left: 1,
			want: func(s *scrubbed) []string {
				return []string{"shared data " + recordKey(max(gone, s.layer)), "bytes " + recordKey(gone)}
			},
			mends: func(s *scrubbed) []string { return []string{s.moved(recordKey(gone))} },
		},
		"link to nothing": {
			plant: func(s *scrubbed) { s.put(linkKey("a", gone), strings.Repeat("0", linkSize)) }, old: true, open: 1,
			want: func(s *scrubbed) []string { return []string{"dangling link " + linkKey("a", gone)} },
		},
		"link to nothing, young": {plant: func(s *scrubbed) { s.put(linkKey("a", gone), strings.Repeat("0", linkSize)) }},
		"link without content": {
			plant: func(s *scrubbed) { s.put(linkKey("a", s.layer), "") }, open: 1,
			want: func(s *scrubbed) []string { return []string{"link " + linkKey("a", s.layer)} },
		},
		"link with other content": {
			plant: func(s *scrubbed) { s.put(linkKey("a", s.layer), strings.Repeat("z", linkSize)) }, bytes: true, open: 1,
			want: func(s *scrubbed) []string { return []string{"link " + linkKey("a", s.layer)} },
		},
		"manifest": {
			plant: func(s *scrubbed) {
				key := manifestKey("a", s.image)
				s.put(key, strings.Replace(s.get(key), "layers", "lAyers", 1))
			}, open: 1, left: 1,
			want: func(s *scrubbed) []string { return []string{"manifest " + manifestKey("a", s.image)} },
			mends: func(s *scrubbed) []string {
				return []string{s.moved(manifestKey("a", s.image)), "dangling tag " + tagKey("a", "t"), "missing manifest " + manifestKey("a", s.index) + " " + s.image.String()}
			},
			heal: func(s *scrubbed) { pushTag(s.t, s.r, "a", "t", s.body) },
		},
		"manifest's header": {
			plant: func(s *scrubbed) { key := manifestKey("a", s.index); s.put(key, "x"+s.get(key)) }, open: 1, left: 1,
			want: func(s *scrubbed) []string { return []string{"manifest " + manifestKey("a", s.index)} },
			mends: func(s *scrubbed) []string {
				return []string{s.moved(manifestKey("a", s.index)), "dangling tag " + tagKey("a", "multi")}
			},
			heal: func(s *scrubbed) { pushTag(s.t, s.r, "a", "multi", s.indexBody) },
		},
		"manifest gone": {
			plant: func(s *scrubbed) { s.remove(manifestKey("a", s.image)) }, open: 2, left: 2,
			want: func(s *scrubbed) []string {
				return []string{"dangling tag " + tagKey("a", "t"), "missing manifest " + manifestKey("a", s.index) + " " + s.image.String()}
			},
			heal: func(s *scrubbed) { pushTag(s.t, s.r, "a", "t", s.body) },
		},
		"tag": {
			plant: func(s *scrubbed) { s.put(tagKey("a", "t"), "{}") }, open: 1, left: 1,
			want:  func(s *scrubbed) []string { return []string{"tag " + tagKey("a", "t")} },
			mends: func(s *scrubbed) []string { return []string{s.moved(tagKey("a", "t"))} },
			heal:  func(s *scrubbed) { pushTag(s.t, s.r, "a", "t", s.body) },
		},
		"referrer": {
			plant: func(s *scrubbed) { s.put(referrerKey("a", s.image, s.signature), "x") }, open: 1,
			want: func(s *scrubbed) []string { return []string{"referrer " + referrerKey("a", s.image, s.signature)} },
		},
		"referrer gone": {
			plant: func(s *scrubbed) { s.remove(referrerKey("a", s.image, s.signature)) },
			want: func(s *scrubbed) []string {
				return []string{"missing referrer " + referrerKey("a", s.image, s.signature)}
			},
		},
		"referrer gone long ago": {
			plant: func(s *scrubbed) { s.remove(referrerKey("a", s.image, s.signature)) }, old: true, open: 1,
			want: func(s *scrubbed) []string {
				return []string{"missing referrer " + referrerKey("a", s.image, s.signature)}
			},
		},
		"parent gone": {
			plant: func(s *scrubbed) { s.remove(parentKey("a", s.image, s.index)) }, old: true, open: 1,
			want: func(s *scrubbed) []string { return []string{"missing parent " + parentKey("a", s.image, s.index)} },
		},
		"entries of nothing": {
			plant: func(s *scrubbed) {
				s.put(referrerKey("a", s.image, gone), "{}")
				s.put(parentKey("a", s.image, gone), "")
			}, old: true, open: 2,
			want: func(s *scrubbed) []string {
				return []string{"stale entry " + referrerKey("a", s.image, gone), "stale entry " + parentKey("a", s.image, gone)}
			},
		},
		"line gone": {
			plant: func(s *scrubbed) { s.remove(catalogKey("a")) }, old: true, open: 1,
			want: func(s *scrubbed) []string { return []string{"missing repository " + catalogKey("a")} },
		},
		"history": {
			plant: func(s *scrubbed) { s.put(keys(s.t, s.d, historyPrefix("b", "t"))[0], "x") }, bytes: true, open: 1,
			want:  func(s *scrubbed) []string { return []string{"history " + keys(s.t, s.d, historyPrefix("b", "t"))[0]} },
			mends: func(s *scrubbed) []string { return []string{s.moved(repoPrefix("b") + "history/t/")} },
		},
		"deleted": {
			plant: func(s *scrubbed) { s.put(keys(s.t, s.d, repoPrefix("b")+deletedOne)[0], "x") }, bytes: true, open: 1,
			want: func(s *scrubbed) []string {
				return []string{"deleted " + keys(s.t, s.d, repoPrefix("b")+deletedOne)[0]}
			},
			mends: func(s *scrubbed) []string { return []string{s.moved(repoPrefix("b") + deletedOne)} },
		},
		"announcements": {
			plant: func(s *scrubbed) { s.put(repoCondemnedKey("a"), "x"); s.put(condemnedKey(s.layer), "") }, old: true, open: 2,
			want: func(s *scrubbed) []string {
				return []string{"announcement " + repoCondemnedKey("a"), "announcement " + condemnedKey(s.layer)}
			},
		},
		"what collections keep": {
			plant: func(s *scrubbed) { s.put(gcStateKey, "x"); s.put(gcLogPrefix+"a", "x"); s.put(gcRunsPrefix+"a", "x") }, old: true,
			want: func(s *scrubbed) []string {
				return []string{"collection " + gcStateKey, "collection " + gcLogPrefix + "a", "collection " + gcRunsPrefix + "a"}
			},
			mends: func(s *scrubbed) []string {
				return []string{"collection " + gcStateKey, "collection " + gcLogPrefix + "a"}
			},
			heal: func(s *scrubbed) { collect(s.t, s.r, CollectOptions{}) },
		},
		"upload": {
			plant: func(s *scrubbed) { s.put(uploadsPrefix+"x/00000001-abc", "x") },
			want:  func(s *scrubbed) []string { return []string{"upload " + uploadsPrefix + "x/00000001-abc"} },
			mends: func(s *scrubbed) []string { return []string{"upload " + uploadsPrefix + "x/00000001-abc"} },
			heal:  func(s *scrubbed) { s.remove(uploadsPrefix + "x/00000001-abc") },
		},
		"foreign": {
			plant: func(s *scrubbed) {
				for _, key := range foreignKeys {
					s.put(key, "x")
				}
			},
			want: func(s *scrubbed) (all []string) {
				for _, key := range foreignKeys {
					if strings.HasPrefix(key, "check/") {
						key = "check/"
					}
					all = append(all, "foreign "+key)
				}
				return all
			},
			heal: func(s *scrubbed) { s.remove(foreignKeys...) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			onStores(t, func(t *testing.T, s *scrubbed) {
				c.plant(s)
				if c.old {
					s.clk.later(2 * grace)
				}
				var want, left []string
				if c.want != nil {
					want = c.want(s)
				}
				before := contents(t, s.d)
				found, report := scrub(t, s.r, ScrubOptions{Bytes: c.bytes})
				wantFound(t, found, want...)
				if report.Open != c.open {
					t.Errorf("%d open, want %d", report.Open, c.open)
				}
				if after := contents(t, s.d); after != before {
					t.Error("a scrub without repair has changed the store")
				}
				found, report = scrub(t, s.r, ScrubOptions{Bytes: c.bytes, Repair: true})
				wantFound(t, found, want...)
				if report.Open != c.left {
					t.Errorf("%d open after repair, want %d", report.Open, c.left)
				}
				if c.mends != nil {
					left = c.mends(s)
				} else if c.left > 0 || c.heal != nil {
					left = want
				}
				found, _ = scrub(t, s.r, ScrubOptions{Bytes: true})
				wantFound(t, found, left...)
				if c.heal != nil {
					c.heal(s)
				}
				found, report = scrub(t, s.r, ScrubOptions{Bytes: true, DropQuarantined: true})
				if report.Open != 0 {
					t.Errorf("%d open after all", report.Open)
				}
				for _, f := range found {
					if f.Kind != FoundQuarantined || f.Done != MendedRemoved {
						t.Errorf("in the end: %s %s: %s", f.Kind, f.Key, f.Reason)
					}
				}
				if left := keys(t, s.d, quarantinePrefix); len(left) > 0 {
					t.Errorf("left in quarantine: %v", left)
				}
				found, _ = scrub(t, s.r, ScrubOptions{Bytes: true})
				wantFound(t, found)
				s.pull()
			})
		})
	}
}

// foreignKeys are keys that no registry makes.
var foreignKeys = []string{
	"README", "check/abc/def", "blobs/sha256/00/x", "catalog/Upper-", "condemned/x", "data/x", "gc/x", "uploads/x",
	"quarantine/x", "repos/a/x", "repos/A/_tags/t", "repos/a/_tags/-t", "repos/a/_tags/t2/x", "repos/a/_nothing/x", "repos/a/_blobs/sha256/x", "repos/a/_manifests/md5/00",
	"repos/a/_history/t/x", "repos/a/_deleted/x", "repos/a/_deleted/one/sha256/x", "repos/a/_parents/sha256/x/y", "repos/a/_referrers/x", "repos/a/_pulled/-", "repos/b/_condemned/x",
}

func TestScrubNamesImages(t *testing.T) {
	clk := &clock{}
	s := newScrubbed(t, memory.New(memory.Options{Now: clk.now}), clk)
	s.corrupt(s.layer)
	s.remove(recordKey(s.long))
	found, _ := scrub(t, s.r, ScrubOptions{Bytes: true})
	if got, want := found["bytes "+recordKey(s.layer)].Images, []string{"a:multi", "a:t", "b:t"}; !slices.Equal(got, want) {
		t.Errorf("images %v, want %v", got, want)
	}
	if got, want := found["missing blob "+manifestKey("a", s.image)+" "+s.long.String()].Images, []string{"a:multi", "a:t"}; !slices.Equal(got, want) {
		t.Errorf("images %v, want %v", got, want)
	}
}

// TestScrubCountsRequests holds what a scrub costs: listings by the thousand keys, and one read for each record, manifest and tag.
func TestScrubCountsRequests(t *testing.T) {
	d := memory.New(memory.Options{})
	r := open(t, d)
	const images, layers = 100, 5
	for i := range images {
		var all []digest.Digest
		for n := range layers {
			all = append(all, putBlob(t, r, "a", []byte(fmt.Sprint(i, n))))
		}
		pushTag(t, r, "a", fmt.Sprint("t", i), imageOf(t, all[0], all[1:]...))
	}
	counted := counting.New(d, counting.Options{})
	r = open(t, counted)
	counted.Reset()
	found, report := scrub(t, r, ScrubOptions{})
	wantFound(t, found)
	if got, want := counted.Counts()["reader"], images*layers+2*images; got != want {
		t.Errorf("%d reads, want %d", got, want)
	}
	if got, most := counted.Counts().Total()-counted.Counts()["reader"], int(report.Listed/1000)+12; got > most {
		t.Errorf("%d other requests, want %d at most: %v", got, most, counted.Counts())
	}
	counted.Reset()
	if _, report = scrub(t, r, ScrubOptions{Bytes: true}); report.Verified != images*layers {
		t.Errorf("%d blobs read", report.Verified)
	}
	if got, want := counted.Counts()["reader"], 2*images*layers+2*images+images*layers; got != want {
		t.Errorf("with bytes: %d reads, want %d: record, bytes and link of each blob", got, want)
	}
}
