package api

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/registry"
)

// Codes of the OCI distribution spec for clients that may not do what they want.
const (
	unauthorized    registry.Code = "UNAUTHORIZED"
	tooManyRequests registry.Code = "TOOMANYREQUESTS"
)

// visitor is who sends a request, where that counts.
type visitor struct {
	control *access.Control
	id      access.Identity
	address netip.Addr
	known   bool // there were credentials, be they those of an anonymous token
}

type visitorKey struct{}

// visitorOf is nil if everybody may do everything.
func visitorOf(r *http.Request) *visitor {
	v, _ := r.Context().Value(visitorKey{}).(*visitor)
	return v
}

// name is for tags' records; "" if nobody is known.
func (v *visitor) name() string {
	if v == nil {
		return ""
	}
	return v.id.Name
}

// may reports whether the visitor may do it: the rules say so, and the token, if he came with one, was issued for it.
func (v *visitor) may(a access.Action, repo string) bool {
	return v == nil || v.allowed(a, repo) && v.id.TokenCovers(a, repo)
}

// allowed reports what rules say of the visitor, whatever token he came with.
func (v *visitor) allowed(a access.Action, repo string) bool { return v.decide(a, repo).Allowed }

func (v *visitor) decide(a access.Action, repo string) access.Decision {
	id := v.id
	id.Token = nil
	return v.control.Decide(access.Question{Identity: id, Action: a, Repository: repo, Address: v.address})
}

// enter lets a request in to its endpoint, if its client may.
func (s *server) enter(w http.ResponseWriter, r *http.Request, e endpoint) error {
	if s.options.Access == nil || e.need == anyone {
		return e.serve(w, r)
	}
	repo := mux.Vars(r)["name"]
	if repo != "" {
		if err := registry.CheckName(repo); err != nil {
			return err // which tells nothing of what there is
		}
	}
	r, err := s.admit(w, r, e.need, repo)
	if err == nil {
		err = e.serve(w, r)
	}
	if e.event != "" {
		s.record(r, e, repo, err)
	}
	return err
}

// admitting is enter for an endpoint that is known to be that of a repository, and not written to the audit log.
func (s *server) admitting(need right, repo string, h handler) handler {
	if s.options.Access == nil {
		return h
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		r, err := s.admit(w, r, need, repo)
		if err != nil {
			return err
		}
		return h(w, r)
	}
}

// admit finds out who sends a request and whether he may. It does so once, when the request begins: what it takes after that it may take. The
// request that it returns knows its visitor.
func (s *server) admit(w http.ResponseWriter, r *http.Request, need right, repo string) (*http.Request, error) {
	locked, err := s.options.Access.Locked(r.Context())
	if err != nil {
		return r, &statusError{http.StatusServiceUnavailable, unavailable, "it can't be found out at present who may do what; try again", err}
	}
	if !locked {
		return r, nil
	}
	v, problem, err := s.identify(w, r, need, repo)
	if v != nil {
		r = r.WithContext(registry.WithActor(context.WithValue(r.Context(), visitorKey{}, v), v.id.Name))
		if out, ok := w.(*response); ok {
			out.user = v.id.Name
		}
	}
	if err == nil {
		problem, err = s.judge(v, need, repo)
	}
	if err == nil {
		err = s.rates.spend(w, v.id.Name)
	}
	if status := (*statusError)(nil); errors.As(err, &status) && status.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", s.challenge(r, need.scope(repo, r.URL.Query()), problem))
	}
	return r, err
}

// The errors of RFC 6750, section 3.1.
const (
	invalidToken      = "invalid_token"
	insufficientScope = "insufficient_scope"
)

// identify finds out who sends a request. If his credentials are not good it says what a challenge has to say.
func (s *server) identify(w http.ResponseWriter, r *http.Request, need right, repo string) (v *visitor, problem string, err error) {
	v = &visitor{control: s.options.Access, address: s.client(r)}
	if err := s.rates.spend(w, v.address.String()); err != nil {
		return v, "", err
	}
	credentials, err := s.credentials(r, v.address)
	if err != nil {
		return v, "", err
	}
	id, err := s.options.Access.Identify(r.Context(), credentials)
	if errors.Is(err, access.ErrExpired) && need == uploads && s.begunWith(r, id, repo) {
		err = nil
	}
	if err == nil && id.Services != nil && !slices.Contains(id.Services, s.service(r)) {
		err = access.ErrRefused
	}
	if err != nil {
		if credentials.Token != "" {
			problem = invalidToken
		}
		return v, problem, loginError(w, err)
	}
	v.id, v.known = id, credentials.Name+credentials.Password+credentials.Token != "" || credentials.Certificate != nil
	return v, "", nil
}

// begunWith reports whether the upload that a request goes on with was begun while the token, whose time is over, counted. Then it may go on to its end.
func (s *server) begunWith(r *http.Request, id access.Identity, repo string) bool {
	if id.Token == nil || id.Services == nil {
		return false // no token that we have issued
	}
	born, err := s.registry.UploadBorn(repo, variable(r, "id"), r.URL.Query().Get(stateParameter))
	return err == nil && !born.Before(id.Issued) && born.Before(id.Expires)
}

// credentials reads those of a request.
func (s *server) credentials(r *http.Request, address netip.Addr) (access.Credentials, error) {
	c := access.Credentials{Address: address}
	lines := r.Header.Values("Authorization")
	if len(lines) == 0 {
		c.Certificate = certificate(r)
		return c, nil
	}
	scheme, token, _ := strings.Cut(lines[0], " ")
	ok := len(lines) == 1
	switch {
	case strings.EqualFold(scheme, "Basic"):
		var is bool
		c.Name, c.Password, is = r.BasicAuth()
		ok = ok && is
	case strings.EqualFold(scheme, "Bearer"):
		c.Token = strings.TrimSpace(token)
		ok = ok && c.Token != ""
	default:
		ok = false
	}
	if !ok {
		return access.Credentials{}, &statusError{http.StatusUnauthorized, unauthorized, "the Authorization header is neither Basic nor Bearer", nil}
	}
	return c, nil
}

// certificate is the client's, nil if there is none that was verified.
func certificate(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
		return nil
	}
	return r.TLS.VerifiedChains[0][0]
}

// loginError is the answer to an error of access.Control.Identify.
func loginError(w http.ResponseWriter, err error) error {
	var throttled *access.ThrottledError
	switch {
	case errors.As(err, &throttled):
		return tooMany(w, throttled.RetryAfter, throttled.Error())
	case errors.Is(err, access.ErrMustChange):
		return &registry.Error{Code: registry.Denied, Message: "the password has to be changed first: longshore user passwd", Err: err}
	case errors.Is(err, access.ErrExpired):
		return &statusError{http.StatusUnauthorized, unauthorized, "the token has expired", err}
	case errors.Is(err, access.ErrRefused), errors.Is(err, access.ErrUnknown):
		return &statusError{http.StatusUnauthorized, unauthorized, "wrong name, password or token", err}
	case errors.Is(err, context.Canceled):
		return err
	}
	return &statusError{http.StatusServiceUnavailable, unavailable, "it can't be found out at present who you are; try again", err}
}

func tooMany(w http.ResponseWriter, wait time.Duration, message string) error {
	seconds := max(int((wait+time.Second-1)/time.Second), 1)
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	return &statusError{http.StatusTooManyRequests, tooManyRequests, message, nil}
}

// judge says whether the visitor may do it, and if not, what a challenge has to say.
func (s *server) judge(v *visitor, need right, repo string) (problem string, err error) {
	login := &statusError{http.StatusUnauthorized, unauthorized, "authentication required", nil}
	if v.id.MustChange {
		return "", loginError(nil, access.ErrMustChange)
	}
	switch need {
	case logsIn:
		if !v.known {
			return "", login
		}
		return "", nil
	case lists:
		if !v.id.TokenCovers(access.Catalogue, "") {
			return insufficientScope, login
		}
		return "", nil
	}
	narrow, reason := false, ""
	for _, a := range need.actions() {
		switch d := v.decide(a, repo); {
		case d.Allowed && v.id.TokenCovers(a, repo):
			return "", nil
		case d.Allowed:
			narrow = true
		default:
			reason = d.Reason
		}
	}
	switch {
	case narrow:
		return insufficientScope, login
	case v.id.IsAnonymous():
		if v.known {
			problem = insufficientScope
		}
		return problem, login
	case need.writes():
		return "", &deniedError{&registry.Error{Code: registry.Denied, Message: "requested access to the resource is denied", Detail: map[string]any{"name": repo}}, reason}
	}
	return "", nameUnknown(repo)
}

// deniedError is an answer of DENIED, with a reason for the audit log that the client does not learn.
type deniedError struct {
	answer *registry.Error
	reason string
}

func (e *deniedError) Error() string { return e.answer.Error() + " (" + e.reason + ")" }

// Unwrap gives what the client learns.
func (e *deniedError) Unwrap() error { return e.answer }

// record writes an event to the audit log. That somebody has not said who he is is none.
func (s *server) record(r *http.Request, at endpoint, repo string, err error) {
	v := visitorOf(r)
	if v == nil {
		v = &visitor{control: s.options.Access, address: s.client(r)} // of an open registry, where nothing is decided
	}
	e := access.EventOf(v.id, at.event, access.OutcomeOK)
	if err == nil && visitorOf(r) != nil {
		for _, a := range at.need.actions() {
			e.Reason = v.decide(a, repo).Reason
		}
	}
	if err != nil {
		status, lines := explain(err)
		if status == http.StatusUnauthorized {
			return
		}
		e.Outcome, e.Reason = access.OutcomeFailed, string(lines[0].Code)+": "+lines[0].Message
		if status == http.StatusForbidden {
			e.Outcome = access.OutcomeDenied
		} else if status == http.StatusTooManyRequests {
			e.Outcome = access.OutcomeThrottled
		}
		if denied := (*deniedError)(nil); errors.As(err, &denied) {
			e.Reason = denied.reason
		}
	}
	if v.address.IsValid() {
		e.From = v.address.String()
	}
	e.Repository = repo
	for _, name := range []string{"reference", "digest"} {
		if mux.Vars(r)[name] != "" {
			e.Reference = variable(r, name)
		}
	}
	if e.Reference == "" {
		e.Reference = r.URL.Query().Get("tag")
	}
	s.options.Access.Record(e)
}
