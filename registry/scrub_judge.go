package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// mostImages is how many images a finding names.
const mostImages = 100

// leads says what leads to the manifests of a repository.
type leads struct {
	repo    *scrubbedRepo
	tags    map[digest.Digest][]string        // by manifest
	indexes map[digest.Digest][]digest.Digest // by child
}

func newLeads(repo *scrubbedRepo) *leads {
	l := &leads{repo, map[digest.Digest][]string{}, map[digest.Digest][]digest.Digest{}}
	for tag, t := range repo.tags {
		if t.digest != "" {
			l.tags[t.digest] = append(l.tags[t.digest], tag)
		}
	}
	for d, m := range repo.manifests {
		for _, child := range m.children {
			l.indexes[child] = append(l.indexes[child], d)
		}
	}
	return l
}

// to finds the tags that lead to a manifest: directly, by an index, or by what it refers to.
func (l *leads) to(d digest.Digest) (tags []string) {
	seen := map[digest.Digest]bool{d: true}
	for todo := []digest.Digest{d}; len(todo) > 0; {
		one := todo[0]
		todo = todo[1:]
		tags = append(tags, l.tags[one]...)
		more := slices.Clone(l.indexes[one])
		if m := l.repo.manifests[one]; m != nil && m.subject != "" {
			more = append(more, m.subject)
		}
		for _, next := range more {
			if !seen[next] {
				seen[next] = true
				todo = append(todo, next)
			}
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// name puts the images into a finding that are not whole without manifest d, and returns a tag that leads to it, "" if none does.
func (l *leads) name(f *Finding, d digest.Digest) (tag string) {
	tags := l.to(d)
	for _, tag := range tags {
		f.addImage(l.repo.name + ":" + tag)
	}
	if len(tags) == 0 {
		f.addImage(l.repo.name + "@" + d.String())
		return ""
	}
	return tags[0]
}

func (f *Finding) addImage(image string) {
	switch {
	case slices.Contains(f.Images, image):
	case len(f.Images) < mostImages:
		f.Images = append(f.Images, image)
	default:
		f.More++
	}
}

// judge says what is wrong in a repository, when all of it has been read.
func (s *scrubber) judge(ctx context.Context, repo *scrubbedRepo) error {
	l := newLeads(repo)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelCollect)
	doubt := func(d *doubt) { g.Go(func() error { return s.doubts(gctx, d) }) }
	for d, m := range repo.manifests {
		for _, blob := range m.bad {
			s.mu.Lock()
			l.name(s.bad[blob], d)
			s.mu.Unlock()
		}
		for _, blob := range m.lacks {
			doubt(s.doubtBlob(l, d, blob))
		}
		for _, child := range m.children {
			if repo.manifests[child] == nil && !s.sparse(repo.name) {
				doubt(s.doubtChild(l, d, child))
			}
		}
	}
	for tag, t := range repo.tags {
		if t.digest != "" && repo.manifests[t.digest] == nil {
			doubt(s.doubtTag(repo.name, tag, t.digest))
		}
	}
	for key, entry := range repo.entries {
		_, _, rest, _ := splitRepoKey(key)
		if _, by, _ := entryOf(rest); repo.manifests[by] == nil && !s.recent(entry.ModTime) {
			doubt(s.doubtEntry(repo.name, key, by))
		}
	}
	for d, entry := range repo.loose {
		if !s.quarantined.has(digestNumber(d)) && !s.recent(entry.ModTime) {
			doubt(s.doubtLink(repo.name, d))
		}
	}
	if len(repo.tags)+len(repo.manifests) > 0 && !s.catalogue.has(repo.name) {
		doubt(s.doubtLine(repo))
	}
	for _, d := range repo.bad {
		g.Go(func() error { return s.renewLink(gctx, repo.name, d) })
	}
	return g.Wait()
}

// doubtBlob looks whether a manifest lacks a blob.
func (s *scrubber) doubtBlob(l *leads, manifest, blob digest.Digest) *doubt {
	one := s.doubtNamed(l, manifest, blob, FoundMissingBlob, "blob")
	if s.quarantined.has(digestNumber(blob)) {
		one.finding.Reason += "; its record is below quarantine/: push the blob again"
	}
	one.look = s.lacks(l.repo.name, one.keys, func(ctx context.Context) (bool, error) {
		there, err := s.hasBlob(ctx, l.repo.name, blob)
		return !there, err
	})
	return one.doubt
}

// doubtChild looks whether an index lacks a manifest.
func (s *scrubber) doubtChild(l *leads, index, child digest.Digest) *doubt {
	one := s.doubtNamed(l, index, child, FoundMissingManifest, "manifest")
	one.look = s.lacks(l.repo.name, one.keys, s.absent(manifestKey(l.repo.name, child)))
	return one.doubt
}

// doubtOf is a doubt about what a manifest lacks.
type doubtOf struct {
	*doubt
	keys []string // of what has to be there all the time
}

func (s *scrubber) doubtNamed(l *leads, manifest, lacks digest.Digest, kind FindingKind, what string) doubtOf {
	key := manifestKey(l.repo.name, manifest)
	one := doubtOf{&doubt{finding: Finding{
		Kind: kind, Key: key, Digest: lacks, Repository: l.repo.name,
		Reason: fmt.Sprintf("it names the %s %s, which the repository does not have", what, lacks),
	}}, []string{key}}
	if tag := l.name(&one.finding, manifest); tag != "" {
		// The tag first: it goes before its manifest, and that before its blobs.
		one.keys = append(one.keys, tagKey(l.repo.name, tag))
	} else {
		one.finding.Kind = FoundIncomplete
	}
	return one
}

// hasBlob reads link, announcement and record, in this order.
func (s *scrubber) hasBlob(ctx context.Context, repo string, d digest.Digest) (bool, error) {
	if etag, err := s.stat(ctx, linkKey(repo, d)); err != nil || etag == "" {
		return false, err
	}
	if err := s.waitOutOthers(ctx, condemnedKey(d)); err != nil {
		return false, err
	}
	etag, err := s.stat(ctx, recordKey(d))
	return etag != "", err
}

func (s *scrubber) doubtTag(repo, tag string, d digest.Digest) *doubt {
	key := tagKey(repo, tag)
	return &doubt{
		finding: Finding{
			Kind: FoundDanglingTag, Key: key, Digest: d, Repository: repo, Images: []string{repo + ":" + tag},
			Reason: fmt.Sprintf("it points at the manifest %s, which is not there: push it again, or delete the tag", d),
		},
		look: s.lacks(repo, []string{key}, s.absent(manifestKey(repo, d))),
	}
}

func (s *scrubber) doubtEntry(repo, key string, d digest.Digest) *doubt {
	return &doubt{
		finding: Finding{Kind: FoundStaleEntry, Key: key, Digest: d, Repository: repo, Reason: "the manifest " + d.String() + " that it is about is not there"},
		look:    s.lacks(repo, []string{key}, s.absent(manifestKey(repo, d))),
		mend:    &mend{announce: repoCondemnedKey(repo)},
	}
}

func (s *scrubber) doubtLink(repo string, d digest.Digest) *doubt {
	key := linkKey(repo, d)
	return &doubt{
		finding: Finding{Kind: FoundDanglingLink, Key: key, Digest: d, Repository: repo, Reason: "the blob has no record, and no manifest here names it"},
		look: s.lacks(repo, []string{key}, func(ctx context.Context) (bool, error) {
			if err := s.waitOutOthers(ctx, condemnedKey(d)); err != nil {
				return false, err
			}
			return s.absent(recordKey(d))(ctx)
		}),
		mend: &mend{announce: repoCondemnedKey(repo)},
	}
}

// doubtLine looks whether a repository lacks its line in the catalogue. While it is being deleted it may, so the evidence is what it has.
func (s *scrubber) doubtLine(repo *scrubbedRepo) *doubt {
	key := catalogKey(repo.name)
	return &doubt{
		finding: Finding{
			Kind: FoundMissingRepository, Key: key, Repository: repo.name, Recent: s.recent(repo.oldest),
			Reason: "the repository has tags or manifests, and no line in the catalogue",
		},
		look: func(ctx context.Context) (string, error) {
			if is, err := s.absent(key)(ctx); err != nil || !is {
				return "", err
			}
			if d, err := s.readDeletion(ctx, repo.name); err == nil && !d.Done {
				return "", nil // it is being deleted, or that was broken off and can be gone on with
			}
			has := ""
			for _, section := range []string{"tags/", "manifests/"} {
				keys, _, err := s.page(ctx, repoPrefix(repo.name)+section, "", 1000)
				if err != nil {
					return "", err
				}
				has += strings.Join(keys, "\n")
			}
			return has, nil
		},
		mend: &mend{write: func(ctx context.Context) error { return s.putIfAbsent(ctx, key, nil) }},
	}
}
