package registry

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// linkSize is the size in bytes of a link: a nonce.
const linkSize = 32

// scrubbedRepo is a repository as one listing found it.
type scrubbedRepo struct {
	name      string
	links     *numberSet
	bad       []digest.Digest                 // links to damaged blobs
	loose     map[digest.Digest]drivers.Entry // links to blobs without a record
	odd       []string                        // keys of links of another size than theirs
	manifests map[digest.Digest]*scrubbedManifest
	tags      map[string]*scrubbedTag
	entries   map[string]drivers.Entry // of referrers and parents; those that a manifest asks for are taken out
	rest      []string                 // keys of what is only read: history, deleted things, the announcement
	oldest    time.Time                // of tags and manifests

	mu sync.Mutex // guards entries and loose while manifests are read
}

// scrubbedManifest is what is known of a manifest.
type scrubbedManifest struct {
	gone     bool // since it was listed
	recent   bool
	subject  digest.Digest   // "" unless its entry among the referrers is there: then nobody can list it
	children []digest.Digest // that it names
	lacks    []digest.Digest // blobs that the listings did not have
	bad      []digest.Digest // damaged blobs that it names
}

// scrubbedTag is what is known of a tag.
type scrubbedTag struct {
	digest digest.Digest // "" if that can't be read
}

func newScrubbedRepo(name string) *scrubbedRepo {
	return &scrubbedRepo{
		name: name, links: allNumbers(), loose: map[digest.Digest]drivers.Entry{}, manifests: map[digest.Digest]*scrubbedManifest{},
		tags: map[string]*scrubbedTag{}, entries: map[string]drivers.Entry{},
	}
}

// scrubRepositories lists all repositories and looks through each.
func (s *scrubber) scrubRepositories(ctx context.Context) error {
	const sideBySide = 4
	bad := allNumbers()
	for d := range s.bad {
		bad.add(digestNumber(d))
	}
	bad.sort()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(sideBySide)
	var now *scrubbedRepo
	finish := func() {
		if repo := now; repo != nil {
			g.Go(func() error { return s.scrubRepository(gctx, repo) })
		}
	}
	for entry, err := range s.driver.List(gctx, reposPrefix, "", "") {
		if err != nil {
			return errors.Join(g.Wait(), err)
		}
		s.saw()
		name, section, rest, ok := splitRepoKey(entry.Key)
		if !ok || CheckName(name) != nil {
			s.foreign(entry.Key)
			continue
		}
		if now == nil || now.name != name {
			finish()
			now = newScrubbedRepo(name)
		}
		if !s.add(now, section, rest, entry, bad) {
			s.foreign(entry.Key)
		}
	}
	finish()
	err := g.Wait()
	s.judged = err == nil
	return err
}

// add takes one line of the listing. It reports false if the key is of no kind.
func (s *scrubber) add(repo *scrubbedRepo, section, rest string, entry drivers.Entry, bad *numberSet) bool {
	switch section {
	case "blobs", "manifests":
		d, ok := linkedDigest(rest)
		if !ok {
			return false
		}
		if section == "manifests" {
			repo.manifests[d] = &scrubbedManifest{recent: s.recent(entry.ModTime)}
			repo.grow(entry)
			return true
		}
		n := digestNumber(d)
		repo.links.add(n)
		if bad.has(n) {
			repo.bad = append(repo.bad, d)
		}
		if !s.recorded.has(n) {
			repo.loose[d] = entry
		} else if entry.Size != linkSize || s.o.Bytes {
			repo.odd = append(repo.odd, entry.Key)
		}
	case "tags":
		if !validTag(rest) {
			return false
		}
		repo.tags[rest] = &scrubbedTag{}
		repo.grow(entry)
	case "referrers", "parents":
		if _, _, ok := entryOf(rest); !ok {
			return false
		}
		repo.entries[entry.Key] = entry
	case "history":
		tag, one, _ := strings.Cut(rest, "/")
		if _, _, ok := parseHistoryEntry(one); !ok || !validTag(tag) {
			return false
		}
		if entry.Size == 0 || s.o.Bytes {
			repo.rest = append(repo.rest, entry.Key)
		}
	case "deleted":
		kind, ok := deletedKind(rest)
		if ok && (kind == deletedMark || kind == deletedManifests && (entry.Size == 0 || s.o.Bytes)) {
			repo.rest = append(repo.rest, entry.Key)
		}
		return ok
	case "condemned":
		if rest != "" {
			return false
		}
		repo.rest = append(repo.rest, entry.Key)
	case "pulled":
		return validTag(rest)
	default:
		return isDeletion(section, rest)
	}
	return true
}

// deletedKind says what an object below _deleted/ is: deletedMark, deletedManifests or deletedLinks.
func deletedKind(rest string) (kind string, ok bool) {
	if rest == "all/"+deletedMark {
		return deletedMark, true
	}
	for prefix, kind := range map[string]string{"one/": deletedManifests, "all/" + deletedManifests: deletedManifests, "all/" + deletedLinks: deletedLinks} {
		if path, is := strings.CutPrefix(rest, prefix); is {
			_, ok := linkedDigest(path)
			return kind, ok
		}
	}
	return "", false
}

// grow is told of each tag and manifest.
func (r *scrubbedRepo) grow(entry drivers.Entry) {
	if r.oldest.IsZero() || entry.ModTime.Before(r.oldest) {
		r.oldest = entry.ModTime
	}
}

// entryOf takes an entry of referrers or parents apart: of what it is, and the manifest that made it.
func entryOf(rest string) (of, by digest.Digest, ok bool) {
	i := strings.LastIndexByte(rest, '/')
	if i < 0 {
		return "", "", false
	}
	of, ok = linkedDigest(rest[:i])
	by, err := parseDigestElement(rest[i+1:])
	return of, by, ok && err == nil
}

// scrubRepository looks through one repository.
func (s *scrubber) scrubRepository(ctx context.Context, repo *scrubbedRepo) error {
	repo.links.sort()
	s.count(func(r *ScrubReport) {
		r.Repositories++
		r.Tags += int64(len(repo.tags))
		r.Manifests += int64(len(repo.manifests))
		r.Links += int64(len(repo.links.numbers))
	})
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelCollect)
	for tag, t := range repo.tags {
		g.Go(func() error { return s.readTagOf(gctx, repo, tag, t) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	g, gctx = errgroup.WithContext(ctx)
	g.SetLimit(parallelCollect)
	for d, m := range repo.manifests {
		g.Go(func() error { return s.readManifestOf(gctx, repo, d, m) })
	}
	for _, key := range repo.rest {
		g.Go(func() error { return s.readRest(gctx, repo, key) })
	}
	for _, key := range repo.odd {
		g.Go(func() error { return s.readLink(gctx, repo, key) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	maps.DeleteFunc(repo.manifests, func(_ digest.Digest, m *scrubbedManifest) bool { return m.gone })
	return s.judge(ctx, repo)
}

// readTagOf reads a tag.
func (s *scrubber) readTagOf(ctx context.Context, repo *scrubbedRepo, tag string, t *scrubbedTag) error {
	key := tagKey(repo.name, tag)
	f := Finding{Kind: FoundTag, Key: key, Repository: repo.name, Images: []string{repo.name + ":" + tag}}
	o, err := s.read(ctx, key)
	if errors.Is(err, drivers.ErrNotFound) {
		return nil
	} else if err != nil {
		return s.cannotRead(ctx, f, err)
	}
	record, err := decodeTag(key, o.body)
	if err == nil {
		t.digest = record.Digest
		return nil
	}
	f.Reason = "it can't be read: " + cause(err)
	return s.doubts(ctx, &doubt{finding: f, mend: quarantineIn(repo.name), look: s.unreadable(key, func(body []byte) error {
		_, err := decodeTag(key, body)
		return err
	})})
}

// readManifestOf reads a manifest and compares what it names with the listing.
func (s *scrubber) readManifestOf(ctx context.Context, repo *scrubbedRepo, d digest.Digest, seen *scrubbedManifest) error {
	key := manifestKey(repo.name, d)
	f := Finding{Kind: FoundManifest, Key: key, Digest: d, Repository: repo.name}
	o, err := s.read(ctx, key)
	if errors.Is(err, drivers.ErrNotFound) {
		seen.gone = true
		return nil
	} else if err != nil {
		return s.cannotRead(ctx, f, err)
	}
	m, err := decodeManifest(d, o.body)
	if err != nil {
		f.Reason = err.Error()
		f.Images = []string{repo.name + "@" + d.String()}
		return s.doubts(ctx, &doubt{finding: f, mend: quarantineIn(repo.name), look: s.unreadable(key, func(body []byte) error {
			_, err := decodeManifest(d, body)
			return err
		})})
	}
	doubts, err := s.compare(repo, m, seen)
	if err != nil {
		return err
	}
	for _, d := range doubts {
		if err := s.doubts(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// compare compares what a manifest names with the listing. What its images are is not known yet, so of blobs and children that it lacks it makes a note.
func (s *scrubber) compare(repo *scrubbedRepo, m *Manifest, seen *scrubbedManifest) (doubts []*doubt, err error) {
	repo.mu.Lock()
	defer repo.mu.Unlock()
	c := readContent(m.Body)
	key := manifestKey(repo.name, m.Digest)
	seen.children = c.children()
	for _, one := range c.named() {
		n := digestNumber(one.Digest)
		delete(repo.loose, one.Digest)
		if !repo.links.has(n) || !s.recorded.has(n) {
			seen.lacks = append(seen.lacks, one.Digest)
		} else if s.bad[one.Digest] != nil {
			seen.bad = append(seen.bad, one.Digest)
		}
	}
	entry := func(kind FindingKind, entryKey, reason string, write func(context.Context) error) {
		doubts = append(doubts, &doubt{
			finding: Finding{Kind: kind, Key: entryKey, Digest: m.Digest, Repository: repo.name, Recent: seen.recent, Reason: reason},
			look:    s.lacks(repo.name, []string{key}, s.absent(entryKey)), mend: &mend{write: write},
		})
	}
	for _, child := range seen.children {
		parent := parentKey(repo.name, child, m.Digest)
		if _, there := repo.entries[parent]; there {
			delete(repo.entries, parent)
			continue
		}
		entry(FoundMissingParent, parent, "the index names the manifest "+child.String()+", and no entry says so", func(ctx context.Context) error {
			return s.putIfAbsent(ctx, parent, nil)
		})
	}
	if c.Subject == nil {
		return doubts, nil
	}
	body, err := referrerEntry(m, c)
	if err != nil {
		return nil, err
	}
	referrer := referrerKey(repo.name, c.Subject.Digest, m.Digest)
	there, ok := repo.entries[referrer]
	delete(repo.entries, referrer)
	switch {
	case !ok:
		entry(FoundMissingReferrer, referrer, "it refers to "+c.Subject.Digest.String()+", and no entry says so", func(ctx context.Context) error {
			return s.putIfAbsent(ctx, referrer, body)
		})
	case s.o.Bytes || there.Size != int64(len(body)):
		doubts = append(doubts, s.doubtReferrer(repo.name, referrer, m.Digest, body))
		fallthrough
	default:
		seen.subject = c.Subject.Digest
	}
	return doubts, nil
}

// doubtReferrer looks whether an entry can be read.
func (s *scrubber) doubtReferrer(repo, key string, d digest.Digest, body []byte) *doubt {
	one := &doubt{finding: Finding{Kind: FoundReferrer, Key: key, Digest: d, Repository: repo, Reason: "the entry can't be read"}}
	etag := ""
	one.look = func(ctx context.Context) (string, error) {
		var err error
		etag, err = s.unreadable(key, func(body []byte) error {
			_, err := decodeReferrer(key, body)
			return err
		})(ctx)
		return etag, err
	}
	one.mend = &mend{write: func(ctx context.Context) error { return s.putIfMatch(ctx, key, body, etag) }}
	return one
}

// readRest reads what nothing else depends on.
func (s *scrubber) readRest(ctx context.Context, repo *scrubbedRepo, key string) error {
	_, section, rest, _ := splitRepoKey(key)
	f := Finding{Kind: FoundHistory, Key: key, Repository: repo.name, Reason: "the entry can't be read"}
	how := quarantineIn(repo.name)
	decode := func(body []byte) error {
		_, err := decodePastTag(key, body)
		return err
	}
	switch kind, _ := deletedKind(rest); {
	case section == "condemned":
		return s.readAnnouncementOf(ctx, key, repo.name)
	case section == "deleted" && kind == deletedMark:
		f.Kind, f.Reason = FoundDeleted, "the mark of the repository's deletion can't be read"
		decode = func(body []byte) error { return json.Unmarshal(body, &deletion{}) }
	case section == "deleted":
		f.Kind, f.Reason = FoundDeleted, "the deleted manifest can't be read"
		_, path, _ := strings.Cut(strings.TrimPrefix(rest, "all/"), "/")
		d, _ := linkedDigest(path)
		decode = func(body []byte) error {
			_, err := decodeManifest(d, body)
			return err
		}
	}
	return s.readSmall(ctx, f, how, decode)
}
