package registry

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// scrubbedBlob is what is kept of a record, to be compared with the listing of data/: 64 bytes.
type scrubbedBlob struct {
	data   mark     // the key of its bytes; see dataMark
	long   bool     // its digest is a sha512
	digest [32]byte // or the first half
	size   int64
}

// dataKeyOf is the key that a mark by dataMark stands for.
func dataKeyOf(m mark) string {
	d := hex.EncodeToString(append([]byte{m[0]}, m[5:]...))
	return dataPrefix + d[:2] + "/" + markDay(m) + "/" + d
}

func (s *scrubber) digestOf(b scrubbedBlob) digest.Digest {
	if !b.long {
		return digest.NewDigestFromBytes(digest.SHA256, b.digest[:])
	}
	tail := s.tails[b.digest]
	return digest.NewDigestFromBytes(digest.SHA512, slices.Concat(b.digest[:], tail[:]))
}

// scrubRecords reads all records.
func (s *scrubber) scrubRecords(ctx context.Context) error {
	const batch = 10_000
	var some []drivers.Entry
	for entry, err := range s.driver.List(ctx, "blobs/", "", "") {
		if err != nil {
			return err
		}
		s.saw()
		d, ok := recordDigest(entry.Key)
		if !ok || recordKey(d) != entry.Key {
			s.foreign(entry.Key)
			continue
		}
		s.recorded.add(digestNumber(d))
		if some = append(some, entry); len(some) == batch {
			if err := s.readRecords(ctx, some); err != nil {
				return err
			}
			some = some[:0]
		}
	}
	if err := s.readRecords(ctx, some); err != nil {
		return err
	}
	s.recorded.sort()
	return nil
}

// parseScrubbed reads a record that a registry of this kind has made.
func parseScrubbed(key string, body []byte) (blobRecord, mark, error) {
	record, err := decodeRecord(key, body)
	if err != nil {
		return blobRecord{}, mark{}, err
	}
	m, _, ok := dataMark(record.Data)
	if !ok {
		return blobRecord{}, mark{}, fmt.Errorf("it names %q, which is no key of data", record.Data)
	}
	return record, m, nil
}

func (s *scrubber) readRecords(ctx context.Context, entries []drivers.Entry) error {
	read := make([]scrubbedBlob, len(entries))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelCollect)
	for i, entry := range entries {
		g.Go(func() error {
			d, _ := recordDigest(entry.Key)
			o, err := s.read(gctx, entry.Key)
			if errors.Is(err, drivers.ErrNotFound) {
				return nil
			} else if err != nil {
				s.obscured()
				return s.cannotRead(gctx, Finding{Key: entry.Key, Digest: d}, err)
			}
			record, m, err := parseScrubbed(entry.Key, o.body)
			if err != nil {
				s.obscured()
				return s.doubtRecord(gctx, entry.Key, d, err)
			}
			b := scrubbedBlob{data: m, long: d.Algorithm() == digest.SHA512, size: record.Size}
			raw, err := hex.DecodeString(d.Encoded())
			if err != nil {
				return err
			}
			copy(b.digest[:], raw)
			if b.long {
				s.mu.Lock()
				s.tails[b.digest] = [32]byte(raw[32:])
				s.mu.Unlock()
			}
			read[i] = b
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, b := range read {
		if b.data != (mark{}) {
			s.blobs = append(s.blobs, b)
			s.count(func(r *ScrubReport) { r.Blobs++; r.BlobBytes += b.size })
		}
	}
	return nil
}

func (s *scrubber) obscured() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.obscure = true
}

func (s *scrubber) doubtRecord(ctx context.Context, key string, d digest.Digest, why error) error {
	return s.doubts(ctx, &doubt{
		finding: Finding{Kind: FoundRecord, Key: key, Digest: d, Reason: "the blob's record can't be read: " + cause(why)},
		look: s.unreadable(key, func(body []byte) error {
			_, _, err := parseScrubbed(key, body)
			return err
		}),
		mend: quarantineRecord(d),
	})
}

// cause is why something can't be decoded, in words.
func cause(err error) string {
	if one := (*drivers.Error)(nil); errors.As(err, &one) {
		if one.Err == nil {
			return "it is not what was stored"
		}
		err = one.Err
	}
	return err.Error()
}

// scrubData compares the listing of data/ with what records name, both in the order of keys.
func (s *scrubber) scrubData(ctx context.Context) error {
	slices.SortFunc(s.blobs, func(a, b scrubbedBlob) int { return bytes.Compare(a.data[:], b.data[:]) })
	if err := s.doubtShared(ctx); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelCollect)
	i := 0
	missing := func(upto mark) {
		for ; i < len(s.blobs) && bytes.Compare(s.blobs[i].data[:], upto[:]) < 0; i++ {
			b := s.blobs[i]
			g.Go(func() error { return s.doubtData(gctx, b) })
		}
	}
	for entry, err := range s.driver.List(gctx, dataPrefix, "", "") {
		if err != nil {
			return errors.Join(g.Wait(), err)
		}
		s.saw()
		m, _, ok := dataMark(entry.Key)
		if !ok {
			s.foreign(entry.Key)
			continue
		}
		missing(m)
		named := false
		for ; i < len(s.blobs) && s.blobs[i].data == m; i++ {
			named = true
			if b := s.blobs[i]; b.size != entry.Size {
				g.Go(func() error { return s.doubtData(gctx, b) })
			}
		}
		if !named {
			s.count(func(r *ScrubReport) { r.Unnamed.Count++; r.Unnamed.Bytes += entry.Size })
		}
	}
	missing(mark(bytes.Repeat([]byte{0xff}, markSize)))
	return g.Wait()
}

// doubtData looks at a blob whose data is missing or has another size.
func (s *scrubber) doubtData(ctx context.Context, b scrubbedBlob) error {
	d, data := s.digestOf(b), dataKeyOf(b.data)
	one := &doubt{finding: Finding{Kind: FoundMissingData, Key: recordKey(d), Digest: d}, mend: quarantineRecord(d)}
	one.look = func(ctx context.Context) (string, error) {
		// The data first: a record goes before its data, so one that is there still names what ought to be there.
		info, err := s.driver.Stat(ctx, data)
		gone := errors.Is(err, drivers.ErrNotFound)
		if err != nil && !gone {
			return "", err
		}
		etag, err := s.stillNames(ctx, d, blobRecord{b.size, data})
		if err != nil || etag == "" || !gone && info.Size == b.size {
			return "", err
		}
		if gone {
			one.finding.Kind, one.finding.Reason = FoundMissingData, "its data is not there: "+data
		} else {
			one.finding.Kind, one.finding.Reason = FoundSize, fmt.Sprintf("its data has %d bytes, and ought to have %d: %s", info.Size, b.size, data)
		}
		return etag + " " + info.ETag, nil
	}
	return s.doubts(ctx, one)
}

// stillNames reads a blob's record, when a collection that is taking it away is over. It returns "" unless that names the data.
func (s *scrubber) stillNames(ctx context.Context, d digest.Digest, want blobRecord) (etag string, err error) {
	if err := s.waitOutOthers(ctx, condemnedKey(d)); err != nil {
		return "", err
	}
	o, err := s.read(ctx, recordKey(d))
	if errors.Is(err, drivers.ErrNotFound) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	if record, err := decodeRecord(recordKey(d), o.body); err != nil || record != want {
		return "", nil
	}
	return o.info.ETag, nil
}

// doubtShared finds records that name the same data.
func (s *scrubber) doubtShared(ctx context.Context) error {
	for i := 1; i < len(s.blobs); i++ {
		a, b := s.blobs[i-1], s.blobs[i]
		if a.data != b.data {
			continue
		}
		one, other, data := s.digestOf(b), s.digestOf(a), dataKeyOf(a.data)
		err := s.doubts(ctx, &doubt{
			finding: Finding{Kind: FoundSharedData, Key: recordKey(one), Digest: one, Reason: fmt.Sprintf("the record of %s names the same data: %s", other, data)},
			look: func(ctx context.Context) (string, error) {
				first, err := s.stillNames(ctx, one, blobRecord{b.size, data})
				if err != nil || first == "" {
					return "", err
				}
				second, err := s.stillNames(ctx, other, blobRecord{a.size, data})
				if err != nil || second == "" {
					return "", err
				}
				return first + " " + second, nil
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}
