package phc

import (
	"context"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func TestNewHashesMatch(t *testing.T) {
	h, err := New(t.Context(), "correct horse", Normal())
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(h.String())
	if err != nil || again != h {
		t.Fatalf("%s is read as %s: %v", h, again, err)
	}
	for password, want := range map[string]bool{"correct horse": true, "correct horsf": false, "": false} {
		if got, err := again.Matches(t.Context(), password); got != want || err != nil {
			t.Errorf("%q: %v, %v", password, got, err)
		}
	}
	if Normal().Decoy().Class() != h.Class() {
		t.Errorf("new hashes cost %s, their decoy %s", h.Class(), Normal().Decoy().Class())
	}
}

func TestHashesOfOthers(t *testing.T) {
	made, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{
		// The test vector of the reference implementation, phc-winner-argon2 test.c, for the password "password".
		"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
	}
	for _, version := range []string{"$2a$", "$2b$", "$2y$"} {
		texts = append(texts, version+string(made[4:]))
	}
	for i, text := range texts {
		password := "secret"
		if i == 0 {
			password = "password"
		}
		h, err := Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if ok, err := h.Matches(t.Context(), password); !ok || err != nil {
			t.Errorf("%s: the password does not match: %v", text, err)
		}
		if ok, _ := h.Matches(t.Context(), "other"); ok {
			t.Errorf("%s: another password matches", text)
		}
		decoy := h.Decoy()
		if decoy.Class() != h.Class() {
			t.Errorf("%s: the decoy costs %s", text, decoy.Class())
		}
		if _, err := Parse(decoy.String()); err != nil {
			t.Errorf("%s: its decoy %s: %v", text, decoy, err)
		}
		if ok, err := decoy.Matches(t.Context(), password); ok || err != nil {
			t.Errorf("%s: its decoy: %v, %v", text, ok, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	sum := "$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	for _, text := range []string{
		"", "secret", "{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=", "$apr1$x$y", "$1$x$y", "$5$x$y", "$6$x$y", "$argon2i$v=19$m=256,t=2,p=1" + sum,
		"$2y$10$tooshort", "$2x$10$" + strings.Repeat("x", 53), "$2y$31$" + strings.Repeat("x", 53), "$2y$10$" + strings.Repeat("x", 54),
		"$argon2id$v=16$m=256,t=2,p=1" + sum, "$argon2id$v=19$m=1048576,t=2,p=1" + sum, "$argon2id$v=19$m=256,t=99,p=1" + sum,
		"$argon2id$v=19$m=256,t=2,p=99" + sum, "$argon2id$v=19$m=0,t=2,p=1" + sum, "$argon2id$v=19$m=256,t=2" + sum,
		"$argon2id$v=19$m=256,t=2,p=1$c29t$nf65", "$argon2id$v=19$m=256,t=2,p=1$%%%%%%%%%%%%$nf65EOgLrQMR", "$argon2id$v=19$x=1" + sum, "$argon2id$",
	} {
		if h, err := Parse(text); err == nil {
			t.Errorf("%q is taken as %s", text, h)
		}
	}
}

func TestMatchesEndsWithItsContext(t *testing.T) {
	for range cap(gate) {
		gate <- struct{}{}
	}
	defer func() {
		for range cap(gate) {
			<-gate
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Normal().Decoy().Matches(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
