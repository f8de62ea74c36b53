package swift

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/ncw/swift/v2"
)

// session is who the driver is to the object store. The library does the identity service's side of it; it
// is asked by one caller at a time.
type session struct {
	turn    chan struct{} // holds one value while nobody asks
	conn    *swift.Connection
	fixed   string // the configuration's storage_url
	account string // URL; "" before the first token
	token   string
}

func newSession(c Config, transport *http.Transport) *session {
	s := &session{turn: make(chan struct{}, 1), fixed: strings.TrimRight(c.StorageURL, "/"), conn: &swift.Connection{
		AuthUrl: c.AuthURL, AuthVersion: c.version(), UserName: c.Username, UserId: c.UserID, ApiKey: string(c.Password),
		Domain: c.Domain, DomainId: c.DomainID, Tenant: c.Project, TenantId: c.ProjectID, TenantDomain: c.ProjectDomain, TrustId: c.TrustID,
		ApplicationCredentialId: c.ApplicationCredentialID, ApplicationCredentialName: c.ApplicationCredentialName,
		ApplicationCredentialSecret: string(c.ApplicationCredentialSecret),
		Region:                      c.Region, EndpointType: swift.EndpointType(c.Interface), UserAgent: c.UserAgent,
		ConnectTimeout: c.Timeout, Timeout: c.Timeout,
		Transport: lone{transport}, // the library closes idle connections when it asks for a token: not those of the object store
	}}
	if c.version() == 1 {
		s.conn.EndpointType = "" // there is no catalogue
	}
	s.turn <- struct{}{}
	return s
}

// lone hides all methods of a transport but one.
type lone struct{ http.RoundTripper }

// get returns the URL of the account and a token that is not the stale one, "" for any. A token that is about to end is
// not handed out.
func (s *session) get(ctx context.Context, stale string) (account, token string, err error) {
	select {
	case <-s.turn:
	case <-ctx.Done():
		return "", "", ctx.Err()
	}
	defer func() { s.turn <- struct{}{} }()
	if s.token != "" && s.token != stale && s.conn.Authenticated() {
		return s.account, s.token, nil
	}
	s.conn.UnAuthenticate()
	if err := s.conn.Authenticate(ctx); err != nil {
		return "", "", &refusal{status: swiftStatus(err), what: "the identity service does not give a token", err: err}
	}
	s.account, s.token = strings.TrimRight(cmp.Or(s.fixed, s.conn.StorageUrl), "/"), s.conn.AuthToken
	return s.account, s.token, nil
}

// identity is the user in words.
func (s *session) identity() string {
	who := cmp.Or(s.conn.UserName, s.conn.UserId)
	if s.conn.ApplicationCredentialSecret != "" {
		who = "application credential " + cmp.Or(s.conn.ApplicationCredentialId, s.conn.ApplicationCredentialName)
	}
	if project := cmp.Or(s.conn.Tenant, s.conn.TenantId); project != "" {
		who += " in the project " + project
	}
	return fmt.Sprintf("%s (from %s)", who, s.conn.AuthUrl)
}
