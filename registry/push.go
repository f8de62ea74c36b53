package registry

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// Push is a manifest to be stored, with the tags that shall point at it.
type Push struct {
	Repo        string
	Digest      digest.Digest // what the client says it is; "" for sha256 of the body
	Tags        []string
	ContentType string
	Body        []byte // not changed afterwards
	By          string // who pushes; "" if unknown

	// IfMatch lets tags move only if each points at one of these digests, IfNoneMatch only if none
	// does; "*" stands for any digest. They hold for the manifest itself if there are no tags. For tags they
	// need a store that can compare; on another they are refused.
	IfMatch, IfNoneMatch []string

	// OnlyNew refuses, with DENIED, to point tags elsewhere that are there: what Options.Immutable is for some tags, for all of this push. On a
	// store without put-if-absent it holds as those do.
	OnlyNew bool
}

// Pushed is the outcome of a Push.
type Pushed struct {
	Digest  digest.Digest
	Subject digest.Digest // "" if the manifest has none
}

// PushManifest stores a manifest and then its tags. When it returns nil, every process can pull the image. It fails with
// Errors of MANIFEST_BLOB_UNKNOWN, one for each blob or manifest that the repository lacks.
func (r *Registry) PushManifest(ctx context.Context, p Push) (Pushed, error) {
	if err := CheckName(p.Repo); err != nil {
		return Pushed{}, err
	}
	for _, tag := range p.Tags {
		if err := CheckTag(tag); err != nil {
			return Pushed{}, err
		}
	}
	if int64(len(p.Body)) > r.maxManifest {
		return Pushed{}, errorf(TooLarge, "the manifest is larger than %d bytes", r.maxManifest).with("limit", r.maxManifest)
	}
	algorithm := digest.SHA256
	if p.Digest != "" {
		algorithm = p.Digest.Algorithm()
	}
	d := algorithm.FromBytes(p.Body)
	if p.Digest != "" && p.Digest != d {
		return Pushed{}, digestMismatch(p.Digest, d)
	}
	mediaType := manifestType(p.ContentType, p.Body)
	c, err := parseManifest(mediaType, p.Body)
	if err != nil {
		return Pushed{}, err
	}
	push := &pushing{
		Registry: r, want: p, content: c,
		manifest: &Manifest{Digest: d, MediaType: mediaType, Body: p.Body, Pushed: r.now().UTC(), id: nonce()},
	}
	out := Pushed{Digest: d}
	if c.Subject != nil {
		out.Subject = c.Subject.Digest
	}
	return out, push.do(ctx)
}

// pushing is a Push under way.
type pushing struct {
	*Registry
	want     Push
	content  *content
	manifest *Manifest

	conditional bool                // tags move only from where there says that they are
	there       map[string]tagThere // tags that this push has read already; not changed while several goroutines use it

	mu      sync.Mutex
	touched []string // keys that this push has put where something was before
}

func (p *pushing) do(ctx context.Context) error {
	if err := p.lookAtTags(ctx); err != nil {
		return err
	}
	strangers, children := p.strangers()
	_, known := p.manifests.GetIfPresent(manifestID{p.want.Repo, p.manifest.Digest})
	if (known || len(strangers)+len(children) > 0) && len(p.want.Tags) == 1 && !p.conditional {
		if done, err := p.again(ctx, p.want.Tags[0]); done || err != nil {
			return err
		}
	}
	if len(strangers)+len(children) > 0 {
		if err := p.lookAhead(ctx, strangers, children); err != nil {
			return err
		}
	}
	const attempts = 5 // each but the last lost a race with a DELETE of the same manifest
	for range attempts {
		p.touched = nil
		if err := p.putManifest(ctx); err != nil {
			return err
		}
		if len(strangers)+len(children) > 0 {
			if err := p.verify(ctx, strangers, children); err != nil {
				return err
			}
		}
		if there, err := p.publish(ctx); err != nil {
			return err
		} else if there {
			p.manifest.listed = true
			p.manifests.Set(manifestID{p.want.Repo, p.manifest.Digest}, p.manifest)
			return nil
		}
		strangers, children = p.content.needed(), p.content.children()
		p.conditional, p.there = false, nil // the tags are ours now
	}
	return &drivers.Error{Op: "push", Driver: "registry", Key: manifestKey(p.want.Repo, p.manifest.Digest), Kind: drivers.ErrThrottled, Err: errors.New("the manifest is deleted over and over")}
}

// strangers are the blobs, and the children of an index, that this process did not put into the repository itself just
// now. Nobody collects the others before the manifest is there.
func (p *pushing) strangers() (blobs, children []digest.Digest) {
	for _, d := range p.content.needed() {
		if !p.linkedHere(p.want.Repo, d) {
			blobs = append(blobs, d)
		}
	}
	if !p.sparse(p.want.Repo) {
		children = p.content.children()
	}
	return blobs, children
}

// again is the short way for an image that is there already: its tag names the very push of the manifest that was found
// complete before the tag was written, so if that one is still there after the tag was written anew, so are its blobs. A collector that is
// about to remove the manifest or the tag gives the manifest another identity before it looks at the tags for the last time.
func (p *pushing) again(ctx context.Context, tag string) (done bool, err error) {
	was, seen := p.there[tag]
	if !seen {
		if was, err = p.lookAtTag(ctx, tag); err != nil {
			return false, err
		}
		p.there = map[string]tagThere{tag: was}
	}
	t := was.record
	if t.Digest != p.manifest.Digest || t.MediaType != p.manifest.MediaType || t.Manifest == "" {
		return false, nil
	}
	body, err := p.tagBody(t.Manifest)
	if err != nil {
		return false, err
	}
	if err := p.renewTag(ctx, tag, body, was.etag); errors.Is(err, drivers.ErrPrecondition) {
		p.there = nil
		return false, nil
	} else if err != nil {
		return false, err
	}
	p.there = nil
	var m *Manifest
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		m, err = p.Manifest(gctx, p.want.Repo, p.manifest.Digest)
		if HasCode(err, ManifestUnknown) {
			return nil
		}
		return err
	})
	known, ok := p.manifests.GetIfPresent(manifestID{p.want.Repo, p.manifest.Digest})
	listed := ok && known.listed && known.id == t.Manifest
	if !listed {
		g.Go(func() error { return p.list(gctx) })
	}
	if err := g.Wait(); err != nil || m == nil || m.id != t.Manifest {
		return false, err
	}
	if !listed {
		now := *m
		now.listed = true
		p.manifests.Set(manifestID{p.want.Repo, p.manifest.Digest}, &now)
	}
	return true, nil
}

// list puts what lists find the manifest by, if it is absent: the push that the tag names may have been broken off between its tag and that.
func (p *pushing) list(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	put := func(key string, body []byte) {
		g.Go(func() error {
			if err := p.putIfAbsent(gctx, key, body); !errors.Is(err, drivers.ErrExists) {
				return err
			}
			return nil
		})
	}
	put(catalogKey(p.want.Repo), nil)
	if p.content.Subject != nil {
		entry, err := referrerEntry(p.manifest, p.content)
		if err != nil {
			return err
		}
		put(referrerKey(p.want.Repo, p.content.Subject.Digest, p.manifest.Digest), entry)
	}
	return g.Wait()
}

// lookAhead refuses a manifest that lacks something before anything is written. What this process has seen in the repository within the
// hour is looked at once more by verify.
func (p *pushing) lookAhead(ctx context.Context, blobs, children []digest.Digest) error {
	blobs = slices.DeleteFunc(slices.Clone(blobs), func(d digest.Digest) bool {
		_, seen := p.records.GetIfPresent(blobKey{p.want.Repo, d})
		return seen
	})
	return p.lookAt(ctx, blobs, children)
}

// verify looks after the manifest is there: announcements first, so that a collector either sees the manifest or has
// finished.
func (p *pushing) verify(ctx context.Context, blobs, children []digest.Digest) error {
	if err := p.waitOut(ctx, repoCondemnedKey(p.want.Repo)); err != nil {
		return err
	}
	return p.lookAt(ctx, blobs, children)
}

// mostMissing is how many blobs and manifests that a repository lacks are looked for and told of: a manifest of 4 MiB can name some
// 40,000 that are not there.
const mostMissing = 100

// lookAt returns Errors that name each blob and manifest that the repository lacks, or as many as are enough.
func (p *pushing) lookAt(ctx context.Context, blobs, children []digest.Digest) error {
	var mu sync.Mutex
	var missing Errors
	miss := func(d digest.Digest, what string) {
		mu.Lock()
		defer mu.Unlock()
		missing = append(missing, errorf(ManifestBlobUnknown, "the manifest names a %s that the repository does not have", what).with("digest", d))
	}
	enough := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(missing) >= mostMissing
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, d := range blobs {
		if enough() {
			break
		}
		g.Go(func() error {
			ok, err := p.blobStays(gctx, d)
			if err == nil && !ok {
				miss(d, "blob")
			}
			return err
		})
	}
	for _, d := range children {
		if enough() {
			break
		}
		g.Go(func() error {
			_, err := p.driver.Stat(gctx, manifestKey(p.want.Repo, d))
			if errors.Is(err, drivers.ErrNotFound) {
				miss(d, "manifest")
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if len(missing) > 0 {
		slices.SortFunc(missing, compareDigests)
		return missing
	}
	return nil
}

// compareDigests orders errors by the digests that they are about.
func compareDigests(a, b *Error) int {
	digestOf := func(e *Error) digest.Digest {
		m, _ := e.Detail.(map[string]any)
		d, _ := m["digest"].(digest.Digest)
		return d
	}
	return cmp.Compare(digestOf(a), digestOf(b))
}

// blobStays reads link, announcement and record, in this order.
func (p *pushing) blobStays(ctx context.Context, d digest.Digest) (bool, error) {
	link, err := p.reads.get(ctx, linkKey(p.want.Repo, d))
	if errors.Is(err, drivers.ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if err := p.waitOut(ctx, condemnedKey(d)); err != nil {
		return false, err
	}
	record, err := p.readRecord(ctx, d)
	if errors.Is(err, drivers.ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if known, ok := p.records.GetIfPresent(blobKey{p.want.Repo, d}); !ok || known.link != string(link.body) {
		p.remember(p.want.Repo, d, knownBlob{link: string(link.body), record: record})
	}
	return true, nil
}

// putManifest writes the manifest; before it, for each child of an index, that the index names it.
func (p *pushing) putManifest(ctx context.Context) error {
	body, err := p.manifest.encode()
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, child := range p.content.children() {
		g.Go(func() error { return p.place(gctx, parentKey(p.want.Repo, child, p.manifest.Digest), nil) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return p.place(ctx, manifestKey(p.want.Repo, p.manifest.Digest), body)
}

// place puts an object. A collector may be about to remove what was there before, and see too late that it was replaced; so
// settled has to look after it.
func (p *pushing) place(ctx context.Context, key string, body []byte) error {
	if p.extras.Absent != nil {
		if err := p.extras.Absent.PutIfAbsent(ctx, key, body); !errors.Is(err, drivers.ErrExists) {
			return err
		}
	}
	p.touch(key)
	return p.driver.Put(ctx, key, body)
}

func (p *pushing) touch(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.touched = append(p.touched, key)
}

// settled reports whether all is there that this push needs others to leave alone. A collector that announced itself before this
// looks is waited for; one that does so later sees how fresh all is. A DELETE that ran meanwhile may not have seen the tags, so the manifest
// is looked at in any case.
func (p *pushing) settled(ctx context.Context) (bool, error) {
	manifest := manifestKey(p.want.Repo, p.manifest.Digest)
	keys := slices.DeleteFunc(slices.Clone(p.touched), func(key string) bool { return key == manifest })
	if len(p.touched) > 0 {
		if err := p.waitOut(ctx, repoCondemnedKey(p.want.Repo)); err != nil {
			return false, err
		}
		keys = append(keys, manifest)
	} else if len(p.want.Tags) > 0 || p.content.Subject != nil {
		keys = append(keys, manifest)
	}
	var gone atomic.Bool
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, key := range keys {
		g.Go(func() error {
			_, err := p.driver.Stat(gctx, key)
			if errors.Is(err, drivers.ErrNotFound) {
				gone.Store(true)
				return nil
			}
			return err
		})
	}
	err := g.Wait()
	return err == nil && !gone.Load(), err
}

// publish writes what leads to the manifest: tags and the entry among its subject's referrers; then the repository's line in the
// catalogue. It reports whether all that was written is still there after that.
func (p *pushing) publish(ctx context.Context) (there bool, err error) {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, tag := range p.want.Tags {
		g.Go(func() error { return p.putTag(gctx, tag) })
	}
	if p.content.Subject != nil {
		g.Go(func() error { return p.putReferrer(gctx) })
	}
	if err := g.Wait(); err != nil {
		return false, err
	}
	g, gctx = errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := p.putIfAbsent(gctx, catalogKey(p.want.Repo), nil); !errors.Is(err, drivers.ErrExists) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		var err error
		there, err = p.settled(gctx)
		return err
	})
	return there, g.Wait()
}
