// Package ldap checks passwords by a directory: OpenLDAP, 389, Active Directory and others that speak LDAP version 3.
//
// The user's entry is searched with an account of the registry's own, or its DN is made from the name; then the password is
// tried by a bind as the user, so that the directory's own rules for passwords count: locked, expired, too many failures.
//
//	access:
//	  ldap:
//	    servers: [ldaps://ldap1.example.com, ldaps://ldap2.example.com]
//	    bind_dn: cn=registry,ou=services,dc=example,dc=com
//	    bind_password: ${LDAP_PASSWORD}
//	    user_base: ou=people,dc=example,dc=com
//	    group_base: ou=groups,dc=example,dc=com
package ldap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/longshore-registry/longshore/access"
)

// Source is the Identity.Source of these accounts.
const Source = "ldap"

// Defaults of Options.
const (
	DefaultUserFilter    = "(uid={user})"
	DefaultNameAttribute = "uid"
	DefaultGroupFilter   = "(|(member={dn})(uniqueMember={dn})(memberUid={name}))"
	DefaultGroupName     = "cn"
	DefaultMemberOf      = "memberOf"
	DefaultTimeout       = 5 * time.Second
	DefaultConnections   = 8
)

// Options of Open. In templates {user} is what was typed as a name, {name} the user's name as the directory has it, and {dn} the DN of the
// user's entry. What is put in is escaped: no name can change a filter or a DN.
type Options struct {
	// Servers are URLs: ldaps://HOST[:636], or ldap://HOST[:389], which is upgraded to TLS (StartTLS) before anything else is sent. The
	// one that has answered last is asked first, the others in order if it does not answer. Required.
	Servers []string

	// Plain leaves ldap:// without TLS: passwords cross the network in clear.
	Plain bool

	CAFile string // certificates, PEM, that have signed the servers'; "": the system's

	// BindDN and BindPassword are the account that searches. BindDN "": searches are anonymous or, with UserDN, the user's own.
	BindDN       string
	BindPassword string

	// UserDN is a template of the user's DN: "uid={user},ou=people,dc=example,dc=com". "": the entry is searched.
	UserDN string

	UserBase      string // the DN below which users are searched. Required without UserDN
	UserFilter    string // which entry is the user's. Accounts that it leaves out are not there. "": DefaultUserFilter
	NameAttribute string // which attribute is the name that rules use; it is read, since directories ignore case. "": DefaultNameAttribute

	// GroupBase is the DN below which groups are. "": they are not searched, and MemberOf may name any.
	GroupBase   string
	GroupFilter string // which groups the user is in. "": DefaultGroupFilter
	GroupName   string // the attribute that is a group's name. "": DefaultGroupName
	MemberOf    string // the attribute of the user with the DNs of his groups. "": DefaultMemberOf; "-": none

	// RequiredGroup and AdminGroup are names of groups, or their whole DNs. Accounts that are not in the first are refused; those in the second
	// are administrators. "": none.
	RequiredGroup string
	AdminGroup    string

	Timeout     time.Duration // of a connection, and of each request. 0: DefaultTimeout
	Connections int           // at most so many at the same time. 0: DefaultConnections

	Log *slog.Logger // gets what an operator should know. Nil: nothing is logged
}

// Directory is the accounts of a directory. It is safe for concurrent use.
type Directory struct {
	o        Options
	servers  []*url.URL
	tls      *tls.Config
	required group
	admin    group

	current atomic.Int32  // of servers: the one that has answered last
	slots   chan struct{} // one for each connection that may be open
	idle    chan *connection
}

// Open looks at the options. It asks nothing of the servers: one that is down keeps nobody from starting.
func Open(o Options) (*Directory, error) {
	for field, value := range map[*string]string{
		&o.UserFilter: DefaultUserFilter, &o.NameAttribute: DefaultNameAttribute, &o.GroupFilter: DefaultGroupFilter,
		&o.GroupName: DefaultGroupName, &o.MemberOf: DefaultMemberOf,
	} {
		if *field == "" {
			*field = value
		}
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Connections == 0 {
		o.Connections = DefaultConnections
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &Directory{
		o: o, required: groupOf(o.RequiredGroup), admin: groupOf(o.AdminGroup),
		slots: make(chan struct{}, o.Connections), idle: make(chan *connection, o.Connections),
	}
	return d, errors.Join(d.setServers(), d.setTLS(), d.o.check())
}

func (d *Directory) setServers() error {
	if len(d.o.Servers) == 0 {
		return errors.New("servers: at least one is needed, as in ldaps://ldap.example.com")
	}
	for _, s := range d.o.Servers {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "ldap" && u.Scheme != "ldaps" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
			return fmt.Errorf("servers: %q is not ldaps://HOST[:PORT] or ldap://HOST[:PORT]", s)
		}
		d.servers = append(d.servers, u)
	}
	return nil
}

func (d *Directory) setTLS() error {
	d.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if d.o.CAFile == "" {
		return nil
	}
	text, err := os.ReadFile(d.o.CAFile)
	if err != nil {
		return fmt.Errorf("ca_file: %w", err)
	}
	d.tls.RootCAs = x509.NewCertPool()
	if !d.tls.RootCAs.AppendCertsFromPEM(text) {
		return fmt.Errorf("ca_file: %s has no certificate in PEM", d.o.CAFile)
	}
	return nil
}

// check looks at the templates with a name in them.
func (o Options) check() error {
	var errs []error
	dn := func(setting, value string) {
		if _, err := ldap.ParseDN(value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %q is no DN: %w", setting, value, err))
		}
	}
	filter := func(setting, template string, needs ...string) {
		if _, err := ldap.CompileFilter(fill(template, ldap.EscapeFilter, o.example())); err != nil {
			errs = append(errs, fmt.Errorf("%s: %q is no filter: %w", setting, template, err))
		}
		for _, n := range needs {
			if strings.Contains(template, n) {
				return
			}
		}
		errs = append(errs, fmt.Errorf("%s: %q does not have %s in it, and would fit everybody", setting, template, strings.Join(needs, " or ")))
	}
	switch {
	case o.UserDN != "":
		dn("user_dn", fill(o.UserDN, ldap.EscapeDN, o.example()))
		if !strings.Contains(o.UserDN, "{user}") {
			errs = append(errs, fmt.Errorf("user_dn: %q does not have {user} in it", o.UserDN))
		}
	case o.UserBase == "":
		errs = append(errs, errors.New("user_base: is needed, or user_dn"))
	default:
		dn("user_base", o.UserBase)
		filter("user_filter", o.UserFilter, "{user}")
	}
	dn("bind_dn", o.BindDN)
	if (o.BindDN == "") != (o.BindPassword == "") {
		errs = append(errs, errors.New("bind_dn: needs a password, and a password needs bind_dn"))
	}
	dn("group_base", o.GroupBase)
	filter("group_filter", o.GroupFilter, "{dn}", "{name}", "{user}")
	return errors.Join(errs...)
}

func (Options) example() values {
	return values{user: "alice", name: "alice", dn: "uid=alice,dc=example,dc=com"}
}

// values are what templates are filled with.
type values struct{ user, name, dn string }

func fill(template string, escape func(string) string, v values) string {
	return strings.NewReplacer("{user}", escape(v.user), "{name}", escape(v.name), "{dn}", escape(v.dn)).Replace(template)
}

// maxName is the length in bytes up to which a name is looked for.
const maxName = 256

// robotPrefix begins the names of robots, which are no accounts of a directory.
const robotPrefix = "robot$"

// possible reports whether somebody of a directory may have the name. Blanks at its ends a directory would overlook, and so would count one account
// as many.
func possible(name string) bool {
	return name != "" && len(name) <= maxName && utf8.ValidString(name) && strings.TrimSpace(name) == name && !strings.HasPrefix(name, robotPrefix) &&
		strings.IndexFunc(name, unicode.IsControl) < 0
}

// Check implements access.Passwords. The account's name is what the directory has as NameAttribute, however it was typed. ErrRefused if the
// directory does not take the password, also of an account that is locked or expired there, or if the account is not in RequiredGroup. What a name that
// is not there spares is a bind; access.Control answers all failures after the same time.
func (d *Directory) Check(ctx context.Context, name, password string) (access.Identity, error) {
	if password == "" { // servers take a bind without a password as an anonymous one, and say yes (RFC 4513, section 5.1.2)
		return access.Identity{}, fmt.Errorf("an empty password: %w", access.ErrRefused)
	}
	if !possible(name) {
		return access.Identity{}, access.ErrUnknown
	}
	var found account
	err := d.with(ctx, func(c *connection) (err error) {
		found, err = d.login(c, name, password)
		return err
	})
	switch {
	case errors.Is(err, access.ErrUnknown), errors.Is(err, access.ErrRefused):
		return access.Identity{}, err
	case ctx.Err() != nil:
		return access.Identity{}, context.Cause(ctx)
	case err != nil:
		return access.Identity{}, fmt.Errorf("ldap: %w", err)
	}
	if d.o.RequiredGroup != "" && !d.required.among(found.groups) {
		return access.Identity{}, fmt.Errorf("not in the group %s: %w", d.o.RequiredGroup, access.ErrRefused)
	}
	return access.Identity{
		Name: found.name, Kind: access.User, Source: Source, Groups: names(found.groups), Admin: d.o.AdminGroup != "" && d.admin.among(found.groups),
	}, nil
}
