package accounts

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/longshore-registry/longshore/access"
)

// Errors about users whom another source identifies.
var (
	ErrTaken     = errors.New("the name is that of somebody else here")
	ErrElsewhere = errors.New("the user's password is not kept here")
)

// Enter makes an account for a person whom another source, u.Source, has identified, so that he can have API keys, or brings its Groups and Admin up
// to date. It has no password. ErrName; ErrTaken if the name is that of a user of the store or of another source; access.ErrRefused if the user is disabled.
//
// What his keys may do follows from the groups that he had when he was identified last, and goes on until they end: disable the user to end them.
func (s *Store) Enter(ctx context.Context, u User) error {
	if err := CheckName(u.Name); err != nil {
		return err
	}
	if u.Source == "" {
		return fmt.Errorf("%s: no source: %w", u.Name, ErrTaken)
	}
	if err := s.Lock(ctx, u.Source); err != nil { // first of all, as AddUser does
		return err
	}
	key := keyOf(userFolder, u.Name)
	u.Created, u.CreatedBy, u.Disabled, u.MustChange = s.now().UTC(), u.Source, false, false
	u.Changed = u.Created
	err := s.create(ctx, key, userRecord{User: u, ID: rand.Text()})
	if !errors.Is(err, ErrExists) {
		return err
	}
	there, _, err := s.user(ctx, u.Name, s.get)
	if errors.Is(err, ErrAbsent) {
		return ErrTaken // on a disk that ignores case
	}
	if err != nil {
		return err
	}
	if err := there.enters(u.Source); err != nil || there.Admin == u.Admin && slices.Equal(there.Groups, u.Groups) {
		return err
	}
	return update(ctx, s, key, func(r *userRecord) error {
		r.Groups, r.Admin = u.Groups, u.Admin
		return r.enters(u.Source)
	})
}

// enters reports whether a source may say who the user is.
func (u userRecord) enters(source string) error {
	switch {
	case u.Source != source:
		return ErrTaken
	case u.Disabled:
		return fmt.Errorf("the user is disabled: %w", access.ErrRefused)
	}
	return nil
}
