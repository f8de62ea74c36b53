package jwks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Who needs keys that another is asking for waits for him, and no longer than his own request lives; who has keys does not wait.
func TestFindBesideAFetch(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	asked, answer := make(chan struct{}), make(chan struct{})
	s := New(func(context.Context) ([]jose.JSONWebKey, error) {
		asked <- struct{}{}
		<-answer
		return []jose.JSONWebKey{{Key: private.Public(), KeyID: "known"}}, nil
	}, func(err error) { t.Error(err) }, func() time.Time { return now })
	found := make(chan int, 1)
	find := func() {
		keys, err := s.Find(context.Background(), jose.Header{KeyID: "known"})
		if err != nil {
			t.Error(err)
		}
		found <- len(keys)
	}
	go find()
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Find(ctx, jose.Header{KeyID: "known"}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a ctx that has ended: got %v", err)
	}
	answer <- struct{}{}
	if n := <-found; n != 1 {
		t.Errorf("%d keys", n)
	}
	now = now.Add(Fresh)
	go find()
	<-asked
	if keys, err := s.Find(t.Context(), jose.Header{KeyID: "known"}); err != nil || len(keys) != 1 {
		t.Errorf("while they are fetched anew: got %d, %v", len(keys), err)
	}
	answer <- struct{}{}
	<-found
}
