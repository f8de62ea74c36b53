package slapdtest

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/go-ldap/ldap/v3"
)

// entry is one of the directory.
type entry struct {
	dn         string
	classes    []string
	attributes map[string][]string
}

// UserDN is that of a user below People.
func UserDN(name string) string { return "uid=" + ldap.EscapeDN(name) + "," + People }

func user(name string, more map[string][]string) entry {
	return userAt(UserDN(name), name, more)
}

func userAt(dn, name string, more map[string][]string) entry {
	e := entry{dn, []string{"inetOrgPerson"}, map[string][]string{
		"uid": {name}, "cn": {name}, "sn": {name}, "mail": {"somebody@example.org"}, "userPassword": {Password + name},
	}}
	for k, v := range more {
		e.attributes[k] = v
	}
	return e
}

func unit(dn, name string) entry {
	return entry{dn, []string{"organizationalUnit"}, map[string][]string{"ou": {name}}}
}

// fill puts everything in. Groups of names are told in memberOf of their members, by the overlay of that name.
func (s *Server) fill(ctx context.Context) error {
	group := func(name, class, attribute string, members ...string) entry {
		return entry{"cn=" + name + "," + Groups, []string{class}, map[string][]string{"cn": {name}, attribute: members}}
	}
	posix := group("legacy", "posixGroup", "memberUid", "alice")
	posix.attributes["gidNumber"] = []string{"5000"}
	entries := []entry{
		{Base, []string{"dcObject", "organization"}, map[string][]string{"dc": {"example"}, "o": {"Example"}}},
		{"cn=policy," + Base, []string{"person", "pwdPolicy"}, map[string][]string{
			"cn": {"policy"}, "sn": {"policy"}, "pwdAttribute": {"userPassword"}, "pwdLockout": {"TRUE"}, "pwdMaxFailure": {strconv.Itoa(Failures)},
			"pwdMustChange": {"TRUE"},
		}},
		{Reader, []string{"organizationalRole", "simpleSecurityObject"}, map[string][]string{"cn": {"registry"}, "userPassword": {Password + "registry"}}},
		unit(People, "people"), unit(Groups, "groups"), unit("ou=others,"+Base, "others"), unit("ou=guests,"+People, "guests"),

		user("alice", map[string][]string{"mail": {"alice@example.org"}}), user("bob", nil), user("carol", nil), user("locked", nil),
		user("*)(uid=*", nil), user("Jörg, jr.", nil), user("new", nil),
		user("twin", nil), userAt("uid=twin,ou=guests,"+People, "twin", nil),
		userAt("uid=mallory,ou=others,"+Base, "mallory", nil),

		group("dev", "groupOfNames", "member", UserDN("alice"), UserDN("*)(uid=*")),
		group("ops", "groupOfNames", "member", UserDN("bob")),
		group("auditors", "groupOfUniqueNames", "uniqueMember", UserDN("alice")), posix,
		// Somebody who may make groups elsewhere has made one with a name that counts.
		{"cn=ops,ou=others," + Base, []string{"groupOfNames"}, map[string][]string{"cn": {"ops"}, "member": {UserDN("carol")}}},
	}
	return s.Do(func(c *ldap.Conn) error {
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			add := ldap.NewAddRequest(e.dn, nil)
			add.Attribute("objectClass", e.classes)
			for name, values := range e.attributes {
				add.Attribute(name, values)
			}
			if err := c.Add(add); err != nil {
				return fmt.Errorf("add %s: %w", e.dn, err)
			}
		}
		reset := ldap.NewModifyRequest(UserDN("new"), nil)
		reset.Replace("pwdReset", []string{"TRUE"})
		return errors.Join(c.Modify(reset), s.lock())
	})
}

// lock tries wrong passwords until the account "locked" is.
func (s *Server) lock() error {
	c, err := ldap.DialURL(s.URL)
	if err != nil {
		return err
	}
	defer c.Close()
	for range Failures {
		if err := c.Bind(UserDN("locked"), "wrong"); !ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
			return fmt.Errorf("a wrong password: %w", err)
		}
	}
	return nil
}
