package index

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/registry"
)

// flush writes the changes that are due, or all of them. Those that it could not write are kept for the next time.
func (ix *Index) flush(ctx context.Context, all bool) error {
	due := ix.takeDue(all)
	var errs []error
	for repos := range slices.Chunk(slices.Sorted(maps.Keys(due)), batch) {
		errs = append(errs, ix.apply(ctx, repos, due))
	}
	return errors.Join(errs...)
}

// apply writes the changes of at most batch repositories, and one object that tells the other replicas. Where something fails that may work
// later, the change is pending again. It returns the first error.
func (ix *Index) apply(ctx context.Context, repos []string, changes map[string]change) error {
	var mu sync.Mutex
	var written []document
	var first error
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, repo := range repos {
		g.Go(func() error {
			d, err := ix.write(ctx, repo, changes[repo])
			if err == nil {
				ix.set(d, "")
			} else if !errors.Is(err, drivers.ErrReadOnly) && !errors.Is(err, drivers.ErrDenied) {
				ix.putBack(repo, changes[repo])
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				written = append(written, d)
			} else if first == nil {
				first = err
			}
			return nil
		})
	}
	_ = g.Wait() // each keeps its error
	if len(written) == 0 {
		return first
	}
	return errors.Join(first, ix.publish(ctx, written), ix.sweep(ctx))
}

// write changes the object of one repository, and returns what is there now. Of replicas that do so at once each is heard, where the store can
// compare; elsewhere some pulls may not be counted.
func (ix *Index) write(ctx context.Context, repo string, c change) (document, error) {
	const attempts = 8
	for range attempts {
		d, etag, err := ix.read(ctx, repo)
		if err != nil {
			return document{}, err
		}
		old := d.Rev
		if c.gone {
			d = document{Repo: repo}
		}
		there, err := ix.fill(ctx, &d, c)
		if err != nil {
			return document{}, err
		}
		d.Rev = max(old+1, ix.now().UnixMilli())
		if !there {
			return document{Repo: repo, Rev: d.Rev, Gone: true}, ix.store.Delete(ctx, documentKey(repo))
		}
		d.Pulls += c.pulls
		body, err := json.Marshal(d)
		if err != nil {
			return document{}, err
		}
		if err := ix.put(ctx, documentKey(repo), body, etag); !errors.Is(err, drivers.ErrPrecondition) && !errors.Is(err, drivers.ErrExists) {
			return d, err
		}
	}
	return document{}, &drivers.Error{Op: "write index", Driver: "index", Key: documentKey(repo), Kind: drivers.ErrThrottled, Err: errors.New("it is changed over and over")}
}

// put replaces the object that has the ETag, or makes it if that is "".
func (ix *Index) put(ctx context.Context, key string, body []byte, etag string) error {
	switch {
	case etag != "" && ix.extras.Match != nil:
		return ix.extras.Match.PutIfMatch(ctx, key, body, etag)
	case etag == "" && ix.extras.Absent != nil:
		return ix.extras.Absent.PutIfAbsent(ctx, key, body)
	}
	return ix.store.Put(ctx, key, body)
}

// read returns the object of a repository; etag is "" if there is none. One that can't be understood counts as empty.
func (ix *Index) read(ctx context.Context, repo string) (d document, etag string, err error) {
	body, info, err := ix.get(ctx, documentKey(repo))
	if errors.Is(err, drivers.ErrNotFound) {
		return document{Repo: repo}, "", nil
	} else if err != nil {
		return document{}, "", err
	}
	d, ok := decodeDocument(repo, body)
	if !ok {
		d = document{Repo: repo}
	}
	return d, info.ETag, nil
}

// mostObject is the size in bytes of the largest object that is read: a change with documents of the greatest size.
const mostObject = 8 << 20

func (ix *Index) get(ctx context.Context, key string) ([]byte, drivers.Info, error) {
	r, info, err := ix.store.Reader(ctx, key, 0, mostObject)
	if err != nil {
		return nil, drivers.Info{}, err
	}
	defer func() { _ = r.Close() }()
	body, err := io.ReadAll(r)
	return body, info, err
}

// fill writes into a document what is known of its repository now. there says whether there is one.
func (ix *Index) fill(ctx context.Context, d *document, c change) (there bool, err error) {
	if c.push != nil && !c.at.Before(d.Pushed) {
		image, err := ix.registry.Image(ctx, d.Repo, c.push.Digest)
		if err == nil {
			d.Tag, d.Pushed, d.By = c.push.Tag, c.at, c.push.By
			d.describe(image)
			return true, nil
		} else if !gone(err) {
			return false, err
		}
	} else if d.Rev > 0 && !c.anew { // what is there is newer, or this is about pulls alone
		return true, nil
	}
	return ix.findNewest(ctx, d)
}

// gone reports whether an image or repository is not there, as opposed to one that could not be read.
func gone(err error) bool {
	return registry.HasCode(err, registry.ManifestUnknown) || registry.HasCode(err, registry.NameUnknown)
}

// publish tells other replicas.
func (ix *Index) publish(ctx context.Context, written []document) error {
	body, err := json.Marshal(changed{written})
	if err != nil {
		return err
	}
	now := ix.now()
	key := changesPrefix + stamp(now) + "-" + strings.ToLower(rand.Text())
	if err := ix.store.Put(ctx, key, body); err != nil {
		return err
	}
	ix.looking.Lock()
	defer ix.looking.Unlock()
	ix.seen[key] = now
	return nil
}

// changed is an object that tells other replicas what was written.
type changed struct {
	Documents []document `json:"documents"`
}

// sweep removes, once a minute, what all replicas have read.
func (ix *Index) sweep(ctx context.Context) error {
	const sweepEvery, most = changesKept / 15, 1000
	now := ix.now()
	if now.Sub(ix.swept) < sweepEvery {
		return nil
	}
	ix.swept = now
	var old []string
	for entry, err := range ix.store.List(drivers.WithListLimit(ctx, most), changesPrefix, "", "") {
		if err != nil {
			return err
		}
		if at, ok := changeTime(entry.Key); !ok || now.Sub(at) < changesKept || len(old) == most {
			break
		}
		old = append(old, entry.Key)
	}
	if len(old) == 0 {
		return nil
	}
	return ix.store.Delete(ctx, old...)
}
