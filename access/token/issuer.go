// Package token issues and checks the bearer tokens of Docker's token protocol, https://distribution.github.io/distribution/spec/auth/.
//
// An [Issuer] signs tokens with keys that are kept in the store, so that each replica checks what another has issued, and without asking the
// store again. A [Server] answers the token endpoint. An [External] checks the tokens of a server of somebody else.
package token

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/maypok86/otter/v2"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/drivers"
)

// The bounds of how long a token may live. Clients take one that ends sooner than in a minute for a mistake.
const (
	ShortestLife = time.Minute
	LongestLife  = time.Hour
)

// issuerName is the issuer that our tokens name. What tells one registry's tokens from another's are the keys.
const issuerName = "longshore"

// IssuerOptions are the settings of an Issuer. The zero value of each field but Store means its default.
type IssuerOptions struct {
	// Store keeps the keys, below access/signing/. Required.
	Store drivers.Driver

	// Life is how long a token counts, from ShortestLife to LongestLife. Until it ends the account's name, groups and marks count as they were when
	// it was issued; rules are asked anew at each request. Default 5 min.
	Life time.Duration

	// RefreshLife is how long a refresh token counts. Default 90 days.
	RefreshLife time.Duration

	// Now is the clock. Default time.Now.
	Now func() time.Time

	// Log gets what an operator should know. Default slog.Default().
	Log *slog.Logger
}

// Issuer makes bearer tokens and checks them. It is safe for concurrent use. It implements access.Tokens.
type Issuer struct {
	keys        *keyring
	store       drivers.Driver
	life        time.Duration
	refreshLife time.Duration
	now         func() time.Time
	refresh     refreshSecret
	verified    *otter.Cache[[sha256.Size]byte, access.Identity] // by the hash of the token
}

// NewIssuer makes an Issuer. It asks nothing of the store.
func NewIssuer(o IssuerOptions) (*Issuer, error) {
	o.Life = cmp.Or(o.Life, 5*time.Minute)
	o.RefreshLife = cmp.Or(o.RefreshLife, 90*24*time.Hour)
	if o.Life < ShortestLife || o.Life > LongestLife {
		return nil, fmt.Errorf("a token has to live from %v to %v, not %v", ShortestLife, LongestLife, o.Life)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	i := &Issuer{
		keys: newKeyring(o.Store, o.Now, o.Log), store: o.Store, life: o.Life, refreshLife: o.RefreshLife, now: o.Now,
		refresh: refreshSecret{reading: make(chan struct{}, 1)},
	}
	const verifiedTokens = 10_000
	var err error
	i.verified, err = otter.New(&otter.Options[[sha256.Size]byte, access.Identity]{
		MaximumSize: verifiedTokens, ExpiryCalculator: otter.ExpiryWriting[[sha256.Size]byte, access.Identity](LongestLife + skew),
	})
	return i, err
}

// claims are what a token says: first what Docker's specification has, then what spares a replica from asking who the account is.
type claims struct {
	Issuer    string  `json:"iss"`
	Subject   string  `json:"sub"`
	Audience  string  `json:"aud"`
	Expires   int64   `json:"exp"`
	NotBefore int64   `json:"nbf"`
	Issued    int64   `json:"iat"`
	ID        string  `json:"jti"`
	Access    []entry `json:"access"`

	Kind   access.Kind    `json:"kind"`
	Source string         `json:"source,omitempty"`
	Groups []string       `json:"groups,omitempty"`
	Admin  bool           `json:"admin,omitempty"`
	Within []access.Grant `json:"within"` // what the account's credentials are narrowed to; null for nothing
	Claims map[string]any `json:"claims,omitempty"`
}

// entry is what a token is good for.
type entry struct {
	Type    string   `json:"type"`
	Class   string   `json:"class,omitempty"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// issued is a token that was made.
type issued struct {
	token   string
	at, end time.Time
}

// issue makes a token for an account, for the service of that name and for what granted says. It ends with the account's credentials if they
// end before.
func (i *Issuer) issue(ctx context.Context, id access.Identity, service string, granted []entry) (issued, error) {
	key, err := i.keys.current(ctx)
	if err != nil {
		return issued{}, err
	}
	now := i.now().Truncate(time.Second)
	end := now.Add(i.life)
	if !id.Expires.IsZero() && id.Expires.Before(end) {
		end = id.Expires
	}
	if granted == nil {
		granted = []entry{}
	}
	payload, err := json.Marshal(claims{
		Issuer: issuerName, Subject: id.Name, Audience: service, Expires: end.Unix(), NotBefore: now.Unix(), Issued: now.Unix(), ID: rand.Text(),
		Access: granted, Kind: id.Kind, Source: id.Source, Groups: id.Groups, Admin: id.Admin, Within: id.Scope, Claims: id.Claims,
	})
	if err != nil {
		return issued{}, err
	}
	signed, err := key.signer.Sign(payload)
	if err != nil {
		return issued{}, err
	}
	text, err := signed.CompactSerialize()
	return issued{text, now, end}, err
}

// maxToken is the length in bytes up to which a token is looked at. Headers as a whole may be 128 KiB.
const maxToken = 64 << 10

// CheckToken returns the account for which the token was issued, with what it is good for as Token and the registry's name as Services, which is for
// the caller to compare. ErrUnknown if it is no token of this store's keys; ErrExpired, with the account, if it is over; ErrRefused if
// it is not valid. The signature of a token is checked once. A key that is not known costs one request to the store.
func (i *Issuer) CheckToken(ctx context.Context, token string) (access.Identity, error) {
	sum := sha256.Sum256([]byte(token))
	id, known := i.verified.GetIfPresent(sum)
	if !known {
		var err error
		if id, err = i.verify(ctx, token); err != nil {
			return access.Identity{}, err
		}
		i.verified.Set(sum, id)
	}
	now := i.now()
	if now.Before(id.Issued) {
		return access.Identity{}, access.ErrRefused
	}
	if now.After(id.Expires) {
		return id, access.ErrExpired
	}
	return id, nil
}

// verify checks all of a token but the time.
func (i *Issuer) verify(ctx context.Context, token string) (access.Identity, error) {
	if len(token) > maxToken || strings.Count(token, ".") != 2 {
		return access.Identity{}, access.ErrUnknown
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || len(signed.Signatures) != 1 {
		return access.Identity{}, access.ErrUnknown
	}
	key, err := i.keys.byID(ctx, signed.Signatures[0].Header.KeyID)
	if err != nil {
		return access.Identity{}, err
	}
	if key == nil {
		return access.Identity{}, access.ErrUnknown
	}
	payload, err := signed.Verify(key.private.Public())
	if err != nil {
		return access.Identity{}, access.ErrRefused
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil || !c.sound(key.slot) {
		return access.Identity{}, access.ErrRefused
	}
	return c.identity(), nil
}

// sound reports whether claims are such as the key of that slot was used for: a key that got out makes no token for any other time.
func (c *claims) sound(slot int64) bool {
	at := time.Unix(c.Issued, 0)
	life := c.Expires - c.Issued
	return c.Issuer == issuerName && c.Audience != "" && c.NotBefore == c.Issued && life >= 0 && life <= int64(LongestLife/time.Second) &&
		slotOf(at.Add(-skew)) <= slot && slot <= slotOf(at.Add(skew))
}

// identity is the account that the claims speak of. The time has the difference of clocks in it.
func (c *claims) identity() access.Identity {
	id := access.Identity{
		Name: c.Subject, Kind: c.Kind, Source: c.Source, Groups: c.Groups, Admin: c.Admin, Claims: c.Claims, Scope: c.Within,
		Token: grants(c.Access), Services: []string{c.Audience},
		Issued: time.Unix(c.NotBefore, 0).Add(-skew), Expires: time.Unix(c.Expires, 0).Add(skew),
	}
	return id
}

// grants are the entries of a token as we know them, never nil.
func grants(entries []entry) []access.Grant {
	all := []access.Grant{}
	for _, e := range entries {
		g := access.Grant{Repositories: e.Name, Actions: actions(Scope(e))}
		if slices.Contains(g.Actions, access.Catalogue) {
			g.Repositories = ""
		} else if !isRepository(e.Name) {
			continue
		}
		if len(g.Actions) > 0 {
			all = append(all, g)
		}
	}
	return all
}
