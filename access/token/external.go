package token

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/access/internal/jwks"
)

// externalAlgorithms are those that a token of somebody else may be signed with, unless its operator names some. All are of two keys: with one of
// a single key who checks tokens could make them.
var externalAlgorithms = [...]jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA,
}

// Algorithms are the names of the algorithms that ExternalOptions may have.
func Algorithms() []string {
	var names []string
	for _, a := range externalAlgorithms {
		names = append(names, string(a))
	}
	return names
}

// ExternalOptions say whose tokens count: those of a token server of somebody else, as "auth: token" of CNCF distribution has them.
type ExternalOptions struct {
	Issuer  string // the "iss" of its tokens. Required
	Service string // the name by which it knows this registry, the "aud". Required

	// JWKS is a file, or an https:// or http:// URL, with the public keys of the server as a JSON Web Key Set (RFC 7517). It is read anew when a token
	// names a key that is not in it, at most once in 10 s.
	JWKS string

	// Roots is a file with certificates, PEM. A token counts whose header has a chain (x5c) to one of them, or that was signed with the key of one.
	// One of JWKS and Roots is required.
	Roots string

	// Algorithms are the signatures that count. Default: all of Algorithms().
	Algorithms []string

	Now func() time.Time // default time.Now
	Log *slog.Logger     // gets what an operator should know; default slog.Default()
}

// External checks the tokens of a token server of somebody else. What a token is good for is what its server has decided: rules of
// ours are not asked. It implements access.Tokens and is safe for concurrent use.
type External struct {
	o          ExternalOptions
	algorithms []jose.SignatureAlgorithm
	keys       *jwks.Set         // nil without JWKS
	roots      *x509.CertPool    // nil without Roots
	rootKeys   []jose.JSONWebKey // the keys of Roots, by the names that libtrust gave them
}

// NewExternal reads the files. It asks nothing of the server: one that is down keeps nobody from starting.
func NewExternal(o ExternalOptions) (*External, error) {
	e := &External{o: o, algorithms: externalAlgorithms[:]}
	if o.Issuer == "" || o.Service == "" {
		return nil, errors.New("a token server needs the name of its issuer and of the service")
	}
	if o.JWKS == "" && o.Roots == "" {
		return nil, errors.New("a token server needs keys: a JWKS, or root certificates")
	}
	if e.o.Now == nil {
		e.o.Now = time.Now
	}
	if e.o.Log == nil {
		e.o.Log = slog.Default()
	}
	if len(o.Algorithms) > 0 {
		e.algorithms = nil
		for _, name := range o.Algorithms {
			a := jose.SignatureAlgorithm(name)
			if !slices.Contains(externalAlgorithms[:], a) {
				return nil, fmt.Errorf("%q is no algorithm for tokens of others; there are %s", name, strings.Join(Algorithms(), ", "))
			}
			e.algorithms = append(e.algorithms, a)
		}
	}
	if o.Roots != "" {
		var err error
		if e.roots, e.rootKeys, err = readRoots(o.Roots); err != nil {
			return nil, err
		}
	}
	if o.JWKS != "" {
		client := &http.Client{Timeout: jwks.Timeout}
		e.keys = jwks.New(func(ctx context.Context) ([]jose.JSONWebKey, error) {
			keys, err := jwks.Read(ctx, client, o.JWKS)
			if err != nil {
				err = fmt.Errorf("the keys of the token server: %w", err)
			}
			return keys, err
		}, func(err error) {
			e.o.Log.Warn("the keys of the token server can't be read", "from", o.JWKS, "err", err)
		}, e.o.Now)
		if !jwks.IsURL(o.JWKS) { // a file that is missing is a mistake of today
			if err := e.keys.Load(context.Background()); err != nil {
				return nil, err
			}
		}
	}
	return e, nil
}

// externalClaims are what we read of a token.
type externalClaims struct {
	jwt.Claims
	Access []entry `json:"access"`
}

// CheckToken returns the account that the token speaks of, as one that may do what its server says, and nothing else. ErrUnknown if the token is of
// another issuer; ErrExpired, without an account, if its time is over; ErrRefused if it is not valid, or for another registry. An error that is none of these means that the keys could not be fetched.
func (e *External) CheckToken(ctx context.Context, token string) (access.Identity, error) {
	if len(token) > maxToken || strings.Count(token, ".") != 2 {
		return access.Identity{}, access.ErrUnknown
	}
	signed, err := jose.ParseSignedCompact(token, e.algorithms)
	if err != nil || len(signed.Signatures) != 1 {
		return access.Identity{}, access.ErrUnknown
	}
	var c externalClaims
	if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &c); err != nil || c.Issuer != e.o.Issuer {
		return access.Identity{}, access.ErrUnknown
	}
	keys, err := e.candidates(ctx, signed.Signatures[0].Header)
	if err != nil {
		return access.Identity{}, err
	}
	if !slices.ContainsFunc(keys, func(key jose.JSONWebKey) bool { _, err := signed.Verify(key.Key); return err == nil }) {
		return access.Identity{}, fmt.Errorf("the token's signature is none of %s: %w", e.o.Issuer, access.ErrRefused)
	}
	if c.Expiry == nil || !c.Audience.Contains(e.o.Service) {
		return access.Identity{}, fmt.Errorf("the token is not for the service %s: %w", e.o.Service, access.ErrRefused)
	}
	now := e.o.Now()
	if now.After(c.Expiry.Time().Add(skew)) {
		return access.Identity{}, access.ErrExpired
	}
	if c.NotBefore != nil && now.Before(c.NotBefore.Time().Add(-skew)) {
		return access.Identity{}, fmt.Errorf("the token does not count yet: %w", access.ErrRefused)
	}
	id := access.Identity{
		Name: c.Subject, Kind: access.User, Source: "token", Admin: true, Token: grants(c.Access),
		Issued: c.NotBefore.Time(), Expires: c.Expiry.Time().Add(skew),
	}
	if id.Name == "" { // its server lets in clients without an account
		id.Name, id.Kind = string(access.Anonymous), access.Anonymous
	}
	return id, nil
}

// candidates are the keys with which the token may be signed.
func (e *External) candidates(ctx context.Context, header jose.Header) ([]jose.JSONWebKey, error) {
	if e.roots != nil {
		chains, err := header.Certificates(x509.VerifyOptions{Roots: e.roots, CurrentTime: e.o.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if err == nil && len(chains) > 0 {
			return []jose.JSONWebKey{{Key: chains[0][0].PublicKey}}, nil
		}
	}
	if found := jwks.Matching(e.rootKeys, header); len(found) > 0 || e.keys == nil {
		return found, nil
	}
	return e.keys.Find(ctx, header)
}
