package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/access/internal/tokentest"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// sign makes a token of what a key says, whatever that is.
func sign(t *testing.T, algorithm jose.SignatureAlgorithm, key any, kid string, payload any) string {
	t.Helper()
	return tokentest.Sign(t, algorithm, key, kid, map[jose.HeaderKey]any{jose.HeaderType: "JWT"}, payload)
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestForgedTokens(t *testing.T) {
	c := newClock()
	i := newIssuer(t, memory.New(memory.Options{}), c)
	good := mustIssue(t, i, access.Identity{Name: "bob", Kind: access.User}, entry{Type: "repository", Name: "team/app", Actions: []string{"pull"}})
	key, err := i.keys.current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	// claims are those of the good token, with some changed.
	said := func(changes map[string]any) map[string]any {
		var all map[string]any
		if err := json.Unmarshal(body, &all); err != nil {
			t.Fatal(err)
		}
		maps.Copy(all, changes)
		return all
	}
	text := func(changes map[string]any) string {
		b, err := json.Marshal(said(changes))
		if err != nil {
			t.Fatal(err)
		}
		return encode(string(b))
	}
	public, err := x509.MarshalPKIXPublicKey(key.private.Public())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	wide := map[string]any{"access": []entry{{Type: "repository", Name: "team/app", Actions: []string{"pull", "push"}}}}
	now := c.Now().Unix()
	other := ecKey(t)
	jwk, err := json.Marshal(jose.JSONWebKey{Key: other.Public(), KeyID: key.id})
	if err != nil {
		t.Fatal(err)
	}
	embedded := encode(`{"alg":"ES256","kid":"` + key.id + `","typ":"JWT","jwk":` + string(jwk) + `}`)
	for name, token := range map[string]string{
		"alg none":                               encode(`{"alg":"none","kid":"`+key.id+`"}`) + "." + parts[1] + ".",
		"alg None":                               encode(`{"alg":"None","kid":"`+key.id+`"}`) + "." + parts[1] + "." + parts[2],
		"alg none with a signature":              encode(`{"alg":"none","kid":"`+key.id+`"}`) + "." + parts[1] + "." + parts[2],
		"no signature":                           parts[0] + "." + parts[1] + ".",
		"HMAC with the public key, DER":          sign(t, jose.HS256, public, key.id, said(wide)),
		"HMAC with the public key, point":        sign(t, jose.HS256, raw, key.id, said(wide)),
		"widened, signature kept":                parts[0] + "." + text(wide) + "." + parts[2],
		"another name, signature kept":           parts[0] + "." + text(map[string]any{"sub": "alice"}) + "." + parts[2],
		"another key with our kid":               sign(t, jose.ES256, other, key.id, said(nil)),
		"another key in the header":              embedded + "." + parts[1] + "." + strings.Split(sign(t, jose.ES256, other, key.id, said(nil)), ".")[2],
		"no kid":                                 sign(t, jose.ES256, key.private, "", said(nil)),
		"kid of nobody":                          sign(t, jose.ES256, key.private, "nobody", said(nil)),
		"kid that climbs":                        sign(t, jose.ES256, key.private, "../users/alice", said(nil)),
		"kid of the refresh secret":              sign(t, jose.ES256, key.private, "refresh", said(nil)),
		"kid of our slot":                        sign(t, jose.ES256, key.private, strings.Split(key.id, ".")[0]+".0000000000000000", said(nil)),
		"another issuer":                         sign(t, jose.ES256, key.private, key.id, said(map[string]any{"iss": "somebody"})),
		"no service":                             sign(t, jose.ES256, key.private, key.id, said(map[string]any{"aud": ""})),
		"services":                               sign(t, jose.ES256, key.private, key.id, said(map[string]any{"aud": []string{"registry.test", "other.test"}})),
		"a life of a week":                       sign(t, jose.ES256, key.private, key.id, said(map[string]any{"exp": now + 7*24*3600})),
		"ends before it begins":                  sign(t, jose.ES256, key.private, key.id, said(map[string]any{"exp": now - 1})),
		"never ends":                             sign(t, jose.ES256, key.private, key.id, said(map[string]any{"exp": 0})),
		"counts later than it was issued":        sign(t, jose.ES256, key.private, key.id, said(map[string]any{"nbf": now + 10})),
		"key of a slot used for another slot":    sign(t, jose.ES256, key.private, key.id, said(map[string]any{"iat": now + 86400, "nbf": now + 86400, "exp": now + 86700})),
		"numbers that are none":                  sign(t, jose.ES256, key.private, key.id, said(map[string]any{"exp": "never"})),
		"no JSON":                                sign(t, jose.ES256, key.private, key.id, "text"),
		"two tokens":                             good + "." + good,
		"nothing":                                "",
		"dots":                                   "..",
		"very long":                              good + strings.Repeat("A", maxToken),
		"JSON form":                              `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"encrypted form":                         parts[0] + "." + parts[1] + "." + parts[2] + "." + parts[1] + "." + parts[2],
		"a refresh token":                        RefreshPrefix + parts[1],
		"signature of a refresh token, as a JWT": parts[0] + "." + parts[1] + "." + encode(RefreshPrefix),
	} {
		id, err := i.CheckToken(t.Context(), token)
		if err == nil || !errors.Is(err, access.ErrUnknown) && !errors.Is(err, access.ErrRefused) || errors.Is(err, access.ErrExpired) || id.Name != "" {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
	// What is good stays good after all of that, and a token that says the same, signed by the key, is good: the tests above fail for what they say.
	for _, token := range []string{good, sign(t, jose.ES256, key.private, key.id, said(nil))} {
		if _, err := i.CheckToken(t.Context(), token); err != nil {
			t.Error(err)
		}
	}
	c.move(2 * slotTime)
	late := sign(t, jose.ES256, key.private, key.id, said(map[string]any{"iat": c.Now().Unix(), "nbf": c.Now().Unix(), "exp": c.Now().Add(time.Minute).Unix()}))
	if _, err := i.CheckToken(t.Context(), late); err == nil {
		t.Error("a key of an old slot makes tokens of today")
	}
}

func TestRefreshTokensThatAreNone(t *testing.T) {
	c := newClock()
	store := memory.New(memory.Options{})
	i := newIssuer(t, store, c)
	if _, err := i.checkRefresh(t.Context(), RefreshPrefix+encode(strings.Repeat("x", 100)), "registry.test"); !errors.Is(err, access.ErrRefused) {
		t.Errorf("without a secret in the store: %v", err)
	}
	good, err := i.issueRefresh(t.Context(), alice, "registry.test")
	if err != nil {
		t.Fatal(err)
	}
	claims, err := newIssuer(t, store, c).checkRefresh(t.Context(), good, "registry.test")
	if err != nil || claims.Name != "alice" || !claims.fits(alice) {
		t.Fatalf("on another replica: %+v, %v", claims, err)
	}
	changed, none := alice, alice
	changed.Generation, none.Generation = "2", ""
	if claims.fits(changed) || claims.fits(none) {
		t.Error("it fits an account whose password was changed")
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(good, RefreshPrefix))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), alice.Generation+`"`) && strings.Contains(string(text), `"Generation"`) {
		t.Error("it tells what is made of a password")
	}
	forged := strings.Replace(string(text), "alice", "admin", 1)
	for name, token := range map[string]string{
		"forged": RefreshPrefix + encode(forged), "without prefix": strings.TrimPrefix(good, RefreshPrefix), "cut": good[:len(good)-2], "empty": "", "prefix": RefreshPrefix,
		"a token": mustIssue(t, i, alice),
	} {
		if _, err := i.checkRefresh(t.Context(), token, "registry.test"); !errors.Is(err, access.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := i.checkRefresh(t.Context(), good, "other.test"); !errors.Is(err, access.ErrRefused) {
		t.Errorf("for another registry: %v", err)
	}
	c.move(i.refreshLife + time.Second)
	if _, err := i.checkRefresh(t.Context(), good, "registry.test"); !errors.Is(err, access.ErrRefused) {
		t.Errorf("after its life: %v", err)
	}
}
