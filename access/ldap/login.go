package ldap

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/longshore-registry/longshore/access"
)

// account is a user whom the directory knows.
type account struct {
	name   string
	groups []group
}

// login finds the user, tries his password and reads his groups. The errors are access.ErrUnknown and access.ErrRefused, with a reason, or about the server.
func (d *Directory) login(c *connection, user, password string) (account, error) {
	if d.o.UserDN != "" {
		return d.direct(c, user, password)
	}
	if err := c.bindOwn(); err != nil {
		return account{}, err
	}
	entry, err := d.find(c, user)
	if err != nil {
		return account{}, err
	}
	if err := c.bindUser(entry.DN, password); err != nil {
		return account{}, err
	}
	if err := c.bindOwn(); err != nil {
		return account{}, err
	}
	return d.read(c, user, entry)
}

// direct is login without a search for the user. What it reads it reads as the registry's account or, if there is none, as the user.
func (d *Directory) direct(c *connection, user, password string) (account, error) {
	dn := fill(d.o.UserDN, ldap.EscapeDN, values{user: user})
	if err := c.bindUser(dn, password); err != nil {
		return account{}, err
	}
	if d.o.BindDN != "" {
		if err := c.bindOwn(); err != nil {
			return account{}, err
		}
	}
	found, err := c.Search(d.search(dn, ldap.ScopeBaseObject, 1, "(objectClass=*)", d.o.NameAttribute, d.o.MemberOf))
	if err != nil {
		return account{}, fmt.Errorf("the entry of a user who has logged in can't be read; it is where his name is from, as %s: %w", d.o.NameAttribute, err)
	}
	if len(found.Entries) != 1 {
		return account{}, fmt.Errorf("the entry of a user who has logged in, %q, may not be read by himself; set bind_dn", dn)
	}
	return d.read(c, user, found.Entries[0])
}

// search is a request. The server is asked for no more than limit entries.
func (d *Directory) search(base string, scope, limit int, filter string, attributes ...string) *ldap.SearchRequest {
	attributes = slices.DeleteFunc(attributes, func(a string) bool { return a == "-" })
	seconds := max(int(d.o.Timeout.Seconds()), 1)
	return ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, limit, seconds, false, filter, attributes, nil)
}

// find returns the user's entry. It is not clear who is meant if there are more: then nobody is.
func (d *Directory) find(c *connection, user string) (*ldap.Entry, error) {
	filter := fill(d.o.UserFilter, ldap.EscapeFilter, values{user: user})
	found, err := c.Search(d.search(d.o.UserBase, ldap.ScopeWholeSubtree, 2, filter, d.o.NameAttribute, d.o.MemberOf))
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded):
	case err != nil:
		return nil, fmt.Errorf("search below %s: %w", d.o.UserBase, err)
	case len(found.Entries) == 0:
		return nil, access.ErrUnknown
	case len(found.Entries) == 1:
		return found.Entries[0], nil
	}
	d.o.Log.Error("a name fits more than one entry of the directory, and counts for none", "name", user, "filter", filter)
	return nil, fmt.Errorf("the name fits more than one entry: %w", access.ErrRefused)
}

// maxGroups is how many groups of a user are read.
const maxGroups = 1000

// read makes an account of an entry, and searches its groups.
func (d *Directory) read(c *connection, user string, entry *ldap.Entry) (account, error) {
	name, err := d.nameOf(user, entry)
	if err != nil {
		return account{}, err
	}
	base, err := ldap.ParseDN(d.o.GroupBase)
	if err != nil {
		return account{}, err
	}
	a := account{name: name, groups: memberOf(entry.GetEqualFoldAttributeValues(d.o.MemberOf), base)}
	if d.o.GroupBase == "" {
		return a, nil
	}
	filter := fill(d.o.GroupFilter, ldap.EscapeFilter, values{user: user, name: name, dn: entry.DN})
	found, err := c.Search(d.search(d.o.GroupBase, ldap.ScopeWholeSubtree, maxGroups, filter, d.o.GroupName))
	if err != nil {
		return account{}, fmt.Errorf("search of groups below %s: %w", d.o.GroupBase, err)
	}
	for _, e := range found.Entries {
		dn, err := ldap.ParseDN(e.DN)
		name := e.GetEqualFoldAttributeValue(d.o.GroupName)
		if err == nil && name != "" {
			a.groups = append(a.groups, group{name: name, dn: dn})
		}
	}
	return a, nil
}

// nameOf is the user's name. Of several values it is the one that was typed, or the first.
func (d *Directory) nameOf(user string, entry *ldap.Entry) (string, error) {
	all := entry.GetEqualFoldAttributeValues(d.o.NameAttribute)
	if len(all) == 0 {
		return "", fmt.Errorf("the entry %q has no %s, which is to be the user's name, or it may not be read", entry.DN, d.o.NameAttribute)
	}
	name := all[0]
	if i := slices.IndexFunc(all, func(v string) bool { return strings.EqualFold(v, user) }); i >= 0 {
		name = all[i]
	}
	if !possible(name) {
		return "", fmt.Errorf("the name %q of the entry %q can't be that of an account: %w", name, entry.DN, access.ErrRefused)
	}
	return name, nil
}

// refusal makes of the error of a user's bind what it says of him, or gives it back if it says something of the server.
//
// Directories answer a wrong password and an account that is locked or expired alike, with invalidCredentials; Active Directory tells the difference in
// words ("data 533": disabled), which go to the audit log. 389 answers unwillingToPerform for inactive accounts, and constraintViolation after too many failures.
func refusal(err error) error {
	if !ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultConstraintViolation,
		ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax) {
		return err
	}
	why := "the directory refuses the password"
	if e := (*ldap.Error)(nil); errors.As(err, &e) && e.Err != nil && e.Err.Error() != "" {
		why += " (" + strings.ToValidUTF8(strings.TrimRight(e.Err.Error(), "\x00"), "") + ")"
	}
	return fmt.Errorf("%s: %w", why, access.ErrRefused)
}

// Of the password policy (draft-behera-ldap-password-policy, section 6.2): the bind was good, but nothing is allowed before another password is set.
const changeAfterReset = 2
