package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/access/htpasswd"
	"github.com/longshore-registry/longshore/access/ldap"
	"github.com/longshore-registry/longshore/access/oidc"
	"github.com/longshore-registry/longshore/drivers"
)

type ldapSettings struct {
	Servers       []string       `yaml:"servers" doc:"URLs of the directory's servers, ldaps://HOST or ldap://HOST, which is upgraded to TLS. The one that answered last is asked first. Empty: there is no directory."`
	Plain         bool           `yaml:"plain" doc:"Leave ldap:// without TLS: passwords cross the network in clear."`
	CAFile        string         `yaml:"ca_file" doc:"Certificates, PEM, that have signed the servers'. Empty: those of the system."`
	BindDN        string         `yaml:"bind_dn" doc:"The account that searches. Empty: searches are anonymous or, with user_dn, the user's own."`
	BindPassword  drivers.Secret `yaml:"bind_password" doc:"Its password."`
	UserDN        string         `yaml:"user_dn" doc:"The DN of a user where it follows from the name, such as uid={user},ou=people,dc=example,dc=com. Empty: the entry is searched."`
	UserBase      string         `yaml:"user_base" doc:"The DN below which users are searched."`
	UserFilter    string         `yaml:"user_filter" doc:"Which entry is the user's. {user} is what was typed."`
	NameAttribute string         `yaml:"name_attribute" doc:"The attribute with the name that rules use."`
	GroupBase     string         `yaml:"group_base" doc:"The DN below which groups are searched. Empty: they are not."`
	GroupFilter   string         `yaml:"group_filter" doc:"Which groups a user is in. {dn} is the DN of his entry, {name} his name."`
	GroupName     string         `yaml:"group_name" doc:"The attribute with a group's name."`
	MemberOf      string         `yaml:"member_of" doc:"The attribute of a user with the DNs of his groups. -: none."`
	RequiredGroup string         `yaml:"required_group" doc:"The group that a user has to be in, by name or DN. Empty: none."`
	AdminGroup    string         `yaml:"admin_group" doc:"The group whose users are administrators, by name or DN. Empty: none."`
	Timeout       time.Duration  `yaml:"timeout" min:"100ms" doc:"How long a connection, and each request, may take."`
	Connections   int            `yaml:"connections" min:"1" doc:"The most connections at the same time."`
}

func defaultLDAP() ldapSettings {
	return ldapSettings{
		UserFilter: ldap.DefaultUserFilter, NameAttribute: ldap.DefaultNameAttribute, GroupFilter: ldap.DefaultGroupFilter,
		GroupName: ldap.DefaultGroupName, MemberOf: ldap.DefaultMemberOf, Timeout: ldap.DefaultTimeout, Connections: ldap.DefaultConnections,
	}
}

func (s ldapSettings) options(log *slog.Logger) ldap.Options {
	return ldap.Options{
		Servers: s.Servers, Plain: s.Plain, CAFile: s.CAFile, BindDN: s.BindDN, BindPassword: string(s.BindPassword), UserDN: s.UserDN,
		UserBase: s.UserBase, UserFilter: s.UserFilter, NameAttribute: s.NameAttribute, GroupBase: s.GroupBase, GroupFilter: s.GroupFilter,
		GroupName: s.GroupName, MemberOf: s.MemberOf, RequiredGroup: s.RequiredGroup, AdminGroup: s.AdminGroup,
		Timeout: s.Timeout, Connections: s.Connections, Log: log,
	}
}

// oidcSettings are those of a provider.
type oidcSettings struct {
	Name           string            `yaml:"name" doc:"The provider's name, for sources in rules: lower-case letters, digits and -."`
	Issuer         string            `yaml:"issuer" doc:"Its URL, as its tokens have it in iss."`
	Kind           access.Kind       `yaml:"kind" enum:"user,workload" doc:"Whose tokens these are: those of people, or of CI jobs and pods, which may do what rules allow and nothing else."`
	ClientID       string            `yaml:"client_id" doc:"By which the provider knows this registry; it counts as an audience."`
	ClientSecret   drivers.Secret    `yaml:"client_secret" doc:"Its secret; empty for a public client."`
	Audiences      []string          `yaml:"audiences" doc:"Audiences that count. One of them, or client_id, has to be set."`
	Parties        []string          `yaml:"parties" doc:"Values of azp that count beside them, for tokens of people that another client has fetched."`
	Scopes         []string          `yaml:"scopes" doc:"What a login of people asks for. Empty: openid, profile, email."`
	JWKS           string            `yaml:"jwks" doc:"A file or URL with its public keys. Empty: where its discovery document says."`
	CAFile         string            `yaml:"ca_file" doc:"Certificates, PEM, that have signed its. Empty: those of the system."`
	TokenFile      string            `yaml:"token_file" doc:"A token to send when keys are fetched, as a Kubernetes API server wants it."`
	UsernameClaim  string            `yaml:"username_claim" doc:"The claim with the account's name. Empty: email for people, if it is verified, and sub for workloads."`
	UsernamePrefix string            `yaml:"username_prefix" doc:"What is put before the name."`
	GroupsClaim    string            `yaml:"groups_claim" doc:"The claim with the groups. Empty: groups."`
	Admins         []string          `yaml:"admins" doc:"Names, and groups written group:NAME, of this provider that are administrators."`
	Required       map[string]string `yaml:"required" doc:"Claims that a token has to have, each with a pattern."`
	KeyLife        time.Duration     `yaml:"key_life" min:"1h" max:"8784h" doc:"How long the API keys count that people get who log in with a browser, at /oidc/."`
}

// SetDefaults is for items of the list.
func (s *oidcSettings) SetDefaults() { s.Kind, s.KeyLife = access.User, 30*24*time.Hour }

// Validate looks at what every provider needs.
func (s oidcSettings) Validate() error {
	var errs []error
	if s.Name == "" {
		errs = append(errs, errors.New("name: required"))
	}
	if s.Issuer == "" {
		errs = append(errs, errors.New("issuer: required"))
	}
	return errors.Join(errs...)
}

func (s oidcSettings) options(log *slog.Logger) oidc.Options {
	return oidc.Options{
		Name: s.Name, Issuer: s.Issuer, Kind: s.Kind, ClientID: s.ClientID, ClientSecret: string(s.ClientSecret), Audiences: s.Audiences,
		Parties: s.Parties, Scopes: s.Scopes, JWKS: s.JWKS, CAFile: s.CAFile, TokenFile: s.TokenFile, UsernameClaim: s.UsernameClaim,
		UsernamePrefix: s.UsernamePrefix, GroupsClaim: s.GroupsClaim, Admins: s.Admins, Required: s.Required, Log: log,
	}
}

// addSources adds the accounts that are kept outside the store. The providers of OIDC are nil if there are none.
func (l loaded) addSources(o *access.ControlOptions, log *slog.Logger) (providers *oidc.Providers, err error) {
	a := l.Access
	if a.Htpasswd.File != "" {
		file, err := htpasswd.Open(htpasswd.Options{Path: a.Htpasswd.File, Refresh: a.Refresh, Log: log})
		if err != nil {
			return nil, adviceError{fmt.Errorf("access.htpasswd.file: %w", err), "correct the file; htpasswd -B makes lines that are taken"}
		}
		o.Passwords = append(o.Passwords, file)
	}
	if len(a.LDAP.Servers) > 0 {
		directory, err := ldap.Open(a.LDAP.options(log))
		if err != nil {
			return nil, adviceError{fmt.Errorf("access.ldap: %w", err), "correct the settings of the directory; docs/access.md has an example"}
		}
		o.Passwords = append(o.Passwords, directory)
	}
	if len(a.OIDC) > 0 {
		var all []oidc.Options
		for _, one := range a.OIDC {
			all = append(all, one.options(log))
		}
		if providers, err = oidc.Open(all...); err != nil {
			return nil, adviceError{fmt.Errorf("access.%w", err), "correct the settings of that provider; docs/access.md has an example"}
		}
		o.Tokens = append(o.Tokens, providers)
	}
	if l.TLS.Clients.CA != "" {
		o.Certificates = append(o.Certificates, access.CertificateNames(a.Certificate.Name))
	}
	return providers, nil
}
