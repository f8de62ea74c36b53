package registry

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// deletions is what a collector is about to delete in more than one step, written before the first one. If it dies in between, the next
// collector does the rest.
type deletions struct {
	Until        time.Time      `json:"until"` // of its announcements
	Blobs        []blobDeletion `json:"blobs,omitempty"`
	Repositories []string       `json:"repositories,omitempty"` // whose line in the catalogue goes

	// MAC is over the same without it. What a note says is deleted, so it has to be a collector's own, whole and unchanged.
	MAC []byte `json:"mac,omitempty"`
}

type blobDeletion struct {
	Digest digest.Digest `json:"digest"`
	Data   string        `json:"data"`
}

// mostNote is the size in bytes up to which a note is one; blobBatch blobs take less.
const mostNote = 8 << 20

func (r *Registry) signNote(d deletions) (deletions, error) {
	d.MAC = nil
	body, err := json.Marshal(d)
	d.MAC = r.mac("note of a collection", body)
	return d, err
}

func (r *Registry) decodeNote(body []byte) (deletions, error) {
	var d deletions
	if err := json.Unmarshal(body, &d); err != nil {
		return deletions{}, err
	}
	if signed, err := r.signNote(d); err != nil || !hmac.Equal(d.MAC, signed.MAC) {
		return deletions{}, errors.Join(errors.New("no collector of this store wrote this"), err)
	}
	for _, b := range d.Blobs {
		_, err := ParseDigest(string(b.Digest))
		if _, _, ok := dataMark(b.Data); !ok || err != nil {
			return deletions{}, fmt.Errorf("%s is not data of blob %s", b.Data, b.Digest)
		}
	}
	for _, repo := range d.Repositories {
		if err := CheckName(repo); err != nil {
			return deletions{}, err
		}
	}
	return d, nil
}

// note writes the log for what is deleted next. The function that it returns removes it.
func (c *collector) note(ctx context.Context, d deletions) (done func(context.Context), err error) {
	d, err = c.signNote(d)
	if err != nil {
		return nil, err
	}
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
		if err := c.finishLog(ctx, entry); errors.Is(err, ErrCollecting) {
			return err
		} else if err != nil {
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

func (c *collector) finishLog(ctx context.Context, entry drivers.Entry) error {
	if entry.Size > mostNote {
		return c.distrust(entry.Key, fmt.Errorf("it has %d bytes", entry.Size))
	}
	o, err := readObject(ctx, c.driver, entry.Key)
	if errors.Is(err, drivers.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	d, err := c.decodeNote(o.body)
	if err != nil {
		return c.distrust(entry.Key, err)
	}
	if !c.void(announcement{Until: d.Until, put: o.info.ModTime}) {
		return nil // its collector may still be at work
	}
	left := false
	const batch = 1000
	for some := range slices.Chunk(d.Blobs, batch) {
		all, err := c.finishBlobs(ctx, some)
		if err != nil {
			return err
		}
		left = left || !all
	}
	for _, repo := range d.Repositories {
		if err := c.healCatalog(ctx, repo); err != nil {
			return err
		}
	}
	if left || c.o.DryRun {
		return nil
	}
	return c.driver.Delete(ctx, entry.Key)
}

// distrust is told of a note that can't be read. What it was about may be data of any day, so all are looked at, and all records; then it goes.
func (c *collector) distrust(key string, why error) error {
	c.unread = append(c.unread, key)
	c.remark("%s can't be read (%v): it says what a collection that did not end was about to delete. Instead all records are read and all data is looked at", key, why)
	return nil
}

// dropUnread removes the notes that could not be read, once nothing depends on them.
func (c *collector) dropUnread(ctx context.Context) error {
	for _, key := range c.unread {
		if err := c.driver.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// finishBlobs deletes the data of blobs whose record has gone. all is false if something stays that has to go.
func (c *collector) finishBlobs(ctx context.Context, blobs []blobDeletion) (all bool, err error) {
	gone := make([]Removal, len(blobs)) // without a key: it stays
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelCollect)
	for i, b := range blobs {
		g.Go(func() error {
			size, there, err := c.orphan(gctx, b)
			if err != nil || there {
				gone[i] = Removal{Kind: RemovedData, Key: b.Data, Reason: "its blob was removed by a collection that did not end", Bytes: size, Err: err}
			}
			return gctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return false, err
	}
	moved, err := c.quarantine(ctx)
	if err != nil {
		return false, err
	}
	for i, b := range blobs {
		if moved.keeps(b) {
			gone[i] = Removal{}
		}
	}
	gone = slices.DeleteFunc(gone, func(r Removal) bool { return r.Key == "" })
	var keys []string
	for _, r := range gone {
		if r.Err == nil {
			keys = append(keys, r.Key)
		}
	}
	failed := map[string]error{}
	if !c.o.DryRun {
		failed = c.deleteKeys(ctx, keys)
	}
	all = true
	for i, r := range gone {
		gone[i].Err = errors.Join(r.Err, failed[r.Key])
		all = all && gone[i].Err == nil
	}
	c.removed(gone...)
	return all, errors.Join(c.saw(ctx, int64(len(blobs))), c.broken())
}

// orphan reports whether the data of a blob is there although its record is not. No other record can name it: it is older than any upload.
func (c *collector) orphan(ctx context.Context, b blobDeletion) (size int64, there bool, err error) {
	record, err := c.readRecord(ctx, b.Digest)
	if err == nil && record.Data == b.Data {
		return 0, false, nil // it was not deleted
	} else if err != nil && !errors.Is(err, drivers.ErrNotFound) {
		return 0, false, err
	}
	info, err := c.driver.Stat(ctx, b.Data)
	if errors.Is(err, drivers.ErrNotFound) {
		return 0, false, nil
	}
	return info.Size, err == nil, err
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
		case "condemned", "deleted/", "history/", deletingSection:
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
