package accounts

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/access/internal/phc"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/fs"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// clock is a time that tests move.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

// counted counts the reads of a driver, and hides what else it can do.
type counted struct {
	drivers.Driver
	reads  int
	extras drivers.Extras
	err    error
}

func (c *counted) Extras() drivers.Extras { return c.extras }

func (c *counted) Reader(ctx context.Context, key string, offset, length int64) (r readCloser, info drivers.Info, err error) {
	c.reads++
	if c.err != nil {
		return nil, info, c.err
	}
	return c.Driver.Reader(ctx, key, offset, length)
}

// onDrivers runs a test on a store in memory, on one that can't compare (as Swift), and on a folder.
func onDrivers(t *testing.T, test func(t *testing.T, d drivers.Driver)) {
	t.Run("memory", func(t *testing.T) { test(t, memory.New(memory.Options{})) })
	t.Run("without conditions", func(t *testing.T) { test(t, &counted{Driver: memory.New(memory.Options{})}) })
	t.Run("fs", func(t *testing.T) {
		d, err := fs.Open(t.Context(), fs.Config{Root: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		test(t, d)
	})
}

func open(t *testing.T, d drivers.Driver, c *clock) *Store {
	t.Helper()
	s, err := Open(d, Options{Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	s.cost = phc.Cost{Memory: 64, Time: 1} // the tests are about other things
	s.decoy = s.cost.Decoy()
	return s
}

func newClock() *clock { return &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const good, other = "correct horse", "battery staple"

func TestUsers(t *testing.T) {
	onDrivers(t, func(t *testing.T, d drivers.Driver) {
		ctx, c := t.Context(), newClock()
		s := open(t, d, c)
		if locked, err := s.Locked(ctx); locked || err != nil {
			t.Fatalf("an empty store is locked: %v, %v", locked, err)
		}
		must(t, s.AddUser(ctx, User{Name: "b_o@b.example"}, good, "me"))
		must(t, s.AddUser(ctx, User{Name: "alice", Groups: []string{"dev"}}, other, "me"))
		if err := s.AddUser(ctx, User{Name: "alice"}, good, "me"); !errors.Is(err, ErrExists) {
			t.Errorf("a second alice: %v", err)
		}
		if locked, err := s.Locked(ctx); !locked || err != nil {
			t.Errorf("with an account it is locked: %v, %v", locked, err)
		}
		all, err := s.Users(ctx)
		must(t, err)
		if len(all) != 2 || all[0].Name != "alice" || all[1].Name != "b_o@b.example" || all[0].Admin || !all[1].Admin || all[0].CreatedBy != "me" || !all[0].Created.Equal(c.now) {
			t.Errorf("users: %+v; want alice, and b_o@b.example as the administrator", all)
		}
		check := func(name, password string, want error) access.Identity {
			t.Helper()
			id, err := s.Check(ctx, name, password)
			if !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("%s with %q: got %v, want %v", name, password, err, want)
			}
			return id
		}
		id := check("alice", other, nil)
		if id.Name != "alice" || id.Kind != access.User || id.Source != Source || len(id.Groups) != 1 || id.Admin || id.Scope != nil || id.Generation == "" {
			t.Errorf("alice is %+v", id)
		}
		check("alice", good, access.ErrRefused)
		check("carol", good, access.ErrUnknown)
		check("no/name", good, access.ErrUnknown)
		must(t, s.SetPassword(ctx, "alice", good, true))
		if again := check("alice", good, nil); !again.MustChange || again.Generation == id.Generation {
			t.Errorf("after an administrator has set the password: %+v", again)
		}
		must(t, s.ChangeUser(ctx, "alice", func(u *User) { u.Disabled, u.Admin, u.Name = true, true, "x" }))
		check("alice", good, access.ErrRefused)
		if _, err := s.Renew(ctx, "alice"); !errors.Is(err, access.ErrRefused) {
			t.Errorf("a disabled user is renewed: %v", err)
		}
		must(t, s.ChangeUser(ctx, "alice", func(u *User) { u.Disabled = false }))
		if id, err := s.Renew(ctx, "alice"); err != nil || !id.Admin || id.Generation == "" {
			t.Errorf("renewed: %+v, %v", id, err)
		}
		must(t, s.RemoveUser(ctx, "alice"))
		check("alice", good, access.ErrUnknown)
		for what, err := range map[string]error{
			"rm": s.RemoveUser(ctx, "alice"), "passwd": s.SetPassword(ctx, "alice", good, false), "change": s.ChangeUser(ctx, "alice", func(*User) {}),
		} {
			if !errors.Is(err, ErrAbsent) {
				t.Errorf("%s of a user who is gone: %v", what, err)
			}
		}
		must(t, s.RemoveUser(ctx, "b_o@b.example"))
		if locked, err := open(t, d, c).Locked(ctx); !locked || err != nil {
			t.Errorf("the last user's removal opened the registry: %v, %v", locked, err)
		}
	})
}

func TestWhatAnAccountCannotBe(t *testing.T) {
	ctx := t.Context()
	s := open(t, memory.New(memory.Options{}), newClock())
	for _, name := range []string{"", ".", "..", "-a", "_a", "@a", "a/b", "a b", "robot$a", "ü", strings.Repeat("a", 65), "a\n"} {
		if err := s.AddUser(ctx, User{Name: name}, good, ""); !errors.Is(err, ErrName) {
			t.Errorf("user %q: %v", name, err)
		}
		if _, err := s.AddRobot(ctx, Robot{Name: name, Scope: grants(access.Pull)}, ""); !errors.Is(err, ErrName) {
			t.Errorf("robot %q: %v", name, err)
		}
	}
	for _, password := range []string{"", "1234567", strings.Repeat("a", 1025)} {
		if err := s.AddUser(ctx, User{Name: "a"}, password, ""); !errors.Is(err, ErrPassword) {
			t.Errorf("password of %d bytes: %v", len(password), err)
		}
	}
	if locked, _ := s.Locked(ctx); locked {
		t.Error("accounts that could not be made locked the registry")
	}
	must(t, s.AddUser(ctx, User{Name: "a"}, good, ""))
	for _, scope := range [][]access.Grant{
		{}, {{Repositories: "a/**"}}, {{Repositories: "", Actions: []access.Action{access.Pull}}}, {{Repositories: "/a", Actions: []access.Action{access.Pull}}},
		{{Repositories: "a", Actions: []access.Action{access.Admin}}}, {{Repositories: "a", Actions: []access.Action{"fly"}}},
	} {
		if _, err := s.AddRobot(ctx, Robot{Name: "r", Scope: scope}, ""); !errors.Is(err, ErrGrant) {
			t.Errorf("robot with %v: %v", scope, err)
		}
		if _, _, err := s.AddKey(ctx, Key{User: "a", Scope: scope}, ""); !errors.Is(err, ErrGrant) {
			t.Errorf("key with %v: %v", scope, err)
		}
	}
	if _, _, err := s.AddKey(ctx, Key{User: "nobody"}, ""); !errors.Is(err, ErrAbsent) {
		t.Errorf("key of nobody: %v", err)
	}
}

func grants(actions ...access.Action) []access.Grant {
	return []access.Grant{{Repositories: "team/**", Actions: actions}}
}

func TestRobots(t *testing.T) {
	onDrivers(t, func(t *testing.T, d drivers.Driver) {
		ctx, c := t.Context(), newClock()
		s := open(t, d, c)
		secret, err := s.AddRobot(ctx, Robot{Name: "ci", Scope: grants(access.Pull), Expires: c.now.Add(24 * time.Hour)}, "me")
		must(t, err)
		if _, err := s.AddRobot(ctx, Robot{Name: "ci", Scope: grants(access.Pull)}, "me"); !errors.Is(err, ErrExists) {
			t.Errorf("a second one: %v", err)
		}
		if !strings.HasPrefix(secret, RobotPrefix) || len(secret) != len(RobotPrefix)+52 {
			t.Errorf("secret %q", secret)
		}
		if locked, _ := s.Locked(ctx); !locked {
			t.Error("a robot does not lock the registry")
		}
		check := func(secret string, want error) access.Identity {
			t.Helper()
			id, err := s.Check(ctx, "robot$ci", secret)
			if !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("got %v, want %v", err, want)
			}
			return id
		}
		if id := check(secret, nil); id.Name != "robot$ci" || id.Kind != access.Robot || len(id.Scope) != 1 || id.Generation != "" || id.Expires.IsZero() {
			t.Errorf("identity %+v", id)
		}
		check("lsr_x", access.ErrRefused)
		if _, err := s.Check(ctx, "ci", secret); !errors.Is(err, access.ErrUnknown) {
			t.Errorf("a robot is a user: %v", err)
		}
		if _, err := s.Check(ctx, "robot$no", secret); !errors.Is(err, access.ErrUnknown) {
			t.Errorf("no such robot: %v", err)
		}
		all, err := s.Robots(ctx)
		must(t, err)
		if len(all) != 1 || !all[0].Used.Equal(c.now) {
			t.Errorf("robots: %+v", all)
		}
		next, err := s.RotateRobot(ctx, "ci")
		must(t, err)
		check(secret, access.ErrRefused)
		check(next, nil)
		must(t, s.ChangeRobot(ctx, "ci", func(r *Robot) { r.Disabled = true }))
		check(next, access.ErrRefused)
		must(t, s.ChangeRobot(ctx, "ci", func(r *Robot) { r.Disabled = false }))
		if err := s.ChangeRobot(ctx, "ci", func(r *Robot) { r.Scope = []access.Grant{{}} }); !errors.Is(err, ErrGrant) {
			t.Errorf("a scope of nothing: %v", err)
		}
		c.now = c.now.Add(24 * time.Hour)
		check(next, access.ErrRefused) // expired
		must(t, s.RemoveRobot(ctx, "ci"))
		check(next, access.ErrUnknown)
		if err := s.RemoveRobot(ctx, "ci"); !errors.Is(err, ErrAbsent) {
			t.Errorf("removed twice: %v", err)
		}
		for e := range d.List(ctx, "access/", "", "") {
			if e.Key != lockedKey {
				t.Errorf("%s is left", e.Key)
			}
		}
	})
}
