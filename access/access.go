// Package access says who may do what in a registry: who sends a request, what the operator's rules allow, and why.
//
// It knows nothing of HTTP and nothing of a store. Packages below it know one kind of account each and implement [Passwords] or
// [Tokens]. registry/api asks a [Control], which asks these who sends a request and a [Policy] what is allowed:
//
//	if locked, err := control.Locked(ctx); err == nil && locked {
//		who, err := control.Identify(ctx, credentials)
//		…
//		answer := control.Decide(access.Question{Identity: who, Action: access.Push, Repository: "team/app"})
//	}
package access

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Action is something that a request does, and that rules allow or deny.
type Action string

// The actions. Push includes the reads that a push makes in its repository: HEAD of blobs and manifests, status of uploads.
const (
	Pull      Action = "pull"
	Push      Action = "push"      // blobs, manifests, and tags that are new
	TagMove   Action = "tag-move"  // a tag that is there is pointed at something else
	Delete    Action = "delete"    // tags, manifests, blobs, a repository, and restoring them
	Catalogue Action = "catalogue" // see the names of all repositories, also of those that one may not pull
	Admin     Action = "admin"     // users, robots, keys, visibility
)

// Actions are all of them, in the order in which people are told.
var Actions = []Action{Pull, Push, TagMove, Delete, Catalogue, Admin}

// Kind says what sort of account an identity is.
type Kind string

// The kinds.
const (
	Anonymous   Kind = "anonymous"
	User        Kind = "user"        // a person: of the store, htpasswd, LDAP or OIDC
	Robot       Kind = "robot"       // an account of a program
	Key         Kind = "key"         // an API key of a user; Name is that user's
	Workload    Kind = "workload"    // the token of a CI job or of a Kubernetes pod
	Certificate Kind = "certificate" // a TLS client certificate
)

// Identity is who sends a request. The zero value is nobody: an anonymous client.
type Identity struct {
	Name   string // as it is written to the audit log and to tags' records; "" for anonymous
	Kind   Kind
	Source string   // which of the configured sources knows it: "users", "htpasswd", "ldap", the name of an OIDC provider, "token", "certificate"
	Groups []string // as the source gives them

	// Claims are those of a token, for rules that ask for them. Values are strings, numbers, booleans, and lists and maps of them.
	Claims map[string]any

	// Admin says that the source itself marks the account as an administrator's: everything is allowed to it, within Scope.
	Admin bool

	// MustChange says that the password was set by somebody else and has to be changed first: until then everything is denied.
	MustChange bool

	// Scope narrows what rules allow: of robots and API keys. Nil: nothing is narrowed. Empty, but not nil: nothing is allowed.
	Scope []Grant

	// Token narrows it further: it is what the bearer token at hand was issued for. Its Repositories are names, not patterns. Nil: the credentials are
	// no such token, or one that is good for all that its account may.
	Token []Grant

	// Services are the names of registries for which the bearer token at hand was issued, its audience; it counts for no other. Nil: for any.
	Services []string

	// AsOf is when the source's store was asked, where the answer is not fresh: what was verified counts for access.refresh from then on. Zero: now.
	AsOf time.Time

	// Generation changes whenever the account's password does, and refresh tokens end with it. "" for an account that gets none.
	Generation string

	// Issued is when the bearer token at hand began to count; zero for other credentials. Expires is when the credentials end; zero: they do
	// not. A request that began before may go on to its end.
	Issued, Expires time.Time
}

// IsAnonymous reports whether no account is known.
func (i Identity) IsAnonymous() bool { return i.Name == "" }

// TokenCovers reports whether the bearer token at hand, if there is one, was issued for the action. repository is "" for Catalogue and Admin.
func (i Identity) TokenCovers(a Action, repository string) bool {
	return i.Token == nil || slices.ContainsFunc(i.Token, func(g Grant) bool {
		return g.Repositories == repository && slices.Contains(g.Actions, a)
	})
}

// Grant is a right to actions in the repositories that a pattern names.
type Grant struct {
	Repositories string   `json:"repositories"` // a pattern as config.Glob: "team/**"; "" for actions that concern no repository
	Actions      []Action `json:"actions"`
}

// Errors of [Passwords] and [Tokens]. Errors that are none of these mean that the source could not be asked: the request is answered with 503.
var (
	// ErrUnknown: the account, or this kind of token, is not of this source. The next source is asked.
	ErrUnknown = errors.New("no such account")
	// ErrRefused: the account is of this source, and the password is wrong, or it is disabled, expired or revoked. No other source is asked.
	ErrRefused = errors.New("the credentials are refused")
	// ErrMustChange: the account is good, but its password has to be changed before it may do anything else.
	ErrMustChange = errors.New("the password has to be changed first")
	// ErrExpired is an ErrRefused of a bearer token that would be good if its time were not over. The identity comes with it, since what was begun
	// in its time may go on.
	ErrExpired = fmt.Errorf("the token has expired: %w", ErrRefused)
)

// Passwords is a source of accounts that checks names with passwords. What a client gives as a password may be an API key or a token: some
// clients have no other field for it.
type Passwords interface {
	// Check returns whose name and password these are. The errors are ErrUnknown, ErrRefused, or about the source. It takes about as long for
	// a name that is not there as for one with a wrong password. A ctx that ends ends it with the ctx's error.
	Check(ctx context.Context, name, password string) (Identity, error)
}

// Tokens is a source that checks bearer tokens.
type Tokens interface {
	// CheckToken returns whose token this is, with the Scope that it is good for. The errors are as those of Passwords.
	CheckToken(ctx context.Context, token string) (Identity, error)
}

// Certificates is a source that knows TLS client certificates. They have been verified before.
type Certificates interface {
	// CheckCertificate returns whose certificate this is. The errors are as those of Passwords.
	CheckCertificate(ctx context.Context, certificate *x509.Certificate) (Identity, error)
}

// Renewer is a source of Passwords that knows its accounts also without their passwords. Without it there are no refresh tokens for them.
type Renewer interface {
	// Renew returns the account as it is now, with its Generation. The errors are as those of Passwords; ErrRefused if it is disabled or expired.
	Renew(ctx context.Context, name string) (Identity, error)
}

// Question is what is asked about a request.
type Question struct {
	Identity   Identity
	Action     Action
	Repository string     // "" for Catalogue and Admin
	Address    netip.Addr // of the client, behind trusted proxies; the zero value matches no network
}

// Decision is the answer to a Question.
type Decision struct {
	Allowed bool
	// Visible says, where Allowed is false, whether the client may know that the repository exists: whether it may pull it.
	Visible bool
	// Reason says which rule or setting decided, with the place in the configuration, for the audit log and for `longshore auth can`.
	Reason string
}
