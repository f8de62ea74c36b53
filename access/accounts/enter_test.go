package accounts

import (
	"errors"
	"slices"
	"testing"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/drivers/memory"
)

func TestEnter(t *testing.T) {
	ctx := t.Context()
	s, err := Open(memory.New(memory.Options{}), Options{Refresh: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddUser(ctx, User{Name: "alice"}, "a password", "test"); err != nil {
		t.Fatal(err)
	}
	bob := User{Name: "bob@x.test", Source: "corp", Groups: []string{"dev"}}
	if err := s.Enter(ctx, bob); err != nil {
		t.Fatal(err)
	}
	_, secret, err := s.AddKey(ctx, Key{User: bob.Name}, "test")
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.CheckToken(ctx, secret)
	if err != nil || id.Source != "corp" || id.Name != bob.Name || !slices.Equal(id.Groups, bob.Groups) || id.Admin {
		t.Errorf("the key: got %+v, %v", id, err)
	}
	for _, password := range []string{"", "a password"} {
		if _, err := s.Check(ctx, bob.Name, password); !errors.Is(err, access.ErrUnknown) {
			t.Errorf("the password %q: got %v", password, err)
		}
	}
	if _, err := s.Renew(ctx, bob.Name); !errors.Is(err, access.ErrUnknown) {
		t.Errorf("a refresh token: got %v", err)
	}
	if err := s.SetPassword(ctx, bob.Name, "a password", false); !errors.Is(err, ErrElsewhere) {
		t.Errorf("another password: got %v", err)
	}

	bob.Groups, bob.Admin = []string{"ops"}, true
	if err := s.Enter(ctx, bob); err != nil {
		t.Fatal(err)
	}
	if id, err = s.CheckToken(ctx, secret); err != nil || !id.Admin || !slices.Equal(id.Groups, bob.Groups) {
		t.Errorf("the key, after another login: got %+v, %v", id, err)
	}
	for name, test := range map[string]struct {
		user User
		want error
	}{
		"a user of the store":    {User{Name: "alice", Source: "corp"}, ErrTaken},
		"one of another source":  {User{Name: bob.Name, Source: "other", Admin: true}, ErrTaken},
		"no source":              {User{Name: bob.Name}, ErrTaken},
		"what can't be a name":   {User{Name: "a/b", Source: "corp"}, ErrName},
		"as who may do anything": {User{Name: "robot$x", Source: "corp"}, ErrName},
	} {
		if err := s.Enter(ctx, test.user); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
	if _, err := s.Check(ctx, "alice", "a password"); err != nil {
		t.Error("alice after all that:", err)
	}
	if err := s.ChangeUser(ctx, bob.Name, func(u *User) { u.Disabled = true }); err != nil {
		t.Fatal(err)
	}
	if err := s.Enter(ctx, bob); !errors.Is(err, access.ErrRefused) {
		t.Errorf("a disabled user: got %v", err)
	}
	if _, err := s.CheckToken(ctx, secret); !errors.Is(err, access.ErrRefused) {
		t.Errorf("a disabled user's key: got %v", err)
	}
}
