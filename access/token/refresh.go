package token

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/drivers"
)

// refreshKey is the object with the secret that signs refresh tokens. Who removes it ends all of them.
const refreshKey = signingPrefix + "refresh"

// RefreshPrefix is how refresh tokens begin. Programs that search files for leaked secrets find it.
const RefreshPrefix = "lsrt_"

// refreshSecret signs refresh tokens. They outlive the keys of slots by far.
type refreshSecret struct {
	reading chan struct{} // held by who asks the store, and by who looks at what follows

	key  []byte
	read time.Time
}

// readAgain is how long the secret counts that was read last.
const readAgain = time.Minute

// refreshClaims are what a refresh token says. Nobody keeps it: it counts as long as the account has the password that it had when it was
// issued, which Mark tells, and is not disabled.
type refreshClaims struct {
	Source  string `json:"source"`
	Name    string `json:"name"`
	Mark    []byte `json:"mark"` // of Identity.Generation
	Service string `json:"service"`
	Expires int64  `json:"exp"`
	ID      string `json:"jti"`
}

// mark is a hash of the generation, for that may be made of what is kept of a password.
func mark(id access.Identity) []byte {
	sum := sha256.Sum256([]byte("refresh token\n" + id.Source + "\n" + id.Name + "\n" + id.Generation))
	return sum[:16]
}

// issueRefresh makes a refresh token for an account that has a generation.
func (i *Issuer) issueRefresh(ctx context.Context, id access.Identity, service string) (string, error) {
	key, err := i.refreshSecret(ctx, true)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(refreshClaims{
		Source: id.Source, Name: id.Name, Mark: mark(id), Service: service, Expires: i.now().Add(i.refreshLife).Unix(), ID: rand.Text(),
	})
	if err != nil {
		return "", err
	}
	return RefreshPrefix + base64.RawURLEncoding.EncodeToString(append(body, signRefresh(key, body)...)), nil
}

func signRefresh(key, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("refresh token\n"))
	mac.Write(body)
	return mac.Sum(nil)
}

// checkRefresh reads a refresh token. ErrRefused if it is none for the service, or over.
func (i *Issuer) checkRefresh(ctx context.Context, token, service string) (refreshClaims, error) {
	text, ok := strings.CutPrefix(token, RefreshPrefix)
	b, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil || len(b) <= sha256.Size || len(token) > maxToken {
		return refreshClaims{}, access.ErrRefused
	}
	key, err := i.refreshSecret(ctx, false)
	if err != nil {
		return refreshClaims{}, err
	}
	body, signature := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	var c refreshClaims
	if key == nil || !hmac.Equal(signature, signRefresh(key, body)) || json.Unmarshal(body, &c) != nil {
		return refreshClaims{}, access.ErrRefused
	}
	if c.Service != service || i.now().Unix() > c.Expires {
		return refreshClaims{}, access.ErrRefused
	}
	return c, nil
}

// fits reports whether the account still has the password that it had when the token was issued.
func (c refreshClaims) fits(id access.Identity) bool {
	return id.Generation != "" && subtle.ConstantTimeCompare(c.Mark, mark(id)) == 1
}

// refreshSecret reads the secret, or makes it if it is needed; nil if there is none and it was not.
func (i *Issuer) refreshSecret(ctx context.Context, needed bool) ([]byte, error) {
	s := &i.refresh
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if i.now().Sub(s.read) < readAgain && (s.key != nil || !needed) {
		return s.key, nil
	}
	key, err := i.readRefresh(ctx)
	if errors.Is(err, drivers.ErrNotFound) && needed {
		made := []byte(rand.Text() + rand.Text()) // 260 bits
		body, _ := json.Marshal(storedSecret{Key: made})
		if err = putIfAbsent(ctx, i.store, i.keys.extras, refreshKey, body); err == nil || errors.Is(err, drivers.ErrExists) {
			key, err = i.readRefresh(ctx)
		}
	}
	if err != nil && (needed || !errors.Is(err, drivers.ErrNotFound)) {
		return nil, fmt.Errorf("the secret for refresh tokens can't be read or made: %w", err)
	}
	s.key, s.read = key, i.now()
	return key, nil
}

// storedSecret is the object at refreshKey.
type storedSecret struct {
	Key []byte `json:"key"`
}

func (i *Issuer) readRefresh(ctx context.Context) ([]byte, error) {
	body, _, err := read(ctx, i.store, refreshKey)
	if err != nil {
		return nil, err
	}
	var s storedSecret
	if err := json.Unmarshal(body, &s); err != nil || len(s.Key) < sha256.Size {
		return nil, &drivers.Error{Op: "read refresh secret", Driver: "token", Key: refreshKey, Kind: drivers.ErrCorrupt, Err: err}
	}
	return s.Key, nil
}
