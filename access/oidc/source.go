package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"github.com/longshore-registry/longshore/access/internal/jwks"
)

const maxRedirects = 3

// source has the keys of a provider, and knows where people log in.
type source struct {
	issuer string
	jwks   string // "" if the discovery document says where
	client *http.Client
	keys   *jwks.Set

	mu       sync.Mutex
	provider *oidc.Provider // nil: not yet, or not needed
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
		issuer: o.Issuer, jwks: o.JWKS,
		client: &http.Client{Timeout: jwks.Timeout, Transport: c, CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects || r.URL.Scheme != via[0].URL.Scheme {
				return errors.New("too many redirects, or to another scheme")
			}
			return nil
		}},
	}
	log := o.Log.With("provider", o.Name)
	s.keys = jwks.New(s.fetch, func(err error) {
		log.Error("an OIDC provider can't be asked for its keys; its tokens are answered with 503 unless their keys are known", "err", err)
	}, o.Now)
	if o.JWKS != "" && !jwks.IsURL(o.JWKS) { // a file that is missing is a mistake of today
		if err := s.keys.Load(context.Background()); err != nil {
			return nil, fmt.Errorf("jwks: %w", err)
		}
	}
	return s, nil
}

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
		}{io.LimitReader(answer.Body, jwks.MaxBytes), answer.Body}
	}
	return answer, err
}

// fetch asks for the discovery document, if it is needed, and the keys.
func (s *source) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	from := s.jwks
	if from == "" {
		var err error
		if from, err = s.discover(ctx); err != nil {
			return nil, err
		}
	}
	return jwks.Read(ctx, s.client, from)
}

// discover reads the discovery document, each time: the place of the keys may change with them.
func (s *source) discover(ctx context.Context) (from string, err error) {
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
	s.mu.Lock()
	defer s.mu.Unlock()
	s.provider = provider
	return document.JWKS, nil
}

// endpoint is where people log in.
func (s *source) endpoint(ctx context.Context) (oauth2.Endpoint, error) {
	found := s.found()
	if found == nil {
		err := s.keys.Refresh(ctx)
		if found = s.found(); found == nil && err != nil {
			return oauth2.Endpoint{}, err
		}
	}
	if found == nil {
		return oauth2.Endpoint{}, errors.New("its discovery document is not read, since jwks is set")
	}
	return found.Endpoint(), nil
}

func (s *source) found() *oidc.Provider {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.provider
}
