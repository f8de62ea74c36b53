package registry

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

const (
	// parallelCollect is how many requests a collection has under way at once.
	parallelCollect = 32
	// blobBatch is how many blobs are announced before the links are listed again.
	blobBatch = 20_000
	// announcing is how long announcing one batch may take, or as long as listing the links takes, up to
	// longAnnouncing; what does not fit goes into the next batch.
	announcing     = 10 * time.Second
	longAnnouncing = 30 * time.Second
	// triesOfBlob is how often a collection comes back to a blob for which the time ran out.
	triesOfBlob = 3
)

// digestNumber is the beginning of a digest. Two blobs of the same number are kept as long as one of them is linked.
func digestNumber(d digest.Digest) uint64 {
	var b [8]byte
	_, _ = hex.Decode(b[:], []byte(d.Encoded()[:16]))
	return binary.BigEndian.Uint64(b[:])
}

// collectBlobs removes the records that no repository links, and their bytes.
func (c *collector) collectBlobs(ctx context.Context) error {
	for low := uint64(0); ; {
		linked := &numberSet{low: low, high: math.MaxUint64, limit: int(max(c.o.Memory/8, 2))}
		began := c.now()
		err := c.eachLink(ctx, func(_ string, d digest.Digest, entry drivers.Entry) {
			if !c.would[entry.Key] {
				linked.add(digestNumber(d))
			}
		})
		if err != nil {
			return err
		}
		c.relist = c.now().Sub(began)
		linked.sort()
		if err := c.collectUnlinked(ctx, linked); err != nil {
			return err
		}
		if linked.high == math.MaxUint64 {
			return nil
		}
		low = linked.high + 1
	}
}

// numberSet holds the numbers between low and high. When it is full, high sinks.
type numberSet struct {
	low, high uint64
	limit     int
	numbers   []uint64
}

func (s *numberSet) add(n uint64) {
	if n < s.low || n > s.high {
		return
	}
	s.numbers = append(s.numbers, n)
	if len(s.numbers) < s.limit {
		return
	}
	s.sort()
	if half := len(s.numbers) / 2; len(s.numbers) > s.limit/2 {
		s.high = s.numbers[half] - 1 // numbers differ, so half of them is below
		s.numbers = s.numbers[:half]
	}
}

func (s *numberSet) sort() {
	slices.Sort(s.numbers)
	s.numbers = slices.Compact(s.numbers)
}

// within reports whether n is in the range that the set knows about.
func (s *numberSet) within(n uint64) bool { return s.low <= n && n <= s.high }

func (s *numberSet) has(n uint64) bool {
	_, found := slices.BinarySearch(s.numbers, n)
	return found
}

// collectUnlinked removes the old records of the set's range that are not in it.
func (c *collector) collectUnlinked(ctx context.Context, linked *numberSet) error {
	var batch []*condemned
	for entry, err := range c.driver.List(ctx, "blobs/", "", "") {
		if err != nil {
			return err
		}
		if err := c.saw(ctx, 1); err != nil {
			return err
		}
		d, ok := recordDigest(entry.Key)
		if !ok || !c.old(entry.ModTime) {
			continue
		}
		if n := digestNumber(d); !linked.within(n) || linked.has(n) {
			continue
		}
		batch = append(batch, &condemned{digest: d, entry: entry})
		if len(batch) == blobBatch {
			if batch, err = c.removeBlobs(ctx, batch); err != nil {
				return err
			}
		}
	}
	for len(batch) > 0 {
		var err error
		if batch, err = c.removeBlobs(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// recordDigest reads the digest in a record's key.
func recordDigest(key string) (digest.Digest, bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 4 || !strings.HasPrefix(parts[3], parts[2]) {
		return "", false
	}
	return linkedDigest(parts[1] + "/" + parts[3])
}

// condemned is a blob that may go.
type condemned struct {
	digest    digest.Digest
	entry     drivers.Entry // of its record, as listed
	announced bool
	data      string
	size      int64 // of the data, as the store says; 0 if it is not there
	err       error
	unsure    bool // a request to delete the record may have its effect yet, so the announcement has to stay
	tries     int
}

const reasonUnlinked = "no repository has it"

// removeBlobs is one round of the protocol: announce, read the records again, list the links again, delete. It returns the blobs for
// which there was no time.
func (c *collector) removeBlobs(ctx context.Context, batch []*condemned) (rest []*condemned, err error) {
	if c.o.DryRun {
		return nil, c.tellBlobs(ctx, batch)
	}
	announcing := max(announcing, min(c.relist, longAnnouncing))
	lasts := max(announceTime, 4*announcing+3*c.relist) + c.o.Lag
	if lasts > longestAnnouncement+c.o.Lag {
		return nil, fmt.Errorf("to list all links takes %v, which is too long for announcements that clients have to wait out", c.relist)
	}
	began := c.now()
	until := began.Add(lasts)
	if rest, err = c.announceBlobs(ctx, batch, until, announcing); err != nil {
		return nil, err
	}
	batch = batch[:len(batch)-len(rest)]
	withdraw := sync.OnceFunc(func() {
		var keys []string
		for _, b := range batch {
			if b.announced && !b.unsure {
				keys = append(keys, condemnedKey(b.digest))
			}
		}
		c.withdraw(ctx, until, keys)
	})
	defer withdraw()
	if err := c.wait(ctx, c.o.Lag); err != nil {
		return nil, err
	}
	going := map[digest.Digest]*condemned{}
	for _, b := range batch {
		if b.err != nil {
			c.fail(b.err)
		} else if b.data != "" {
			going[b.digest] = b
		}
	}
	if err := c.broken(); err != nil || len(going) == 0 {
		return rest, err
	}
	var mu sync.Mutex
	listing := c.now()
	err = c.eachLink(ctx, func(_ string, d digest.Digest, _ drivers.Entry) {
		mu.Lock()
		defer mu.Unlock()
		delete(going, d)
	})
	c.relist = c.now().Sub(listing)
	if err != nil || len(going) == 0 {
		return rest, err
	}
	late, err := c.deleteBlobs(ctx, until, going, withdraw)
	if err != nil {
		return nil, err
	}
	c.tell()
	return append(c.later(late), rest...), c.broken()
}

// announceBlobs announces blobs and reads their records again.
func (c *collector) announceBlobs(ctx context.Context, batch []*condemned, until time.Time, announcing time.Duration) (rest []*condemned, err error) {
	began := c.now()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelCollect)
	for i, b := range batch {
		if i > 0 && c.now().Sub(began) > announcing {
			rest = batch[i:]
			break
		}
		g.Go(func() error {
			b.err = c.condemn(gctx, b, until)
			return gctx.Err()
		})
	}
	return rest, g.Wait()
}

// condemn announces a blob and looks whether its record is still the one that was listed.
func (c *collector) condemn(ctx context.Context, b *condemned, until time.Time) error {
	held, err := c.announce(ctx, condemnedKey(b.digest), c.o.By, until)
	if err != nil || !held {
		return err
	}
	b.announced = true
	o, err := readObject(ctx, c.driver, b.entry.Key)
	if errors.Is(err, drivers.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	if o.info.ETag != b.entry.ETag || !c.old(o.info.ModTime) {
		return nil
	}
	record, err := decodeRecord(b.entry.Key, o.body)
	if err != nil {
		return err
	}
	info, err := c.driver.Stat(ctx, record.Data)
	if errors.Is(err, drivers.ErrNotFound) {
		info.Size = 0
	} else if err != nil {
		return err
	}
	b.data, b.size = record.Data, info.Size
	return nil
}

// later leaves those of the blobs that were tried often enough for the next collection, and returns the others.
func (c *collector) later(late []*condemned) (again []*condemned) {
	left := 0
	for _, b := range late {
		if b.tries+1 == triesOfBlob {
			left++
			continue
		}
		again = append(again, &condemned{digest: b.digest, entry: b.entry, tries: b.tries + 1})
	}
	if left > 0 {
		c.remark("%d blobs are left for the next collection: the store is so slow that the time to remove them ran out", left)
	}
	return again
}

// deleteBlobs deletes records; then it withdraws the announcements, and deletes the data that the records named, which no record can
// name any more. It returns the blobs for which there was no time.
func (c *collector) deleteBlobs(ctx context.Context, until time.Time, going map[digest.Digest]*condemned, withdraw func()) (late []*condemned, err error) {
	log := deletions{Until: until.UTC()}
	var records []string
	byRecord := map[string]*condemned{}
	for d, b := range going {
		log.Blobs = append(log.Blobs, blobDeletion{d, b.data})
		records = append(records, b.entry.Key)
		byRecord[b.entry.Key] = b
	}
	slices.Sort(records)
	slices.SortFunc(log.Blobs, func(a, b blobDeletion) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
	done, err := c.note(ctx, log)
	if err != nil {
		return nil, err
	}
	if !c.inForce(until) {
		done(ctx)
		return slices.Collect(maps.Values(going)), nil
	}
	dctx, cancel := c.within(ctx, until)
	defer cancel()
	failed := c.deleteKeys(dctx, records)
	var data []string
	for _, key := range records {
		if err := failed[key]; err == nil {
			data = append(data, byRecord[key].data)
		} else {
			byRecord[key].unsure = !surelyThere(err)
		}
	}
	withdraw()
	failedData := c.deleteKeys(ctx, data)
	if err := c.verify(ctx, data, failedData); err != nil {
		return nil, err
	}
	for _, key := range records {
		b := byRecord[key]
		if errors.Is(failed[key], errNoTime) {
			late = append(late, b)
			continue
		}
		c.removed(Removal{Kind: RemovedBlob, Key: key, Reason: reasonUnlinked, Bytes: b.size, Err: errors.Join(failed[key], failedData[b.data])})
	}
	if len(failed)+len(failedData) == 0 {
		done(ctx)
	}
	return late, ctx.Err()
}

// verify asks the store for one of the keys that it said to have deleted in each batch.
func (c *collector) verify(ctx context.Context, keys []string, failed map[string]error) error {
	const each = 1000
	for i := 0; i < len(keys); i += each {
		key := keys[i]
		if failed[key] != nil {
			continue
		}
		_, err := c.driver.Stat(ctx, key)
		if err == nil {
			failed[key] = &drivers.Error{Op: "delete", Driver: "registry", Key: key, Err: errors.New("the store said that it was deleted, but it is still there")}
		} else if !errors.Is(err, drivers.ErrNotFound) {
			return err
		}
	}
	return nil
}

// tellBlobs reports blobs in a dry run.
func (c *collector) tellBlobs(ctx context.Context, batch []*condemned) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelCollect)
	for _, b := range batch {
		g.Go(func() error {
			record, err := c.readRecord(gctx, b.digest)
			if err != nil {
				b.err = err
				return gctx.Err()
			}
			info, err := c.driver.Stat(gctx, record.Data)
			b.size = info.Size
			if !errors.Is(err, drivers.ErrNotFound) {
				b.err = err
			}
			return gctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, b := range batch {
		c.removed(Removal{Kind: RemovedBlob, Key: b.entry.Key, Reason: reasonUnlinked, Bytes: b.size, Err: b.err})
	}
	return c.broken()
}

// wait waits, unless ctx ends.
func (c *collector) wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
