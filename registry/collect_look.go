package registry

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// leastHistory is how long the history of a tag holds a manifest where none is kept otherwise.
const leastHistory = time.Hour

// seenRepo is a repository as a collector sees it.
type seenRepo struct {
	c         *collector
	name      string
	rule      *RetentionRule // nil if there is none
	untagged  time.Duration  // see CollectOptions; 0: all manifests stay
	manifests map[digest.Digest]*seenManifest
	tags      map[string]*seenTag // nil if they don't matter
	held      map[digest.Digest]bool
	aside     map[digest.Digest]*seenManifest // deleted, and kept so that they can be had back
	pulled    map[string]time.Time            // tags, when pulled last; nil if that does not matter
	past      []string                        // entries of the history that have been kept long enough
	took      time.Duration
	due       time.Time // when something is old enough to be looked at again, if nothing changes; zero: never
	leading   int       // as in surveyed
	listed    int       // tags
}

// dueSince is when something may be to do in a repository that is what the survey found. longAgo if something has come since that keeps other
// things: when that goes again, all looks as it did then.
func (s *seenRepo) dueSince(found surveyed) time.Time {
	if s.leading != found.leading || s.tags != nil && s.listed != found.tags {
		return longAgo
	}
	return s.due
}

// expired reports whether t is longer ago than age and the grace period. If it is not, it makes the time when it will be due.
func (s *seenRepo) expired(t time.Time, age time.Duration) bool {
	age = max(age, s.c.o.Grace)
	if t.Before(s.c.began.Add(-age)) {
		return true
	}
	s.dueAt(t.Add(age))
	return false
}

// dueAt says that something will be old enough then.
func (s *seenRepo) dueAt(t time.Time) {
	if s.due.IsZero() || t.Before(s.due) {
		s.due = t
	}
}

// seenManifest is what a collection has to know of a manifest.
type seenManifest struct {
	etag     string
	id       string // of the push
	pushed   time.Time
	names    []uint64 // numbers of the blobs that it names
	children []digest.Digest
	subject  digest.Digest
}

// seenTag is what a collection has to know of a tag.
type seenTag struct {
	etag   string
	time   time.Time
	digest digest.Digest
}

// look reads a repository. What before has of the same etag is not read again.
func (c *collector) look(ctx context.Context, repo string, before *seenRepo) (*seenRepo, error) {
	began := c.now()
	s := &seenRepo{c: c, name: repo, rule: c.ruleFor(repo), untagged: c.o.Untagged}
	if s.rule != nil && s.untagged == 0 {
		s.untagged = c.o.Grace
	}
	if before == nil {
		before = &seenRepo{}
	}
	if s.untagged > 0 {
		// Tags first: a push writes its manifest before its tag.
		if err := s.lookAtTags(ctx, before); err != nil {
			return nil, err
		}
	}
	if err := s.lookAtHistory(ctx); err != nil {
		return nil, err
	}
	if s.rule != nil && s.rule.Pulled > 0 {
		if err := s.lookAtPulls(ctx); err != nil {
			return nil, err
		}
	}
	var err error
	there := func(d digest.Digest, _ drivers.Entry) (bool, error) {
		s.leading++
		return d != "", nil
	}
	if s.manifests, err = s.lookAtManifests(ctx, "manifests/", before.manifests, there); err != nil {
		return nil, err
	}
	if err := s.lookAtDeleted(ctx, before); err != nil {
		return nil, err
	}
	s.took = c.now().Sub(began)
	return s, nil
}

// lookAtTags reads the tags.
func (s *seenRepo) lookAtTags(ctx context.Context, before *seenRepo) error {
	s.tags = map[string]*seenTag{}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelCollect)
	prefix := tagsPrefix(s.name)
	for entry, err := range s.c.driver.List(gctx, prefix, "", "") {
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		if err := s.c.saw(gctx, 1); err != nil {
			return errors.Join(err, g.Wait())
		}
		s.listed++
		tag := strings.TrimPrefix(entry.Key, prefix)
		if known := before.tags[tag]; known != nil && known.etag == entry.ETag {
			mu.Lock()
			s.tags[tag] = known
			mu.Unlock()
			continue
		}
		g.Go(func() error {
			o, err := readObject(gctx, s.c.driver, entry.Key)
			if errors.Is(err, drivers.ErrNotFound) {
				return nil
			} else if err != nil {
				return err
			}
			t, err := decodeTag(entry.Key, o.body)
			if err != nil {
				return err // what it points at is not known, so nothing may be removed
			}
			mu.Lock()
			defer mu.Unlock()
			s.tags[tag] = &seenTag{etag: o.info.ETag, time: o.info.ModTime, digest: t.Digest}
			return nil
		})
	}
	return g.Wait()
}

// lookAtHistory finds the manifests that tags pointed at lately: they can be had back.
func (s *seenRepo) lookAtHistory(ctx context.Context) error {
	s.held = map[digest.Digest]bool{}
	prefix := repoPrefix(s.name) + "history/"
	for entry, err := range s.c.driver.List(ctx, prefix, "", "") {
		if err != nil {
			return err
		}
		if err := s.c.saw(ctx, 1); err != nil {
			return err
		}
		s.leading++
		moment, d, ok := parseHistoryEntry(entry.Key[strings.LastIndexByte(entry.Key, '/')+1:])
		left, err := strconv.ParseInt(moment, 10, 64)
		if !ok || err != nil {
			if s.kept(entry.ModTime) {
				return unreadable(entry.Key)
			}
			s.past = append(s.past, entry.Key)
			continue
		}
		// The entry is written before the tag changes, so it holds for a moment in any case.
		until := time.UnixMilli(latestTime - left).Add(max(s.c.historyKeep, leastHistory))
		if until.Before(s.c.began) {
			s.past = append(s.past, entry.Key)
			continue
		}
		s.held[d] = true
		s.dueAt(until)
	}
	return nil
}

// lookAtPulls finds when tags were pulled last.
func (s *seenRepo) lookAtPulls(ctx context.Context) error {
	s.pulled = map[string]time.Time{}
	prefix := repoPrefix(s.name) + pulledSection
	for entry, err := range s.c.driver.List(ctx, prefix, "", "") {
		if err != nil {
			return err
		}
		if err := s.c.saw(ctx, 1); err != nil {
			return err
		}
		s.pulled[strings.TrimPrefix(entry.Key, prefix)] = entry.ModTime
	}
	return nil
}

// lookAtDeleted finds what was deleted and can be had back, and what has been kept for that long enough. A manifest that the history
// leads to is kept for as long as that.
func (s *seenRepo) lookAtDeleted(ctx context.Context, before *seenRepo) error {
	s.aside = map[digest.Digest]*seenManifest{}
	for _, section := range []string{deletedOne, deletedAll + deletedManifests} {
		some, err := s.lookAtManifests(ctx, section, before.aside, func(d digest.Digest, entry drivers.Entry) (bool, error) {
			kept := s.held[d] || s.kept(entry.ModTime)
			if d == "" && kept {
				return false, unreadable(entry.Key)
			}
			return kept, nil
		})
		if err != nil {
			return err
		}
		maps.Copy(s.aside, some)
	}
	prefix := repoPrefix(s.name) + "deleted/"
	for entry, err := range s.c.driver.List(ctx, prefix, "", "") {
		if err != nil {
			return err
		}
		if err := s.c.saw(ctx, 1); err != nil {
			return err
		}
		s.leading++
		d, _ := linkedDigest(entry.Key[strings.LastIndexByte(entry.Key[:strings.LastIndexByte(entry.Key, '/')], '/')+1:])
		if s.aside[d] == nil && !s.kept(entry.ModTime) {
			s.past = append(s.past, entry.Key)
		}
	}
	return nil
}

// kept reports whether something that was put aside then can be had back still.
func (s *seenRepo) kept(since time.Time) bool {
	until := since.Add(max(s.c.historyKeep, leastHistory))
	if until.Before(s.c.began) {
		return false
	}
	s.dueAt(until)
	return true
}

// unreadable is why nothing is removed from a repository: what the object at key leads to is not known. It is so until that has been kept long enough.
func unreadable(key string) error {
	return &drivers.Error{Op: "collect", Driver: "registry", Key: key, Kind: drivers.ErrCorrupt, Err: errors.New("its name does not tell what it leads to")}
}

// lookAtManifests reads the manifests of a section that are wanted. wanted is asked with "" for a key that names no digest.
func (s *seenRepo) lookAtManifests(ctx context.Context, section string, before map[digest.Digest]*seenManifest, wanted func(digest.Digest, drivers.Entry) (bool, error)) (map[digest.Digest]*seenManifest, error) {
	all := map[digest.Digest]*seenManifest{}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelCollect)
	prefix := repoPrefix(s.name) + section
	for entry, err := range s.c.driver.List(gctx, prefix, "", "") {
		if err != nil {
			return nil, errors.Join(err, g.Wait())
		}
		if err := s.c.saw(gctx, 1); err != nil {
			return nil, errors.Join(err, g.Wait())
		}
		d, _ := linkedDigest(strings.TrimPrefix(entry.Key, prefix))
		if ok, err := wanted(d, entry); err != nil {
			return nil, errors.Join(err, g.Wait())
		} else if !ok {
			continue
		}
		if known := before[d]; known != nil && known.etag == entry.ETag {
			mu.Lock()
			all[d] = known
			mu.Unlock()
			continue
		}
		g.Go(func() error {
			m, err := s.c.readManifest(gctx, entry.Key, d)
			if errors.Is(err, drivers.ErrNotFound) {
				return nil
			} else if err != nil {
				return err // what it names is not known, so nothing may be removed
			}
			mu.Lock()
			defer mu.Unlock()
			all[d] = m
			return nil
		})
	}
	return all, g.Wait()
}

func (c *collector) readManifest(ctx context.Context, key string, d digest.Digest) (*seenManifest, error) {
	o, err := readObject(ctx, c.driver, key)
	if err != nil {
		return nil, err
	}
	m, err := decodeManifest(d, o.body)
	if err != nil {
		return nil, &drivers.Error{Op: "read manifest", Driver: "registry", Key: key, Kind: drivers.ErrCorrupt, Err: err}
	}
	seen := &seenManifest{etag: o.info.ETag, id: m.id, pushed: m.Pushed}
	var body content
	if err := json.Unmarshal(m.Body, &body); err != nil {
		return nil, &drivers.Error{Op: "read manifest", Driver: "registry", Key: key, Kind: drivers.ErrCorrupt, Err: err}
	}
	// More than a push asks for: layers of a type that is not distributed may be here all the same.
	named := func(d *descriptor) (digest.Digest, bool) {
		if d == nil {
			return "", false
		}
		parsed, err := ParseDigest(string(d.Digest))
		return parsed, err == nil
	}
	for _, one := range append(append(body.Layers, body.Blobs...), body.Config) {
		if d, ok := named(one); ok {
			seen.names = append(seen.names, digestNumber(d))
		}
	}
	for _, one := range body.Manifests {
		if d, ok := named(one); ok {
			seen.children = append(seen.children, d)
		}
	}
	seen.subject, _ = named(body.Subject)
	return seen, nil
}

// referrerTag is a tag that clients of registries without a referrers API make, and that of signatures: it belongs to another manifest.
var referrerTag = regexp.MustCompile(`^(sha256|sha512)-([0-9a-f]{64,128})(\.[a-z]+)?$`)

// subjectOf is the manifest that a tag belongs to, "" if it stands for itself.
func subjectOf(tag string) digest.Digest {
	parts := referrerTag.FindStringSubmatch(tag)
	if parts == nil {
		return ""
	}
	d, err := ParseDigest(parts[1] + ":" + parts[2])
	if err != nil {
		return ""
	}
	return d
}
