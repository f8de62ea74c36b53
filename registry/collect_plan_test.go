package registry

import (
	"fmt"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestPlansAreCut cuts a plan for more than goes at once, and looks whether what is left of it can be done by itself.
func TestPlansAreCut(t *testing.T) {
	s := &seenRepo{manifests: map[digest.Digest]*seenManifest{}, tags: map[string]*seenTag{}}
	p := &plan{tags: map[string]string{}, manifests: map[digest.Digest]string{}}
	d := func(what string, i int) digest.Digest { return digest.FromString(fmt.Sprint(what, i)) }
	const n = manifestsAtOnce
	for i := range n + n/2 { // tags at indexes with a child each, and a signature of the child
		s.manifests[d("child", i)] = &seenManifest{}
		s.manifests[d("index", i)] = &seenManifest{children: []digest.Digest{d("child", i)}}
		s.manifests[d("signature", i)] = &seenManifest{subject: d("child", i)}
		s.tags[fmt.Sprint("t", i)] = &seenTag{digest: d("index", i)}
		p.tags[fmt.Sprint("t", i)] = ""
		for _, what := range []string{"child", "index", "signature"} {
			p.manifests[d(what, i)] = ""
		}
	}
	total := len(p.tags) + len(p.manifests)
	for rounds := 1; total > 0; rounds++ {
		if rounds > 20 {
			t.Fatalf("%d are left", total)
		}
		one := &plan{tags: map[string]string{}, manifests: map[digest.Digest]string{}}
		for tag := range s.tags {
			one.tags[tag] = ""
		}
		for d := range s.manifests {
			one.manifests[d] = ""
		}
		one.cut(s)
		if len(one.tags) > n || len(one.manifests) > n || len(one.tags)+len(one.manifests) == 0 {
			t.Fatalf("%d tags and %d manifests at once", len(one.tags), len(one.manifests))
		}
		for tag := range one.tags {
			delete(s.tags, tag)
		}
		for _, round := range one.rounds(s) {
			for _, gone := range round {
				delete(s.manifests, gone)
			}
		}
		for d, m := range s.manifests {
			for _, child := range m.children {
				if s.manifests[child] == nil {
					t.Fatalf("%s is there without its child", d)
				}
			}
		}
		for tag, at := range s.tags {
			if s.manifests[at.digest] == nil {
				t.Fatalf("tag %s is there without its manifest", tag)
			}
		}
		if left := len(s.tags) + len(s.manifests); left >= total {
			t.Fatalf("nothing went in round %d", rounds)
		} else {
			total = left
		}
	}
}

func TestRoundsRemoveSubjectsBeforeReferrers(t *testing.T) {
	of := digest.FromString
	s := &seenRepo{manifests: map[digest.Digest]*seenManifest{
		of("image"):     {},
		of("signature"): {subject: of("image")},
		of("of that"):   {subject: of("signature")},
		of("index"):     {children: []digest.Digest{of("image")}},
	}}
	p := &plan{manifests: map[digest.Digest]string{}}
	for d := range s.manifests {
		p.manifests[d] = ""
	}
	var got []digest.Digest
	for _, round := range p.rounds(s) {
		got = append(got, round...)
	}
	if want := []digest.Digest{of("index"), of("image"), of("signature"), of("of that")}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

func TestBounds(t *testing.T) {
	var b bounds
	for repo := range 100 {
		for range 20_000 {
			b.add(fmt.Sprintf("r%03d", repo))
		}
	}
	if n := len(b.keys); n < 20 || n > 64 || !slices.IsSorted(b.keys) || len(slices.Compact(slices.Clone(b.keys))) != n {
		t.Errorf("%d bounds: %v", n, b.keys)
	}
	for _, key := range b.keys {
		if repo, section, _, ok := splitRepoKey(key); !ok || section != "~" || key != repoPrefix(repo)+"~" {
			t.Errorf("bound %q", key)
		}
	}
}
