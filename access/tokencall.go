package access

import "time"

// TokenCall is what a client asks of the token endpoint, https://distribution.github.io/distribution/spec/auth/token/ and
// https://distribution.github.io/distribution/spec/auth/oauth/.
type TokenCall struct {
	Credentials Credentials // none: an anonymous token
	Refresh     string      // a refresh token, in place of Credentials

	Service string   // the name by which the client knows the registry
	Scopes  []string // as the client wrote them, each of which may have several
	Offline bool     // a refresh token is wanted, too
}

// TokenAnswer is what it gets.
type TokenAnswer struct {
	Token   string
	Issued  time.Time
	Life    time.Duration // at least a minute, since clients take less for a mistake
	Refresh string        // "" if none was asked for, or none is given
	Scope   string        // what was granted, as scopes are written
}
