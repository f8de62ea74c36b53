package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// RestoreTag points a tag at what it pointed at before: at d or, if that is "", at the latest that it does not point at now. by is who
// does it. It is a push like any other, so what is restored is whole, and what the tag points at now goes to its history.
// MANIFEST_UNKNOWN if the history has nothing such, or the manifest is not kept any more; MANIFEST_BLOB_UNKNOWN if blobs are not.
func (r *Registry) RestoreTag(ctx context.Context, repo, tag string, d digest.Digest, by string) (digest.Digest, error) {
	now, _, err := r.readTag(ctx, repo, tag)
	if err != nil && !HasCode(err, ManifestUnknown) {
		return "", err
	}
	found := digest.Digest("")
	prefix := historyPrefix(repo, tag)
	for entry, err := range r.driver.List(ctx, prefix, "", "") {
		if err != nil {
			return "", err
		}
		_, one, ok := parseHistoryEntry(strings.TrimPrefix(entry.Key, prefix))
		if ok && (one == d || d == "" && one != now.Digest) {
			found = one
			break
		}
	}
	if found == "" {
		return "", errorf(ManifestUnknown, "the tag's history has nothing to restore").with("name", repo).with("tag", tag)
	}
	b := &putBack{Registry: r, repo: repo, by: by}
	kept, err := b.find(ctx, found)
	if err == nil {
		err = b.put(ctx, kept, []string{tag})
	}
	return found, err
}

// RestoredRepository counts what RestoreRepository put back.
type RestoredRepository struct {
	Tags      []string `json:"tags"`
	Kept      []string `json:"kept,omitempty"` // tags that have been pushed since and stay as they are
	Manifests int      `json:"manifests"`
	Blobs     int      `json:"blobs"`
}

// RestoreRepository undoes the last DeleteRepository: blobs, manifests and tags are there again. What was pushed since stays. by is who does it. NAME_UNKNOWN if nothing
// is kept of such a repository. When it fails half way, what it has put back is whole, and it can be called again.
func (r *Registry) RestoreRepository(ctx context.Context, repo, by string) (RestoredRepository, error) {
	if err := CheckName(repo); err != nil {
		return RestoredRepository{}, err
	}
	d, err := r.readDeletion(ctx, repo)
	if errors.Is(err, drivers.ErrNotFound) {
		return RestoredRepository{}, errorf(NameUnknown, "no repository of that name was deleted lately").with("name", repo)
	} else if err != nil {
		return RestoredRepository{}, err
	}
	b := &putBack{Registry: r, repo: repo, by: by}
	if err := b.links(ctx); err != nil {
		return b.report, err
	}
	tags, err := b.tagsAt(ctx, historyMoment(d.At))
	if err != nil {
		return b.report, err
	}
	if err := b.manifests(ctx, tags); err != nil {
		return b.report, err
	}
	slices.Sort(b.report.Tags)
	return b.report, r.deleteAll(ctx, deletedPrefix(repo), nil)
}

// putBack is a restoration under way.
type putBack struct {
	*Registry
	repo, by string

	mu     sync.Mutex // guards what follows
	report RestoredRepository
}

// keptManifest is a manifest that can be put back.
type keptManifest struct {
	*Manifest
	content *content
	key     string // where it is kept
}

func (b *putBack) decode(key string, d digest.Digest, body []byte) (keptManifest, error) {
	m, err := decodeManifest(d, body)
	if err != nil {
		return keptManifest{}, &drivers.Error{Op: "restore", Driver: "registry", Key: key, Kind: drivers.ErrCorrupt, Err: err}
	}
	c, err := parseManifest(m.MediaType, m.Body)
	return keptManifest{m, c, key}, err
}

// find looks for a manifest where it was pushed and where deleted ones are kept.
func (b *putBack) find(ctx context.Context, d digest.Digest) (keptManifest, error) {
	for _, key := range []string{manifestKey(b.repo, d), deletedManifestKey(b.repo, d), deletedPrefix(b.repo) + deletedManifests + digestPath(d)} {
		o, err := b.reads.get(ctx, key)
		if err == nil {
			return b.decode(key, d, o.body)
		} else if !errors.Is(err, drivers.ErrNotFound) {
			return keptManifest{}, err
		}
	}
	return keptManifest{}, errorf(ManifestUnknown, "the manifest is not kept any more").with("name", b.repo).with("digest", d)
}

// put pushes a manifest that was found, with the tags. Children of an index and blobs that went with it are put back first.
func (b *putBack) put(ctx context.Context, m keptManifest, tags []string) error {
	for _, child := range m.content.children() {
		if _, err := b.driver.Stat(ctx, manifestKey(b.repo, child)); err == nil {
			continue
		} else if !errors.Is(err, drivers.ErrNotFound) {
			return err
		}
		kept, err := b.find(ctx, child)
		if HasCode(err, ManifestUnknown) {
			continue // the push says so, unless the index may lack it
		} else if err != nil {
			return err
		}
		if err := b.put(ctx, kept, nil); err != nil {
			return err
		}
	}
	for _, d := range m.content.needed() {
		if err := b.link(ctx, d); err != nil {
			return err
		}
	}
	if err := b.push(ctx, m, tags); err != nil || m.key != deletedManifestKey(b.repo, m.Digest) {
		return err
	}
	return b.driver.Delete(ctx, m.key)
}

// push is a push of a manifest that was one before.
func (b *putBack) push(ctx context.Context, m keptManifest, tags []string) error {
	p := &pushing{
		Registry: b.Registry, want: Push{Repo: b.repo, Tags: tags, By: b.by}, content: m.content,
		manifest: &Manifest{Digest: m.Digest, MediaType: m.MediaType, Body: m.Body, Pushed: b.now().UTC(), id: nonce()},
	}
	return p.do(ctx)
}

// link puts the link to a blob back if the repository lacks it and it was deleted with the repository.
func (b *putBack) link(ctx context.Context, d digest.Digest) error {
	if _, err := b.Blob(ctx, b.repo, d); !HasCode(err, BlobUnknown) {
		return err
	}
	_, err := b.driver.Stat(ctx, deletedPrefix(b.repo)+deletedLinks+digestPath(d))
	if errors.Is(err, drivers.ErrNotFound) {
		return nil // the push says so
	} else if err != nil {
		return err
	}
	if err := b.Registry.link(ctx, b.repo, d); !HasCode(err, BlobUnknown) {
		return err
	}
	return nil
}

// links puts all links back.
func (b *putBack) links(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	prefix := deletedPrefix(b.repo) + deletedLinks
	for entry, err := range b.driver.List(gctx, prefix, "", "") {
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		d, ok := linkedDigest(strings.TrimPrefix(entry.Key, prefix))
		if !ok {
			continue
		}
		g.Go(func() error {
			err := b.Registry.link(gctx, b.repo, d)
			if HasCode(err, BlobUnknown) {
				return nil // what needs it says so
			} else if err != nil {
				return err
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			b.report.Blobs++
			return nil
		})
	}
	return g.Wait()
}

// tagsAt finds the tags that were deleted at that moment and are not there again, by the digest that they pointed at.
func (b *putBack) tagsAt(ctx context.Context, moment string) (map[digest.Digest][]string, error) {
	tags := map[digest.Digest][]string{}
	prefix := repoPrefix(b.repo) + "history/"
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	seen := "" // the last tag that was found: a deletion that was broken off and gone on with can have left two entries
	for entry, err := range b.driver.List(gctx, prefix, "", "") {
		if err != nil {
			return nil, errors.Join(err, g.Wait())
		}
		tag, rest, _ := strings.Cut(strings.TrimPrefix(entry.Key, prefix), "/")
		at, d, ok := parseHistoryEntry(rest)
		if !ok || at != moment || tag == seen {
			continue
		}
		seen = tag
		g.Go(func() error {
			_, err := b.driver.Stat(gctx, tagKey(b.repo, tag))
			if err != nil && !errors.Is(err, drivers.ErrNotFound) {
				return err
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			if err == nil {
				b.report.Kept = append(b.report.Kept, tag)
			} else {
				tags[d] = append(tags[d], tag)
			}
			return nil
		})
	}
	return tags, g.Wait()
}

// manifests puts all manifests back with their tags, an index after what it names.
func (b *putBack) manifests(ctx context.Context, tags map[digest.Digest][]string) error {
	prefix := deletedPrefix(b.repo) + deletedManifests
	left := map[digest.Digest][]digest.Digest{} // what each waits for
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	var errs []error
	var mu sync.Mutex
	fail := func(d digest.Digest, err error) error {
		if gctx.Err() != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, fmt.Errorf("%s: %w", d, err))
		return nil
	}
	for entry, err := range b.driver.List(gctx, prefix, "", "") {
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		d, ok := linkedDigest(strings.TrimPrefix(entry.Key, prefix))
		if !ok {
			continue
		}
		g.Go(func() error {
			kept, err := b.read(gctx, d)
			if err != nil {
				return fail(d, err)
			}
			mu.Lock()
			defer mu.Unlock()
			left[d] = kept.content.children()
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for len(left) > 0 {
		var ready []digest.Digest
		for d, children := range left {
			if !slices.ContainsFunc(children, func(c digest.Digest) bool { _, waits := left[c]; return waits }) {
				ready = append(ready, d)
			}
		}
		g, gctx = errgroup.WithContext(ctx)
		g.SetLimit(parallel)
		for _, d := range ready {
			delete(left, d)
			g.Go(func() error {
				kept, err := b.read(gctx, d)
				if err == nil {
					err = b.push(gctx, kept, tags[d])
				}
				if err != nil {
					return fail(d, err)
				}
				b.mu.Lock()
				defer b.mu.Unlock()
				b.report.Manifests++
				b.report.Tags = append(b.report.Tags, tags[d]...)
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		for _, d := range ready {
			delete(tags, d)
		}
		if len(ready) == 0 {
			return fmt.Errorf("manifests of %s name each other", b.repo)
		}
	}
	for d, names := range tags { // of manifests that were pushed again since
		kept, err := b.find(ctx, d)
		if err == nil {
			err = b.put(ctx, kept, names)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", d, err))
			continue
		}
		b.report.Tags = append(b.report.Tags, names...)
	}
	return errors.Join(errs...)
}

// read reads a manifest that was deleted with the repository.
func (b *putBack) read(ctx context.Context, d digest.Digest) (keptManifest, error) {
	key := deletedPrefix(b.repo) + deletedManifests + digestPath(d)
	o, err := readObject(ctx, b.driver, key)
	if err != nil {
		return keptManifest{}, err
	}
	return b.decode(key, d, o.body)
}
