package registry

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// candidate is data that no record names and that may be a missing blob.
type candidate struct {
	drivers.Entry
	young bool          // an upload may be about to name it
	noted digest.Digest // the blob that it was, if a collection has written down that it is about to delete it
}

// findData looks for the bytes of missing blobs among the data that no record names.
func (b *rebuilder) findData(ctx context.Context) error {
	if !b.searching() {
		return nil
	}
	named := &marks{driver: b.driver, keep: b.o.DryRun}
	defer func() { b.deleteKeys(context.WithoutCancel(ctx), named.runs) }() // the next collection takes what stays
	if err := b.readRecords(ctx, named); err != nil {
		return err
	}
	condemned, err := b.condemnedData(ctx)
	if err != nil {
		return err
	}
	b.enter("looking for the data of missing blobs")
	next, stop := iter.Pull2(named.all(ctx))
	defer stop()
	names := &cursor{next: next}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for entry, err := range b.driver.List(gctx, dataPrefix, "", "") {
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		if err := b.saw(gctx, 1); err != nil {
			return errors.Join(err, g.Wait())
		}
		m, day, ok := dataMark(entry.Key)
		if !ok {
			continue
		}
		if is, err := names.has(m); err != nil {
			return errors.Join(err, g.Wait())
		} else if is || !b.wants(entry.Size) {
			continue
		}
		one := candidate{entry, b.young(entry, day), condemned[entry.Key]}
		switch {
		case one.noted != "" && !b.o.Offline:
			b.count(&b.report.Condemned)
		case one.young && !b.o.Offline:
			b.count(&b.report.Young)
		default:
			g.Go(func() error { return b.tryData(gctx, one) })
		}
		if !b.searching() {
			break
		}
	}
	return g.Wait()
}

func (b *rebuilder) count(n *int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*n++
}

// young reports whether an upload may still be about to name the data. A key is made while its upload lives, so its day says how old it is at
// least, also where a backup was restored and the store's times are new.
func (b *rebuilder) young(entry drivers.Entry, day string) bool {
	abandoned := b.abandoned()
	last := abandoned.UTC().Format(time.DateOnly)
	return day > last || day == last && !entry.ModTime.Before(abandoned)
}

// readRecords reads all records: what they name is not looked at. Blobs that have got a record meanwhile are not missing.
func (b *rebuilder) readRecords(ctx context.Context, named *marks) error {
	b.enter("reading the records of blobs")
	const batch = 10_000
	var some []string
	flush := func() error {
		err := b.nameData(ctx, some, named)
		some = some[:0]
		return err
	}
	for entry, err := range b.driver.List(ctx, "blobs/", "", "") {
		if err != nil {
			return err
		}
		if err := b.saw(ctx, 1); err != nil {
			return err
		}
		if some = append(some, entry.Key); len(some) == batch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// nameData adds what the records name.
func (b *rebuilder) nameData(ctx context.Context, keys []string, named *marks) error {
	records := make([]blobRecord, len(keys))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelCollect)
	for i, key := range keys {
		g.Go(func() error {
			if err := b.lease.keep(gctx); err != nil {
				return err
			}
			o, err := readObject(gctx, b.driver, key)
			if errors.Is(err, drivers.ErrNotFound) {
				return nil
			} else if err != nil {
				return err
			}
			if records[i], err = decodeRecord(key, o.body); err != nil {
				b.fail(err) // its blob can't be pulled; what it names is another's only if somebody has written it so
			}
			return b.broken()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, record := range records {
		if m, _, ok := dataMark(record.Data); ok {
			if _, err := named.add(ctx, m); err != nil {
				return err
			}
		}
		b.mu.Lock()
		if d, ok := recordDigest(keys[i]); ok && b.missing[d] != nil {
			b.foundOne(b.missing[d])
		}
		b.mu.Unlock()
	}
	return nil
}

// condemnedData is what collections have written down that they are about to delete, and which blob it was.
func (b *rebuilder) condemnedData(ctx context.Context) (map[string]digest.Digest, error) {
	all := map[string]digest.Digest{}
	for entry, err := range b.driver.List(ctx, gcLogPrefix, "", "") {
		if err != nil {
			return nil, err
		}
		o, err := readObject(ctx, b.driver, entry.Key)
		if errors.Is(err, drivers.ErrNotFound) {
			continue
		} else if err != nil {
			return nil, err
		}
		var d deletions
		if err := json.Unmarshal(o.body, &d); err != nil {
			return nil, &drivers.Error{Op: "read log", Driver: "registry", Key: entry.Key, Kind: drivers.ErrCorrupt, Err: err}
		}
		for _, one := range d.Blobs {
			all[one.Data] = one.Digest
		}
	}
	return all, nil
}

// hashing is a body that is read to learn its digest.
type hashing struct {
	ctx  context.Context
	b    *rebuilder
	body io.Reader
}

// Read fails when another process has taken the lease meanwhile.
func (h hashing) Read(p []byte) (int, error) {
	if err := h.b.lease.keep(h.ctx); err != nil {
		return 0, err
	}
	n, err := h.body.Read(p)
	const tellEach = 64 << 20
	h.b.mu.Lock()
	before := h.b.report.Hashed
	h.b.report.Hashed += int64(n)
	after := h.b.report.Hashed
	h.b.mu.Unlock()
	if before/tellEach != after/tellEach {
		h.b.tell()
	}
	return n, err
}

// digests reads an object and returns its sha256 and, if one is missing, its sha512.
func (b *rebuilder) digests(ctx context.Context, key string) ([]digest.Digest, error) {
	body, info, err := openSteady(ctx, b.driver, key, 0, -1)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	hashes := map[digest.Algorithm]hash.Hash{digest.SHA256: sha256.New()}
	b.mu.Lock()
	b.report.Objects++
	if b.want512 > 0 {
		hashes[digest.SHA512] = sha512.New()
	}
	b.mu.Unlock()
	var all []io.Writer
	for _, h := range hashes {
		all = append(all, h)
	}
	const bufferSize = 256 << 10
	n, err := io.CopyBuffer(io.MultiWriter(all...), hashing{ctx, b, body}, make([]byte, bufferSize))
	if err == nil && n != info.Size {
		err = &drivers.Error{Op: "reader", Driver: "registry", Key: key, Kind: drivers.ErrCorrupt, Err: fmt.Errorf("%d bytes came of %d", n, info.Size)}
	}
	var found []digest.Digest
	for algorithm, h := range hashes {
		found = append(found, digest.NewDigest(algorithm, h))
	}
	slices.Sort(found)
	return found, err
}

// tryData reads data that no record names and, if it is a missing blob, puts that blob's record. If it could be two, it is one: no
// two records name the same data.
func (b *rebuilder) tryData(ctx context.Context, data candidate) error {
	if !b.wants(data.Size) {
		return nil // all of that size have been found since
	}
	all, err := b.digests(ctx, data.Key)
	switch {
	case errors.Is(err, drivers.ErrNotFound):
		return nil
	case ctx.Err() != nil || errors.Is(err, ErrCollecting):
		return err
	case err != nil:
		b.fail(err)
		return b.broken()
	}
	if data.noted != "" { // the next collection deletes it unless a record of that very blob names it
		all = slices.DeleteFunc(all, func(d digest.Digest) bool { return d != data.noted })
	}
	one := b.takeOne(all)
	if one == nil {
		return nil
	}
	found := b.o.DryRun
	record, err := json.Marshal(blobRecord{Size: data.Size, Data: data.Key})
	if err != nil {
		return err
	}
	key := recordKey(one.digest)
	err = b.put(ctx, Rebuilt{Kind: RebuiltBlob, Key: key, Reason: "its bytes are at " + data.Key, Bytes: data.Size}, func(ctx context.Context) error {
		if err := b.waitOut(ctx, condemnedKey(one.digest)); err != nil {
			return err
		}
		if data.young {
			if err := b.endSessions(ctx); err != nil {
				return err
			}
		}
		ctx, cancel, err := b.lease.within(ctx)
		if err != nil {
			return err
		}
		defer cancel()
		err = b.putIfAbsent(ctx, key, record)
		found = err == nil || errors.Is(err, drivers.ErrExists)
		return err
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	if one.taken = false; found {
		b.foundOne(one)
	}
	return err
}

// takeOne chooses the missing blob among digests of the same bytes: one that a manifest needs, if there is one.
func (b *rebuilder) takeOne(all []digest.Digest) *missingBlob {
	b.mu.Lock()
	defer b.mu.Unlock()
	var best *missingBlob
	for _, d := range all {
		one := b.missing[d]
		if one == nil || one.found || one.taken {
			continue
		}
		if best == nil || one.live && !best.live {
			best = one
		}
	}
	if best != nil {
		best.taken = true
	}
	return best
}

// endSessions gives the store another secret, so that no upload goes on that has written data which a record names now. It does so once.
func (b *rebuilder) endSessions(ctx context.Context) error {
	b.ending.Lock()
	defer b.ending.Unlock()
	if b.ended {
		return nil
	}
	o, err := readObject(ctx, b.driver, formatKey)
	if err != nil {
		return err
	}
	body, err := newFormat()
	if err != nil {
		return err
	}
	if err := b.putIfMatch(ctx, formatKey, body, o.info.ETag); err != nil {
		return err
	}
	b.ended = true
	b.rebuilt(Rebuilt{Kind: RebuiltFormat, Key: formatKey, Reason: "uploads under way have ended: what they wrote may be a blob now"})
	return nil
}
