package registry

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// staleAtOnce is how many entries are removed under one announcement.
const staleAtOnce = 2000

// stale removes the entries that no manifest asks for.
func (b *rebuilder) stale(ctx context.Context, l *listedRepo) error {
	var all []Rebuilt
	for _, key := range slices.Sorted(maps.Keys(l.entries)) {
		d, err := parseDigestElement(key[strings.LastIndexByte(key, '/')+1:])
		if err != nil {
			continue
		}
		one := Rebuilt{Kind: RebuiltStale, Key: key, Reason: "its manifest is not there"}
		switch l.there[d] {
		case manifestListed:
			continue // it could not be read
		case manifestRead:
			one.Reason = "its manifest does not say so"
		default:
			if !b.settledEntry(key, l.entries[key]) {
				continue
			}
		}
		all = append(all, one)
	}
	for some := range slices.Chunk(all, staleAtOnce) {
		if b.o.DryRun {
			for _, one := range some {
				b.rebuilt(one)
			}
			continue
		}
		if err := b.removeStale(ctx, l, some); err != nil {
			return err
		}
	}
	return nil
}

// settledEntry reports whether no push that is under way can have put the entry. One puts a parent's entry before its index, a referrer's after
// its manifest.
func (b *rebuilder) settledEntry(key string, entry drivers.Entry) bool {
	switch {
	case b.o.Offline:
		return true
	case strings.Contains(key, "/_parents/"):
		return b.old(entry.ModTime)
	}
	return entry.ModTime.Before(b.began.Add(-clockLeeway))
}

// removeStale announces, looks once more and removes what is as it was; see collectRepository.
func (b *rebuilder) removeStale(ctx context.Context, l *listedRepo, some []Rebuilt) error {
	key := repoCondemnedKey(l.name)
	until := b.now().Add(announceTime + b.o.Lag)
	held, err := b.announce(ctx, key, b.o.By, until)
	if err != nil {
		return err
	}
	if !held {
		b.remark("repository %s: %d entries that no manifest asks for are left, since a collection that was broken off may still be at work there", l.name, len(some))
		return nil
	}
	unsure := false
	defer func() {
		if !unsure {
			b.withdraw(ctx, until, []string{key})
		}
	}()
	if err := b.wait(ctx, b.o.Lag); err != nil {
		return err
	}
	same := make([]bool, len(some))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelCollect)
	for i, one := range some {
		g.Go(func() (err error) {
			same[i], err = b.staleStill(gctx, l, one.Key)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if !b.inForce(until) {
		b.remark("repository %s: the store is so slow that the time to remove %d entries that no manifest asks for ran out", l.name, len(some))
		return nil
	}
	byKey := map[string]Rebuilt{}
	for i, one := range some {
		if same[i] {
			byKey[one.Key] = one
		}
	}
	dctx, cancel := b.within(ctx, until)
	defer cancel()
	failed := b.deleteKeys(dctx, slices.Sorted(maps.Keys(byKey)))
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		one := byKey[key]
		one.Err = failed[key]
		unsure = unsure || one.Err != nil && !surelyThere(one.Err)
		b.rebuilt(one)
	}
	return b.broken()
}

// staleStill looks whether an entry's manifest is still not there, and the entry the one that was listed.
func (b *rebuilder) staleStill(ctx context.Context, l *listedRepo, key string) (bool, error) {
	d, err := parseDigestElement(key[strings.LastIndexByte(key, '/')+1:])
	if err != nil {
		return false, nil
	}
	if l.there[d] == 0 {
		if _, err := b.driver.Stat(ctx, manifestKey(l.name, d)); err == nil {
			return false, nil
		} else if !errors.Is(err, drivers.ErrNotFound) {
			return false, err
		}
	}
	info, err := b.driver.Stat(ctx, key)
	if errors.Is(err, drivers.ErrNotFound) {
		return false, nil
	}
	return err == nil && info.ETag == l.entries[key].ETag && b.settledEntry(key, drivers.Entry{Info: info}), err
}

// judge looks once more at what is missing, and tells of the images that lack it.
func (b *rebuilder) judge(ctx context.Context) error {
	if err := b.lookAgain(ctx); err != nil {
		return err
	}
	slices.SortFunc(b.lacking, func(x, y *lackingManifest) int {
		return cmp.Or(strings.Compare(x.repo, y.repo), cmp.Compare(x.digest, y.digest))
	})
	tags, of := map[string]tagRecord{}, ""
	for _, m := range b.lacking {
		image, err := b.incomplete(ctx, m)
		if err != nil {
			return err
		}
		if image == nil {
			continue
		}
		if of != m.repo {
			if tags, err = b.tagsOf(ctx, m.repo, ""); ctx.Err() != nil {
				return err
			} else if err != nil {
				b.fail(err)
			}
			of = m.repo
		}
		leading := map[string]bool{}
		if err := b.leadTo(ctx, m.repo, m.digest, tags, leading, map[digest.Digest]bool{}); err != nil {
			return err
		}
		image.Tags = slices.AppendSeq([]string{}, maps.Keys(leading))
		slices.Sort(image.Tags)
		b.count(&b.report.Incomplete)
		if b.o.Incomplete != nil {
			b.o.Incomplete(*image)
		}
	}
	b.remarks()
	return b.emptyLines(ctx)
}

// lookAgain asks for the records of the blobs that were not found, and counts those that manifests need.
func (b *rebuilder) lookAgain(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for d, one := range b.missing {
		if one.found || !one.live {
			continue
		}
		g.Go(func() error {
			if err := b.lease.keep(gctx); err != nil {
				return err
			}
			_, err := b.driver.Stat(gctx, recordKey(d))
			if errors.Is(err, drivers.ErrNotFound) {
				b.count(&b.report.Missing)
				return nil
			} else if err != nil {
				return err
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			b.foundOne(one)
			return nil
		})
	}
	return g.Wait()
}

// incomplete is what a manifest lacks, nil if that is nothing, or the manifest is gone.
func (b *rebuilder) incomplete(ctx context.Context, m *lackingManifest) (*IncompleteImage, error) {
	if err := b.lease.keep(ctx); err != nil {
		return nil, err
	}
	image := &IncompleteImage{Repository: m.repo, Manifest: m.digest}
	for _, one := range m.blobs {
		if !one.found {
			image.Blobs = append(image.Blobs, one.digest)
		}
	}
	for _, child := range m.children {
		there, err := b.stillThere(ctx, &lackingManifest{repo: m.repo, digest: child})
		if err != nil {
			return nil, err
		} else if !there {
			image.Children = append(image.Children, child)
		}
	}
	if len(image.Blobs)+len(image.Children) == 0 {
		return nil, nil
	}
	if there, err := b.stillThere(ctx, m); err != nil || !there {
		return nil, err
	}
	return image, nil
}

// leadTo finds the tags that lead to a manifest, by itself or through an index.
func (b *rebuilder) leadTo(ctx context.Context, repo string, d digest.Digest, tags map[string]tagRecord, leading map[string]bool, seen map[digest.Digest]bool) error {
	if seen[d] {
		return nil
	}
	seen[d] = true
	for tag, t := range tags {
		if t.Digest == d {
			leading[tag] = true
		}
	}
	prefix := parentsPrefix(repo, d)
	for entry, err := range b.driver.List(ctx, prefix, "", "") {
		if err != nil {
			return err
		}
		if index, err := parseDigestElement(strings.TrimPrefix(entry.Key, prefix)); err == nil {
			if err := b.leadTo(ctx, repo, index, tags, leading, seen); err != nil {
				return err
			}
		}
	}
	return nil
}

// remarks says what an operator can do for more.
func (b *rebuilder) remarks() {
	loose := 0
	for _, one := range b.missing {
		if !one.found && len(one.sizes) == 0 {
			loose++
		}
	}
	if b.report.Young > 0 {
		b.remark("%d objects below %s have the size of what is missing, but are so young that an upload may be about to name them: stop all that serves this store and run it with --offline; a collection removes them once they are %v old", b.report.Young, dataPrefix, b.collector.o.Grace)
	}
	if b.report.Condemned > 0 {
		b.remark("%d objects below %s have the size of what is missing, but a collection that was broken off is about to delete them: stop all that serves this store and run it with --offline", b.report.Condemned, dataPrefix)
	}
	if loose > 0 && !b.o.AllData {
		b.remark("%d links are to blobs that have no record and that no manifest names: --all-data looks for their bytes too", loose)
	}
}

// emptyLines takes back the lines of repositories that were deleted while they were put.
func (b *rebuilder) emptyLines(ctx context.Context) error {
	for _, repo := range b.lines {
		if err := b.lease.keep(ctx); err != nil {
			return err
		}
		if err := b.collectLine(ctx, repo); err != nil {
			return err
		}
	}
	return nil
}
