package index

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// findNewest describes the tag of a repository that was written last. there says whether there is such a repository.
func (ix *Index) findNewest(ctx context.Context, d *document) (there bool, err error) {
	name, err := ix.registry.NewestTag(ctx, d.Repo)
	if err != nil {
		return false, err
	}
	if name != "" {
		tag, err := ix.registry.Tag(ctx, d.Repo, name)
		if err == nil {
			image, err := ix.registry.Image(ctx, d.Repo, tag.Digest)
			if err != nil && !gone(err) {
				return false, err
			}
			d.Tag, d.Pushed, d.By = tag.Name, tag.Pushed, tag.By
			d.describe(image)
		} else if !gone(err) {
			return false, err
		}
	}
	return ix.registry.Exists(ctx, d.Repo)
}

// lookTime is the most that a search waits for what other replicas wrote. What was read in that time need not be read again.
const lookTime = 3 * time.Second

// look reads what other replicas have written, at most every few seconds. Who comes meanwhile waits for it.
func (ix *Index) look(ctx context.Context) error {
	ix.looking.Lock()
	defer ix.looking.Unlock()
	now := ix.now()
	if now.Sub(ix.tried) < lookEvery {
		return nil
	}
	ix.tried = now
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	if now.Sub(ix.looked) > changesKept-skew {
		select {
		case ix.behind <- struct{}{}:
		default: // it is told already
		}
	}
	for key, at := range ix.seen {
		if ix.newest.Sub(at) > skew {
			delete(ix.seen, key)
		}
	}
	for entry, err := range ix.store.List(drivers.WithListLimit(ctx, 0), changesPrefix, changesPrefix+stamp(ix.newest.Add(-skew)), "") {
		if err != nil {
			return err
		}
		at, ok := changeTime(entry.Key)
		if _, known := ix.seen[entry.Key]; known || !ok {
			continue
		}
		if err := ix.take(ctx, entry.Key); err != nil {
			return err
		}
		ix.seen[entry.Key] = at
		if at.After(ix.newest) && at.Before(now) { // a clock that is far ahead must not hide what comes later
			ix.newest = at
		}
	}
	ix.looked = now
	return nil
}

// take reads one change.
func (ix *Index) take(ctx context.Context, key string) error {
	body, _, err := ix.get(ctx, key)
	if errors.Is(err, drivers.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	var c changed
	if err := json.Unmarshal(body, &c); err != nil {
		ix.log.Warn("a change of the index can't be read; what it tells of is found within the hour", "key", key, "err", err)
		return nil
	}
	for _, d := range c.Documents {
		ix.set(d, "")
	}
	return nil
}

// compare goes through the catalogue and the index side by side. What was not read yet is read, what the index lacks is found out and written,
// and what is no more is removed. It takes a request for each thousand repositories, and one for each whose object is new. anew takes all for
// missing. It returns how many objects it has written or removed.
func (ix *Index) compare(ctx context.Context, anew bool) (written int, err error) {
	ix.begin()
	missing := map[string]change{}
	var names []string
	write := func() error {
		err := ix.apply(ctx, names, missing)
		written += len(names)
		clear(missing)
		names = names[:0]
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	var failed error
	for both, err := range ix.both(ctx) {
		if failed = err; failed != nil {
			break
		}
		if both.document && both.line && !anew {
			if !ix.knows(both.repo, both.etag) {
				g.Go(func() error { return ix.load(gctx, both.repo) })
			}
			continue
		}
		// A repository without a line is gone, or was made since that part of the catalogue was listed: write looks again.
		missing[both.repo] = change{anew: true, since: ix.now()}
		if names = append(names, both.repo); len(names) == batch {
			if failed = write(); failed != nil {
				break
			}
		}
	}
	failed = errors.Join(failed, g.Wait())
	if len(names) > 0 && failed == nil {
		failed = write()
	}
	if failed == nil {
		ix.end()
	}
	return written, failed
}

// load reads the object of a repository.
func (ix *Index) load(ctx context.Context, repo string) error {
	d, etag, err := ix.read(ctx, repo)
	if err != nil || etag == "" {
		return err
	}
	ix.set(d, etag)
	return nil
}

// listed is a repository in the catalogue, in the index, or in both.
type listed struct {
	repo           string
	line, document bool
	etag           string // of the document
}

// both yields the repositories of catalogue and index in the order of their names. After an error nothing more is yielded.
func (ix *Index) both(ctx context.Context) iter.Seq2[listed, error] {
	return func(yield func(listed, error) bool) {
		documents, stop := iter.Pull2(ix.store.List(drivers.WithListLimit(ctx, 0), documentPrefix, "", ""))
		defer stop()
		next := func() (repo, etag string, err error) {
			for {
				entry, err, ok := documents()
				if !ok || err != nil {
					return "", "", err
				}
				if repo, ok := documentName(entry.Key); ok {
					return repo, entry.ETag, nil
				}
			}
		}
		repo, etag, err := next()
		for line, lineErr := range ix.registry.Repositories(ctx) {
			if lineErr != nil {
				yield(listed{}, lineErr)
				return
			}
			for err == nil && repo != "" && inOrder(repo, line) < 0 {
				if !yield(listed{repo: repo, document: true, etag: etag}, nil) {
					return
				}
				repo, etag, err = next()
			}
			one := listed{repo: line, line: true}
			if err == nil && repo == line {
				one.document, one.etag = true, etag
				repo, etag, err = next()
			}
			if err != nil {
				break
			}
			if !yield(one, nil) {
				return
			}
		}
		for err == nil && repo != "" {
			if !yield(listed{repo: repo, document: true, etag: etag}, nil) {
				return
			}
			repo, etag, err = next()
		}
		if err != nil {
			yield(listed{}, err)
		}
	}
}

// inOrder compares two names as listings do.
func inOrder(a, b string) int { return strings.Compare(documentKey(a), documentKey(b)) }
