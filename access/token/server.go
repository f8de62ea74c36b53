package token

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/longshore-registry/longshore/access"
)

// Server answers the token endpoint.
type Server struct {
	control *access.Control
	issuer  *Issuer
}

// NewServer makes a Server that asks control who a client is and what is allowed to him. The issuer is one of control's Tokens.
func NewServer(control *access.Control, issuer *Issuer) *Server { return &Server{control, issuer} }

// Answer issues a token. What is not allowed is left out of it, and is no error; a token may be good for nothing but to show who one is. The
// errors are those of Control.Identify, and ErrRefused for a refresh token that does not count any more.
func (s *Server) Answer(ctx context.Context, call access.TokenCall) (access.TokenAnswer, error) {
	locked, err := s.control.Locked(ctx)
	if err != nil {
		return access.TokenAnswer{}, err
	}
	var id access.Identity
	if locked {
		if id, err = s.identify(ctx, call); err != nil {
			return access.TokenAnswer{}, err
		}
	}
	if id.MustChange {
		return access.TokenAnswer{}, access.ErrMustChange
	}
	if id.IsAnonymous() {
		id.Kind = access.Anonymous
	}
	var granted []entry
	var told []string
	for _, scope := range parseScopes(call.Scopes) {
		if e := s.grant(id, scope, call, locked); len(e.Actions) > 0 {
			granted = append(granted, e)
			told = append(told, Scope(e).String())
		}
	}
	t, err := s.issuer.issue(ctx, id, call.Service, granted)
	if err != nil {
		return access.TokenAnswer{}, err
	}
	answer := access.TokenAnswer{Token: t.token, Issued: t.at, Life: max(t.end.Sub(t.at), ShortestLife), Scope: strings.Join(told, " ")}
	if call.Offline && call.Refresh == "" && id.Kind == access.User && id.Generation != "" {
		if answer.Refresh, err = s.issuer.issueRefresh(ctx, id, call.Service); err != nil {
			return access.TokenAnswer{}, err
		}
	}
	return answer, nil
}

// identify finds out who calls.
func (s *Server) identify(ctx context.Context, call access.TokenCall) (access.Identity, error) {
	if call.Refresh == "" {
		id, err := s.control.Identify(ctx, call.Credentials)
		if err == nil && id.Token != nil {
			err = fmt.Errorf("a token is no password that gives other tokens: %w", access.ErrRefused) // else it would never end
		}
		return id, err
	}
	c, err := s.issuer.checkRefresh(ctx, call.Refresh, call.Service)
	if err != nil {
		return access.Identity{}, err
	}
	id, err := s.control.Renew(ctx, c.Source, c.Name)
	if err != nil {
		return access.Identity{}, err
	}
	if !c.fits(id) {
		return access.Identity{}, fmt.Errorf("the password has been changed since the refresh token was given: %w", access.ErrRefused)
	}
	return id, nil
}

// grant is what of a scope is allowed.
func (s *Server) grant(id access.Identity, scope Scope, call access.TokenCall, locked bool) entry {
	e := entry{Type: scope.Type, Class: scope.Class, Name: scope.Name}
	if scope.Type == registryType && scope.Name == catalogName && slices.Contains(scope.Actions, allActions) {
		e.Actions = []string{allActions} // everybody may ask; he sees what he may pull
		return e
	}
	if scope.Type != repositoryType || !isRepository(scope.Name) {
		return e
	}
	for _, a := range actions(scope) {
		q := access.Question{Identity: id, Action: a, Repository: scope.Name, Address: call.Credentials.Address}
		if !locked || s.control.Decide(q).Allowed {
			e.Actions = append(e.Actions, string(a))
		}
	}
	return e
}
