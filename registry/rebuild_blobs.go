package registry

import (
	"context"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// missingBlob is a blob without a record.
type missingBlob struct {
	digest digest.Digest
	sizes  []int64            // that manifests say it has, one as a rule; none if only links name it
	live   bool               // a manifest that is not deleted names it
	taken  bool               // its record is being put
	found  bool               // it has a record
	links  []*lackingManifest // whose repositories get a link once it is found
}

// lackingManifest is a manifest that names what is missing.
type lackingManifest struct {
	repo     string
	digest   digest.Digest
	deleted  bool // it is kept so that it can be had back
	blobs    []*missingBlob
	children []digest.Digest
}

// link is the key of the link that the manifest's repository needs. That of a deleted manifest is put aside, where it keeps the blob from
// collections and gives it to nobody.
func (m *lackingManifest) link(d digest.Digest) string {
	if m.deleted {
		return deletedPrefix(m.repo) + deletedLinks + digestPath(d)
	}
	return linkKey(m.repo, d)
}

// miss notes that a manifest names a blob that has no record. link: its repository needs a link, too.
func (b *rebuilder) miss(d *descriptor, m *lackingManifest, link bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.missingOne(d.Digest)
	if !slices.Contains(one.sizes, *d.Size) {
		one.sizes = append(one.sizes, *d.Size)
		b.sizes[*d.Size]++
	}
	one.live = one.live || !m.deleted
	m.blobs = append(m.blobs, one)
	if link {
		one.links = append(one.links, m)
	}
}

// missLoose notes that a link is to a blob that has no record.
func (b *rebuilder) missLoose(d digest.Digest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.missingOne(d)
}

// missingOne is called with b.mu held.
func (b *rebuilder) missingOne(d digest.Digest) *missingBlob {
	one := b.missing[d]
	if one == nil {
		one = &missingBlob{digest: d}
		b.missing[d] = one
		b.wanted++
		if d.Algorithm() == digest.SHA512 {
			b.want512++
		}
	}
	return one
}

// lacks remembers a manifest for the end.
func (b *rebuilder) lacks(m *lackingManifest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lacking = append(b.lacking, m)
}

// foundOne notes that a blob has a record. It is called with b.mu held.
func (b *rebuilder) foundOne(one *missingBlob) {
	if one.found {
		return
	}
	one.found = true
	b.wanted--
	if one.digest.Algorithm() == digest.SHA512 {
		b.want512--
	}
	for _, size := range one.sizes {
		if b.sizes[size]--; b.sizes[size] == 0 {
			delete(b.sizes, size)
		}
	}
}

// searching reports whether there is a blob that could be found.
func (b *rebuilder) searching() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sizes) > 0 || b.o.AllData && b.wanted > 0
}

// wants reports whether data of that size may be a missing blob.
func (b *rebuilder) wants(size int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sizes[size] > 0 || b.o.AllData && b.wanted > 0
}

// linkFound gives the repositories their links to the blobs that were found.
func (b *rebuilder) linkFound(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for d, one := range b.missing {
		if !one.found {
			continue
		}
		for _, m := range one.links {
			g.Go(func() error {
				if err := b.lease.keep(gctx); err != nil {
					return err
				}
				if there, err := b.stillThere(gctx, m); err != nil || !there {
					return err
				}
				_, err := b.relink(gctx, m, d)
				return err
			})
		}
	}
	return g.Wait()
}

// stillThere reports whether a manifest has not been deleted since it was read.
func (b *rebuilder) stillThere(ctx context.Context, m *lackingManifest) (bool, error) {
	if m.deleted {
		return true, nil
	}
	_, err := b.driver.Stat(ctx, manifestKey(m.repo, m.digest))
	if errors.Is(err, drivers.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
