package registry

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
)

// deletions is what a collector is about to delete in more than one step, written before the first one. If it dies in between, the next
// collector does the rest.
type deletions struct {
	Until        time.Time      `json:"until"` // of its announcements
	Blobs        []blobDeletion `json:"blobs,omitempty"`
	Repositories []string       `json:"repositories,omitempty"` // whose line in the catalogue goes
}

type blobDeletion struct {
	Digest digest.Digest `json:"digest"`
	Data   string        `json:"data"`
}

// note writes the log for what is deleted next. The function that it returns removes it.
func (c *collector) note(ctx context.Context, d deletions) (done func(context.Context), err error) {
	body, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	key := gcLogPrefix + nonce()
	if err := c.driver.Put(ctx, key, body); err != nil {
		return nil, err
	}
	return func(ctx context.Context) {
		if err := c.driver.Delete(ctx, key); err != nil {
			c.fail(err)
		}
	}, nil
}

// recover does what collectors that died have left to do, and removes their announcements.
func (c *collector) recover(ctx context.Context) error {
	for entry, err := range c.driver.List(ctx, gcLogPrefix, "", "") {
		if err != nil {
			return err
		}
		if err := c.finishLog(ctx, entry.Key); err != nil {
			c.fail(err)
		}
		if err := c.broken(); err != nil {
			return err
		}
	}
	for entry, err := range c.driver.List(ctx, condemnedPrefix, "", "") {
		if err != nil {
			return err
		}
		if err := c.saw(ctx, 1); err != nil {
			return err
		}
		if err := c.removeVoid(ctx, entry.Key); err != nil {
			c.fail(err)
		}
		if err := c.broken(); err != nil {
			return err
		}
	}
	return nil
}

func (c *collector) finishLog(ctx context.Context, key string) error {
	o, err := readObject(ctx, c.driver, key)
	if errors.Is(err, drivers.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	var d deletions
	if err := json.Unmarshal(o.body, &d); err != nil {
		return &drivers.Error{Op: "read log", Driver: "registry", Key: key, Kind: drivers.ErrCorrupt, Err: err}
	}
	if !c.void(announcement{Until: d.Until}) {
		return nil // its collector may still be at work
	}
	left := false
	for _, b := range d.Blobs {
		record, err := c.readRecord(ctx, b.Digest)
		if err == nil && record.Data == b.Data {
			continue // it was not deleted
		} else if err != nil && !errors.Is(err, drivers.ErrNotFound) {
			return err
		}
		// The record that named the data is gone, and no other can name it: it is older than any upload.
		info, err := c.driver.Stat(ctx, b.Data)
		if errors.Is(err, drivers.ErrNotFound) {
			continue
		} else if err != nil {
			return err
		}
		var failed error
		if !c.o.DryRun {
			failed = c.driver.Delete(ctx, b.Data)
		}
		left = left || failed != nil
		c.removed(Removal{Kind: RemovedData, Key: b.Data, Reason: "its blob was removed by a collection that did not end", Bytes: info.Size, Err: failed})
	}
	for _, repo := range d.Repositories {
		if err := c.healCatalog(ctx, repo); err != nil {
			return err
		}
	}
	if left || c.o.DryRun {
		return nil
	}
	return c.driver.Delete(ctx, key)
}

// healCatalog puts a repository's line into the catalogue again if it has anything.
func (c *collector) healCatalog(ctx context.Context, repo string) error {
	if c.o.DryRun {
		return nil
	}
	empty, err := c.empty(ctx, repo)
	if err != nil || empty {
		return err
	}
	if err := c.putIfAbsent(ctx, catalogKey(repo), nil); !errors.Is(err, drivers.ErrExists) {
		return err
	}
	return nil
}

// empty reports whether a repository has nothing but announcements, and what is kept of the past.
func (c *collector) empty(ctx context.Context, repo string) (bool, error) {
	for entry, err := range c.driver.List(ctx, repoPrefix(repo), "", "/") {
		if err != nil {
			return false, err
		}
		switch strings.TrimPrefix(entry.Key, repoPrefix(repo)) {
		case "condemned", "deleted/", "history/":
		default:
			return false, nil
		}
	}
	return true, nil
}

// removeVoid removes an announcement that nobody heeds any more, by taking it over: so no other collector's goes.
func (c *collector) removeVoid(ctx context.Context, key string) error {
	a, _, err := c.readAnnouncement(ctx, key)
	if errors.Is(err, drivers.ErrNotFound) || err == nil && !c.void(a) {
		return nil
	} else if err != nil {
		return err
	}
	gone := Removal{Kind: RemovedAnnouncement, Key: key, Reason: "its collection did not end"}
	if !c.o.DryRun {
		until := c.now().Add(announceTime)
		held, err := c.announce(ctx, key, c.o.By, until)
		if err != nil || !held {
			return err
		}
		ctx, cancel := c.within(ctx, until)
		defer cancel()
		gone.Err = c.driver.Delete(ctx, key)
	}
	c.removed(gone)
	return nil
}

// withdraw removes announcements, as long as they are in force: a later one is somebody else's. One that stays so is void soon, and removed by the
// next collection.
func (c *collector) withdraw(ctx context.Context, until time.Time, keys []string) {
	if len(keys) == 0 || !c.inForce(until) {
		return
	}
	ctx, cancel := c.within(context.WithoutCancel(ctx), until)
	defer cancel()
	failed := c.deleteKeys(ctx, keys)
	if len(failed) == 0 {
		return
	}
	if ctx.Err() != nil || slices.ContainsFunc(slices.Collect(maps.Values(failed)), func(err error) bool { return errors.Is(err, errNoTime) }) {
		c.remark("%d announcements stay until the next collection: the store is so slow that the time to remove them ran out", len(failed))
		return
	}
	for _, err := range failed {
		c.fail(err)
	}
}

// linkedDigest reads "sha256/<hex>" at the end of a link's or record's key.
func linkedDigest(text string) (digest.Digest, bool) {
	algorithm, encoded, _ := strings.Cut(text, "/")
	d, err := ParseDigest(algorithm + ":" + encoded)
	return d, err == nil
}
