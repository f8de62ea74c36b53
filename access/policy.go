package access

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/longshore-registry/longshore/config"
)

// Rule allows or denies actions to those whom it fits. It fits if each condition that is set does; of Users and Groups
// one is enough. A rule without Users, Groups, Sources and Claims fits anonymous clients too.
type Rule struct {
	Repositories config.Glob // "": any, and actions that concern no repository
	Users        []string    // names or patterns as config.Glob; "*" is every account, whatever its name
	Groups       []string    // names or patterns
	Sources      []string    // where the account is from; see Identity.Source
	Networks     []netip.Prefix
	Claims       map[string]string // of the token: a pattern for each; of a claim that is a list, one of its values
	Allow, Deny  []Action
	Place        string // where it is written, for Reason: "config.yml:12"
}

// PolicyOptions are what a policy is made of. With the zero value nobody may do anything.
type PolicyOptions struct {
	Anonymous []Action // of clients without an account

	// Authenticated are those of every account. A workload is none: some issuers give a token to anybody's job, so that it may do
	// what rules allow for its claims, and what Anonymous has.
	Authenticated []Action

	// Admins are names of accounts, and groups written "group:NAME", to which everything is allowed. The token of a
	// workload is never an administrator's by its name: its issuer chose that.
	Admins []string

	// PrivateNamespaces gives each user the repositories below his name: pull, push, tag-move and delete in alice/** are
	// alice's, and nobody else's unless a rule says so.
	PrivateNamespaces bool

	// Rules are looked at in order. The first that fits and names the action decides.
	Rules []Rule
}

// Policy decides who may do what, in this order: credentials and tokens that are narrowed, administrators, rules, what a robot was made
// for, private namespaces, and what is allowed to every account or to anonymous clients. It never changes, so it is safe for concurrent use.
type Policy struct {
	options PolicyOptions
	rules   []rule
	admins  map[string]bool
}

// rule is a Rule with what can be prepared.
type rule struct {
	Rule
	name           string // "rule 3 (config.yml:12)"
	allows, denies string // reasons
}

// NewPolicy makes a policy.
func NewPolicy(o PolicyOptions) *Policy {
	p := &Policy{options: o, admins: map[string]bool{}}
	for _, name := range o.Admins {
		p.admins[name] = true
	}
	for i, r := range o.Rules {
		name := fmt.Sprintf("rule %d", i+1)
		if r.Place != "" {
			name += " (" + r.Place + ")"
		}
		p.rules = append(p.rules, rule{Rule: r, name: name, allows: name + " allows it", denies: name + " denies it"})
	}
	return p
}

// Verdict is what a step of a decision came to.
type Verdict string

// The verdicts.
const (
	Allows Verdict = "allows"
	Denies Verdict = "denies"
	Passes Verdict = "passes" // says nothing: the next step is asked
)

// Step is one step of a decision.
type Step struct {
	Name    string  // "rule 3 (config.yml:12)"
	Verdict Verdict // only the last step allows or denies
	Why     string
}

// Decide answers a question.
func (p *Policy) Decide(q Question) Decision {
	allowed, reason := p.decide(&q, nil)
	d := Decision{Allowed: allowed, Visible: allowed, Reason: reason}
	if !allowed && q.Action != Pull && q.Repository != "" {
		q.Action = Pull
		d.Visible, _ = p.decide(&q, nil)
	}
	return d
}

// Explain tells the steps that Decide takes, up to the one that decides.
func (p *Policy) Explain(q Question) []Step {
	var steps []Step
	p.decide(&q, func(s Step) { steps = append(steps, s) })
	return steps
}

// The names of the steps besides the rules.
const (
	stepPassword      = "password"
	stepScope         = "scope"
	stepToken         = "token"
	stepAdmin         = "administrators"
	stepRobot         = "robot"
	stepPrivate       = "private namespaces"
	stepAnonymous     = "access.anonymous"
	stepAuthenticated = "access.authenticated"
)

// decide goes through the steps, and tells them to tell unless that is nil.
func (p *Policy) decide(q *Question, tell func(Step)) (allowed bool, reason string) {
	step := func(name string, v Verdict, why string) {
		if tell != nil {
			tell(Step{name, v, why})
		}
	}
	id := &q.Identity
	if id.MustChange {
		const why = "the password has to be changed first"
		step(stepPassword, Denies, why)
		return false, why
	}
	switch {
	case id.Scope == nil:
		step(stepScope, Passes, "the credentials are not narrowed")
	case !granted(id.Scope, q.Action, q.Repository):
		const why = "the credentials are not good for this"
		step(stepScope, Denies, why)
		return false, why
	default:
		step(stepScope, Passes, "the credentials are good for this, if the account is")
	}
	if !id.TokenCovers(q.Action, q.Repository) {
		const why = "the token was not issued for this"
		step(stepToken, Denies, why)
		return false, why
	}
	if why := p.admin(id); why != "" {
		step(stepAdmin, Allows, why)
		return true, why
	}
	step(stepAdmin, Passes, "not an administrator")
	for i := range p.rules {
		r := &p.rules[i]
		if !r.names(q.Action) {
			step(r.name, Passes, "does not name the action")
			continue
		}
		if c := r.misfit(q); c != none {
			if tell != nil {
				step(r.name, Passes, r.why(c, q))
			}
			continue
		}
		if slices.Contains(r.Deny, q.Action) {
			step(r.name, Denies, "fits")
			return false, r.denies
		}
		step(r.name, Allows, "fits")
		return true, r.allows
	}
	if id.Kind == Robot && id.Scope != nil {
		const why = "the robot was made for this"
		step(stepRobot, Allows, why)
		return true, why
	}
	if p.options.PrivateNamespaces {
		if owner, _, private := strings.Cut(q.Repository, "/"); private {
			if ownedBy(owner, id) && owns(q.Action) {
				const why = "a private namespace, of this user"
				step(stepPrivate, Allows, why)
				return true, why
			}
			const why = "a private namespace, of somebody else"
			step(stepPrivate, Denies, why)
			return false, why
		}
		step(stepPrivate, Passes, "not in a user's namespace")
	}
	name, actions := stepAuthenticated, p.options.Authenticated
	if id.IsAnonymous() || id.Kind == Workload {
		name, actions = stepAnonymous, p.options.Anonymous
	}
	if slices.Contains(actions, q.Action) {
		step(name, Allows, "names the action")
		return true, name
	}
	step(name, Denies, "does not name the action")
	if id.IsAnonymous() {
		return false, "nothing allows it to anonymous clients"
	}
	return false, "nothing allows it"
}

// granted reports whether a grant is good for the action.
func granted(scope []Grant, a Action, repository string) bool {
	for _, g := range scope {
		if slices.Contains(g.Actions, a) && config.Glob(g.Repositories).Match(repository) {
			return true
		}
	}
	return false
}

// admin says why the account is an administrator's, or nothing.
func (p *Policy) admin(id *Identity) string {
	switch {
	case id.IsAnonymous():
		return ""
	case id.Admin:
		return "an administrator"
	case id.Kind != Workload && p.admins[id.Name]:
		return "an administrator by access.admins"
	}
	for _, g := range id.Groups {
		if p.admins["group:"+g] {
			return "an administrator by access.admins, in the group " + g
		}
	}
	return ""
}

// ownedBy reports whether the namespace of that name is the account's. Robots and workloads have none.
func ownedBy(owner string, id *Identity) bool {
	return id.Name == owner && (id.Kind == User || id.Kind == Key || id.Kind == Certificate)
}

// owns reports whether an owner may do it in his namespace.
func owns(a Action) bool { return a == Pull || a == Push || a == TagMove || a == Delete }
