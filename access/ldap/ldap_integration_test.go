//go:build integration

package ldap

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/internal/slapdtest"
)

// options are those of a registry that searches.
func options(s *slapdtest.Server) Options {
	return Options{
		Servers: []string{s.URL}, CAFile: s.CAFile, BindDN: slapdtest.Reader, BindPassword: slapdtest.Password + "registry",
		UserBase: slapdtest.People, GroupBase: slapdtest.Groups,
	}
}

func open(t *testing.T, o Options, change func(*Options)) *Directory {
	t.Helper()
	if change != nil {
		change(&o)
	}
	d, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// TestSlapd is one test, since a server costs a second.
func TestSlapd(t *testing.T) {
	s := slapdtest.Start(t)
	t.Run("logins", func(t *testing.T) { testLogins(t, s) })
	t.Run("settings", func(t *testing.T) { testSettings(t, s) })
	t.Run("tls", func(t *testing.T) { testTLS(t, s) })
	t.Run("restart", func(t *testing.T) { testRestart(t, s) })
}

func testLogins(t *testing.T, s *slapdtest.Server) {
	d := open(t, options(s), nil)
	for _, test := range []struct {
		name, password string
		want           string // the account's name; "" for an error
		groups         string
		err            error
	}{
		{"alice", "alice", "alice", "auditors dev legacy", nil},
		{"ALICE", "alice", "alice", "auditors dev legacy", nil},
		{"bob", "bob", "bob", "ops", nil},
		{"carol", "carol", "carol", "", nil}, // the group ops elsewhere is none
		{"Jörg, jr.", "Jörg, jr.", "Jörg, jr.", "", nil},
		{"*)(uid=*", "*)(uid=*", "*)(uid=*", "dev", nil}, // it is somebody's name
		{"alice", "bob", "", "", access.ErrRefused},
		{"alice", "", "", "", access.ErrRefused},
		{"nobody", "alice", "", "", access.ErrUnknown},
		{"*", "alice", "", "", access.ErrUnknown},
		{"ali*", "alice", "", "", access.ErrUnknown},
		{"alice)(uid=bob", "alice", "", "", access.ErrUnknown},
		{"alice)(|(uid=*", "alice", "", "", access.ErrUnknown},
		{"alice\x00", "alice", "", "", access.ErrUnknown},
		{" alice", "alice", "", "", access.ErrUnknown},
		{"robot$alice", "alice", "", "", access.ErrUnknown},
		{"mallory", "mallory", "", "", access.ErrUnknown}, // of another part of the directory
		{"", "alice", "", "", access.ErrUnknown},
		{"twin", "twin", "", "", access.ErrRefused},
		{"locked", "locked", "", "", access.ErrRefused},
		{"new", "new", "", "", access.ErrRefused}, // has to change the password first
	} {
		password := test.password
		if password != "" {
			password = slapdtest.Password + password
		}
		id, err := d.Check(t.Context(), test.name, password)
		if !errors.Is(err, test.err) || (test.err == nil) != (err == nil) || id.Name != test.want || strings.Join(id.Groups, " ") != test.groups {
			t.Errorf("%q with the password of %q: got %+v, %v", test.name, test.password, id, err)
		}
		if err == nil && (id.Kind != access.User || id.Source != Source || id.Admin || id.Scope != nil) {
			t.Errorf("%q: got %+v", test.name, id)
		}
		if err != nil && strings.Contains(err.Error(), slapdtest.Password) {
			t.Errorf("%q: the password is in %v", test.name, err)
		}
	}
}

func testSettings(t *testing.T, s *slapdtest.Server) {
	direct := func(o *Options) {
		o.UserDN, o.UserBase, o.BindDN, o.BindPassword = "uid={user},"+slapdtest.People, "", "", ""
	}
	all := []string{"auditors", "dev", "legacy"}
	for name, test := range map[string]struct {
		change func(*Options)
		user   string
		want   access.Identity
		err    error
	}{
		"direct": {direct, "ALICE", access.Identity{Name: "alice", Groups: all}, nil},
		"direct, with an account": {func(o *Options) {
			o.UserDN = "uid={user}," + slapdtest.People
		}, "alice", access.Identity{Name: "alice", Groups: all}, nil},
		"direct, another DN":    {direct, "mallory,ou=others", access.Identity{}, access.ErrRefused},
		"direct, nobody":        {direct, "nobody", access.Identity{}, access.ErrRefused},
		"memberOf alone":        {func(o *Options) { o.GroupBase = "" }, "alice", access.Identity{Name: "alice", Groups: []string{"dev"}}, nil},
		"memberOf of any place": {func(o *Options) { o.GroupBase = "" }, "carol", access.Identity{Name: "carol", Groups: []string{"ops"}}, nil},
		"search alone": {func(o *Options) {
			o.MemberOf, o.GroupFilter = "-", "(&(objectClass=groupOfNames)(member={dn}))"
		}, "alice", access.Identity{Name: "alice", Groups: []string{"dev"}}, nil},
		"by address": {func(o *Options) {
			o.UserFilter = "(|(uid={user})(mail={user}))"
		}, "alice@example.org", access.Identity{Name: "alice", Groups: all}, nil},
		"a filter that leaves her out": {func(o *Options) {
			o.UserFilter = "(&(uid={user})(!(uid=alice)))"
		}, "alice", access.Identity{}, access.ErrUnknown},
		"required":           {func(o *Options) { o.RequiredGroup = "Dev" }, "alice", access.Identity{Name: "alice", Groups: all}, nil},
		"required, DN":       {func(o *Options) { o.RequiredGroup = "CN=dev, " + slapdtest.Groups }, "alice", access.Identity{Name: "alice", Groups: all}, nil},
		"required, not in":   {func(o *Options) { o.RequiredGroup = "ops" }, "alice", access.Identity{}, access.ErrRefused},
		"required, other DN": {func(o *Options) { o.RequiredGroup = "cn=dev,ou=others," + slapdtest.Base }, "alice", access.Identity{}, access.ErrRefused},
		"admin":              {func(o *Options) { o.AdminGroup = "dev" }, "alice", access.Identity{Name: "alice", Groups: all, Admin: true}, nil},
		"no admin": {func(o *Options) {
			o.AdminGroup = "cn=ops," + slapdtest.Groups
			o.GroupBase = ""
		}, "carol", access.Identity{Name: "carol", Groups: []string{"ops"}}, nil},
	} {
		d := open(t, options(s), test.change)
		if test.err == nil {
			test.want.Kind, test.want.Source = access.User, Source
		}
		who := strings.ToLower(strings.TrimSuffix(test.user, "@example.org"))
		id, err := d.Check(t.Context(), test.user, slapdtest.Password+strings.Split(who, ",")[0])
		if !reflect.DeepEqual(id, test.want) || !errors.Is(err, test.err) || (test.err == nil) != (err == nil) {
			t.Errorf("%s: got %+v, %v, want %+v, %v", name, id, err, test.want, test.err)
		}
	}
	for name, change := range map[string]func(*Options){ // none of these says that the user is refused or unknown
		"no right to search": func(o *Options) { o.BindDN, o.BindPassword = "", "" },
		"wrong password":     func(o *Options) { o.BindPassword = "wrong" },
		"no such base":       func(o *Options) { o.UserBase = "ou=nowhere," + slapdtest.Base },
		"no such group base": func(o *Options) { o.GroupBase = "ou=nowhere," + slapdtest.Base },
		"no name":            func(o *Options) { o.NameAttribute = "displayName" },
	} {
		d := open(t, options(s), change)
		if id, err := d.Check(t.Context(), "alice", slapdtest.Password+"alice"); !isFault(err) || id.Name != "" {
			t.Errorf("%s: got %+v, %v", name, id, err)
		}
	}
}

// isFault reports whether an error says that the directory could not be asked.
func isFault(err error) bool {
	return err != nil && !errors.Is(err, access.ErrRefused) && !errors.Is(err, access.ErrUnknown)
}

func testTLS(t *testing.T, s *slapdtest.Server) {
	other := slapdtest.NewCA(t)
	for name, test := range map[string]struct {
		change func(*Options)
		good   bool
	}{
		"StartTLS":                       {nil, true},
		"ldaps":                          {func(o *Options) { o.Servers = []string{s.SecureURL} }, true},
		"none":                           {func(o *Options) { o.Plain = true }, true},
		"StartTLS, another CA":           {func(o *Options) { o.CAFile = other }, false},
		"ldaps, another CA":              {func(o *Options) { o.Servers, o.CAFile = []string{s.SecureURL}, other }, false},
		"StartTLS, the system's CAs":     {func(o *Options) { o.CAFile = "" }, false},
		"another name":                   {func(o *Options) { o.Servers = []string{strings.Replace(s.URL, "127.0.0.1", "localhost", 1)} }, false},
		"a server of TLS as one without": {func(o *Options) { o.Servers = []string{strings.Replace(s.SecureURL, "ldaps", "ldap", 1)} }, false},
		"the second server":              {func(o *Options) { o.Servers = []string{"ldap://127.0.0.1:1", s.URL} }, true},
		"the second server, another CA":  {func(o *Options) { o.Servers, o.CAFile = []string{"ldap://127.0.0.1:1", s.URL}, other }, false},
	} {
		d := open(t, options(s), test.change)
		id, err := d.Check(t.Context(), "alice", slapdtest.Password+"alice")
		if good := err == nil && id.Name == "alice"; good != test.good || !good && !isFault(err) {
			t.Errorf("%s: got %+v, %v", name, id, err)
		}
	}
	bad := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bad, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(s)
	o.CAFile = bad
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), bad) {
		t.Errorf("a CA file without certificates: got %v", err)
	}
}

func testRestart(t *testing.T, s *slapdtest.Server) {
	d := open(t, options(s), nil)
	login := func() error {
		_, err := d.Check(t.Context(), "alice", slapdtest.Password+"alice")
		return err
	}
	if err := login(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if err := login(); !isFault(err) {
		t.Errorf("without a server: got %v", err)
	}
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	if err := login(); err != nil {
		t.Errorf("after the server's start: %v", err)
	}
	s.Kill() // with an idle connection, which is found out to be dead
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	if err := login(); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Check(ctx, "alice", slapdtest.Password+"alice"); !errors.Is(err, context.Canceled) {
		t.Errorf("with a ctx that has ended: got %v", err)
	}
}
