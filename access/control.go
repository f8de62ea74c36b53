package access

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
)

// defaultRemember is how long verified credentials are taken as good: access.refresh.
const defaultRemember = 5 * time.Second

// ControlOptions are what a Control asks. The zero value knows nobody and allows nothing.
type ControlOptions struct {
	// Passwords, Tokens and Certificates are asked in order, until one knows the account.
	Passwords    []Passwords
	Tokens       []Tokens
	Certificates []Certificates

	Policy *Policy // nil: nobody may do anything but administrators

	// Locked says whether credentials are needed at all; while it says no, everybody may do everything. It is asked for each
	// request, so it remembers for itself. Nil: they always are.
	Locked func(ctx context.Context) (bool, error)

	Audit    *Audit // nil: nothing is recorded
	Throttle ThrottleOptions

	// Remember is how long verified credentials are taken as good without asking their source again. 0: 5 s; negative: not at all.
	Remember time.Duration

	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: nothing is logged
}

// Control says who sends a request and what he may do. It is safe for concurrent use.
type Control struct {
	o        ControlOptions
	policy   *Policy
	throttle *throttle
	memory   *memory
	checks   singleflight.Group
}

// NewControl makes a Control.
func NewControl(o ControlOptions) (*Control, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Remember == 0 {
		o.Remember = defaultRemember
	}
	c := &Control{o: o, policy: o.Policy}
	if c.policy == nil {
		c.policy = NewPolicy(PolicyOptions{})
	}
	var err error
	if c.memory, err = newMemory(o.Remember, o.Now); err != nil {
		return nil, err
	}
	if c.throttle, err = newThrottle(o.Throttle, o.Now); err != nil {
		return nil, err
	}
	return c, nil
}

// Locked reports whether requests need credentials. While they don't, nobody is asked for any and nothing is decided. An
// error means that the store could not be asked; then nothing may be allowed.
func (c *Control) Locked(ctx context.Context) (bool, error) {
	if c.o.Locked == nil {
		return true, nil
	}
	return c.o.Locked(ctx)
}

// Decide says whether something is allowed, by the policy.
func (c *Control) Decide(q Question) Decision { return c.policy.Decide(q) }

// Policy is what decides.
func (c *Control) Policy() *Policy { return c.policy }

// Credentials are what came with a request.
type Credentials struct {
	Name, Password string            // of the header Authorization: Basic; the password may be a token
	Token          string            // of Authorization: Bearer
	Certificate    *x509.Certificate // of the TLS connection, verified; it counts if there is nothing else
	Address        netip.Addr        // of the client, behind trusted proxies
	RequestID      string            // for the audit log
}

// empty reports whether there are none.
func (c Credentials) empty() bool {
	return c.Name == "" && c.Password == "" && c.Token == "" && c.Certificate == nil
}

// Identify says whose credentials these are; without any it is nobody, the zero Identity. An error is ErrRefused if they
// are not good (ErrExpired, with the identity, for a token whose time is over), a *ThrottledError if too many logins have failed for the account or from the address, ctx's own if it
// ended, and anything else if a source could not be asked.
//
// What was verified is remembered for a while, as a keyed hash, and then is not asked for or throttled again. The answer
// to a wrong password is delayed, more so the more there were.
func (c *Control) Identify(ctx context.Context, cred Credentials) (Identity, error) {
	if cred.empty() {
		return Identity{}, nil
	}
	key := c.memory.key(cred)
	if id, ok := c.memory.recall(key); ok {
		return id, nil
	}
	// Of equal requests at the same time one asks; a client that sends ten with a new password costs one slow hash.
	type answer struct {
		id  Identity
		err error
	}
	results := c.checks.DoChan(string(key[:]), func() (any, error) {
		// Another client's cancel must not fail those that wait.
		id, err := c.verify(context.WithoutCancel(ctx), cred)
		if err == nil {
			c.memory.keep(key, id)
		}
		return answer{id, err}, nil
	})
	select {
	case r := <-results:
		a, _ := r.Val.(answer)
		return a.id, a.err
	case <-ctx.Done():
		return Identity{}, context.Cause(ctx)
	}
}

// checkTime is the most that the sources may take, since a check goes on when its client has gone.
const checkTime = 30 * time.Second

// Renew returns an account of a source as it is now, without its password, for refresh tokens. ErrRefused if it is gone,
// disabled, or of a source that is no [Renewer].
func (c *Control) Renew(ctx context.Context, source, name string) (Identity, error) {
	for _, s := range c.o.Passwords {
		r, ok := s.(Renewer)
		if !ok {
			continue
		}
		id, err := r.Renew(ctx, name)
		switch {
		case errors.Is(err, ErrUnknown):
		case err != nil:
			return Identity{}, err
		case id.Source == source:
			if id.expired(c.o.Now()) {
				return Identity{}, ErrRefused
			}
			return id, nil
		}
	}
	return Identity{}, ErrRefused
}

// verify asks the sources, with throttling, and records the outcome.
func (c *Control) verify(ctx context.Context, cred Credentials) (Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	attempt, err := c.throttle.begin(cred)
	if err != nil {
		c.Record(loginEvent(cred, Identity{}, OutcomeThrottled, err.Error()))
		return Identity{}, err
	}
	id, err := c.ask(ctx, cred)
	if err == nil && id.expired(c.o.Now()) {
		err = ErrRefused
	}
	switch {
	case err == nil:
		attempt.succeeded()
		if id.Issued.IsZero() { // the use of a token that was issued after a login is no login of its own
			c.Record(loginEvent(cred, id, OutcomeOK, ""))
		}
		return id, nil
	case errors.Is(err, ErrExpired): // as clients send before they fetch the next one
		attempt.undo()
		return id, ErrExpired
	case errors.Is(err, ErrUnknown), errors.Is(err, ErrRefused):
		c.Record(loginEvent(cred, Identity{}, OutcomeFailed, reasonOf(err)))
		attempt.failed(ctx)
		return Identity{}, ErrRefused // the same for both: a client does not learn which accounts there are
	}
	attempt.undo()
	c.o.Log.Error("a login could not be checked", "name", cred.Name, "err", err)
	return Identity{}, err
}

// reasonOf is for the audit log, where it is of use to know whether the account exists.
func reasonOf(err error) string {
	if errors.Is(err, ErrUnknown) {
		return "no source knows the account"
	}
	return err.Error()
}

// expired reports whether the credentials have ended.
func (i Identity) expired(now time.Time) bool {
	return !i.Expires.IsZero() && !now.Before(i.Expires)
}

// ask goes through the sources.
func (c *Control) ask(ctx context.Context, cred Credentials) (Identity, error) {
	switch {
	case cred.Token != "":
		return c.askTokens(ctx, cred.Token)
	case cred.Name != "" || cred.Password != "":
		if looksLikeToken(cred.Password) {
			if id, err := c.askTokens(ctx, cred.Password); !errors.Is(err, ErrUnknown) || isJWT(cred.Password) {
				return id, err // a token that nobody here knows is good elsewhere: no directory is told of it
			}
		}
		return c.askPasswords(ctx, cred.Name, cred.Password)
	}
	for _, s := range c.o.Certificates {
		if id, err := s.CheckCertificate(ctx, cred.Certificate); !errors.Is(err, ErrUnknown) {
			return id, err
		}
	}
	return Identity{}, ErrUnknown
}

func (c *Control) askTokens(ctx context.Context, token string) (Identity, error) {
	for _, s := range c.o.Tokens {
		if id, err := s.CheckToken(ctx, token); !errors.Is(err, ErrUnknown) {
			return id, err
		}
	}
	return Identity{}, ErrUnknown
}

// askPasswords asks each source. That one of them is down does not keep out the accounts of those that come after it: but
// nobody is refused for good while a source that may know him did not answer.
func (c *Control) askPasswords(ctx context.Context, name, password string) (Identity, error) {
	if name == "" || password == "" { // an LDAP server takes a bind without a password as an anonymous one, and says yes
		return Identity{}, ErrUnknown
	}
	var down error
	for _, s := range c.o.Passwords {
		id, err := s.Check(ctx, name, password)
		switch {
		case errors.Is(err, ErrUnknown):
		case err == nil, errors.Is(err, ErrRefused), ctx.Err() != nil:
			return id, err
		default:
			down = errors.Join(down, err)
		}
	}
	if down != nil {
		return Identity{}, down
	}
	return Identity{}, ErrUnknown
}

// looksLikeToken reports whether a password may be an API key (KeyPrefix) or a JWT.
func looksLikeToken(password string) bool {
	return strings.HasPrefix(password, KeyPrefix) || isJWT(password)
}

// isJWT reports whether text has the form of a JWT: three parts, the first of which is a JSON object (RFC 7519, section 3).
func isJWT(text string) bool { return strings.HasPrefix(text, "eyJ") && strings.Count(text, ".") == 2 }

// KeyPrefix is how API keys begin. Programs that search files for leaked secrets find it.
const KeyPrefix = "lsk_"

// ThrottledError says that too many logins have failed. The request is answered with 429 and Retry-After.
type ThrottledError struct {
	RetryAfter time.Duration
	What       string // "account" or "address"
}

// Error names no account.
func (e *ThrottledError) Error() string {
	return fmt.Sprintf("too many failed logins for this %s: the next attempt can be made in %v", e.What, e.RetryAfter)
}
