package accounts

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/access/internal/phc"
)

// Check implements access.Passwords: for users with their passwords, and for robots, whose names begin with robot$, with
// their secrets.
func (s *Store) Check(ctx context.Context, name, password string) (access.Identity, error) {
	if robot, ok := strings.CutPrefix(name, RobotLogin); ok {
		return s.checkRobot(ctx, robot, password)
	}
	u, asOf, err := s.user(ctx, name, s.recent)
	unknown := errors.Is(err, ErrAbsent) || u.Source != "" // who has no password here may have one with the next source
	if err != nil && !unknown {
		return access.Identity{}, err
	}
	hash := s.decoy // so that it takes as long without such a user
	if !unknown {
		if hash, err = phc.Parse(u.Password); err != nil {
			return access.Identity{}, fmt.Errorf("%s: the password %w", keyOf(userFolder, name), err)
		}
	}
	good, err := hash.Matches(ctx, password)
	switch {
	case err != nil:
		return access.Identity{}, err
	case unknown:
		return access.Identity{}, access.ErrUnknown
	case !good:
		return access.Identity{}, refused("wrong password")
	case u.Disabled:
		return access.Identity{}, refused("the user is disabled")
	}
	return u.identity(asOf), nil
}

// Renew implements access.Renewer for users. Robots get no refresh tokens.
func (s *Store) Renew(ctx context.Context, name string) (access.Identity, error) {
	u, asOf, err := s.user(ctx, name, s.recent)
	if err != nil {
		return access.Identity{}, absentAsUnknown(err)
	}
	if u.Source != "" {
		return access.Identity{}, access.ErrUnknown
	}
	if u.Disabled {
		return access.Identity{}, refused("the user is disabled")
	}
	return u.identity(asOf), nil
}
