package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/access/accounts"
	"github.com/longshore-registry/longshore/registry"
)

func (p program) authCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "auth",
		Short: "Tell who may do what, and why",
		Args:  noSuchCommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.authCanCommand())
	return c
}

// anonymousWord is how a client without an account is named on the command line.
const anonymousWord = "anonymous"

func (p program) authCanCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "can [config.yml] USER ACTION [REPOSITORY]",
		Short: "Tell whether somebody may do something, step by step",
		Long: `Tell whether somebody may do something, with each step of the decision. The exit code is 0 for yes and 1 for no.

USER is a user of the store or of another source, robot$NAME, or anonymous. Of users and robots of the store, groups and what they were
made for are known; of others say it with the flags. ACTION is pull, push, tag-move, delete, catalogue or admin; the last two concern no repository.`,
		Example: `  longshore auth can config.yml alice push team/app
  longshore auth can config.yml anonymous pull library/nginx --from 192.0.2.7
  longshore auth can config.yml build push ci/app --source github --claim repository=org/app --claim ref=refs/heads/main`,
		Args:              cobra.RangeArgs(2, 4),
		ValidArgsFunction: configFiles,
	}
	output := addFormat(c, "table", "json")
	var ask asked
	c.Flags().StringVar(&ask.from, "from", "", "the client's address")
	c.Flags().StringArrayVar(&ask.claims, "claim", nil, "a claim of the token, NAME=VALUE; may be repeated")
	c.Flags().StringSliceVar(&ask.groups, "group", nil, "a further group of the user; may be repeated")
	c.Flags().StringVar(&ask.source, "source", "", "where the account is from, such as ldap or the name of an OIDC provider")
	c.RunE = func(c *cobra.Command, args []string) error {
		file, err := ask.read(args)
		if err != nil {
			return usageError{err}
		}
		return p.can(c, file, ask, output.value == "json")
	}
	return c
}

// asked is what the command line asks.
type asked struct {
	user, repository string
	action           access.Action
	from, source     string
	claims, groups   []string
	address          netip.Addr
}

// read takes the arguments apart. The configuration may stand first or last.
func (a *asked) read(args []string) (file []string, err error) {
	isAction := func(i int) bool { return i < len(args) && slices.Contains(access.Actions, access.Action(args[i])) }
	switch {
	case isAction(1):
	case isAction(2):
		file, args = args[:1], args[1:]
	default:
		return nil, fmt.Errorf("which action? There are %s", actionWords())
	}
	a.user, a.action = args[0], access.Action(args[1])
	args = args[2:]
	if a.action != access.Catalogue && a.action != access.Admin {
		if len(args) == 0 {
			return nil, fmt.Errorf("%s in which repository?", a.action)
		}
		a.repository, args = args[0], args[1:]
		if err := registry.CheckName(a.repository); err != nil {
			return nil, err
		}
	}
	if file == nil {
		file, args = args[:min(len(args), 1)], args[min(len(args), 1):]
	}
	if len(args) > 0 {
		return nil, fmt.Errorf("%q is one argument too many", args[0])
	}
	for _, claim := range a.claims {
		if name, _, ok := strings.Cut(claim, "="); !ok || name == "" {
			return nil, fmt.Errorf("--claim %q is not NAME=VALUE", claim)
		}
	}
	if a.from != "" {
		if a.address, err = netip.ParseAddr(a.from); err != nil {
			return nil, fmt.Errorf("--from %q is not an address", a.from)
		}
	}
	return file, nil
}

func actionWords() string {
	var all []string
	for _, a := range access.Actions {
		all = append(all, string(a))
	}
	return strings.Join(all, ", ")
}

func (p program) can(c *cobra.Command, file []string, ask asked, asJSON bool) error {
	l, err := p.load(file)
	if err != nil {
		return err
	}
	who, notes, locked, err := p.identityOf(c.Context(), l, ask)
	if err != nil {
		return err
	}
	q := access.Question{Identity: who, Action: ask.action, Repository: ask.repository, Address: ask.address}
	policy := l.policy()
	answer := canAnswer{Allowed: true, Notes: notes, Reason: "the registry has no account yet, so everybody may do everything"}
	if locked {
		d := policy.Decide(q)
		answer.Allowed, answer.Reason = d.Allowed, d.Reason
		for _, s := range policy.Explain(q) {
			answer.Steps = append(answer.Steps, canStep{s.Name, string(s.Verdict), s.Why})
		}
	}
	if asJSON {
		err = p.printJSON(answer)
	} else {
		err = p.printCan(answer)
	}
	if err == nil && !answer.Allowed {
		err = errReported
	}
	return err
}

// canAnswer is the answer of longshore auth can.
type canAnswer struct {
	Allowed bool      `json:"allowed"`
	Reason  string    `json:"reason"`
	Steps   []canStep `json:"steps"`
	Notes   []string  `json:"notes,omitempty"`
}

type canStep struct {
	Step    string `json:"step"`
	Verdict string `json:"verdict"`
	Why     string `json:"why"`
}

func (p program) printCan(a canAnswer) error {
	for _, note := range a.Notes {
		fmt.Fprintf(p.stdout, "note: %s\n", note)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, s := range a.Steps {
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Step, s.Verdict, s.Why)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	word := "no"
	if a.Allowed {
		word = "yes"
	}
	fmt.Fprintf(p.stdout, "%s: %s\n", word, a.Reason)
	return nil
}

// identityOf is whom the command line names, as far as that is known, and whether the registry needs credentials.
func (p program) identityOf(ctx context.Context, l loaded, ask asked) (who access.Identity, notes []string, locked bool, err error) {
	locked = l.lockedFromStart()
	if l.Access.Users.Enabled && l.driver.Name != "memory" {
		store, err := l.driver.open(ctx)
		if err != nil {
			return who, nil, false, l.placed(err)
		}
		defer closeDriver(store)
		s, err := accounts.Open(store, accounts.Options{})
		if err != nil {
			return who, nil, false, err
		}
		if !locked {
			if locked, err = s.Locked(ctx); err != nil {
				return who, nil, false, err
			}
		}
		if ask.source == "" || ask.source == accounts.Source {
			if who, notes, err = known(ctx, s, ask.user); err != nil {
				return who, nil, false, err
			}
		}
	}
	if ask.user == anonymousWord {
		return access.Identity{}, nil, locked, nil
	}
	if who.IsAnonymous() {
		who = access.Identity{Name: ask.user, Kind: access.User, Source: ask.source}
		notes = append(notes, ask.user+" is not in the store: groups and claims are those of the command line")
	}
	who.Groups = append(who.Groups, ask.groups...)
	for _, claim := range ask.claims {
		if who.Claims == nil {
			who.Claims = map[string]any{}
			who.Kind = access.Workload
		}
		name, value, _ := strings.Cut(claim, "=")
		who.Claims[name] = value
	}
	return who, notes, locked, nil
}

// known is a user or robot of the store; anonymous if there is none.
func known(ctx context.Context, s *accounts.Store, name string) (who access.Identity, notes []string, err error) {
	if robot, ok := strings.CutPrefix(name, accounts.RobotLogin); ok {
		all, err := s.Robots(ctx)
		if err != nil {
			return who, nil, err
		}
		for _, r := range all {
			if r.Name == robot {
				if r.Disabled {
					notes = append(notes, name+" is disabled and can't log in")
				}
				return access.Identity{Name: name, Kind: access.Robot, Source: accounts.Source, Scope: r.Scope}, notes, nil
			}
		}
		return who, nil, adviceError{fmt.Errorf("robot %s: %w", robot, accounts.ErrAbsent), "longshore robot list tells which there are"}
	}
	u, err := s.User(ctx, name)
	switch {
	case errors.Is(err, accounts.ErrAbsent):
		return who, nil, nil
	case err != nil:
		return who, nil, err
	case u.Disabled:
		notes = append(notes, name+" is disabled and can't log in")
	}
	return access.Identity{
		Name: u.Name, Kind: access.User, Source: accounts.Source, Groups: u.Groups, Admin: u.Admin, MustChange: u.MustChange,
	}, notes, nil
}
