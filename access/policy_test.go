package access

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/config"
)

func user(name string, groups ...string) Identity {
	return Identity{Name: name, Kind: User, Source: "users", Groups: groups}
}

func networks(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// team is a policy with everything in it.
var team = PolicyOptions{
	Anonymous:         []Action{Pull},
	Authenticated:     []Action{Pull, Push},
	Admins:            []string{"root", "group:ops"},
	PrivateNamespaces: true,
	Rules: []Rule{
		{Repositories: "prod/**", Users: []string{"*"}, Deny: []Action{Delete, TagMove}, Place: "c.yml:9"},
		{Repositories: "prod/**", Networks: networks("10.0.0.0/8", "fd00::/8"), Users: []string{"deploy-*"}, Allow: []Action{Pull, Push}, Place: "c.yml:10"},
		{Repositories: "team/**", Groups: []string{"dev", "qa-*"}, Users: []string{"guest"}, Allow: []Action{Pull, Push, TagMove}},
		{Repositories: "ci/**", Claims: map[string]string{"repository": "org/*", "ref": "refs/heads/main"}, Allow: []Action{Push}},
		{Repositories: "k8s/**", Sources: []string{"cluster"}, Claims: map[string]string{"kubernetes.io.namespace": "prod"}, Allow: []Action{Pull}},
		{Repositories: "lists/*", Claims: map[string]string{"teams": "a?", "level": "1700000000", "ok": "true"}, Allow: []Action{Pull}},
		{Repositories: "open/**", Allow: []Action{Pull}},
		{Groups: []string{"auditors"}, Allow: []Action{Catalogue, Pull}},
		{Repositories: "both/**", Allow: []Action{Pull}, Deny: []Action{Pull}},
	},
}

func TestDecide(t *testing.T) {
	ci := Identity{Name: "org/app", Kind: Workload, Source: "forge", Claims: map[string]any{"repository": "org/app", "ref": "refs/heads/main"}}
	fork := Identity{Name: "fork/app", Kind: Workload, Source: "forge", Claims: map[string]any{"repository": "fork/app", "ref": "refs/heads/main"}}
	branch := Identity{Name: "org/app", Kind: Workload, Source: "forge", Claims: map[string]any{"repository": "org/app", "ref": "refs/heads/x"}}
	pod := Identity{Name: "pod", Kind: Workload, Source: "cluster", Claims: map[string]any{"kubernetes.io": map[string]any{"namespace": "prod"}}}
	false1 := pod
	false1.Source = "forge"
	lists := Identity{Name: "w", Kind: Workload, Claims: map[string]any{"teams": []any{"x", "a1"}, "level": float64(1700000000), "ok": true}}
	strange := Identity{Name: "w", Kind: Workload, Claims: map[string]any{"teams": map[string]any{}, "level": nil, "ok": true}}
	robot := Identity{Name: "robot$ci", Kind: Robot, Source: "users", Scope: []Grant{{"alice/**", []Action{Pull}}, {"prod/**", []Action{Pull, Delete}}}}
	narrowed := user("alice")
	narrowed.Kind, narrowed.Scope = Key, []Grant{{"alice/*", []Action{Pull, Push}}}
	narrowedRoot := user("root")
	narrowedRoot.Scope = []Grant{{"team/**", []Action{Pull}}}
	nothing := user("root")
	nothing.Scope = []Grant{}
	bearer := user("root")
	bearer.Token = []Grant{{"team/app", []Action{Pull}}}
	changing := user("root")
	changing.MustChange = true
	marked := user("x")
	marked.Admin = true
	impostor := Identity{Name: "root", Kind: Workload, Source: "forge"}
	private := Identity{Name: "alice", Kind: Workload, Source: "forge"}
	for _, test := range []struct {
		id      Identity
		action  Action
		repo    string
		address string
		allowed bool
		visible bool
		reason  string
	}{
		{Identity{}, Pull, "app", "", true, true, "access.anonymous"},
		{Identity{}, Push, "app", "", false, true, "nothing allows it to anonymous clients"},
		{user("alice"), Push, "app", "", true, true, "access.authenticated"},
		{user("alice"), TagMove, "app", "", false, true, "nothing allows it"},
		{user("alice"), Catalogue, "", "", false, false, "nothing allows it"},
		{user("alice"), Admin, "", "", false, false, "nothing allows it"},

		{user("root"), Admin, "", "", true, true, "an administrator by access.admins"},
		{user("root"), Delete, "prod/app", "", true, true, "an administrator by access.admins"},
		{user("carol", "x", "ops"), Delete, "alice/app", "", true, true, "an administrator by access.admins, in the group ops"},
		{marked, Catalogue, "", "", true, true, "an administrator"},
		{impostor, Admin, "", "", false, false, "nothing allows it"},
		{changing, Pull, "app", "", false, false, "the password has to be changed first"},

		{user("alice"), Delete, "prod/app", "", false, false, "rule 1 (c.yml:9) denies it"},
		{Identity{}, Delete, "prod/app", "", false, false, "a private namespace, of somebody else"},
		{user("deploy-1"), Push, "prod/app", "10.1.2.3", true, true, "rule 2 (c.yml:10) allows it"},
		{user("deploy-1"), Push, "prod/app", "::ffff:10.1.2.3", true, true, "rule 2 (c.yml:10) allows it"},
		{user("deploy-1"), Push, "prod/app", "fd00::1", true, true, "rule 2 (c.yml:10) allows it"},
		{user("deploy-1"), Push, "prod/app", "192.0.2.1", false, false, "a private namespace, of somebody else"},
		{user("deploy-1"), Push, "prod/app", "", false, false, "a private namespace, of somebody else"},
		{user("deploy"), Pull, "prod/app", "10.1.2.3", false, false, "a private namespace, of somebody else"},

		{user("x", "dev"), TagMove, "team/a/b", "", true, true, "rule 3 allows it"},
		{user("x", "qa-2"), Pull, "team/a", "", true, true, "rule 3 allows it"},
		{user("guest"), Pull, "team/a", "", true, true, "rule 3 allows it"},
		{user("x"), Pull, "team/a", "", false, false, "a private namespace, of somebody else"},
		{user("x", "dev"), Delete, "team/a", "", false, true, "a private namespace, of somebody else"},
		{user("team"), Delete, "team/a", "", true, true, "a private namespace, of this user"},

		{ci, Push, "ci/app", "", true, true, "rule 4 allows it"},
		{fork, Push, "ci/app", "", false, false, "a private namespace, of somebody else"},
		{branch, Push, "ci/app", "", false, false, "a private namespace, of somebody else"},
		{user("x"), Push, "ci/app", "", false, false, "a private namespace, of somebody else"},
		{pod, Pull, "k8s/app", "", true, true, "rule 5 allows it"},
		{false1, Pull, "k8s/app", "", false, false, "a private namespace, of somebody else"},
		{lists, Pull, "lists/a", "", true, true, "rule 6 allows it"},
		{strange, Pull, "lists/a", "", false, false, "a private namespace, of somebody else"},
		{Identity{}, Pull, "open/a", "", true, true, "rule 7 allows it"},
		{Identity{}, Push, "open/a", "", false, true, "a private namespace, of somebody else"},
		{user("x", "auditors"), Catalogue, "", "", true, true, "rule 8 allows it"},
		{user("x", "auditors"), Pull, "alice/a", "", true, true, "rule 8 allows it"},
		{user("x"), Pull, "both/a", "", false, false, "rule 9 denies it"},

		{user("alice"), Delete, "alice/app", "", true, true, "a private namespace, of this user"},
		{user("alice"), Admin, "alice/app", "", false, true, "a private namespace, of somebody else"},
		{user("alice"), Pull, "alice", "", true, true, "access.authenticated"},
		{user("bob"), Pull, "alice/app", "", false, false, "a private namespace, of somebody else"},
		{ci, Push, "app", "", false, true, "nothing allows it"},
		{ci, Pull, "app", "", true, true, "access.anonymous"},
		{private, Pull, "alice/app", "", false, false, "a private namespace, of somebody else"},
		{robot, Pull, "alice/app", "", true, true, "the robot was made for this"},
		{robot, Push, "alice/app", "", false, true, "the credentials are not good for this"},
		{robot, Delete, "prod/app", "", false, true, "rule 1 (c.yml:9) denies it"},
		{robot, Pull, "app", "", false, false, "the credentials are not good for this"},
		{narrowed, Push, "alice/app", "", true, true, "a private namespace, of this user"},
		{narrowed, Delete, "alice/app", "", false, true, "the credentials are not good for this"},
		{narrowed, Pull, "app", "", false, false, "the credentials are not good for this"},
		{narrowedRoot, Pull, "team/app", "", true, true, "an administrator by access.admins"},
		{narrowedRoot, Push, "team/app", "", false, true, "the credentials are not good for this"},
		{nothing, Pull, "app", "", false, false, "the credentials are not good for this"},
		{bearer, Pull, "team/app", "", true, true, "an administrator by access.admins"},
		{bearer, Pull, "team/app2", "", false, false, "the token was not issued for this"},
	} {
		var address netip.Addr
		if test.address != "" {
			address = netip.MustParseAddr(test.address)
		}
		q := Question{Identity: test.id, Action: test.action, Repository: test.repo, Address: address}
		p := NewPolicy(team)
		got := p.Decide(q)
		if got != (Decision{test.allowed, test.visible, test.reason}) {
			t.Errorf("%s may %s %q from %q: got %+v, want %v, %v, %s", test.id.Name, test.action, test.repo, test.address, got, test.allowed, test.visible, test.reason)
		}
		steps := p.Explain(q)
		for i, s := range steps {
			last := i == len(steps)-1
			if (s.Verdict == Passes) == last || last && (s.Verdict == Allows) != got.Allowed || s.Why == "" || s.Name == "" {
				t.Errorf("%s may %s %q: step %d of %d is %+v, and the decision %+v", test.id.Name, test.action, test.repo, i, len(steps), s, got)
			}
		}
	}
}

func TestExplain(t *testing.T) {
	var b strings.Builder
	q := Question{Identity: user("x", "dev"), Action: Push, Repository: "team/app"}
	for _, s := range NewPolicy(team).Explain(q) {
		fmt.Fprintf(&b, "%s %s: %s\n", s.Name, s.Verdict, s.Why)
	}
	const want = `scope passes: the credentials are not narrowed
administrators passes: not an administrator
rule 1 (c.yml:9) passes: does not name the action
rule 2 (c.yml:10) passes: the repository does not fit prod/**
rule 3 allows: fits
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestWithoutPolicyNobodyMayAnything(t *testing.T) {
	c := newControl(t, ControlOptions{})
	for _, id := range []Identity{{}, user("alice")} {
		for _, a := range Actions {
			if d := c.Decide(Question{Identity: id, Action: a, Repository: "app"}); d.Allowed || d.Visible {
				t.Errorf("%q may %s: %+v", id.Name, a, d)
			}
		}
	}
}

func BenchmarkDecide100Rules(b *testing.B) {
	o := PolicyOptions{Authenticated: []Action{Pull}}
	for i := range 100 {
		o.Rules = append(o.Rules, Rule{
			Repositories: config.Glob(fmt.Sprintf("team%d/**", i)), Groups: []string{"dev", "qa"}, Networks: networks("10.0.0.0/8"), Allow: []Action{Pull, Push},
		})
	}
	p := NewPolicy(o)
	q := Question{Identity: user("x", "qa"), Action: Pull, Repository: "team99/some/app", Address: netip.MustParseAddr("10.1.2.3")}
	b.ReportAllocs()
	for b.Loop() {
		if d := p.Decide(q); !d.Allowed {
			b.Fatal(d)
		}
	}
}
