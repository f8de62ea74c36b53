package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/config"
)

// accessSettings say who may do what.
type accessSettings struct {
	Required          bool              `yaml:"required" doc:"Clients need credentials from the start. Without it a registry is open until it has its first account, or until something else of this section but users, audit, throttle, rate, refresh and challenge is set."`
	Anonymous         []access.Action   `yaml:"anonymous" enum:"pull,push,tag-move,delete,catalogue" doc:"What clients without an account may do, where no rule says otherwise."`
	Authenticated     []access.Action   `yaml:"authenticated" enum:"pull,push,tag-move,delete,catalogue" doc:"What every account may do, where no rule says otherwise; tokens of CI jobs and pods are no accounts and need a rule. push is for what is new; to point a tag that exists elsewhere takes tag-move too."`
	Admins            []string          `yaml:"admins" doc:"Accounts, and groups written group:NAME, that may do everything."`
	PrivateNamespaces bool              `yaml:"private_namespaces" doc:"The repositories below alice/ belong to the user alice. Nobody else sees them, and nobody has other repositories with a slash in their name, unless a rule says so."`
	Rules             []accessRule      `yaml:"rules" doc:"Who may do what, in order: the first rule that fits and names the action decides; docs/access.md explains it."`
	Users             accessUsers       `yaml:"users" doc:"Users, robots and API keys that are kept in the store."`
	Htpasswd          htpasswdSettings  `yaml:"htpasswd" doc:"Users of a file."`
	LDAP              ldapSettings      `yaml:"ldap" doc:"Users of a directory."`
	OIDC              []oidcSettings    `yaml:"oidc" doc:"Providers of OpenID Connect whose tokens count, as bearer tokens and as passwords."`
	Certificate       certSettings      `yaml:"certificate" doc:"Users of TLS client certificates, where tls.clients.ca is set."`
	Token             tokenSettings     `yaml:"token" doc:"Bearer tokens."`
	Challenge         string            `yaml:"challenge" enum:"bearer,basic" doc:"How clients without credentials are asked for them: to fetch a token at /token, or to send name and password with each request. Both are taken in either case."`
	Refresh           time.Duration     `yaml:"refresh" min:"1s" max:"10m" doc:"How long a process takes as given what it has read of accounts and which passwords it has verified. A disabled user or revoked key is out on every replica after that."`
	Throttle          throttleSettings  `yaml:"throttle" doc:"Failed logins. Each is answered later than the one before, and too many are answered with 429."`
	Rate              rateSettings      `yaml:"rate" doc:"How many requests an account, and an address, may make. What is more is answered with 429."`
	Audit             accessAuditConfig `yaml:"audit" doc:"The audit log: logins, pushes, deletes and changes of accounts, one JSON object a line."`
}

type accessUsers struct {
	Enabled bool `yaml:"enabled" doc:"They can log in. With false only the other sources count."`
}

type htpasswdSettings struct {
	File string `yaml:"file" doc:"A file as htpasswd -B writes it, with bcrypt or argon2id. It is read anew when it changes."`
}

type certSettings struct {
	Name string `yaml:"name" enum:"cn,san" doc:"Where the account's name stands in the certificate: the common name, or the first e-mail address, host name or URI of the alternative names."`
}

type tokenSettings struct {
	Life        time.Duration `yaml:"life" min:"1m" max:"1h" doc:"How long a token counts that a client has fetched at /token."`
	RefreshLife time.Duration `yaml:"refresh_life" min:"5m" doc:"How long a refresh token counts, with which a client fetches tokens without a password."`

	Realm      string   `yaml:"realm" doc:"The URL of a token server of somebody else, which decides instead of the rules here. Tokens are issued by it alone then."`
	Issuer     string   `yaml:"issuer" doc:"The issuer that its tokens name."`
	Service    string   `yaml:"service" doc:"The name by which it knows this registry."`
	JWKS       string   `yaml:"jwks" doc:"Its public keys: a file or URL with a JSON Web Key Set."`
	Roots      string   `yaml:"roots" doc:"Its public keys: a file with certificates, PEM, which have signed them."`
	Algorithms []string `yaml:"algorithms" doc:"The signatures of it that count. Empty: all that need two keys."`
}

type throttleSettings struct {
	Enabled      bool          `yaml:"enabled" doc:"Failed logins are counted."`
	Account      int           `yaml:"account" min:"1" doc:"How many logins may fail for an account."`
	AccountEvery time.Duration `yaml:"account_every" min:"1s" doc:"After how long one more may."`
	Address      int           `yaml:"address" min:"1" doc:"How many logins may fail from an address, whatever the account; of IPv6 from each /64."`
	AddressEvery time.Duration `yaml:"address_every" min:"1s" doc:"After how long one more may."`
}

type rateSettings struct {
	PerSecond int `yaml:"per_second" min:"0" doc:"Requests a second. 0: any number."`
	Burst     int `yaml:"burst" min:"1" doc:"How many may come at once."`
}

type accessAuditConfig struct {
	File string `yaml:"file" doc:"Where it is written: a file, which is begun anew when it was moved away, or - for stderr. Empty: nowhere."`
}

// accessRule is a rule as the configuration has it.
type accessRule struct {
	Repositories config.Glob       `yaml:"repositories" doc:"A pattern for repositories. Without it: all, and catalogue and admin."`
	Users        []string          `yaml:"users" doc:"Accounts, or patterns for them; * for every account, robot$ci for a robot."`
	Groups       []string          `yaml:"groups" doc:"Groups, or patterns for them. A rule with users and groups fits the ones and the others."`
	Sources      []string          `yaml:"sources" doc:"Where the account is from: users, htpasswd, ldap, certificate, or the name of an OIDC provider."`
	Networks     []netip.Prefix    `yaml:"networks" doc:"Networks of the client's address."`
	Claims       map[string]string `yaml:"claims" doc:"Claims of the token, each with a pattern; all have to fit."`
	Allow        []access.Action   `yaml:"allow" enum:"pull,push,tag-move,delete,catalogue,admin" doc:"Actions that it allows."`
	Deny         []access.Action   `yaml:"deny" enum:"pull,push,tag-move,delete,catalogue,admin" doc:"Actions that it denies."`
}

// Validate looks at a rule as a whole.
func (r accessRule) Validate() error {
	if len(r.Allow)+len(r.Deny) == 0 {
		return errors.New("the rule says nothing: it needs allow or deny, with some of pull, push, tag-move, delete, catalogue, admin")
	}
	for _, a := range r.Allow {
		if slices.Contains(r.Deny, a) {
			return fmt.Errorf("allow: %s is denied by the same rule", a)
		}
	}
	for claim, pattern := range r.Claims {
		if pattern == "" {
			return fmt.Errorf("claims: %s has no pattern; write * for any value", claim)
		}
	}
	return nil
}

// Validate looks at the section as a whole.
func (a accessSettings) Validate() error {
	var errs []error
	for _, name := range a.Admins {
		if name == "*" || name == "" || name == "group:" {
			errs = append(errs, fmt.Errorf("admins: %q would make everybody an administrator, or nobody; write names, or group:NAME", name))
		}
	}
	t := a.Token
	if t.Realm != "" && (t.Issuer == "" || t.Service == "" || t.JWKS == "" && t.Roots == "") {
		errs = append(errs, errors.New("token.realm: a token server needs issuer, service, and jwks or roots beside it"))
	}
	if t.Realm == "" && (t.Issuer != "" || t.Service != "" || t.JWKS != "" || t.Roots != "") {
		errs = append(errs, errors.New("token.realm: is not set, but other settings of a token server are"))
	}
	return errors.Join(errs...)
}

func defaultAccess() accessSettings {
	return accessSettings{
		Authenticated: []access.Action{access.Pull, access.Push, access.TagMove, access.Delete},
		Users:         accessUsers{Enabled: true},
		LDAP:          defaultLDAP(),
		Certificate:   certSettings{Name: "cn"},
		Token:         tokenSettings{Life: 5 * time.Minute, RefreshLife: 90 * 24 * time.Hour},
		Challenge:     "bearer",
		Refresh:       5 * time.Second,
		Throttle:      throttleSettings{Enabled: true, Account: 10, AccountEvery: 30 * time.Second, Address: 50, AddressEvery: 10 * time.Second},
		Rate:          rateSettings{Burst: 100},
	}
}

// openUntilFirst are the settings that leave a registry open until it has its first account.
var openUntilFirst = [...]string{"access.users.", "access.audit.", "access.throttle.", "access.rate.", "access.refresh", "access.challenge", "access.token.life", "access.token.refresh_life"}

// lockedFromStart reports whether the configuration asks for credentials whatever accounts there are.
func (l loaded) lockedFromStart() bool {
	if l.Access.Required || l.TLS.Clients.CA != "" {
		return true
	}
	for _, k := range l.keys {
		if strings.HasPrefix(k.Path, "access.") && k.Path != "access.required" && k.Source != (config.Source{}) &&
			!slices.ContainsFunc(openUntilFirst[:], func(p string) bool { return strings.HasPrefix(k.Path, p) }) {
			return true
		}
	}
	return false
}

// policy is what the rules say.
func (l loaded) policy() *access.Policy {
	o := access.PolicyOptions{
		Anonymous: l.Access.Anonymous, Authenticated: l.Access.Authenticated, Admins: l.Access.Admins, PrivateNamespaces: l.Access.PrivateNamespaces,
	}
	for i, r := range l.Access.Rules {
		o.Rules = append(o.Rules, access.Rule{
			Repositories: r.Repositories, Users: r.Users, Groups: r.Groups, Sources: r.Sources, Networks: r.Networks, Claims: r.Claims,
			Allow: r.Allow, Deny: r.Deny, Place: l.placeOf(fmt.Sprintf("access.rules[%d].", i)),
		})
	}
	return access.NewPolicy(o)
}

// placeOf is where the first of the settings was set whose path begins so.
func (l loaded) placeOf(prefix string) string {
	for _, k := range l.keys {
		if strings.HasPrefix(k.Path, prefix) && k.Source != (config.Source{}) {
			return k.Source.String()
		}
	}
	return ""
}
