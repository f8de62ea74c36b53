package registry

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// named matches one repository.
type named string

func (n named) Match(repo string) bool { return string(n) == repo }

const day = 24 * time.Hour

// referrerOf is a manifest whose subject is d.
func referrerOf(t *testing.T, config, d digest.Digest) []byte {
	t.Helper()
	var m v1.Manifest
	must(t, json.Unmarshal(imageOf(t, config), &m))
	m.Subject = &v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: d, Size: 1}
	b, err := json.Marshal(m)
	must(t, err)
	return b
}

func pushUntagged(t *testing.T, r *Registry, repo string, manifest []byte) digest.Digest {
	t.Helper()
	p, err := r.PushManifest(t.Context(), Push{Repo: repo, Body: manifest})
	must(t, err)
	return p.Digest
}

// kinds are the removals of some kinds, without the prefix of the repository.
func kinds(gone map[string]Removal, repo string, wanted ...RemovalKind) []string {
	var all []string
	for _, one := range gone {
		if slices.Contains(wanted, one.Kind) {
			all = append(all, string(one.Kind)+" "+strings.TrimPrefix(one.Key, repoPrefix(repo)))
		}
	}
	slices.Sort(all)
	return all
}

func TestCollectUntaggedManifests(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	r := clk.open(t, d)
	config := putBlob(t, r, "a", randomBytes(1, 10))
	image := func(n uint64) []byte { return imageOf(t, config, putBlob(t, r, "a", randomBytes(n, 100))) }
	child := pushUntagged(t, r, "a", image(2))
	index := pushTag(t, r, "a", "index", indexOf(t, child))
	signature := pushUntagged(t, r, "a", referrerOf(t, config, child))
	lonely := pushUntagged(t, r, "a", image(3))
	ofLonely := pushUntagged(t, r, "a", referrerOf(t, config, lonely))
	moved := pushTag(t, r, "a", "moves", image(4))
	pushTag(t, r, "a", "moves", image(5))
	fallback := pushTag(t, r, "a", "sha256-"+child.Encoded(), indexOf(t, signature))
	deadFallback := pushTag(t, r, "a", "sha256-"+lonely.Encoded()+".sig", image(6))

	clk.later(10 * day)
	young := pushUntagged(t, r, "a", image(7))
	if gone := collect(t, r, CollectOptions{}); len(kinds(gone, "a", RemovedManifest, RemovedTag)) > 0 {
		t.Errorf("without a rule manifests were removed: %v", gone)
	}
	want := []string{"tag tags/sha256-" + lonely.Encoded() + ".sig"}
	for _, m := range []digest.Digest{lonely, ofLonely, moved, deadFallback} {
		want = append(want, "manifest manifests/sha256/"+m.Encoded())
	}
	slices.Sort(want)
	dry := collect(t, r, CollectOptions{Untagged: 9 * day, DryRun: true})
	gone := collect(t, r, CollectOptions{Untagged: 9 * day})
	for _, one := range []map[string]Removal{dry, gone} {
		if got := kinds(one, "a", RemovedManifest, RemovedTag); !slices.Equal(got, want) {
			t.Errorf("removed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	for _, m := range []digest.Digest{child, index, signature, fallback, young} {
		_, err := r.Manifest(t.Context(), "a", m)
		must(t, err)
	}
	if left := keys(t, d, repoPrefix("a")+"referrers/sha256/"+lonely.Encoded()); len(left) > 0 {
		t.Errorf("entries left: %v", left)
	}
	// The index goes with its tag, then its children.
	must(t, r.DeleteTag(t.Context(), "a", "index"))
	must(t, r.DeleteTag(t.Context(), "a", "moves"))
	for range 2 {
		clk.later(10 * day)
		collect(t, r, CollectOptions{Untagged: 9 * day})
	}
	noLeftovers(t, d)
}

func TestRetention(t *testing.T) {
	tags := []string{"v1", "v2", "pr-1", "pr-2", "pr-3", "pr-4", "latest"} // a day between each and the next
	for _, c := range []struct {
		name string
		rule RetentionRule
		want string // that are removed
	}{
		{"last", RetentionRule{Last: 3}, "v1 v2 pr-1 pr-2"},
		{"last of some", RetentionRule{Last: 1, Tags: regexp.MustCompile("^pr-")}, "pr-1 pr-2 pr-3"},
		{"always", RetentionRule{Last: 1, Always: []*regexp.Regexp{regexp.MustCompile("^v"), regexp.MustCompile("^pr-1$")}}, "pr-2 pr-3 pr-4"},
		{"younger", RetentionRule{Younger: 13*day + 12*time.Hour}, "v1 v2 pr-1 pr-2"},
		{"pulled", RetentionRule{Pulled: 13*day + 12*time.Hour}, "v1 pr-1 pr-2 pr-3 pr-4"}, // v2 yesterday, pr-1 too long ago
		{"for another repository", RetentionRule{Last: 1, Repositories: named("b")}, ""},
		{"for this one", RetentionRule{Last: 1, Repositories: named("a")}, "v1 v2 pr-1 pr-2 pr-3 pr-4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			clk := &clock{}
			d := clk.store(t)
			r := openWith(t, d, Options{Now: clk.now, TrackPulls: func(string) bool { return true }})
			config := putBlob(t, r, "a", randomBytes(1, 10))
			for i, tag := range tags {
				pushTag(t, r, "a", tag, imageOf(t, config, putBlob(t, r, "a", randomBytes(uint64(i+2), 100))))
				if tag == "pr-1" {
					_, err := r.ManifestByTag(t.Context(), "a", tag)
					must(t, err)
				}
				clk.later(day)
			}
			clk.later(9 * day)
			for _, tag := range []string{"v2", "latest"} {
				_, err := r.ManifestByTag(t.Context(), "a", tag)
				must(t, err)
			}
			clk.later(day)
			o := CollectOptions{Retention: []RetentionRule{c.rule}}
			var want []string
			for _, tag := range strings.Fields(c.want) {
				want = append(want, "tag tags/"+tag)
			}
			slices.Sort(want)
			for _, dry := range []bool{true, false} {
				o.DryRun = dry
				if got := kinds(collect(t, r, o), "a", RemovedTag); !slices.Equal(got, want) {
					t.Errorf("dry run %v: removed %v, want %v", dry, got, want)
				}
			}
			left, _, err := r.Tags(t.Context(), "a", "", 100)
			must(t, err)
			if len(left) != len(tags)-len(want) {
				t.Errorf("%d of %d tags are left", len(left), len(tags))
			}
		})
	}
}

func TestHistoryHoldsManifests(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	r := openWith(t, d, Options{Now: clk.now, HistoryKeep: 10 * day})
	config := putBlob(t, r, "a", randomBytes(1, 10))
	old := pushTag(t, r, "a", "t", imageOf(t, config, putBlob(t, r, "a", randomBytes(2, 100))))
	clk.later(30 * day)
	pushTag(t, r, "a", "t", imageOf(t, config))
	pushTag(t, r, "a", "u", imageOf(t, config))
	_, err := r.keepTag(t.Context(), "a", "t", tagRecord{Digest: old, MediaType: v1.MediaTypeImageManifest}, change{at: time.Now(), how: TagMoved})
	must(t, err)
	o := CollectOptions{Untagged: day}
	for i := range 3 {
		clk.later(3 * day)
		collect(t, r, o)
		if _, err := r.Manifest(t.Context(), "a", old); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
	clk.later(2 * day)
	collect(t, r, o)
	if _, err := r.Manifest(t.Context(), "a", old); !HasCode(err, ManifestUnknown) {
		t.Errorf("still there after its history: %v", err)
	}
	// What a rule removes can be had back for as long.
	clk.later(30 * day)
	o.Retention = []RetentionRule{{Last: 1}}
	collect(t, r, o)
	list, _, err := r.TagHistory(t.Context(), "a", "t", "", 10)
	must(t, err)
	if len(list) != 1 || list[0].How != TagExpired {
		t.Errorf("history after a rule: %+v", list)
	}
}

func TestCollectionListsTheUnchangedAndNoMore(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	counts := map[string]int{}
	r := clk.open(t, d.Reopen(countCalls(counts)))
	for i := range 5 {
		repo := fmt.Sprintf("r%d", i)
		layer := putBlob(t, r, repo, randomBytes(uint64(i), 10))
		pushTag(t, r, repo, "t", imageOf(t, layer))
	}
	clk.later(10 * day)
	for range 2 {
		collect(t, r, CollectOptions{Untagged: day})
	}
	clear(counts)
	collect(t, r, CollectOptions{Untagged: day})
	for what, n := range counts {
		if strings.HasPrefix(what, "reader repos/") || strings.HasPrefix(what, "reader blobs/") {
			t.Errorf("%s: %d times", what, n)
		}
	}
	// A new one is looked at, and its record read; the others' are not read again.
	layer := putBlob(t, r, "r2", randomBytes(7, 10))
	pushTag(t, r, "r2", "u", imageOf(t, layer))
	clear(counts)
	collect(t, r, CollectOptions{Untagged: day})
	records, manifests := 0, 0
	for what, n := range counts {
		if strings.HasPrefix(what, "reader blobs/") {
			records += n
		}
		if strings.HasPrefix(what, "reader repos/") && strings.Contains(what, "manifests") {
			manifests += n
		}
	}
	if records != 1 || manifests != 2 {
		t.Errorf("%d records and %d manifests were read, want 1 and 2", records, manifests)
	}
}

func TestWhatWasDeletedIsHeld(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	r := openWith(t, d, Options{Now: clk.now, HistoryKeep: 10 * day})
	layer := randomBytes(1, 100)
	l := putBlob(t, r, "a", layer)
	child := pushUntagged(t, r, "a", imageOf(t, l))
	index := pushTag(t, r, "a", "t", indexOf(t, child))
	other := putBlob(t, r, "b", randomBytes(2, 100))
	clk.later(30 * day)
	must(t, r.DeleteManifest(t.Context(), "a", index, false))
	// A repository that was deleted as a whole.
	must(t, d.Delete(t.Context(), linkKey("b", other)))
	must(t, d.Put(t.Context(), deletedPrefix("b")+"blobs/sha256/"+other.Encoded(), []byte(nonce())))
	for range 3 {
		clk.later(3 * day)
		collect(t, r, CollectOptions{Untagged: day})
		wantBlob(t, r, "a", layer, l)
		_, err := r.Manifest(t.Context(), "a", child)
		must(t, err)
		_, err = d.Stat(t.Context(), recordKey(other))
		must(t, err)
	}
	clk.later(2 * day)
	for range 2 {
		collect(t, r, CollectOptions{Untagged: day})
	}
	noLeftovers(t, d)
}

func TestNoRuleRemovesWhatIsImmutable(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	r := openWith(t, d, Options{Now: clk.now, Immutable: []ImmutableRule{{Tags: regexp.MustCompile("^v")}}})
	config := putBlob(t, r, "a", randomBytes(1, 10))
	for _, tag := range []string{"v1", "x1", "x2"} {
		pushTag(t, r, "a", tag, imageOf(t, config))
		clk.later(time.Hour)
	}
	clk.later(10 * day)
	gone := collect(t, r, CollectOptions{Retention: []RetentionRule{{Last: 1}}})
	if got := kinds(gone, "a", RemovedTag); !slices.Equal(got, []string{"tag tags/x1"}) {
		t.Errorf("removed %v", got)
	}
}
