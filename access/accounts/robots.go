package accounts

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/access"
)

// Robot is an account of a program. It may do what its scope says, unless a rule denies it.
type Robot struct {
	Name      string         `json:"name"` // without robot$
	Scope     []access.Grant `json:"scope"`
	Disabled  bool           `json:"disabled,omitempty"`
	Expires   time.Time      `json:"expires,omitzero"`
	Created   time.Time      `json:"created"`
	CreatedBy string         `json:"createdBy,omitempty"`
	Rotated   time.Time      `json:"rotated,omitzero"` // when its secret was made anew
	Used      time.Time      `json:"used,omitzero"`    // the last time, to an hour; not kept in the record
}

type robotRecord struct {
	Robot
	Secret string `json:"secretSHA256"`
}

// AddRobot makes a robot and returns its secret, which can't be had again. It locks the registry, as AddUser does. ErrExists,
// ErrName, ErrGrant.
func (s *Store) AddRobot(ctx context.Context, r Robot, by string) (secret string, err error) {
	if err := CheckName(r.Name); err != nil {
		return "", err
	}
	if len(r.Scope) == 0 {
		return "", ErrGrant
	}
	if err := checkScope(r.Scope); err != nil {
		return "", err
	}
	if err := s.Lock(ctx, by); err != nil {
		return "", err
	}
	r.Created, r.CreatedBy, r.Used = s.now().UTC(), by, time.Time{}
	secret = RobotPrefix + random(secretBytes)
	return secret, s.create(ctx, keyOf(robotFolder, r.Name), robotRecord{r, sumOf(secret)})
}

// Robots are all of them, sorted by name.
func (s *Store) Robots(ctx context.Context) ([]Robot, error) {
	var all []Robot
	err := each(ctx, s, robotFolder, func(r robotRecord) error {
		used, err := s.get(ctx, keyOf(usedFolder+"robots/", r.Name))
		r.Used = s.lastUsed(used)
		all = append(all, r.Robot)
		return err
	})
	slices.SortFunc(all, func(a, b Robot) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

// RotateRobot gives a robot another secret. The one before ends within Refresh. ErrAbsent.
func (s *Store) RotateRobot(ctx context.Context, name string) (secret string, err error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	secret = RobotPrefix + random(secretBytes)
	return secret, update(ctx, s, keyOf(robotFolder, name), func(r *robotRecord) error {
		r.Secret, r.Rotated = sumOf(secret), s.now().UTC()
		return nil
	})
}

// ChangeRobot changes what change changes: Scope, Disabled and Expires count. It may be called more than once. ErrAbsent, ErrGrant.
func (s *Store) ChangeRobot(ctx context.Context, name string, change func(*Robot)) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return update(ctx, s, keyOf(robotFolder, name), func(r *robotRecord) error {
		changed := r.Robot
		change(&changed)
		r.Scope, r.Disabled, r.Expires = changed.Scope, changed.Disabled, changed.Expires
		return checkScope(r.Scope)
	})
}

// RemoveRobot removes a robot. ErrAbsent.
func (s *Store) RemoveRobot(ctx context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	key := keyOf(robotFolder, name)
	r, err := s.get(ctx, key)
	if err != nil {
		return err
	}
	if r.body == nil {
		return ErrAbsent
	}
	return s.remove(ctx, key, keyOf(usedFolder+"robots/", name))
}

// checkRobot is Check for the name behind robot$.
func (s *Store) checkRobot(ctx context.Context, name, secret string) (access.Identity, error) {
	if CheckName(name) != nil {
		return access.Identity{}, access.ErrUnknown
	}
	key := keyOf(robotFolder, name)
	read, err := s.recent(ctx, key)
	if err != nil {
		return access.Identity{}, err
	}
	r, err := decode[robotRecord](key, read)
	switch {
	case err != nil:
		return access.Identity{}, absentAsUnknown(err)
	case r.Name != name:
		return access.Identity{}, access.ErrUnknown
	case !matches(secret, r.Secret):
		return access.Identity{}, refused("wrong secret")
	case r.Disabled:
		return access.Identity{}, refused("the robot is disabled")
	case s.expired(r.Expires):
		return access.Identity{}, refused("the robot has expired")
	}
	s.used(ctx, keyOf(usedFolder+"robots/", name))
	return access.Identity{
		Name: RobotLogin + r.Name, Kind: access.Robot, Source: Source, Scope: notNil(r.Scope), Expires: r.Expires, AsOf: read.at,
	}, nil
}

// notNil is a scope that narrows: a nil one would narrow nothing.
func notNil(scope []access.Grant) []access.Grant {
	if scope == nil {
		return []access.Grant{}
	}
	return scope
}
