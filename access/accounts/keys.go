package accounts

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/access"
)

// Key is an API key: a second password of a user that can be narrowed and revoked.
type Key struct {
	ID        string         `json:"id"`
	User      string         `json:"user"`
	Note      string         `json:"note,omitempty"`  // what it is for
	Scope     []access.Grant `json:"scope,omitempty"` // nil: all that the user may
	Expires   time.Time      `json:"expires,omitzero"`
	Created   time.Time      `json:"created"`
	CreatedBy string         `json:"createdBy,omitempty"`
	Used      time.Time      `json:"used,omitzero"` // the last time, to an hour; not kept in the record
}

type keyRecord struct {
	Key
	UserID string `json:"userID"` // of the user's record
	Secret string `json:"secretSHA256"`
}

// keyIDBytes is the length of a key's name.
const keyIDBytes = 10

// AddKey makes a key for a user and returns it with its secret, which can't be had again. ErrAbsent if there is no such
// user, ErrGrant. A Scope that is empty but not nil is an ErrGrant too: the key would be good for nothing.
func (s *Store) AddKey(ctx context.Context, k Key, by string) (Key, string, error) {
	if k.Scope != nil && len(k.Scope) == 0 {
		return Key{}, "", ErrGrant
	}
	if err := checkScope(k.Scope); err != nil {
		return Key{}, "", err
	}
	u, _, err := s.user(ctx, k.User, s.get)
	if err != nil {
		return Key{}, "", err
	}
	k.ID, k.Created, k.CreatedBy, k.Used = random(keyIDBytes), s.now().UTC(), by, time.Time{}
	secret := access.KeyPrefix + k.ID + "_" + random(secretBytes)
	err = s.create(ctx, keyFolder+k.ID, keyRecord{k, u.ID, sumOf(secret)})
	return k, secret, err
}

// Keys are those of a user, or of all users for "", the oldest first.
func (s *Store) Keys(ctx context.Context, user string) ([]Key, error) {
	var all []Key
	err := each(ctx, s, keyFolder, func(k keyRecord) error {
		if user != "" && k.User != user {
			return nil
		}
		used, err := s.get(ctx, usedFolder+"keys/"+k.ID)
		k.Used = s.lastUsed(used)
		all = append(all, k.Key)
		return err
	})
	slices.SortStableFunc(all, func(a, b Key) int { return a.Created.Compare(b.Created) })
	return all, err
}

// Key is the key of that ID, or ErrAbsent.
func (s *Store) Key(ctx context.Context, id string) (Key, error) {
	if !isKeyID(id) {
		return Key{}, ErrAbsent
	}
	r, err := s.get(ctx, keyFolder+id)
	if err != nil {
		return Key{}, err
	}
	k, err := decode[keyRecord](keyFolder+id, r)
	return k.Key, err
}

// RevokeKey ends a key, on every replica within Refresh. ErrAbsent.
func (s *Store) RevokeKey(ctx context.Context, id string) error {
	if _, err := s.Key(ctx, id); err != nil {
		return err
	}
	return s.remove(ctx, keyFolder+id, usedFolder+"keys/"+id)
}

// isKeyID reports whether a text may be a key's ID; of anything else no key of the store is made.
func isKeyID(id string) bool {
	b, err := base32Lower.DecodeString(id)
	return err == nil && len(b) == keyIDBytes
}

// CheckToken implements access.Tokens for API keys. What does not begin as a key does is access.ErrUnknown.
func (s *Store) CheckToken(ctx context.Context, token string) (access.Identity, error) {
	rest, isKey := strings.CutPrefix(token, access.KeyPrefix)
	if !isKey {
		return access.Identity{}, access.ErrUnknown
	}
	id, _, _ := strings.Cut(rest, "_")
	if !isKeyID(id) {
		return access.Identity{}, refused("not a key")
	}
	read, err := s.recent(ctx, keyFolder+id)
	if err != nil {
		return access.Identity{}, err
	}
	k, err := decode[keyRecord](keyFolder+id, read)
	switch {
	case errors.Is(err, ErrAbsent):
		return access.Identity{}, refused("no such key")
	case err != nil:
		return access.Identity{}, err
	case !matches(token, k.Secret):
		return access.Identity{}, refused("wrong secret of a key")
	case s.expired(k.Expires):
		return access.Identity{}, refused("the key has expired")
	}
	u, asOf, err := s.user(ctx, k.User, s.recent)
	switch {
	case errors.Is(err, ErrAbsent), err == nil && u.ID != k.UserID:
		return access.Identity{}, refused("the key's user is gone")
	case err != nil:
		return access.Identity{}, err
	case u.Disabled:
		return access.Identity{}, refused("the key's user is disabled")
	}
	s.used(ctx, usedFolder+"keys/"+id)
	if read.at.Before(asOf) {
		asOf = read.at
	}
	who := u.identity(asOf)
	who.Kind, who.Scope, who.Expires, who.Generation = access.Key, k.Scope, k.Expires, ""
	return who, nil
}
