// Package oidc checks tokens of OpenID Connect providers: those of people, and those that CI systems and Kubernetes give to their workloads.
//
// A token counts in the header Authorization: Bearer and as a password, whatever the name beside it: most clients can only send a name and a password.
// [Login] is the way of people who have a browser and no token: they log in at their provider and get an API key for docker login.
//
//	access:
//	  oidc:
//	    - {name: github, kind: workload, issuer: https://token.actions.githubusercontent.com, audiences: [registry.example.com]}
//	  rules:
//	    - {repositories: "app/**", sources: [github], claims: {repository: org/app, ref: refs/heads/main}, allow: [pull, push]}
package oidc

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/longshore-registry/longshore/access"
)

// algorithms are those that a token may be signed with. All have two keys: with one of a single key who checks tokens could make them, and the
// public key of another algorithm could be taken for one.
var algorithms = [...]jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// Options are a provider's.
type Options struct {
	Name   string // Identity.Source of its accounts, and its name in paths. Required: lower-case letters, digits and -
	Issuer string // its URL, the "iss" of its tokens, to the letter. Required: https://, or http:// of this machine

	// Kind is access.User for people or access.Workload for CI jobs and pods. Workloads have no namespace of their own, and access.admins does not
	// mean them. Default access.User.
	Kind access.Kind

	ClientID     string   // by which the provider knows this registry: an "aud" that counts, and the client of Login
	ClientSecret string   // of it; "" for a public client
	Audiences    []string // more that count. One of ClientID and Audiences is required
	Parties      []string // values of "azp" that count beside ClientID and Audiences, for tokens of people that another client has fetched
	Scopes       []string // what Login asks for. Default openid, profile, email

	JWKS      string // a file or URL with the provider's public keys. Default: its discovery document says where they are
	CAFile    string // certificates, PEM, that have signed its; "": the system's
	TokenFile string // a token that is sent when keys are fetched, read anew each time: as a Kubernetes API server wants it

	UsernameClaim  string // the account's name. Default email for people, which counts if email_verified is true, and sub for workloads
	UsernamePrefix string // before the name, where providers must not share names
	GroupsClaim    string // a string or a list. Default groups

	// Admins are names, and groups written group:NAME, of this provider that are administrators.
	Admins []string
	// Required are claims that a token has to have, each with a pattern.
	Required map[string]string

	Now func() time.Time // default time.Now
	Log *slog.Logger     // gets what an operator should know. Nil: nothing is logged
}

// Provider is one of them.
type Provider struct {
	o         Options
	audiences []string
	source    *source
}

// Providers are all that a registry trusts. It implements access.Tokens and is safe for concurrent use.
type Providers struct{ all []*Provider }

// Open looks at the options. It asks nothing of the providers: one that is down keeps nobody from starting.
func Open(all ...Options) (*Providers, error) {
	var p Providers
	for i, o := range all {
		one, err := open(o)
		if err != nil {
			return nil, fmt.Errorf("oidc[%d]: %w", i, err)
		}
		for _, other := range p.all {
			if other.o.Name == o.Name {
				return nil, fmt.Errorf("oidc[%d]: name: %s is there twice", i, o.Name)
			}
			both := func(a string) bool { return slices.Contains(other.audiences, a) }
			if other.o.Issuer == o.Issuer && slices.ContainsFunc(one.audiences, both) {
				return nil, fmt.Errorf("oidc[%d]: %s and %s have the same issuer and an audience in common: a token could be of either", i, other.o.Name, o.Name)
			}
		}
		p.all = append(p.all, one)
	}
	return &p, nil
}

func open(o Options) (*Provider, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Kind == "" {
		o.Kind = access.User
	}
	if o.UsernameClaim == "" {
		o.UsernameClaim = map[access.Kind]string{access.User: "email", access.Workload: "sub"}[o.Kind]
	}
	if o.GroupsClaim == "" {
		o.GroupsClaim = "groups"
	}
	if len(o.Scopes) == 0 {
		o.Scopes = []string{"openid", "profile", "email"}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Provider{o: o, audiences: slices.Clone(o.Audiences)}
	if o.ClientID != "" {
		p.audiences = append(p.audiences, o.ClientID)
	}
	var err error
	p.source, err = newSource(o)
	return p, err
}

// check finds what is missing or wrong.
func (o Options) check() error {
	switch {
	case !isName(o.Name):
		return fmt.Errorf("name: %q is not one of lower-case letters, digits and -", o.Name)
	case slices.Contains([]string{"users", "htpasswd", "ldap", "token", "certificate"}, o.Name):
		return fmt.Errorf("name: %s is that of another source", o.Name)
	case o.Kind != "" && o.Kind != access.User && o.Kind != access.Workload:
		return fmt.Errorf("kind: %q is neither people nor workload", o.Kind)
	case o.ClientID == "" && len(o.Audiences) == 0 || slices.Contains(o.Audiences, ""):
		return errors.New("audiences: without client_id or audiences the provider's tokens for anybody else would count here")
	}
	for _, a := range o.Admins {
		if a == "*" || a == "" || a == "group:" {
			return fmt.Errorf("admins: %q would make everybody an administrator, or nobody", a)
		}
	}
	if err := checkURL(o.Issuer); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	if strings.Contains(o.JWKS, "://") {
		if err := checkURL(o.JWKS); err != nil {
			return fmt.Errorf("jwks: %w", err)
		}
	}
	return nil
}

func isName(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// checkURL wants keys to come from where nobody on the way can change them.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("%q is not a URL such as https://accounts.example.com", text)
	}
	local := u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()
	if u.Scheme == "https" || u.Scheme == "http" && local {
		return nil
	}
	return fmt.Errorf("%q has to be https://: whoever can change its answers could make tokens", text)
}

// maxToken is the length in bytes up to which a token is looked at.
const maxToken = 64 << 10

// CheckToken implements access.Tokens. ErrUnknown if the token is no JWT of one of the providers; ErrRefused, with a reason, if it is one that does
// not count here; ErrExpired, with the account, if its time is over. An error that is none of these means that the provider's keys can't be had.
func (p *Providers) CheckToken(ctx context.Context, token string) (access.Identity, error) {
	said := unverified(token)
	var known bool
	for _, one := range p.all {
		if said.text("iss") != one.o.Issuer {
			continue
		}
		known = true
		if said.hasAudience(one.audiences) {
			id, _, err := one.verify(ctx, token)
			return id, err
		}
	}
	if !known {
		return access.Identity{}, access.ErrUnknown
	}
	return access.Identity{}, refused("its audience %q is none that counts here", said["aud"])
}

// unverified is what a token claims, to choose who verifies it; nothing if it is no JWT.
func unverified(token string) claims {
	parts := strings.Split(token, ".")
	if len(token) > maxToken || len(parts) != 3 {
		return nil
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	var c claims
	if json.Unmarshal(body, &c) != nil {
		return nil
	}
	return c
}

// refused is an access.ErrRefused with a reason, for the audit log.
func refused(format string, args ...any) error {
	return fmt.Errorf("a token is refused: "+format+": %w", append(args, access.ErrRefused)...)
}

// verify checks a token whose issuer and audience are said to be these, and returns what it claims.
func (p *Provider) verify(ctx context.Context, token string) (access.Identity, claims, error) {
	nobody := access.Identity{}
	signed, err := jose.ParseSignedCompact(token, algorithms[:])
	if err != nil || len(signed.Signatures) != 1 {
		return nobody, nil, refused("it is not signed with an algorithm that counts")
	}
	header := signed.Signatures[0].Protected
	if typ, _ := header.ExtraHeaders[jose.HeaderType].(string); !isType(typ) {
		return nobody, nil, refused("its type is %q", typ)
	}
	keys, err := p.source.keys.Find(ctx, header)
	if err != nil {
		return nobody, nil, fmt.Errorf("the keys of the OIDC provider %s: %w", p.o.Name, err)
	}
	var body []byte
	for _, k := range keys {
		if body, err = signed.Verify(k.Key); err == nil {
			break
		}
	}
	if len(keys) == 0 || err != nil {
		return nobody, nil, refused("its signature is not one of %s", p.o.Name)
	}
	var c claims
	if err := json.Unmarshal(body, &c); err != nil {
		return nobody, nil, refused("it holds no claims")
	}
	id, err := p.identity(c)
	return id, c, err
}

// isType reports whether a header's "typ" is that of an ID token or access token (RFC 9068). Logout tokens, DPoP proofs and others are signed with the same
// keys, and are no credentials (RFC 8725, section 3.11).
func isType(typ string) bool {
	switch strings.TrimPrefix(strings.ToLower(typ), "application/") {
	case "", "jwt", "at+jwt":
		return true
	}
	return false
}
