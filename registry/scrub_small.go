package registry

import (
	"context"
	"encoding/hex"
	"errors"

	"github.com/longshore-registry/longshore/drivers"
)

// readSmall reads an object and compares it with what it has to be.
func (s *scrubber) readSmall(ctx context.Context, f Finding, how *mend, decode func(body []byte) error) error {
	o, err := s.read(ctx, f.Key)
	if errors.Is(err, drivers.ErrNotFound) {
		return nil
	} else if err != nil {
		return s.cannotRead(ctx, f, err)
	}
	if decode(o.body) == nil {
		return nil
	}
	return s.doubts(ctx, &doubt{finding: f, mend: how, look: s.unreadable(f.Key, decode)})
}

// readLink reads a link. Any content will do for pulls, but it has to be one that no link had before.
func (s *scrubber) readLink(ctx context.Context, repo *scrubbedRepo, key string) error {
	etag := ""
	one := &doubt{finding: Finding{Kind: FoundLink, Key: key, Repository: repo.name, Reason: "the link does not have the random content that tells it from others"}}
	one.look = func(ctx context.Context) (string, error) {
		var err error
		etag, err = s.unreadable(key, func(body []byte) error {
			if b, err := hex.DecodeString(string(body)); err != nil || 2*len(b) != linkSize {
				return errors.New("not a nonce")
			}
			return nil
		})(ctx)
		return etag, err
	}
	one.mend = &mend{write: func(ctx context.Context) error { return s.putIfMatch(ctx, key, []byte(nonce()), etag) }}
	return s.doubts(ctx, one)
}
