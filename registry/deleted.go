package registry

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// What is deleted is put aside below repos/NAME/_deleted/ for as long as a history is kept: manifests that were deleted by themselves in one/,
// those of a whole repository, and its links, in all/. Nothing of it is served.

const (
	deletedLinks     = "blobs/"     // below deletedPrefix; they keep blobs from collections, as links do
	deletedManifests = "manifests/" // below deletedPrefix
	deletedMark      = "at"         // below deletedPrefix, and before all else there
)

func digestPath(d digest.Digest) string { return string(d.Algorithm()) + "/" + d.Encoded() }

// keepManifest puts a manifest aside that is about to be deleted, if a history is kept.
func (r *Registry) keepManifest(ctx context.Context, repo string, m *Manifest) error {
	if r.historyKeep == 0 {
		return nil
	}
	return r.driver.Put(ctx, deletedManifestKey(repo, m.Digest), m.raw)
}

// deletion is the mark of a repository that was deleted as a whole.
type deletion struct {
	At   time.Time `json:"at"`   // the tags' history has the same time
	Done bool      `json:"done"` // false: it was broken off and can be gone on with
}

func (r *Registry) readDeletion(ctx context.Context, repo string) (deletion, error) {
	key := deletedPrefix(repo) + deletedMark
	o, err := r.reads.get(ctx, key)
	if err != nil {
		return deletion{}, err
	}
	var d deletion
	if err := json.Unmarshal(o.body, &d); err != nil {
		return deletion{}, &drivers.Error{Op: "read mark", Driver: "registry", Key: key, Kind: drivers.ErrCorrupt, Err: err}
	}
	return d, nil
}

func (r *Registry) writeDeletion(ctx context.Context, repo string, d deletion) error {
	if r.historyKeep == 0 {
		return nil
	}
	body, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return r.driver.Put(ctx, deletedPrefix(repo)+deletedMark, body)
}

// DeleteRepository removes a repository with all its tags and manifests. NAME_UNKNOWN if there is none, DENIED if a rule keeps one of the
// tags. Blobs' bytes go with a later collection; repositories below it in name stay. RestoreRepository undoes it within the time for which
// history is kept. What was broken off is gone on with when it is called again.
func (r *Registry) DeleteRepository(ctx context.Context, repo string) error {
	if err := CheckName(repo); err != nil {
		return err
	}
	d, tags, err := r.beginDeletion(ctx, repo)
	if err != nil {
		return err
	}
	// The catalogue first: a push that runs meanwhile writes its line after its tag.
	if err := r.driver.Delete(ctx, catalogKey(repo)); err != nil {
		return err
	}
	for key := range r.records.All() {
		if key.repo == repo {
			r.records.Invalidate(key)
		}
	}
	end := change{at: d.At, how: RepositoryDeleted, by: actor(ctx)}
	if err := r.deleteTags(ctx, repo, tags, end); err != nil {
		return err
	}
	manifestAside := func(ctx context.Context, key, rest string) error {
		o, err := readObject(ctx, r.driver, key)
		if errors.Is(err, drivers.ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		return r.driver.Put(ctx, deletedPrefix(repo)+deletedManifests+rest, o.body)
	}
	for _, part := range []struct {
		section string
		aside   func(ctx context.Context, key, rest string) error
	}{
		{"referrers/", nil},
		{"manifests/", manifestAside},
		{"parents/", nil},
		{"blobs/", func(ctx context.Context, _, rest string) error {
			return r.driver.Put(ctx, deletedPrefix(repo)+deletedLinks+rest, nil)
		}},
		// What a push has put meanwhile that found links which have gone since. It looks at its manifest once more after it has put its tags.
		{"referrers/", nil},
		{"manifests/", manifestAside},
		{"parents/", nil},
		{pulledSection, nil},
	} {
		if err := r.deleteAll(ctx, repoPrefix(repo)+part.section, part.aside); err != nil {
			return err
		}
	}
	if tags, err = r.tagsOf(ctx, repo, ""); err != nil { // those of pushes that were under way
		return err
	}
	if err := r.deleteTags(ctx, repo, tags, end); err != nil {
		return err
	}
	if err := r.writeDeletion(ctx, repo, deletion{At: d.At, Done: true}); err != nil {
		return err
	}
	left, _, err := r.page(ctx, tagsPrefix(repo), "", 1)
	if err == nil && len(left) > 0 {
		if err := r.putIfAbsent(ctx, catalogKey(repo), nil); !errors.Is(err, drivers.ErrExists) {
			return err
		}
	}
	return err
}

// beginDeletion finds out whether the repository is there, or a deletion of it was broken off, and marks that one has begun.
func (r *Registry) beginDeletion(ctx context.Context, repo string) (deletion, map[string]tagRecord, error) {
	_, err := r.driver.Stat(ctx, catalogKey(repo))
	gone := errors.Is(err, drivers.ErrNotFound)
	if err != nil && !gone {
		return deletion{}, nil, err
	}
	d, err := r.readDeletion(ctx, repo)
	begun := err == nil && !d.Done
	if err != nil && !errors.Is(err, drivers.ErrNotFound) {
		return deletion{}, nil, err
	}
	if gone && !begun {
		return deletion{}, nil, nameUnknown(repo)
	}
	tags, err := r.tagsOf(ctx, repo, "")
	if err == nil {
		err = r.checkFixed(repo, tags)
	}
	if err != nil || begun {
		return d, tags, err
	}
	d = deletion{At: r.now().UTC()}
	return d, tags, r.writeDeletion(ctx, repo, d)
}

// deleteAll deletes what is below prefix, which is a section of a repository. If a history is kept, aside is called before for each key, with what comes after prefix.
func (r *Registry) deleteAll(ctx context.Context, prefix string, aside func(ctx context.Context, key, rest string) error) error {
	const batch = 1000
	var keys []string
	flush := func() error {
		if aside != nil && r.historyKeep > 0 {
			g, gctx := errgroup.WithContext(ctx)
			g.SetLimit(parallel)
			for _, key := range keys {
				g.Go(func() error { return aside(gctx, key, strings.TrimPrefix(key, prefix)) })
			}
			if err := g.Wait(); err != nil {
				return err
			}
		}
		repo, _, _, _ := splitRepoKey(prefix)
		err := r.whileDeleting(ctx, repo, func(ctx context.Context) error { return r.driver.Delete(ctx, keys...) })
		keys = keys[:0]
		return err
	}
	for entry, err := range r.driver.List(ctx, prefix, "", "") {
		if err != nil {
			return err
		}
		if keys = append(keys, entry.Key); len(keys) == batch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return flush()
}
