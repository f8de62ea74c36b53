package accounts

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

type readCloser = io.ReadCloser

func TestKeys(t *testing.T) {
	onDrivers(t, func(t *testing.T, d drivers.Driver) {
		ctx, c := t.Context(), newClock()
		s := open(t, d, c)
		must(t, s.AddUser(ctx, User{Name: "root"}, good, ""))
		must(t, s.AddUser(ctx, User{Name: "alice", Groups: []string{"dev"}}, good, ""))
		wide, wideSecret, err := s.AddKey(ctx, Key{User: "alice", Note: "laptop"}, "alice")
		must(t, err)
		c.now = c.now.Add(time.Second)
		narrow, narrowSecret, err := s.AddKey(ctx, Key{User: "alice", Scope: grants(access.Pull), Expires: c.now.Add(time.Hour)}, "alice")
		must(t, err)
		check := func(secret string, want error) access.Identity {
			t.Helper()
			id, err := s.CheckToken(ctx, secret)
			if !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("got %v, want %v", err, want)
			}
			return id
		}
		if id := check(wideSecret, nil); id.Name != "alice" || id.Kind != access.Key || id.Scope != nil || len(id.Groups) != 1 || id.Generation != "" {
			t.Errorf("a key that is not narrowed: %+v", id)
		}
		if id := check(narrowSecret, nil); len(id.Scope) != 1 || id.Expires.IsZero() {
			t.Errorf("one that is: %+v", id)
		}
		check("eyJ.a.b", access.ErrUnknown)
		for _, forged := range []string{
			access.KeyPrefix, access.KeyPrefix + narrow.ID, access.KeyPrefix + narrow.ID + "_", access.KeyPrefix + narrow.ID + "_" + strings.Repeat("a", 52),
			access.KeyPrefix + "../users/alice_x", access.KeyPrefix + random(keyIDBytes) + "_x", strings.ToUpper(narrowSecret), narrowSecret + "a",
			strings.Replace(narrowSecret, narrow.ID, wide.ID, 1),
		} {
			if _, err := s.CheckToken(ctx, forged); err == nil {
				t.Errorf("%q is taken", forged)
			}
		}
		all, err := s.Keys(ctx, "alice")
		must(t, err)
		if len(all) != 2 || all[0].ID != wide.ID || !all[0].Used.Equal(c.now) || all[0].Note != "laptop" {
			t.Errorf("keys: %+v", all)
		}
		if none, err := s.Keys(ctx, "root"); len(none) != 0 || err != nil {
			t.Errorf("root's keys: %v, %v", none, err)
		}
		must(t, s.ChangeUser(ctx, "alice", func(u *User) { u.Disabled = true }))
		check(wideSecret, access.ErrRefused)
		must(t, s.ChangeUser(ctx, "alice", func(u *User) { u.Disabled = false }))
		check(wideSecret, nil)
		must(t, s.RevokeKey(ctx, wide.ID))
		check(wideSecret, access.ErrRefused)
		if err := s.RevokeKey(ctx, wide.ID); !errors.Is(err, ErrAbsent) {
			t.Errorf("revoked twice: %v", err)
		}
		if err := s.RevokeKey(ctx, "../locked"); !errors.Is(err, ErrAbsent) {
			t.Errorf("what is no key: %v", err)
		}
		// Who comes later under the same name has nothing of it, also where the key outlived its user.
		kept, _, err := d.Reader(ctx, keyFolder+narrow.ID, 0, -1)
		must(t, err)
		body, err := io.ReadAll(kept)
		must(t, errors.Join(err, kept.Close()))
		must(t, s.RemoveUser(ctx, "alice"))
		if left, _ := s.Keys(ctx, ""); len(left) != 0 {
			t.Errorf("keys are left: %v", left)
		}
		must(t, d.Put(ctx, keyFolder+narrow.ID, body))
		must(t, s.AddUser(ctx, User{Name: "alice"}, good, ""))
		c.now = c.now.Add(6 * time.Second)
		check(narrowSecret, access.ErrRefused)
		c.now = c.now.Add(time.Hour)
		check(narrowSecret, access.ErrRefused)
	})
}

// TestNoSecretIsKept looks through the whole store.
func TestNoSecretIsKept(t *testing.T) {
	ctx := t.Context()
	d := memory.New(memory.Options{})
	s := open(t, d, newClock())
	must(t, s.AddUser(ctx, User{Name: "alice"}, good, ""))
	robot, err := s.AddRobot(ctx, Robot{Name: "ci", Scope: grants(access.Pull)}, "")
	must(t, err)
	_, key, err := s.AddKey(ctx, Key{User: "alice"}, "")
	must(t, err)
	for e, err := range d.List(ctx, "", "", "") {
		must(t, err)
		r, _, err := d.Reader(ctx, e.Key, 0, -1)
		must(t, err)
		body, err := io.ReadAll(r)
		must(t, err)
		for _, secret := range []string{good, robot, robot[len(RobotPrefix):], key, key[strings.LastIndex(key, "_")+1:]} {
			if bytes.Contains(body, []byte(secret)) {
				t.Errorf("%s holds a secret: %s", e.Key, body)
			}
		}
	}
}

// TestTwoReplicas: what one changes counts at the other after the refresh, through everything that remembers.
func TestTwoReplicas(t *testing.T) {
	onDrivers(t, func(t *testing.T, d drivers.Driver) {
		ctx, c := t.Context(), newClock()
		here, there := open(t, d, c), open(t, d, c)
		control, err := access.NewControl(access.ControlOptions{
			Passwords: []access.Passwords{there}, Tokens: []access.Tokens{there}, Locked: there.Locked, Now: c.Now, Throttle: access.ThrottleOptions{Off: true},
		})
		must(t, err)
		locked := func(want bool) {
			t.Helper()
			if got, err := control.Locked(ctx); got != want || err != nil {
				t.Errorf("locked: %v, %v", got, err)
			}
		}
		locked(false)
		must(t, here.AddUser(ctx, User{Name: "alice"}, good, ""))
		_, key, err := here.AddKey(ctx, Key{User: "alice"}, "")
		must(t, err)
		robot, err := here.AddRobot(ctx, Robot{Name: "ci", Scope: grants(access.Pull)}, "")
		must(t, err)
		locked(false)
		c.now = c.now.Add(5 * time.Second)
		locked(true)
		all := []access.Credentials{{Name: "alice", Password: good}, {Token: key}, {Name: "x", Password: key}, {Name: "robot$ci", Password: robot}}
		expect := func(when string, want error) {
			t.Helper()
			for i, cred := range all {
				if _, err := control.Identify(ctx, cred); !errors.Is(err, want) || want == nil && err != nil {
					t.Errorf("%s, credentials %d: got %v, want %v", when, i, err, want)
				}
			}
		}
		expect("as they were made", nil)
		// The other has read them three seconds ago, and verified them just now.
		c.now = c.now.Add(3 * time.Second)
		_, err = control.Identify(ctx, access.Credentials{Name: "alice", Password: other})
		if !errors.Is(err, access.ErrRefused) {
			t.Fatal(err)
		}
		must(t, here.ChangeUser(ctx, "alice", func(u *User) { u.Disabled = true }))
		must(t, here.ChangeRobot(ctx, "ci", func(r *Robot) { r.Disabled = true }))
		expect("a moment later", nil)
		c.now = c.now.Add(2 * time.Second)
		expect("five seconds after the other has read them", access.ErrRefused)
	})
}

// TestReads: how often the store is asked.
func TestReads(t *testing.T) {
	ctx, c := t.Context(), newClock()
	d := &counted{Driver: memory.New(memory.Options{})}
	s := open(t, d, c)
	reads := func(what string, want int, do func()) {
		t.Helper()
		d.reads = 0
		do()
		if d.reads != want {
			t.Errorf("%s: %d reads, want %d", what, d.reads, want)
		}
	}
	lock := func() {
		if _, err := s.Locked(ctx); err != nil {
			t.Error(err)
		}
	}
	reads("an open registry", 1, func() { lock(); lock() })
	c.now = c.now.Add(5 * time.Second)
	reads("five seconds later", 1, func() { lock(); lock() })
	robot, err := s.AddRobot(ctx, Robot{Name: "ci", Scope: grants(access.Pull)}, "")
	must(t, err)
	c.now = c.now.Add(5 * time.Second)
	reads("a locked one", 0, lock)
	login := func() {
		if _, err := s.Check(ctx, "robot$ci", robot); err != nil {
			t.Error(err)
		}
	}
	reads("a robot's first login, and its last use", 2, login)
	reads("its second", 0, login)
	c.now = c.now.Add(5 * time.Second)
	reads("after the refresh", 1, login)
	c.now = c.now.Add(time.Hour)
	reads("an hour later", 2, login)
	// Names that can't be are not asked for, and those that are not there are remembered like others.
	unknown := func(name string) { _, _ = s.Check(ctx, "robot$"+name, "x") }
	reads("an impossible name", 0, func() { unknown("a/b") })
	reads("an unknown name", 1, func() { unknown("no"); unknown("no") })
}

func TestAStoreThatIsDown(t *testing.T) {
	ctx, c := t.Context(), newClock()
	d := &counted{Driver: memory.New(memory.Options{})}
	s := open(t, d, c)
	d.err = drivers.ErrThrottled
	if locked, err := s.Locked(ctx); !locked || !errors.Is(err, drivers.ErrThrottled) {
		t.Errorf("locked: %v, %v; nobody may be let in", locked, err)
	}
	for _, err := range []error{
		func() error { _, err := s.Check(ctx, "alice", good); return err }(),
		func() error { _, err := s.Check(ctx, "robot$ci", "lsr_x"); return err }(),
		func() error { _, err := s.CheckToken(ctx, access.KeyPrefix+random(keyIDBytes)+"_x"); return err }(),
		func() error { _, err := s.Renew(ctx, "alice"); return err }(),
		s.AddUser(ctx, User{Name: "alice"}, good, ""),
	} {
		if !errors.Is(err, drivers.ErrThrottled) {
			t.Errorf("got %v", err)
		}
	}
}

func TestTheCallersContext(t *testing.T) {
	s := open(t, memory.New(memory.Options{}), newClock())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Check(ctx, "alice", good); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
