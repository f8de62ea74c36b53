package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// parallel is how many requests to the store one request of a client has under way at once.
const parallel = 16

type manifestID struct {
	repo   string
	digest digest.Digest
}

// tagRecord is what a tag points at.
type tagRecord struct {
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"mediaType"`
	Size      int64         `json:"size"`
	Pushed    time.Time     `json:"pushed"`
	By        string        `json:"by,omitempty"`

	// Manifest is the id of the manifest's push that was found complete before the tag was written.
	Manifest string `json:"manifest"`
}

// Resolve returns the digest that a tag points at, in one request. MANIFEST_UNKNOWN if there is no such tag.
func (r *Registry) Resolve(ctx context.Context, repo, tag string) (digest.Digest, error) {
	t, _, err := r.readTag(ctx, repo, tag)
	return t.Digest, err
}

func (r *Registry) readTag(ctx context.Context, repo, tag string) (tagRecord, drivers.Info, error) {
	k, info, err := r.lookUpTag(ctx, repo, tag)
	return k.record, info, err
}

// knownTag remembers what a tag's record says. It is used as long as the record is the very same, which is read at every
// request.
type knownTag struct {
	body   []byte // of the record
	etag   string
	record tagRecord

	// manifest is the id of the push of the manifest for which the tag stands: the one that the record names or, when
	// the manifest was pushed again, with another tag perhaps, the one that was there after this very record was read. Since a DELETE of
	// the manifest takes its tags away first, that one is there as long as the tag is.
	manifest string
}

// lookUpTag reads a tag's record.
func (r *Registry) lookUpTag(ctx context.Context, repo, tag string) (knownTag, drivers.Info, error) {
	if err := errors.Join(CheckName(repo), CheckTag(tag)); err != nil {
		return knownTag{}, drivers.Info{}, err
	}
	key := tagKey(repo, tag)
	o, err := r.reads.get(ctx, key)
	if errors.Is(err, drivers.ErrNotFound) {
		r.tags.Invalidate(key)
		return knownTag{}, drivers.Info{}, manifestUnknown(repo, tag)
	} else if err != nil {
		return knownTag{}, drivers.Info{}, err
	}
	k, err := r.knowTag(key, o)
	return k, o.info, err
}

// knowTag decodes a tag's record, unless this process did so before.
func (r *Registry) knowTag(key string, o object) (knownTag, error) {
	if k, ok := r.tags.GetIfPresent(key); ok && k.etag == o.info.ETag && bytes.Equal(k.body, o.body) {
		return k, nil
	}
	t, err := decodeTag(key, o.body)
	if err != nil {
		return knownTag{}, err
	}
	k := knownTag{body: o.body, etag: o.info.ETag, record: t, manifest: t.Manifest}
	r.tags.Set(key, k)
	return k, nil
}

func decodeTag(key string, body []byte) (tagRecord, error) {
	var t tagRecord
	err := json.Unmarshal(body, &t)
	if err == nil {
		_, err = ParseDigest(string(t.Digest))
	}
	if err != nil {
		return tagRecord{}, &drivers.Error{Op: "read tag", Driver: "registry", Key: key, Kind: drivers.ErrCorrupt, Err: err}
	}
	return t, nil
}

// ManifestByTag returns what a tag points at: one request if this process has the manifest, else two.
func (r *Registry) ManifestByTag(ctx context.Context, repo, tag string) (*Manifest, error) {
	m, err := r.manifestByTag(ctx, repo, tag)
	if err == nil {
		r.notePull(ctx, repo, tag)
	}
	return m, err
}

func (r *Registry) manifestByTag(ctx context.Context, repo, tag string) (*Manifest, error) {
	k, _, err := r.lookUpTag(ctx, repo, tag)
	if err != nil {
		return nil, err
	}
	if m, ok := r.manifests.GetIfPresent(manifestID{repo, k.record.Digest}); ok && m.id == k.manifest {
		return m, nil
	}
	m, err := r.Manifest(ctx, repo, k.record.Digest)
	if HasCode(err, ManifestUnknown) {
		return nil, manifestUnknown(repo, tag)
	} else if err != nil {
		return nil, err
	}
	if m.id != k.manifest {
		k.manifest = m.id
		r.tags.Set(tagKey(repo, tag), k)
	}
	return m, nil
}

// Manifest returns a manifest by its digest, in one request. MANIFEST_UNKNOWN if the repository does not have it.
func (r *Registry) Manifest(ctx context.Context, repo string, d digest.Digest) (*Manifest, error) {
	if err := CheckName(repo); err != nil {
		return nil, err
	}
	key := manifestKey(repo, d)
	o, err := r.reads.get(ctx, key)
	if errors.Is(err, drivers.ErrNotFound) {
		r.manifests.Invalidate(manifestID{repo, d})
		return nil, manifestUnknown(repo, d.String())
	} else if err != nil {
		return nil, err
	}
	if m, ok := r.manifests.GetIfPresent(manifestID{repo, d}); ok && bytes.Equal(m.raw, o.body) {
		return m, nil
	}
	m, err := decodeManifest(d, o.body)
	if err != nil {
		return nil, &drivers.Error{Op: "read manifest", Driver: "registry", Key: key, Kind: drivers.ErrCorrupt, Err: err}
	}
	r.manifests.Set(manifestID{repo, d}, m)
	return m, nil
}

// DeleteTag removes a tag and nothing else. MANIFEST_UNKNOWN if there is none, DENIED if a rule keeps it.
func (r *Registry) DeleteTag(ctx context.Context, repo, tag string) error {
	t, _, err := r.readTag(ctx, repo, tag)
	if err != nil {
		return err
	}
	tags := map[string]tagRecord{tag: t}
	if err := r.checkFixed(repo, tags); err != nil {
		return err
	}
	return r.deleteTags(ctx, repo, tags, change{at: r.now(), how: TagDeleted, by: actor(ctx)})
}

// DeleteManifest removes a manifest and all tags that point at it. MANIFEST_UNKNOWN if the repository does not have it;
// UNSUPPORTED, with the digest of an index that names it, unless children is set; DENIED if a rule keeps one of the tags.
func (r *Registry) DeleteManifest(ctx context.Context, repo string, d digest.Digest, children bool) error {
	m, err := r.Manifest(ctx, repo, d)
	if err != nil {
		return err
	}
	if !children {
		if err := r.checkNoParent(ctx, repo, d); err != nil {
			return err
		}
	}
	c := readContent(m.Body)
	tags, err := r.tagsOf(ctx, repo, d)
	if err == nil {
		err = r.checkFixed(repo, tags)
	}
	if err != nil {
		return err
	}
	// Kept before its tags go: the history leads to it.
	if err := r.keepManifest(ctx, repo, m); err != nil {
		return err
	}
	end := change{at: r.now(), how: ManifestDeleted, by: actor(ctx)}
	if err := r.deleteTags(ctx, repo, tags, end); err != nil {
		return err
	}
	r.manifests.Invalidate(manifestID{repo, d})
	err = r.whileDeleting(ctx, repo, func(ctx context.Context) error {
		if c.Subject != nil {
			if err := r.driver.Delete(ctx, referrerKey(repo, c.Subject.Digest, d)); err != nil {
				return err
			}
		}
		if err := r.driver.Delete(ctx, manifestKey(repo, d)); err != nil {
			return err
		}
		var keys []string
		for _, child := range c.children() {
			keys = append(keys, parentKey(repo, child, d))
		}
		if len(keys) == 0 {
			return nil
		}
		return r.driver.Delete(ctx, keys...)
	})
	if err != nil {
		return err
	}
	// A push of the same manifest that was under way may have put its tag meanwhile. One that
	// puts it later finds the manifest gone and begins again.
	if tags, err = r.tagsOf(ctx, repo, d); err != nil {
		return err
	}
	return r.deleteTags(ctx, repo, tags, end)
}

func (r *Registry) checkNoParent(ctx context.Context, repo string, d digest.Digest) error {
	prefix := parentsPrefix(repo, d)
	for entry, err := range r.driver.List(ctx, prefix, "", "") {
		if err != nil {
			return err
		}
		parent, err := parseDigestElement(entry.Key[len(prefix):])
		if err != nil {
			continue
		}
		_, err = r.driver.Stat(ctx, manifestKey(repo, parent))
		if err == nil {
			return errorf(Unsupported, "an index in this repository names this manifest: delete the index first, or allow it with delete.index_children").with("index", parent)
		} else if !errors.Is(err, drivers.ErrNotFound) {
			return err
		}
	}
	return nil
}

// deleteTags removes tags, with what they point at into the history before.
func (r *Registry) deleteTags(ctx context.Context, repo string, tags map[string]tagRecord, c change) error {
	if len(tags) == 0 {
		return nil
	}
	return r.whileDeleting(ctx, repo, func(ctx context.Context) error {
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(parallel)
		for tag, t := range tags {
			g.Go(func() error {
				if _, err := r.keepTag(gctx, repo, tag, t, c); err != nil {
					return err
				}
				return r.driver.Delete(gctx, tagKey(repo, tag))
			})
		}
		return g.Wait()
	})
}

// listedTag reads a tag's record unless it has the etag at which this process read it before.
func (r *Registry) listedTag(ctx context.Context, entry drivers.Entry) (tagRecord, error) {
	if k, ok := r.tags.GetIfPresent(entry.Key); ok && k.etag == entry.ETag {
		return k.record, nil
	}
	o, err := r.reads.get(ctx, entry.Key)
	if err != nil {
		return tagRecord{}, err
	}
	k, err := r.knowTag(entry.Key, o)
	return k.record, err
}
