// Package jwks keeps the public keys of somebody who issues tokens: a JSON Web Key Set (RFC 7517), fetched when a token needs it.
package jwks

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// How keys are fetched.
const (
	Again    = 10 * time.Second // at least so long between two tries: tokens with made-up keys cost nothing, and a new key is known as soon
	Fresh    = time.Hour        // then they are fetched anew though none is missing: one may have been withdrawn
	Outlive  = 24 * time.Hour   // if that fails, they still count so long
	Timeout  = 10 * time.Second // of one request
	MaxBytes = 1 << 20          // that are read of an answer
)

// Set is the keys of one issuer. It is safe for concurrent use.
type Set struct {
	fetch  func(context.Context) ([]jose.JSONWebKey, error)
	failed func(error)
	now    func() time.Time

	fetching chan struct{} // held by who asks the issuer
	mu       sync.RWMutex
	known    known
}

// known is what the issuer has said.
type known struct {
	keys  []jose.JSONWebKey
	at    time.Time // when they were fetched
	tried time.Time
	err   error // of the last try
}

// New makes a Set without keys. fetch asks the issuer, one call at a time; failed is told of its errors when a token needed the keys.
func New(fetch func(context.Context) ([]jose.JSONWebKey, error), failed func(error), now func() time.Time) *Set {
	return &Set{fetch: fetch, failed: failed, now: now, fetching: make(chan struct{}, 1)}
}

// Find gives the keys that may have made the signature with that header. None and no error: the issuer has no such key. An error: it could not be
// asked, or ctx ended.
func (s *Set) Find(ctx context.Context, header jose.Header) ([]jose.JSONWebKey, error) {
	k := s.get()
	found := Matching(k.keys, header)
	now := s.now()
	if len(found) > 0 && now.Sub(k.at) < Fresh {
		return found, nil
	}
	if now.Sub(k.tried) >= Again {
		if err := s.refresh(ctx, k.tried, len(found) > 0 && now.Sub(k.at) < Outlive); err != nil {
			return nil, err
		}
		k = s.get()
		found = Matching(k.keys, header)
	}
	switch {
	case len(found) > 0 && now.Sub(k.at) < Outlive:
		return found, nil
	case k.err != nil:
		return nil, k.err
	}
	return nil, nil
}

// Refresh asks the issuer, unless it was asked a moment ago. The error is that of the last try, or ctx's.
func (s *Set) Refresh(ctx context.Context) error {
	k := s.get()
	if s.now().Sub(k.tried) >= Again {
		if err := s.refresh(ctx, k.tried, false); err != nil {
			return err
		}
		k = s.get()
	}
	return k.err
}

// refresh asks the issuer, unless somebody has done so since. Who has keys already does not wait for others that ask. The error is ctx's.
func (s *Set) refresh(ctx context.Context, since time.Time, has bool) error {
	if has {
		select {
		case s.fetching <- struct{}{}:
		default:
			return nil
		}
	} else {
		select {
		case s.fetching <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	defer func() { <-s.fetching }()
	if !s.get().tried.Equal(since) {
		return nil
	}
	if err := s.Load(context.WithoutCancel(ctx)); err != nil { // others wait for it
		s.failed(err)
	}
	return nil
}

func (s *Set) get() known {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.known
}

// Load asks the issuer now. The keys that are known stay if that fails.
func (s *Set) Load(ctx context.Context) error {
	keys, err := s.fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.known.keys, s.known.at = keys, s.now()
	}
	s.known.tried, s.known.err = s.now(), err
	return err
}

// IsURL reports whether keys come from a URL, and not from a file.
func IsURL(from string) bool { return strings.Contains(from, "://") }

// Read reads the keys at a URL, by client, or in a file.
func Read(ctx context.Context, client *http.Client, from string) ([]jose.JSONWebKey, error) {
	if !IsURL(from) {
		body, err := os.ReadFile(from)
		if err != nil {
			return nil, err
		}
		return parse(body)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", from, answer.Status)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, MaxBytes))
	if err != nil {
		return nil, err
	}
	return parse(body)
}

// parse reads a JSON Web Key Set. What is no public key, or of a kind that is not known, is left out.
func parse(body []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("this is no JSON Web Key Set: %w", err)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if json.Unmarshal(raw, &k) == nil && k.Valid() && k.IsPublic() && k.Use != "enc" {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("there is no public key among the %d", len(set.Keys))
	}
	return keys, nil
}

// Matching are the keys that a header names; all that its algorithm may use, if it names none.
func Matching(keys []jose.JSONWebKey, header jose.Header) []jose.JSONWebKey {
	var found []jose.JSONWebKey
	for _, k := range keys {
		if (header.KeyID == "" || k.KeyID == header.KeyID) && (k.Algorithm == "" || k.Algorithm == header.Algorithm) {
			found = append(found, k)
		}
	}
	return found
}
