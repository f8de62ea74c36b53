package ldap

import (
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// group is one that a user is in, or one that a setting names.
type group struct {
	name string
	dn   *ldap.DN // nil if only the name is known
}

// groupOf takes a setting: a name, or a whole DN.
func groupOf(setting string) group {
	if strings.Contains(setting, "=") {
		if dn, err := ldap.ParseDN(setting); err == nil {
			return group{dn: dn}
		}
	}
	return group{name: setting}
}

// among reports whether the group that a setting names is one of a user's. Directories ignore case, and so does this.
func (g group) among(users []group) bool {
	return slices.ContainsFunc(users, func(u group) bool {
		if g.dn != nil {
			return u.dn != nil && g.dn.EqualFold(u.dn)
		}
		return strings.EqualFold(g.name, u.name)
	})
}

// names are those of groups, each once, sorted.
func names(groups []group) []string {
	var all []string
	for _, g := range groups {
		all = append(all, g.name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// memberOf makes groups of the DNs that a user's entry has. Those that are not below base, if there is one, are left out: whoever may make groups
// elsewhere in the directory could give them any name. A group's name is the first value of its DN.
func memberOf(values []string, base *ldap.DN) []group {
	var all []group
	for _, v := range values {
		dn, err := ldap.ParseDN(v)
		if err != nil || len(dn.RDNs) == 0 || len(dn.RDNs[0].Attributes) == 0 {
			continue
		}
		if base != nil && len(base.RDNs) > 0 && !base.AncestorOfFold(dn) {
			continue
		}
		all = append(all, group{name: dn.RDNs[0].Attributes[0].Value, dn: dn})
	}
	return all
}
