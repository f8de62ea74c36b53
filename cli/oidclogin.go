package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/access/accounts"
	"github.com/longshore-registry/longshore/access/oidc"
	"github.com/longshore-registry/longshore/registry/api"
)

// withLogin puts the pages before next where people log in with a browser, if there is a provider for them. Their API keys are kept with the users of the
// store: without those there are no such pages.
func (g *gatekeeper) withLogin(next http.Handler, l loaded, o api.Options, log *slog.Logger) http.Handler {
	if g.providers == nil || g.accounts == nil {
		return next
	}
	login := oidc.NewLogin(oidc.LoginOptions{
		Providers: g.providers, Base: o.Base, Address: o.Client, Record: g.control.Record, Log: log,
		Key: func(ctx context.Context, id access.Identity) (oidc.APIKey, error) {
			return g.keyFor(ctx, id, l.keyLife(id.Source))
		},
	})
	if !login.Any() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, oidc.Path) {
			login.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// keyLife is how long the keys of a provider's people count.
func (l loaded) keyLife(provider string) time.Duration {
	for _, one := range l.Access.OIDC {
		if one.Name == provider {
			return one.KeyLife
		}
	}
	return 0
}

// keyFor makes an API key for a person whom a provider has identified. An access.ErrRefused is for him to read.
func (g *gatekeeper) keyFor(ctx context.Context, id access.Identity, life time.Duration) (oidc.APIKey, error) {
	err := g.accounts.Enter(ctx, accounts.User{Name: id.Name, Source: id.Source, Groups: id.Groups, Admin: id.Admin})
	if errors.Is(err, accounts.ErrName) || errors.Is(err, accounts.ErrTaken) {
		return oidc.APIKey{}, fmt.Errorf("%s: %w: %w", id.Name, err, access.ErrRefused)
	}
	if err != nil {
		return oidc.APIKey{}, err
	}
	k, secret, err := g.accounts.AddKey(ctx, accounts.Key{User: id.Name, Note: "login at " + id.Source, Expires: time.Now().Add(life).UTC()}, id.Name)
	if err != nil {
		return oidc.APIKey{}, err
	}
	e := access.EventOf(id, access.EventPermission, access.OutcomeOK)
	e.Reference = fmt.Sprintf("key add %s for %s", k.ID, id.Name)
	g.control.Record(e)
	return oidc.APIKey{Secret: secret, Expires: k.Expires}, nil
}
