package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
)

// How keys are fetched.
const (
	fetchAgain   = 10 * time.Second // at least so long between two tries: tokens with made-up keys cost nothing, and a new key is known as soon
	keysFresh    = time.Hour        // then they are fetched anew though none is missing: one may have been withdrawn
	keysOutlive  = 24 * time.Hour   // if that fails, they still count so long
	fetchTime    = 10 * time.Second // of one request
	maxAnswer    = 1 << 20          // bytes
	maxRedirects = 3
)

// source has the keys of a provider, and knows where people log in.
type source struct {
	issuer string
	jwks   string // "" if the discovery document says where
	client *http.Client
	now    func() time.Time
	log    *slog.Logger

	fetching chan struct{} // held by who asks the provider
	mu       sync.RWMutex
	known    known
}

// known is what a provider has said.
type known struct {
	provider *oidc.Provider // nil: not yet, or not needed
	keys     []jose.JSONWebKey
	at       time.Time // when keys were fetched
	tried    time.Time
	err      error // of the last try
}

func newSource(o Options) (*source, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns = 2
	if o.CAFile != "" {
		text, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("ca_file: %s has no certificate in PEM", o.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	}
	c := &carrier{next: transport, file: o.TokenFile, hosts: map[string]bool{}}
	for _, text := range []string{o.Issuer, o.JWKS} {
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			c.hosts[u.Scheme+"://"+u.Host] = true
		}
	}
	s := &source{
		issuer: o.Issuer, jwks: o.JWKS, now: o.Now, log: o.Log.With("provider", o.Name), fetching: make(chan struct{}, 1),
		client: &http.Client{Timeout: fetchTime, Transport: c, CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects || r.URL.Scheme != via[0].URL.Scheme {
				return errors.New("too many redirects, or to another scheme")
			}
			return nil
		}},
	}
	if o.JWKS != "" && !isURL(o.JWKS) { // a file that is missing is a mistake of today
		if err := s.fetch(context.Background()); err != nil {
			return nil, fmt.Errorf("jwks: %w", err)
		}
	}
	return s, nil
}

func isURL(s string) bool { return strings.Contains(s, "://") }

// carrier sends the token of a file with requests to the provider, and to nobody else. It bounds what is read of an answer.
type carrier struct {
	next  http.RoundTripper
	file  string
	hosts map[string]bool
}

// RoundTrip implements http.RoundTripper.
func (c *carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.file != "" && r.Method == http.MethodGet && c.hosts[r.URL.Scheme+"://"+r.URL.Host] {
		token, err := os.ReadFile(c.file)
		if err != nil {
			return nil, fmt.Errorf("token_file: %w", err)
		}
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	answer, err := c.next.RoundTrip(r)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	}
	return answer, err
}

// find gives the keys that may have made a signature. None and no error: the provider has no such key. An error: it could not be asked.
func (s *source) find(ctx context.Context, header jose.Header) ([]jose.JSONWebKey, error) {
	k := s.get()
	found := matching(k.keys, header)
	now := s.now()
	if len(found) > 0 && now.Sub(k.at) < keysFresh {
		return found, nil
	}
	if now.Sub(k.tried) >= fetchAgain {
		if err := s.refresh(ctx, k.tried, len(found) > 0 && now.Sub(k.at) < keysOutlive); err != nil {
			return nil, err
		}
		k = s.get()
		found = matching(k.keys, header)
	}
	switch {
	case len(found) > 0 && now.Sub(k.at) < keysOutlive:
		return found, nil
	case k.err != nil:
		return nil, k.err
	}
	return nil, nil
}

// refresh asks the provider, unless somebody has done so since. Who has keys already does not wait for others that ask. The error is ctx's.
func (s *source) refresh(ctx context.Context, since time.Time, has bool) error {
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
	if err := s.fetch(context.WithoutCancel(ctx)); err != nil { // others wait for it
		s.log.Error("an OIDC provider can't be asked for its keys; its tokens are answered with 503 unless their keys are known", "err", err)
	}
	return nil
}

func (s *source) get() known {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.known
}

// fetch asks for the discovery document, if it is needed, and the keys. What is known stays if that fails.
func (s *source) fetch(ctx context.Context) error {
	k := s.get()
	from, err := s.jwks, error(nil)
	if from == "" {
		from, err = s.discover(ctx, &k)
	}
	var keys []jose.JSONWebKey
	if err == nil {
		keys, err = s.read(ctx, from)
	}
	if err == nil {
		k.keys, k.at = keys, s.now()
	}
	k.tried, k.err = s.now(), err
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = k
	return err
}

// discover reads the discovery document, each time: the place of the keys may change with them.
func (s *source) discover(ctx context.Context, k *known) (jwks string, err error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, s.client), s.issuer)
	if err != nil {
		return "", err
	}
	var document struct {
		JWKS string `json:"jwks_uri"`
	}
	if err := provider.Claims(&document); err != nil {
		return "", err
	}
	if err := checkURL(document.JWKS); err != nil {
		return "", fmt.Errorf("its jwks_uri %w", err)
	}
	k.provider = provider
	return document.JWKS, nil
}

// endpoint is where people log in.
func (s *source) endpoint(ctx context.Context) (oauth2.Endpoint, error) {
	k := s.get()
	if k.provider == nil && s.now().Sub(k.tried) >= fetchAgain {
		if err := s.refresh(ctx, k.tried, false); err != nil {
			return oauth2.Endpoint{}, err
		}
		k = s.get()
	}
	switch {
	case k.provider != nil:
		return k.provider.Endpoint(), nil
	case k.err != nil:
		return oauth2.Endpoint{}, k.err
	}
	return oauth2.Endpoint{}, errors.New("its discovery document is not read, since jwks is set")
}

func (s *source) read(ctx context.Context, from string) ([]jose.JSONWebKey, error) {
	if !isURL(from) {
		body, err := os.ReadFile(from)
		if err != nil {
			return nil, err
		}
		return parseKeys(body)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", from, answer.Status)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	return parseKeys(body)
}

// parseKeys reads a JSON Web Key Set. What is no public key, or of a kind that is not known, is left out.
func parseKeys(body []byte) ([]jose.JSONWebKey, error) {
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

// matching are the keys that a header names; all that its algorithm may use, if it names none.
func matching(keys []jose.JSONWebKey, header jose.Header) []jose.JSONWebKey {
	var found []jose.JSONWebKey
	for _, k := range keys {
		if (header.KeyID == "" || k.KeyID == header.KeyID) && (k.Algorithm == "" || k.Algorithm == header.Algorithm) {
			found = append(found, k)
		}
	}
	return found
}
