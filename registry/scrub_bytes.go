package registry

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/longshore-registry/longshore/drivers"
)

// scrubPiece is how much of a blob is read at a time, in bytes.
const scrubPiece = 64 << 10

// scrubBytes reads the bytes of all blobs, in the order of their keys, which is none of their digests or repositories.
func (s *scrubber) scrubBytes(ctx context.Context) error {
	blobs := s.blobs
	s.blobs = nil
	if !s.o.Bytes {
		return nil
	}
	s.mu.Lock()
	s.phase.Of, s.phase.Total = int64(len(blobs)), s.report.BlobBytes
	s.mu.Unlock()
	limit := rate.NewLimiter(rate.Inf, 0)
	if s.o.Rate > 0 {
		limit = rate.NewLimiter(rate.Limit(s.o.Rate), scrubPiece)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s.o.Readers)
	for _, b := range blobs {
		d := s.digestOf(b)
		s.mu.Lock()
		_, bad := s.bad[d]
		s.mu.Unlock()
		if bad {
			continue
		}
		g.Go(func() error { return s.verifyBytes(gctx, b, d, limit) })
		if gctx.Err() != nil {
			break
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// verifyBytes compares a blob's bytes with its digest. If they differ they are read once more, since what passes on the way from the store may change, too. What is wrong then
// is a finding at once: bytes never change, so no push explains it.
func (s *scrubber) verifyBytes(ctx context.Context, b scrubbedBlob, d digest.Digest, limit *rate.Limiter) error {
	blob := Blob{Digest: d, Size: b.size, data: dataKeyOf(b.data)}
	first, err := s.hashData(ctx, blob, limit)
	s.mu.Lock()
	s.report.Verified++
	s.phase.Seen++
	s.tell(false)
	s.mu.Unlock()
	switch {
	case errors.Is(err, drivers.ErrNotFound):
		return s.doubtData(ctx, b) // or collected since
	case err != nil:
		return s.cannotRead(ctx, Finding{Key: blob.data, Digest: d}, err)
	case first == d:
		return nil
	}
	second, err := s.hashData(ctx, blob, limit)
	if errors.Is(err, drivers.ErrNotFound) {
		return s.doubtData(ctx, b)
	} else if err != nil {
		return s.cannotRead(ctx, Finding{Key: blob.data, Digest: d}, err)
	}
	if second == d {
		s.found(&Finding{Kind: FoundUnsteady, Key: blob.data, Digest: d, Reason: fmt.Sprintf("what the store returned had the digest %s first, and the right one when it was read again", first)})
		return nil
	}
	etag, err := s.stillNames(ctx, d, blobRecord{blob.Size, blob.data})
	if err != nil {
		return s.cannotRead(ctx, Finding{Key: recordKey(d), Digest: d}, err)
	}
	if etag == "" {
		return nil
	}
	one := &doubt{
		finding:  Finding{Kind: FoundBytes, Key: recordKey(d), Digest: d, Reason: fmt.Sprintf("its data has the digest %s: %s", second, blob.data)},
		evidence: etag, mend: quarantineRecord(d),
		look: func(ctx context.Context) (string, error) {
			return s.stillNames(ctx, d, blobRecord{blob.Size, blob.data})
		},
	}
	if s.o.Repair {
		if err := s.mendAll(ctx, []*doubt{one}); err != nil {
			return err
		}
	}
	s.conclude(one)
	return nil
}

// hashData reads a blob's bytes at the rate that is allowed, and hashes them.
func (s *scrubber) hashData(ctx context.Context, b Blob, limit *rate.Limiter) (digest.Digest, error) {
	body, _, err := openSteady(ctx, s.driver, b.data, 0, -1)
	if err != nil {
		return "", err
	}
	defer body.Close()
	h := b.Digest.Algorithm().Hash()
	piece := make([]byte, scrubPiece)
	for {
		n, err := body.Read(piece)
		h.Write(piece[:n])
		s.mu.Lock()
		s.report.ReadBlobs += int64(n)
		s.phase.Bytes += int64(n)
		s.tell(false)
		s.mu.Unlock()
		if err == io.EOF {
			return digest.NewDigest(b.Digest.Algorithm(), h), nil
		} else if err != nil {
			return "", err
		}
		if err := limit.WaitN(ctx, n); err != nil {
			return "", err
		}
	}
}
