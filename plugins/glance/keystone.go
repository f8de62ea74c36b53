package glance

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// session gets tokens from keystone and keeps the newest:
// https://docs.openstack.org/api-ref/identity/v3/#password-authentication-with-scoped-authorization
type session struct {
	c      Config
	client *http.Client
	turn   chan struct{} // holds one value while nobody asks for a token
	now    access
}

// access is what a request needs.
type access struct {
	token    string
	endpoint string    // of the image service, without a slash or /v2 at its end
	project  string    // id of the project, "" if nobody tells
	until    time.Time // when the token ends; zero: nobody tells
}

// early is how long before its end a token is not used any more: a request with it may take that long to arrive.
const early = 2 * time.Minute

func newSession(c Config, client *http.Client) *session {
	s := &session{c: c, client: client, turn: make(chan struct{}, 1)}
	if c.AuthURL == "" {
		s.now = access{token: string(c.Token), endpoint: base(c.Endpoint)}
	}
	s.turn <- struct{}{}
	return s
}

// get returns what a request needs. A token that is stale, or ends soon, is replaced.
func (s *session) get(ctx context.Context, stale string) (access, error) {
	if s.c.AuthURL == "" {
		return s.now, nil
	}
	select {
	case <-s.turn:
	case <-ctx.Done():
		return access{}, ctx.Err()
	}
	defer func() { s.turn <- struct{}{} }()
	if s.now.token != "" && s.now.token != stale && (s.now.until.IsZero() || time.Until(s.now.until) > early) {
		return s.now, nil
	}
	var fresh access
	err := try(ctx, s.c.Attempts, func() (err error) {
		fresh, err = s.ask(ctx)
		return err
	})
	if err != nil {
		return access{}, err
	}
	s.now = fresh
	return fresh, nil
}

// what keystone is asked and answers, as far as it matters.
type (
	named struct {
		Name   string `json:"name,omitempty"`
		Domain *named `json:"domain,omitempty"`
	}
	user struct {
		named
		Password string `json:"password"`
	}
	credential struct {
		ID     string `json:"id"`
		Secret string `json:"secret"`
	}
	identity struct {
		Methods  []string `json:"methods"`
		Password *struct {
			User user `json:"user"`
		} `json:"password,omitempty"`
		Application *credential `json:"application_credential,omitempty"`
	}
	authRequest struct {
		Auth struct {
			Identity identity `json:"identity"`
			Scope    *struct {
				Project named `json:"project"`
			} `json:"scope,omitempty"`
		} `json:"auth"`
	}
	authAnswer struct {
		Token struct {
			ExpiresAt time.Time `json:"expires_at"`
			Project   struct {
				ID string `json:"id"`
			} `json:"project"`
			Catalog []struct {
				Type      string `json:"type"`
				Endpoints []struct {
					Interface string `json:"interface"`
					Region    string `json:"region"`
					RegionID  string `json:"region_id"`
					URL       string `json:"url"`
				} `json:"endpoints"`
			} `json:"catalog"`
		} `json:"token"`
	}
)

func (s *session) request() ([]byte, error) {
	var r authRequest
	if s.c.ApplicationCredentialID != "" {
		r.Auth.Identity.Methods = []string{"application_credential"}
		r.Auth.Identity.Application = &credential{ID: s.c.ApplicationCredentialID, Secret: string(s.c.ApplicationCredentialSecret)}
		return json.Marshal(r)
	}
	r.Auth.Identity.Methods = []string{"password"}
	r.Auth.Identity.Password = &struct {
		User user `json:"user"`
	}{user{named{s.c.Username, &named{Name: s.c.Domain}}, string(s.c.Password)}}
	r.Auth.Scope = &struct {
		Project named `json:"project"`
	}{named{s.c.Project, &named{Name: cmp.Or(s.c.ProjectDomain, s.c.Domain)}}}
	return json.Marshal(r)
}

// ask asks for a token once. An error that is not a [refusal] of the kind that passes begins with a setting's name.
func (s *session) ask(ctx context.Context) (access, error) {
	body, err := s.request()
	if err != nil {
		return access{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(s.c.AuthURL, "/")+"/auth/tokens", bytes.NewReader(body))
	if err != nil {
		return access{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := s.client.Do(r)
	if err != nil {
		return access{}, &refusal{what: "the identity service does not answer", err: err}
	}
	defer func() { _ = answer.Body.Close() }() // it was read
	text, err := io.ReadAll(io.LimitReader(answer.Body, 16<<20))
	switch {
	case err != nil:
		return access{}, &refusal{what: "the identity service's answer breaks off", err: err}
	case answer.StatusCode == http.StatusUnauthorized:
		return access{}, &refusal{status: answer.StatusCode, what: s.credentials() + ": the identity service does not take the credentials"}
	case answer.StatusCode == http.StatusNotFound:
		return access{}, &refusal{status: http.StatusBadRequest, what: "auth_url: there is no identity service of version 3 at " + s.c.AuthURL}
	case answer.StatusCode != http.StatusCreated && answer.StatusCode != http.StatusOK:
		return access{}, refused(answer, text, "the identity service")
	}
	var a authAnswer
	if err := json.Unmarshal(text, &a); err != nil {
		return access{}, fmt.Errorf("auth_url: what answers at %s is no identity service: %w", s.c.AuthURL, err)
	}
	got := access{token: answer.Header.Get("X-Subject-Token"), project: a.Token.Project.ID, until: a.Token.ExpiresAt}
	if got.token == "" {
		return access{}, errors.New("auth_url: the identity service's answer has no token")
	}
	if got.endpoint = base(s.c.Endpoint); got.endpoint == "" {
		got.endpoint = base(s.find(a))
	}
	if got.endpoint == "" {
		return access{}, fmt.Errorf("region: the identity service's catalogue has no image service for the region %q and the interface %s", s.c.Region, s.c.Interface)
	}
	return got, nil
}

// credentials is the setting that a refusal is about.
func (s *session) credentials() string {
	if s.c.ApplicationCredentialID != "" {
		return "application_credential_secret"
	}
	return "password"
}

// find looks for the image service's address in the catalogue.
func (s *session) find(a authAnswer) string {
	for _, service := range a.Token.Catalog {
		if service.Type != "image" {
			continue
		}
		for _, e := range service.Endpoints {
			if e.Interface == s.c.Interface && (s.c.Region == "" || e.Region == s.c.Region || e.RegionID == s.c.Region) {
				return e.URL
			}
		}
	}
	return ""
}

// base is an endpoint as catalogues have it, with the version or without, as it stands before /v2.
func base(endpoint string) string {
	return strings.TrimRight(strings.TrimSuffix(strings.TrimRight(endpoint, "/"), "/v2"), "/")
}
