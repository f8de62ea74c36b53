package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
)

// quarantinePrefix is where a Scrub moves what is corrupt: to quarantine/KEY-SUM, as it is. SUM is the beginning of the content's sha256, so that what is
// moved twice, since the first time was broken off, is there once.
const quarantinePrefix = "quarantine/"

// quarantinedKey is the key that an object below quarantinePrefix had before.
func quarantinedKey(key string) (string, bool) {
	rest := strings.TrimPrefix(key, quarantinePrefix)
	i := strings.LastIndexByte(rest, '-')
	if i < 0 || len(rest)-i-1 != quarantineSum {
		return "", false
	}
	return rest[:i], true
}

// quarantineSum is the length of SUM.
const quarantineSum = 16

func quarantineKey(key string, body []byte) string {
	return fmt.Sprintf("%s%s-%s", quarantinePrefix, key, digest.FromBytes(body).Encoded()[:quarantineSum])
}

// quarantine is what the records say that a Scrub has moved. Their data is kept from collections.
type quarantine struct {
	data    map[string]bool        // keys of it
	unknown map[digest.Digest]bool // blobs whose record can't be read, and that have no other since
}

// quarantine reads the records that were moved. One is put there before it is removed where it was, so who has found a record gone and reads this after that finds it here.
func (r *Registry) quarantine(ctx context.Context) (quarantine, error) {
	q := quarantine{map[string]bool{}, map[digest.Digest]bool{}}
	for entry, err := range r.driver.List(ctx, quarantinePrefix+"blobs/", "", "") {
		if err != nil {
			return q, err
		}
		key, _ := quarantinedKey(entry.Key)
		d, ok := recordDigest(key)
		if !ok {
			continue
		}
		o, err := readObject(ctx, r.driver, entry.Key)
		if errors.Is(err, drivers.ErrNotFound) {
			continue // dropped since
		} else if err != nil {
			return q, err
		}
		if record, err := decodeRecord(key, o.body); err == nil {
			q.data[record.Data] = true
			continue
		}
		if _, err := r.driver.Stat(ctx, key); errors.Is(err, drivers.ErrNotFound) {
			q.unknown[d] = true
		} else if err != nil {
			return q, err
		}
	}
	return q, nil
}

// keeps reports whether the data of a blob has to stay.
func (q quarantine) keeps(b blobDeletion) bool { return q.data[b.Data] || q.unknown[b.Digest] }

// scrubQuarantine finds what was moved there.
func (s *scrubber) scrubQuarantine(ctx context.Context) error {
	for entry, err := range s.driver.List(ctx, quarantinePrefix, "", "") {
		if err != nil {
			return err
		}
		s.saw()
		key, ok := quarantinedKey(entry.Key)
		if !ok {
			s.foreign(entry.Key)
			continue
		}
		f := &Finding{Kind: FoundQuarantined, Key: entry.Key, Reason: "moved there from " + key + " at " + entry.ModTime.UTC().Format(time.RFC3339)}
		if d, ok := recordDigest(key); ok {
			f.Digest = d
			s.quarantined.add(digestNumber(d))
		}
		etag, err := s.stat(ctx, key)
		if err != nil {
			if err := s.cannotRead(ctx, *f, err); err != nil {
				return err
			}
			continue
		}
		if etag != "" {
			f.Reason += "; there is another one since"
		}
		if s.o.DropQuarantined {
			s.dropping = append(s.dropping, f)
			continue
		}
		s.found(f)
	}
	s.quarantined.sort()
	return nil
}

// dropQuarantined removes what was in quarantine when the Scrub began: the data of records first, unless another record names it.
func (s *scrubber) dropQuarantined(ctx context.Context) error {
	for _, f := range s.dropping {
		if f.Err = s.drop(ctx, f); f.Err == nil {
			f.Done = MendedRemoved
		} else if ctx.Err() != nil {
			return ctx.Err()
		}
		f.Open = f.Err != nil
		s.found(f)
	}
	return nil
}

func (s *scrubber) drop(ctx context.Context, f *Finding) error {
	key, _ := quarantinedKey(f.Key)
	if f.Digest == "" {
		return s.driver.Delete(ctx, f.Key)
	}
	if s.obscure {
		return errors.New("what it named may be named by a record that can't be read: repair that first")
	}
	o, err := s.read(ctx, f.Key)
	if err != nil {
		return err
	}
	record, m, err := parseScrubbed(key, o.body)
	if err != nil {
		f.Reason += "; the bytes of the blob, if there are any, are not known"
		return s.driver.Delete(ctx, f.Key)
	}
	_, named := slices.BinarySearchFunc(s.blobs, m, func(b scrubbedBlob, m mark) int { return bytes.Compare(b.data[:], m[:]) })
	if named {
		return s.driver.Delete(ctx, f.Key)
	}
	if err := s.driver.Delete(ctx, record.Data); err != nil {
		return err
	}
	return s.driver.Delete(ctx, f.Key)
}
