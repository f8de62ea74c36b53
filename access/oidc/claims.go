package oidc

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/config"
)

// skew is how far clocks may differ.
const skew = time.Minute

// claims are what a token says. A map tells "sub" from "SUB", which encoding/json's structs don't.
type claims map[string]any

// text is a claim that is a string, else "".
func (c claims) text(name string) string {
	v, _ := access.Claim(c, name)
	s, _ := v.(string)
	return s
}

// list is a claim that is a string or a list of strings. Values of other kinds are left out.
func (c claims) list(name string) []string {
	v, _ := access.Claim(c, name)
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, one := range v {
			if s, ok := one.(string); ok {
				all = append(all, s)
			}
		}
		return all
	}
	return nil
}

// hasAudience reports whether one of "aud" is one of these.
func (c claims) hasAudience(these []string) bool {
	return slices.ContainsFunc(c.list("aud"), func(a string) bool { return slices.Contains(these, a) })
}

// latest is the year 9999, after which times are no use to anybody.
const latest = 253402300799

// time is a NumericDate (RFC 7519, section 2); the zero time if there is none, or nothing that is one.
func (c claims) time(name string) time.Time {
	if seconds, ok := c[name].(float64); ok && seconds > 0 && seconds < latest {
		return time.Unix(int64(seconds), 0)
	}
	return time.Time{}
}

// identity is the account of claims that the provider has signed, if they count.
func (p *Provider) identity(c claims) (access.Identity, error) {
	nobody := access.Identity{}
	switch now := p.o.Now(); {
	case c["iss"] != p.o.Issuer:
		return nobody, refused("it is of another issuer")
	case !c.hasAudience(p.audiences):
		return nobody, refused("its audience is none that counts here")
	case c.time("exp").IsZero():
		return nobody, refused("it does not end")
	case c["nbf"] != nil && now.Add(skew).Before(c.time("nbf")), c["nbf"] != nil && c.time("nbf").IsZero():
		return nobody, refused("it does not count yet")
	case now.Add(skew).Before(c.time("iat")):
		return nobody, refused("it was made in the future; do clocks differ?")
	case c.text("sub") == "":
		return nobody, refused("it has no sub")
	case c["events"] != nil || slices.Contains([]string{"refresh", "offline", "logout"}, strings.ToLower(c.text("typ"))):
		return nobody, refused("it is no ID token or access token") // but a logout token, or one of Keycloak's
	}
	if err := p.checkParty(c); err != nil {
		return nobody, err
	}
	for claim, pattern := range p.o.Required {
		if !access.FitsClaim(c, claim, config.Glob(pattern)) {
			return nobody, refused("the claim %s does not fit what oidc.required asks", claim)
		}
	}
	name, err := p.name(c)
	if err != nil {
		return nobody, err
	}
	id := access.Identity{
		Name: name, Kind: p.o.Kind, Source: p.o.Name, Groups: c.list(p.o.GroupsClaim), Claims: c, Expires: c.time("exp").Add(skew),
	}
	id.Admin = slices.Contains(p.o.Admins, name) || slices.ContainsFunc(id.Groups, func(g string) bool { return slices.Contains(p.o.Admins, "group:"+g) })
	if !p.o.Now().Before(id.Expires) {
		return id, access.ErrExpired
	}
	return id, nil
}

// checkParty looks at who has fetched a token for a person (OpenID Connect Core 1.0, section 3.1.3.7, 4 and 5). Workloads fetch theirs themselves, and what
// providers write into "azp" then has many meanings.
func (p *Provider) checkParty(c claims) error {
	if p.o.Kind == access.Workload {
		return nil
	}
	party, has := c["azp"]
	if !has {
		if len(c.list("aud")) > 1 {
			return refused("it is for several audiences, and does not say who has fetched it")
		}
		return nil
	}
	if s, ok := party.(string); !ok || !slices.Contains(p.audiences, s) && !slices.Contains(p.o.Parties, s) {
		return refused("it was fetched by %q, which does not count here", party)
	}
	return nil
}

// maxName is the length of a name in bytes.
const maxName = 256

// robotPrefix begins the names of robots.
const robotPrefix = "robot$"

// name is the account's.
func (p *Provider) name(c claims) (string, error) {
	name := c.text(p.o.UsernameClaim)
	switch {
	case name == "":
		return "", refused("it has no %s, which is to be the account's name", p.o.UsernameClaim)
	case p.o.UsernameClaim == "email" && c["email_verified"] != true:
		// Anybody could have written anybody's address there.
		return "", refused("the provider does not say that the address was verified; another username_claim may be better")
	}
	name = p.o.UsernamePrefix + name
	if len(name) > maxName || !utf8.ValidString(name) || strings.HasPrefix(name, robotPrefix) || strings.TrimSpace(name) != name ||
		strings.ContainsFunc(name, unicode.IsControl) {
		return "", refused("%q can't be an account's name", name)
	}
	return name, nil
}
