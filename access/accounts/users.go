package accounts

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/access/internal/phc"
)

// Source is the Identity.Source of users, robots and keys that are kept in the store.
const Source = "users"

// User is an account of a person.
type User struct {
	Name       string    `json:"name"`
	Admin      bool      `json:"admin,omitempty"`
	Groups     []string  `json:"groups,omitempty"`
	Disabled   bool      `json:"disabled,omitempty"`
	MustChange bool      `json:"mustChange,omitempty"` // the password has to be changed before anything else
	Created    time.Time `json:"created"`
	CreatedBy  string    `json:"createdBy,omitempty"`
	Changed    time.Time `json:"changed"` // when the password was set

	// Source is who identifies the user, who has no password then: the name of an OIDC provider. "": the store.
	Source string `json:"source,omitempty"`
}

// userRecord is how a user is kept.
type userRecord struct {
	User
	ID       string `json:"id"` // random; tells this user from a later one of the same name
	Password string `json:"password"`
}

// identity is the user as the rest of the program knows him.
func (u userRecord) identity(asOf time.Time) access.Identity {
	sum := sha256.Sum256([]byte(u.ID + u.Password))
	return access.Identity{
		Name: u.Name, Kind: access.User, Source: cmp.Or(u.Source, Source), Groups: u.Groups, Admin: u.Admin, MustChange: u.MustChange,
		AsOf: asOf, Generation: hex.EncodeToString(sum[:8]),
	}
}

// AddUser makes an account and locks the registry: from now on credentials are needed. The first of all users is an
// administrator. by is who does it. ErrExists, ErrName, ErrPassword.
func (s *Store) AddUser(ctx context.Context, u User, password, by string) error {
	if err := CheckName(u.Name); err != nil {
		return err
	}
	u.Source = ""
	hash, err := s.hashed(ctx, password)
	if err != nil {
		return err
	}
	if !u.Admin {
		some, err := s.HasUsers(ctx)
		if err != nil {
			return err
		}
		u.Admin = !some
	}
	// First of all: there is never an account in a registry that is open to everybody.
	if err := s.Lock(ctx, by); err != nil {
		return err
	}
	u.Created, u.CreatedBy = s.now().UTC(), by
	u.Changed = u.Created
	return s.create(ctx, keyOf(userFolder, u.Name), userRecord{User: u, ID: rand.Text(), Password: hash})
}

func (s *Store) hashed(ctx context.Context, password string) (string, error) {
	if len(password) < 8 || len(password) > 1024 {
		return "", ErrPassword
	}
	h, err := phc.New(ctx, password, s.cost)
	return h.String(), err
}

// HasUsers reports whether there is a user.
func (s *Store) HasUsers(ctx context.Context) (bool, error) {
	for _, err := range s.store.List(ctx, userFolder, "", "") {
		return err == nil, err
	}
	return false, nil
}

// HasAdmin reports whether a user is an administrator and not disabled. It reads users until it finds one.
func (s *Store) HasAdmin(ctx context.Context) (bool, error) {
	found := errors.New("found")
	err := each(ctx, s, userFolder, func(u userRecord) error {
		if u.Admin && !u.Disabled {
			return found
		}
		return nil
	})
	if errors.Is(err, found) {
		return true, nil
	}
	return false, err
}

// Users are all of them, sorted by name.
func (s *Store) Users(ctx context.Context) ([]User, error) {
	var all []User
	err := each(ctx, s, userFolder, func(u userRecord) error {
		all = append(all, u.User)
		return nil
	})
	slices.SortFunc(all, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

// User is the user of that name, or ErrAbsent.
func (s *Store) User(ctx context.Context, name string) (User, error) {
	u, _, err := s.user(ctx, name, s.get)
	return u.User, err
}

// user reads a user with get or recent. What is not exactly of that name, as on a disk that ignores case, is ErrAbsent.
func (s *Store) user(ctx context.Context, name string, read func(context.Context, string) (reading, error)) (userRecord, time.Time, error) {
	if CheckName(name) != nil {
		return userRecord{}, s.now(), ErrAbsent
	}
	key := keyOf(userFolder, name)
	r, err := read(ctx, key)
	if err != nil {
		return userRecord{}, r.at, err
	}
	u, err := decode[userRecord](key, r)
	if err == nil && u.Name != name {
		err = ErrAbsent
	}
	return u, r.at, err
}

// SetPassword gives a user another password. ErrAbsent, ErrPassword. mustChange says that he has to change it at once.
// ErrElsewhere for a user whom another source identifies.
func (s *Store) SetPassword(ctx context.Context, name, password string, mustChange bool) error {
	if err := CheckName(name); err != nil {
		return err
	}
	hash, err := s.hashed(ctx, password)
	if err != nil {
		return err
	}
	return update(ctx, s, keyOf(userFolder, name), func(u *userRecord) error {
		if u.Source != "" {
			return ErrElsewhere
		}
		u.Password, u.MustChange, u.Changed = hash, mustChange, s.now().UTC()
		return nil
	})
}

// ChangeUser changes what change changes: Admin, Groups and Disabled count. It may be called more than once. ErrAbsent.
func (s *Store) ChangeUser(ctx context.Context, name string, change func(*User)) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return update(ctx, s, keyOf(userFolder, name), func(u *userRecord) error {
		changed := u.User
		change(&changed)
		u.Admin, u.Groups, u.Disabled = changed.Admin, changed.Groups, changed.Disabled
		return nil
	})
}

// RemoveUser removes a user with his keys. ErrAbsent. The registry stays locked, also after the last one.
func (s *Store) RemoveUser(ctx context.Context, name string) error {
	if _, err := s.User(ctx, name); err != nil {
		return err
	}
	keys, err := s.Keys(ctx, name)
	if err != nil {
		return err
	}
	doomed := []string{keyOf(userFolder, name)}
	for _, k := range keys {
		doomed = append(doomed, keyFolder+k.ID, usedFolder+"keys/"+k.ID)
	}
	return s.remove(ctx, doomed...)
}

func (s *Store) remove(ctx context.Context, keys ...string) error {
	defer func() {
		for _, k := range keys {
			s.read.Invalidate(k)
		}
	}()
	return s.store.Delete(ctx, keys...)
}
