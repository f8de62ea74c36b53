package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/access/internal/jwks"
)

// Path is below which [Login] answers.
const Path = "/oidc/"

// APIKey is what somebody gets who has logged in.
type APIKey struct {
	Secret  string
	Expires time.Time // zero: it does not
}

// LoginOptions of NewLogin.
type LoginOptions struct {
	Providers *Providers

	// Base is the URL of the registry as the client of a request knows it, without a slash at its end. Required.
	Base func(*http.Request) string

	// Key makes a key for a person. An access.ErrRefused is told to him with its text; other errors are logged. Required.
	Key func(context.Context, access.Identity) (APIKey, error)

	Address func(*http.Request) netip.Addr // of the client, for the audit log. Default: of the connection
	Record  func(access.Event)             // gets each login. Nil: none is recorded
	Log     *slog.Logger                   // Nil: nothing is logged
}

// Login is how people log in who have a browser: at /oidc/login/NAME they are sent to the provider NAME, which sends them back to
// /oidc/callback/NAME, where a page shows their name and an API key for docker login. It keeps nothing: what has to be the same at the end is in a cookie,
// so that any replica may answer.
type Login struct {
	o      LoginOptions
	routes *http.ServeMux
}

// NewLogin makes a Login for those of the providers that are for people and have a ClientID.
func NewLogin(o LoginOptions) *Login {
	if o.Address == nil {
		o.Address = func(r *http.Request) netip.Addr {
			a, _ := netip.ParseAddrPort(r.RemoteAddr) // else the zero Addr
			return a.Addr()
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &Login{o: o, routes: http.NewServeMux()}
	l.routes.HandleFunc("GET "+Path+"{$}", l.index)
	l.routes.HandleFunc("GET "+Path+"login/{name}", l.begin)
	l.routes.HandleFunc("GET "+Path+"callback/{name}", l.end)
	return l
}

// Any reports whether there is a provider at which people can log in.
func (l *Login) Any() bool { return len(l.providers()) > 0 }

// ServeHTTP implements http.Handler.
func (l *Login) ServeHTTP(w http.ResponseWriter, r *http.Request) { l.routes.ServeHTTP(w, r) }

func (l *Login) providers() (all []*Provider) {
	for _, p := range l.o.Providers.all {
		if p.o.Kind == access.User && p.o.ClientID != "" {
			all = append(all, p)
		}
	}
	return all
}

func (l *Login) provider(r *http.Request) *Provider {
	for _, p := range l.providers() {
		if p.o.Name == r.PathValue("name") {
			return p
		}
	}
	return nil
}

// client is what the provider knows us as.
func (l *Login) client(r *http.Request, p *Provider) (*oauth2.Config, error) {
	endpoint, err := p.source.endpoint(r.Context())
	if err != nil {
		return nil, err
	}
	return &oauth2.Config{
		ClientID: p.o.ClientID, ClientSecret: p.o.ClientSecret, Endpoint: endpoint, Scopes: p.o.Scopes,
		RedirectURL: l.o.Base(r) + Path + "callback/" + p.o.Name,
	}, nil
}

// index shows where one can log in.
func (l *Login) index(w http.ResponseWriter, _ *http.Request) {
	var names []string
	for _, p := range l.providers() {
		names = append(names, p.o.Name)
	}
	l.show(w, http.StatusOK, page{Providers: names})
}

// begin sends somebody to the provider.
func (l *Login) begin(w http.ResponseWriter, r *http.Request) {
	p := l.provider(r)
	if p == nil {
		l.fail(w, http.StatusNotFound, "There is no such provider.")
		return
	}
	client, err := l.client(r, p)
	if err != nil {
		l.o.Log.Error("an OIDC provider can't be asked where people log in", "provider", p.o.Name, "err", err)
		l.fail(w, http.StatusServiceUnavailable, "The provider can't be reached at present. Try again.")
		return
	}
	a := attempt{state: rand.Text(), nonce: rand.Text(), verifier: oauth2.GenerateVerifier()}
	http.SetCookie(w, l.cookie(r, p, a.String(), attemptTime))
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, client.AuthCodeURL(a.state, oidc.Nonce(a.nonce), oauth2.S256ChallengeOption(a.verifier)), http.StatusSeeOther)
}

// attemptTime is how long somebody may take at the provider.
const attemptTime = 10 * time.Minute

// attempt ties the end of a login to the browser that has begun it: state against requests that others have forged, nonce against tokens, and verifier
// (RFC 7636) against codes that were meant for somebody else.
type attempt struct{ state, nonce, verifier string }

func (a attempt) String() string { return a.state + "." + a.nonce + "." + a.verifier }

func parseAttempt(s string) (attempt, bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return attempt{}, false
	}
	return attempt{parts[0], parts[1], parts[2]}, parts[0] != "" && parts[1] != "" && parts[2] != ""
}

// cookie has the name of the provider in its own, so that two logins at the same time are two. No script reads it. Over TLS no other host of the
// domain can set it, by its prefix (RFC 6265bis, section 4.1.3.2), which asks for the path /.
func (l *Login) cookie(r *http.Request, p *Provider, value string, life time.Duration) *http.Cookie {
	c := &http.Cookie{
		Name: "longshore-login-" + p.o.Name, Value: value, Path: Path, MaxAge: int(life / time.Second), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	if strings.HasPrefix(l.o.Base(r), "https://") {
		c.Name, c.Path, c.Secure = "__Host-"+c.Name, "/", true
	}
	return c
}

// end makes a key for somebody whom the provider has sent back.
func (l *Login) end(w http.ResponseWriter, r *http.Request) {
	p := l.provider(r)
	if p == nil {
		l.fail(w, http.StatusNotFound, "There is no such provider.")
		return
	}
	forget := l.cookie(r, p, "", 0)
	kept, err := r.Cookie(forget.Name)
	forget.MaxAge = -1
	http.SetCookie(w, forget)
	var a attempt
	ok := err == nil
	if ok {
		a, ok = parseAttempt(kept.Value)
	}
	query := r.URL.Query()
	if !ok || subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(a.state)) != 1 || query.Has("iss") && query.Get("iss") != p.o.Issuer {
		l.fail(w, http.StatusBadRequest, "This login was not begun in this browser, or it has taken too long.")
		return
	}
	if said := query.Get("error"); said != "" {
		l.fail(w, http.StatusForbidden, "The provider says: "+said+" "+query.Get("error_description"))
		return
	}
	id, err := l.identify(r, p, a, query.Get("code"))
	l.record(r, p, id, err)
	switch {
	case errors.Is(err, access.ErrRefused):
		l.fail(w, http.StatusForbidden, "You may not log in here: "+reason(err))
		return
	case err != nil:
		l.o.Log.Error("a login at an OIDC provider has failed", "provider", p.o.Name, "err", err)
		l.fail(w, http.StatusBadGateway, "The provider has not said who you are. Try again.")
		return
	}
	key, err := l.o.Key(r.Context(), id)
	switch {
	case errors.Is(err, access.ErrRefused):
		l.fail(w, http.StatusForbidden, "There is no key for you: "+reason(err))
		return
	case err != nil:
		l.o.Log.Error("a key can't be made for somebody who has logged in", "name", id.Name, "err", err)
		l.fail(w, http.StatusServiceUnavailable, "A key can't be made at present. Try again.")
		return
	}
	_, host, _ := strings.Cut(l.o.Base(r), "://")
	shown := page{Name: id.Name, Key: key.Secret, Host: host, Provider: p.o.Name}
	if !key.Expires.IsZero() {
		shown.Expires = key.Expires.UTC().Format("2 January 2006, 15:04 UTC")
	}
	l.show(w, http.StatusOK, shown)
}

// reason is what of a refusal a person is told.
func reason(err error) string {
	return strings.TrimSuffix(err.Error(), ": "+access.ErrRefused.Error())
}

// identify asks the provider whom a code is for.
func (l *Login) identify(r *http.Request, p *Provider, a attempt, code string) (access.Identity, error) {
	nobody := access.Identity{}
	client, err := l.client(r, p)
	if err != nil {
		return nobody, err
	}
	ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), oauth2.HTTPClient, p.source.client), jwks.Timeout)
	defer cancel()
	answer, err := client.Exchange(ctx, code, oauth2.VerifierOption(a.verifier))
	if e := (*oauth2.RetrieveError)(nil); errors.As(err, &e) { // its text has the provider's whole answer in it
		return nobody, fmt.Errorf("the provider does not take the code: %d %s", e.Response.StatusCode, e.ErrorCode)
	}
	if err != nil {
		return nobody, err
	}
	token, _ := answer.Extra("id_token").(string)
	id, said, err := p.verify(ctx, token)
	switch {
	case err != nil:
		return nobody, err
	case !said.hasAudience([]string{p.o.ClientID}):
		return nobody, refused("its audience is not the client")
	case subtle.ConstantTimeCompare([]byte(said.text("nonce")), []byte(a.nonce)) != 1:
		return nobody, refused("its nonce is that of another login")
	}
	return id, nil
}

// record writes the login to the audit log.
func (l *Login) record(r *http.Request, p *Provider, id access.Identity, err error) {
	if l.o.Record == nil {
		return
	}
	e := access.EventOf(id, access.EventLogin, access.OutcomeOK)
	if err != nil {
		e.Outcome, e.Source, e.Reason = access.OutcomeFailed, p.o.Name, err.Error()
	}
	if a := l.o.Address(r); a.IsValid() {
		e.From = a.String()
	} else if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		e.From = host
	}
	l.o.Record(e)
}
