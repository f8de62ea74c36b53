package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/access/accounts"
	"github.com/longshore-registry/longshore/access/oidc"
	"github.com/longshore-registry/longshore/access/token"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/registry/api"
)

// gatekeeper is what serve needs to know who may do what.
type gatekeeper struct {
	control  *access.Control // nil: everybody may do everything, for good
	accounts *accounts.Store // nil if none are kept in the store
	tokens   api.TokenServer // nil if somebody else issues them
	audit    io.Closer

	providers *oidc.Providers // nil if there are none
}

// close ends what was opened.
func (g *gatekeeper) close() {
	if g != nil && g.audit != nil {
		_ = g.audit.Close() // each line was written at once
	}
}

// locked is what the page about trust asks; nil if there is nobody to ask.
func (g *gatekeeper) locked() func(context.Context) (bool, error) {
	if g.control == nil {
		return nil
	}
	return g.control.Locked
}

// isLocked is for the words at the start; what can't be found out counts as locked.
func (g *gatekeeper) isLocked(ctx context.Context) bool {
	if g.control == nil {
		return false
	}
	locked, err := g.control.Locked(ctx)
	return locked || err != nil
}

// openAccess builds what the settings say. It asks nothing of the store.
func (p program) openAccess(l loaded, store drivers.Driver, log *slog.Logger) (*gatekeeper, error) {
	a := l.Access
	locked := l.lockedFromStart()
	g := &gatekeeper{}
	if !locked && !a.Users.Enabled {
		return g, nil
	}
	o := access.ControlOptions{
		Policy:   l.policy(),
		Remember: a.Refresh,
		Throttle: access.ThrottleOptions{
			Off: !a.Throttle.Enabled, Account: a.Throttle.Account, AccountEvery: a.Throttle.AccountEvery,
			Address: a.Throttle.Address, AddressEvery: a.Throttle.AddressEvery,
		},
		Log: log,
	}
	var err error
	if a.Users.Enabled {
		if g.accounts, err = accounts.Open(store, accounts.Options{Refresh: a.Refresh}); err != nil {
			return nil, err
		}
		o.Passwords = append(o.Passwords, g.accounts)
		o.Tokens = append(o.Tokens, g.accounts)
		if !locked {
			o.Locked = g.accounts.Locked
		}
	}
	if g.providers, err = l.addSources(&o, log); err != nil {
		return nil, err
	}
	var issuer *token.Issuer
	if a.Token.Realm == "" {
		if issuer, err = token.NewIssuer(token.IssuerOptions{Store: store, Life: a.Token.Life, RefreshLife: a.Token.RefreshLife, Log: log}); err != nil {
			return nil, err
		}
		o.Tokens = append(o.Tokens, issuer)
	} else {
		external, err := token.NewExternal(token.ExternalOptions{
			Issuer: a.Token.Issuer, Service: a.Token.Service, JWKS: a.Token.JWKS, Roots: a.Token.Roots, Algorithms: a.Token.Algorithms, Log: log,
		})
		if err != nil {
			return nil, adviceError{fmt.Errorf("access.token: %w", err), "correct the settings of the token server"}
		}
		o.Tokens = append(o.Tokens, external)
	}
	if o.Audit, g.audit, err = p.openAudit(l, log); err != nil {
		return nil, err
	}
	if g.control, err = access.NewControl(o); err != nil {
		return nil, err
	}
	if issuer != nil {
		g.tokens = token.NewServer(g.control, issuer)
	}
	return g, nil
}

// openAudit opens the audit log; nil if there is none.
func (p program) openAudit(l loaded, log *slog.Logger) (*access.Audit, io.Closer, error) {
	switch file := l.Access.Audit.File; file {
	case "":
		return nil, nil, nil
	case "-":
		return access.NewAudit(p.stderr, log), nil, nil
	default:
		f, err := access.OpenAuditFile(file)
		if err != nil {
			return nil, nil, adviceError{fmt.Errorf("access.audit.file: %w", err), "name a file in a folder that the registry may write to, or - for stderr"}
		}
		return access.NewAudit(f, log), f, nil
	}
}

// apply gives the HTTP API what it needs.
func (g *gatekeeper) apply(o *api.Options, a accessSettings) {
	o.Access, o.Tokens = g.control, g.tokens
	o.Challenge = api.Challenge{Basic: a.Challenge == "basic", Realm: a.Token.Realm, Service: a.Token.Service}
	o.Rate = api.Rate{PerSecond: float64(a.Rate.PerSecond), Burst: a.Rate.Burst}
}

// firstAdmin is the account that serve makes where nobody could administer a registry that needs credentials.
const firstAdmin = "admin"

// bootstrap makes the first administrator, with a password that is told once and has to be changed. The password goes to stderr as a line for people,
// never to the log, which may be kept for long.
func (p program) bootstrap(ctx context.Context, l loaded, g *gatekeeper, log *slog.Logger) error {
	if g.accounts == nil || !l.lockedFromStart() || len(l.Access.Admins) > 0 || l.Access.Token.Realm != "" {
		return nil
	}
	if has, err := g.accounts.HasAdmin(ctx); err != nil || has {
		return err
	}
	password := newPassword()
	err := g.accounts.AddUser(ctx, accounts.User{Name: firstAdmin, Admin: true, MustChange: true}, password, "the first start")
	switch {
	case errors.Is(err, accounts.ErrExists): // made by another replica just now, or no administrator
		log.Warn("the registry has no administrator", "fix", "longshore user add NAME --admin, or access.admins")
		return nil
	case errors.Is(err, drivers.ErrReadOnly), errors.Is(err, drivers.ErrDenied):
		log.Warn("the registry has no administrator, and the store takes none", "err", err)
		return nil
	case err != nil:
		return fmt.Errorf("the first administrator can't be made: %w", err)
	}
	g.control.Record(access.Event{Event: access.EventPermission, Outcome: access.OutcomeOK, Who: "longshore serve", Reference: "user add " + firstAdmin, Time: time.Now()})
	fmt.Fprintf(p.stderr, `
The registry needs credentials and had no administrator. This is told once:

  user      %s
  password  %s   (for the first login; change it with longshore user passwd %s)

`, firstAdmin, password, configArg(l.file)+firstAdmin)
	return nil
}

// configArg is the configuration as an argument of a command.
func configArg(file string) string {
	if file == "" {
		return ""
	}
	return file + " "
}
