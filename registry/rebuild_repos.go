package registry

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// allNumbers is a numberSet without bounds.
func allNumbers() *numberSet { return &numberSet{high: math.MaxUint64, limit: math.MaxInt} }

// nameSet holds names by 8 bytes each. Nobody can make up two names that it takes for one, since the seed is random.
type nameSet struct {
	seed  maphash.Seed
	names map[uint64]struct{}
}

func newNameSet() *nameSet { return &nameSet{maphash.MakeSeed(), map[uint64]struct{}{}} }

func (s *nameSet) add(name string) { s.names[maphash.String(s.seed, name)] = struct{}{} }

func (s *nameSet) has(name string) bool {
	_, has := s.names[maphash.String(s.seed, name)]
	return has
}

// listedRepo is a repository as one listing found it.
type listedRepo struct {
	name      string
	tagged    bool
	links     *numberSet      // to blobs
	aside     *numberSet      // links of when the repository was deleted
	loose     []digest.Digest // links of both kinds whose blob has no record
	manifests []digest.Digest // in order
	deleted   []string        // keys of deleted manifests that can be had back

	mu       sync.Mutex                      // guards what follows, once it is listed
	there    map[digest.Digest]manifestState // the manifests
	entries  map[string]drivers.Entry        // of referrers and parents, by key; those that a manifest asks for are taken out
	relinked map[string]bool                 // keys of links that were put or will be
}

// manifestState says what is known of a manifest in a listing.
type manifestState int

const (
	manifestListed manifestState = iota + 1
	manifestRead                 // what it asks for is known
)

func newListedRepo(name string) *listedRepo {
	return &listedRepo{
		name: name, links: allNumbers(), aside: allNumbers(), there: map[digest.Digest]manifestState{},
		entries: map[string]drivers.Entry{}, relinked: map[string]bool{},
	}
}

// add takes one line of the listing. has says which blobs have a record.
func (l *listedRepo) add(section, rest string, entry drivers.Entry, has func(digest.Digest) bool) {
	link := func(rest string, links *numberSet) {
		d, ok := linkedDigest(rest)
		if !ok {
			return
		}
		links.add(digestNumber(d))
		if !has(d) {
			l.loose = append(l.loose, d)
		}
	}
	switch section {
	case "blobs":
		link(rest, l.links)
	case "manifests":
		if d, ok := linkedDigest(rest); ok {
			l.manifests = append(l.manifests, d)
			l.there[d] = manifestListed
		}
	case "parents", "referrers":
		l.entries[entry.Key] = entry
	case "tags":
		l.tagged = true
	case "deleted":
		if aside, ok := strings.CutPrefix(rest, "all/"+deletedLinks); ok {
			link(aside, l.aside)
		} else if strings.HasPrefix(rest, "one/") || strings.HasPrefix(rest, "all/"+deletedManifests) {
			l.deleted = append(l.deleted, entry.Key)
		}
	}
}

// repositories lists all of them and looks through each.
func (b *rebuilder) repositories(ctx context.Context) error {
	const sideBySide = 4
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(sideBySide)
	var now *listedRepo
	finish := func() {
		if l := now; l != nil {
			g.Go(func() error {
				err := b.repository(gctx, l)
				if err == nil || gctx.Err() != nil || errors.Is(err, ErrCollecting) {
					return err
				}
				b.fail(fmt.Errorf("repository %s: %w", l.name, err))
				return b.broken()
			})
		}
	}
	for entry, err := range b.driver.List(gctx, reposPrefix, "", "") {
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		if err := b.saw(gctx, 1); err != nil {
			return errors.Join(err, g.Wait())
		}
		repo, section, rest, ok := splitRepoKey(entry.Key)
		if !ok {
			continue
		}
		if now == nil || now.name != repo {
			finish()
			now = newListedRepo(repo)
		}
		now.add(section, rest, entry, b.hasRecord)
	}
	finish()
	return g.Wait()
}

func (b *rebuilder) hasRecord(d digest.Digest) bool { return b.recorded.has(digestNumber(d)) }

// repository puts back what the manifests of a repository ask for.
func (b *rebuilder) repository(ctx context.Context, l *listedRepo) error {
	if CheckName(l.name) != nil {
		return nil
	}
	l.links.sort()
	l.aside.sort()
	if len(l.manifests) > 0 || l.tagged {
		if err := b.line(ctx, l.name); err != nil {
			return err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, d := range l.manifests {
		g.Go(func() error { return b.manifest(gctx, l, d) })
	}
	for _, key := range l.deleted {
		g.Go(func() error { return b.deletedManifest(gctx, l, key) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, d := range l.loose {
		b.missLoose(d)
	}
	return b.stale(ctx, l)
}

// line puts the repository's line into the catalogue.
func (b *rebuilder) line(ctx context.Context, repo string) error {
	if b.catalogue.has(repo) {
		return nil
	}
	key := catalogKey(repo)
	return b.put(ctx, Rebuilt{Kind: RebuiltRepository, Key: key, Reason: "it has manifests or tags"}, func(ctx context.Context) error {
		err := b.putIfAbsent(ctx, key, nil)
		if err == nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.lines = append(b.lines, repo)
		}
		return err
	})
}

// readable reads a manifest. It returns none if it is gone, or can't be read, which is counted.
func (b *rebuilder) readable(ctx context.Context, key string, d digest.Digest) (m *Manifest, gone bool, err error) {
	if err := b.lease.keep(ctx); err != nil {
		return nil, false, err
	}
	o, err := readObject(ctx, b.driver, key)
	if errors.Is(err, drivers.ErrNotFound) {
		return nil, true, nil
	}
	if err == nil {
		m, err = decodeManifest(d, o.body)
	}
	if err == nil {
		return m, false, nil
	}
	if ctx.Err() != nil {
		return nil, false, ctx.Err()
	}
	b.fail(fmt.Errorf("what %s names is not known: %w", key, err))
	return nil, false, b.broken()
}

// manifest puts back what one manifest asks for.
func (b *rebuilder) manifest(ctx context.Context, l *listedRepo, d digest.Digest) error {
	m, gone, err := b.readable(ctx, manifestKey(l.name, d), d)
	if gone {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.there, d)
		return nil
	}
	if m == nil {
		return err
	}
	c := readContent(m.Body)
	if c.Subject != nil {
		body, err := referrerEntry(m, c)
		if err != nil {
			return err
		}
		if err := b.referrer(ctx, l, referrerKey(l.name, c.Subject.Digest, d), body); err != nil {
			return err
		}
	}
	lacks := &lackingManifest{repo: l.name, digest: d}
	for _, child := range c.children() {
		if err := b.parent(ctx, l, parentKey(l.name, child, d)); err != nil {
			return err
		}
		if !b.sparse(l.name) && !l.has(child) {
			lacks.children = append(lacks.children, child)
		}
	}
	if err := b.blobs(ctx, l, c, lacks); err != nil {
		return err
	}
	if len(lacks.children)+len(lacks.blobs) > 0 {
		b.lacks(lacks)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.there[d] = manifestRead
	return nil
}

func (l *listedRepo) has(d digest.Digest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.there[d] != 0
}

// take is told which entry a manifest asks for. It returns the one that is there.
func (l *listedRepo) take(key string) (drivers.Entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry, there := l.entries[key]
	delete(l.entries, key)
	return entry, there
}

// referrer puts the entry of a manifest among the referrers of its subject, or puts it right.
func (b *rebuilder) referrer(ctx context.Context, l *listedRepo, key string, body []byte) error {
	one := Rebuilt{Kind: RebuiltReferrer, Key: key, Reason: "it was not there"}
	entry, there := l.take(key)
	if there {
		one.Reason = "it was not what its manifest says"
		o, err := readObject(ctx, b.driver, key)
		if err != nil && !errors.Is(err, drivers.ErrNotFound) {
			return err
		}
		if err == nil && string(o.body) == string(body) {
			return nil
		}
		entry.ETag = o.info.ETag
	}
	return b.put(ctx, one, func(ctx context.Context) error {
		if there {
			return b.putIfMatch(ctx, key, body, entry.ETag)
		}
		return b.putIfAbsent(ctx, key, body)
	})
}

// parent puts the entry that says that an index names a manifest. It has no content.
func (b *rebuilder) parent(ctx context.Context, l *listedRepo, key string) error {
	if _, there := l.take(key); there {
		return nil
	}
	return b.put(ctx, Rebuilt{Kind: RebuiltParent, Key: key, Reason: "it was not there"}, func(ctx context.Context) error {
		return b.putIfAbsent(ctx, key, nil)
	})
}

// named are the blobs that a manifest needs, each once. Layers of a type that is not distributed are none of them: a push does not look
// whether the repository has them, so it could not be given a link for them.
func (c *content) named() []*descriptor {
	var all []*descriptor
	seen := map[digest.Digest]bool{}
	for _, d := range append(append([]*descriptor{c.Config}, c.Layers...), c.Blobs...) {
		if d.check("") != nil || seen[d.Digest] || d != c.Config && d.foreign() {
			continue
		}
		seen[d.Digest] = true
		all = append(all, d)
	}
	return all
}

// blobs links the blobs that a manifest names, and notes those that have no record.
func (b *rebuilder) blobs(ctx context.Context, l *listedRepo, c *content, lacks *lackingManifest) error {
	for _, one := range c.named() {
		d := one.Digest
		linked := l.links.has(digestNumber(d))
		if lacks.deleted {
			linked = linked || l.aside.has(digestNumber(d))
		}
		has, relink := b.hasRecord(d), !linked && l.first(lacks.link(d))
		if has && relink {
			var err error
			if has, err = b.relink(ctx, lacks, d); err != nil {
				return err
			}
		}
		if !has {
			b.miss(one, lacks, relink)
		}
	}
	return nil
}

// first reports whether nobody has asked for the link yet.
func (l *listedRepo) first(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := !l.relinked[key]
	l.relinked[key] = true
	return first
}

// errLinked is why a link is not put: it is there.
var errLinked = &drivers.Error{Op: "link", Driver: "registry", Kind: drivers.ErrPrecondition, Err: errors.New("it is there by now")}

// relink gives a repository the link to a blob back. has is false if the blob has no record after all.
func (b *rebuilder) relink(ctx context.Context, m *lackingManifest, d digest.Digest) (has bool, err error) {
	one := Rebuilt{Kind: RebuiltLink, Key: m.link(d), Reason: "manifest " + m.digest.String() + " names it"}
	if m.deleted {
		one.Reason = "deleted " + one.Reason
		return true, b.put(ctx, one, func(ctx context.Context) error { return b.putIfAbsent(ctx, one.Key, nil) })
	}
	has = true
	err = b.put(ctx, one, func(ctx context.Context) error {
		_, err := b.finishLink(ctx, m.repo, d, nonce(), func(ctx context.Context, key string, body []byte) error {
			err := b.putIfAbsent(ctx, key, body)
			if errors.Is(err, drivers.ErrExists) {
				return errLinked // by a push, which looks after it
			}
			return err
		})
		if HasCode(err, BlobUnknown) {
			has, err = false, nil
		}
		return err
	})
	return has, err
}

// deletedManifest keeps what a deleted manifest names, as long as that can be had back.
func (b *rebuilder) deletedManifest(ctx context.Context, l *listedRepo, key string) error {
	parts := strings.Split(key, "/")
	d, ok := linkedDigest(strings.Join(parts[len(parts)-2:], "/"))
	if !ok {
		return nil
	}
	m, _, err := b.readable(ctx, key, d)
	if m == nil {
		return err
	}
	return b.blobs(ctx, l, readContent(m.Body), &lackingManifest{repo: l.name, digest: d, deleted: true})
}
