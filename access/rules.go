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

// misfit says which condition q does not fit, or nothing if it fits them all. Without words it is a mere "no".
func (r *rule) misfit(q Question, words bool) string {
	say := func(format string, args ...any) string {
		if !words {
			return "no"
		}
		return fmt.Sprintf(format, args...)
	}
	id := &q.Identity
	if r.Repositories != "" && !r.Repositories.Match(q.Repository) {
		if q.Repository == "" {
			return say("is about the repositories %s", r.Repositories)
		}
		return say("the repository does not fit %s", r.Repositories)
	}
	if !r.fitsAccount(id) {
		return say("the account is none of %s", r.accounts())
	}
	if len(r.Sources) > 0 && (id.IsAnonymous() || !slices.Contains(r.Sources, id.Source)) {
		return say("the account is not from %s", strings.Join(r.Sources, ", "))
	}
	if len(r.Networks) > 0 && !inNetworks(r.Networks, q.Address) {
		return say("the address is in none of the networks")
	}
	for claim, pattern := range r.Claims {
		if !fitsClaim(id.Claims, claim, config.Glob(pattern)) {
			return say("%s", r.claimMisfit(id))
		}
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
		if _, has := lookUp(id.Claims, claim); !has {
			return fmt.Sprintf("there is no claim %s", claim)
		}
		if !fitsClaim(id.Claims, claim, config.Glob(r.Claims[claim])) {
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

// fitsClaim reports whether a claim, or one value of a claim that is a list, fits. A claim within a claim is named with a
// dot, as in kubernetes.io.namespace; a whole name that has dots comes first.
func fitsClaim(claims map[string]any, name string, pattern config.Glob) bool {
	v, has := lookUp(claims, name)
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

// lookUp finds a claim by its name, at any depth.
func lookUp(claims map[string]any, name string) (any, bool) {
	if v, has := claims[name]; has {
		return v, true
	}
	for i := range len(name) {
		if name[i] != '.' {
			continue
		}
		if inner, ok := claims[name[:i]].(map[string]any); ok {
			if v, has := lookUp(inner, name[i+1:]); has {
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
