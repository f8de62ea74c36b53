package accounts

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/config"
)

// RobotPrefix is how secrets of robots begin; keys begin with access.KeyPrefix. Regular expressions for programs that
// search for leaked secrets: lsr_[a-z2-7]{52} and lsk_[a-z2-7]{16}_[a-z2-7]{52}.
const RobotPrefix = "lsr_"

// RobotLogin is what stands before a robot's name where it logs in and in rules: robot$ci.
const RobotLogin = "robot$"

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// random is a text of n random bytes.
func random(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base32Lower.EncodeToString(b)
}

// secretBytes is the length of a secret: 256 bits.
const secretBytes = 32

// sumOf is what is kept of a secret.
func sumOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func matches(secret, sum string) bool {
	return subtle.ConstantTimeCompare([]byte(sumOf(secret)), []byte(sum)) == 1
}

// checkScope returns ErrGrant for a grant that could allow nothing, or that no robot and no key may have.
func checkScope(scope []access.Grant) error {
	for _, g := range scope {
		if len(g.Actions) == 0 {
			return ErrGrant
		}
		for _, a := range g.Actions {
			if a == access.Admin || !slices.Contains(access.Actions, a) {
				return fmt.Errorf("%w: not %q", ErrGrant, a)
			}
			if a != access.Catalogue && g.Repositories == "" {
				return ErrGrant
			}
		}
		if g.Repositories == "" {
			continue
		}
		var pattern config.Glob
		if err := pattern.UnmarshalText([]byte(g.Repositories)); err != nil {
			return fmt.Errorf("%w: %w", ErrGrant, err)
		}
	}
	return nil
}

// expired reports whether a time has come. The zero time never does.
func (s *Store) expired(t time.Time) bool { return !t.IsZero() && !s.now().Before(t) }

// usedEvery is how often at most the use of a robot or key is written down.
const usedEvery = time.Hour

// used notes that a robot or a key was used, in an object of its own: a change of the account at the same moment, such as its end,
// can't be undone by it. It costs a read each hour in each process, and a write each hour. That it fails is no reason to refuse anybody.
func (s *Store) used(ctx context.Context, key string) {
	if r, ok := s.read.GetIfPresent(key); ok && s.now().Sub(r.at) < usedEvery {
		return
	}
	r, err := s.get(ctx, key)
	if err != nil {
		return
	}
	if s.lastUsed(r).Add(usedEvery).After(s.now()) {
		return
	}
	body := []byte(s.now().UTC().Format(time.RFC3339))
	if s.store.Put(ctx, key, body) == nil {
		s.read.Set(key, reading{body: body, at: s.now()})
	}
}

// lastUsed is what used has written, or zero.
func (s *Store) lastUsed(r reading) time.Time {
	t, _ := time.Parse(time.RFC3339, string(r.body)) // what is not a time is overwritten at the next use
	return t
}

// absentAsUnknown is the error of a source.
func absentAsUnknown(err error) error {
	if errors.Is(err, ErrAbsent) {
		return access.ErrUnknown
	}
	return err
}

// refused says why to the audit log; the client is not told.
func refused(why string) error { return fmt.Errorf("%s: %w", why, access.ErrRefused) }
