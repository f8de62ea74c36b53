package access

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/longshore-registry/longshore/config"
)

// names reports whether the rule says anything of the action.
func (r *rule) names(a Action) bool {
	return slices.Contains(r.Allow, a) || slices.Contains(r.Deny, a)
}

// condition is one of a rule's conditions.
type condition int

const (
	none condition = iota // all fit
	ofRepository
	ofAccount
	ofSource
	ofNetwork
	ofClaims
)

// misfit is the first condition that q does not fit.
func (r *rule) misfit(q *Question) condition {
	id := &q.Identity
	switch {
	case r.Repositories != "" && !r.Repositories.Match(q.Repository):
		return ofRepository
	case !r.fitsAccount(id):
		return ofAccount
	case len(r.Sources) > 0 && (id.IsAnonymous() || !slices.Contains(r.Sources, id.Source)):
		return ofSource
	case len(r.Networks) > 0 && !inNetworks(r.Networks, q.Address):
		return ofNetwork
	}
	for claim, pattern := range r.Claims {
		if !FitsClaim(id.Claims, claim, config.Glob(pattern)) {
			return ofClaims
		}
	}
	return none
}

// why tells of a condition that q does not fit.
func (r *rule) why(c condition, q *Question) string {
	switch c {
	case ofRepository:
		return fmt.Sprintf("the repository does not fit %s", r.Repositories)
	case ofAccount:
		return "the account is none of " + r.accounts()
	case ofSource:
		return "the account is not from " + strings.Join(r.Sources, ", ")
	case ofNetwork:
		return "the address is in none of the networks"
	case ofClaims:
		return r.claimMisfit(&q.Identity)
	}
	return ""
}

// fitsAccount reports whether the account is one of Users or Groups, or whether none are asked for.
func (r *rule) fitsAccount(id *Identity) bool {
	if len(r.Users) == 0 && len(r.Groups) == 0 {
		return true
	}
	if id.IsAnonymous() {
		return false
	}
	for _, u := range r.Users {
		if u == "*" || u == id.Name || config.Glob(u).Match(id.Name) {
			return true
		}
	}
	for _, g := range r.Groups {
		for _, has := range id.Groups {
			if g == has || config.Glob(g).Match(has) {
				return true
			}
		}
	}
	return false
}

// accounts is whom the rule is for.
func (r *rule) accounts() string {
	all := slices.Clone(r.Users)
	for _, g := range r.Groups {
		all = append(all, "group "+g)
	}
	return strings.Join(all, ", ")
}

// claimMisfit says which claim it is, always the same one.
func (r *rule) claimMisfit(id *Identity) string {
	for _, claim := range slices.Sorted(maps.Keys(r.Claims)) {
		if _, has := Claim(id.Claims, claim); !has {
			return fmt.Sprintf("there is no claim %s", claim)
		}
		if !FitsClaim(id.Claims, claim, config.Glob(r.Claims[claim])) {
			return fmt.Sprintf("the claim %s does not fit %s", claim, r.Claims[claim])
		}
	}
	return ""
}

func inNetworks(networks []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// FitsClaim reports whether a claim, or one value of a claim that is a list, fits. A claim within a claim is named with a
// dot, as in kubernetes.io.namespace; a whole name that has dots comes first.
func FitsClaim(claims map[string]any, name string, pattern config.Glob) bool {
	v, has := Claim(claims, name)
	if !has {
		return false
	}
	if many, ok := v.([]any); ok {
		return slices.ContainsFunc(many, func(one any) bool { return fitsValue(one, pattern) })
	}
	if many, ok := v.([]string); ok {
		return slices.ContainsFunc(many, pattern.Match)
	}
	return fitsValue(v, pattern)
}

// Claim finds a claim by its name, at any depth: kubernetes.io.namespace. A whole name that has dots comes first.
func Claim(claims map[string]any, name string) (any, bool) {
	if v, has := claims[name]; has {
		return v, true
	}
	for i := range len(name) {
		if name[i] != '.' {
			continue
		}
		if inner, ok := claims[name[:i]].(map[string]any); ok {
			if v, has := Claim(inner, name[i+1:]); has {
				return v, true
			}
		}
	}
	return nil, false
}

// fitsValue compares strings, numbers and booleans as they are written. Maps and null fit nothing.
func fitsValue(v any, pattern config.Glob) bool {
	switch v := v.(type) {
	case string:
		return pattern.Match(v)
	case float64: // as JSON's numbers are read; never 1.7e+09
		return pattern.Match(strconv.FormatFloat(v, 'f', -1, 64))
	case bool, int, int64:
		return pattern.Match(fmt.Sprint(v))
	}
	return false
}
