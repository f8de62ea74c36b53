package bench

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// auth answers a registry that asks who we are. Nothing is sent before it asks.
type auth struct {
	site *site

	mu      sync.Mutex
	current string // the Authorization header
}

func (a *auth) header() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.current
}

// answer prepares the header after a 401 to a request that was sent with another.
func (a *auth) answer(ctx context.Context, refused *http.Response, sent string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current != sent {
		return nil // somebody else has done it meanwhile
	}
	t := a.site.target
	scheme, parameters := challenge(refused.Header.Get("WWW-Authenticate"))
	switch {
	case scheme == "basic" && t.User == "":
		return errors.New("the registry asks for a user and password")
	case scheme == "basic":
		a.current = "Basic " + base64.StdEncoding.EncodeToString([]byte(t.User+":"+t.Password))
		return nil
	case scheme == "bearer":
		token, err := a.token(ctx, parameters)
		if err != nil {
			return fmt.Errorf("the token for the registry: %w", err)
		}
		a.current = "Bearer " + token
		return nil
	}
	return fmt.Errorf("401 without a challenge that we know: %q", refused.Header.Get("WWW-Authenticate"))
}

// token asks the token service as https://distribution.github.io/distribution/spec/auth/token/ has it, for all that the workloads do.
func (a *auth) token(ctx context.Context, parameters map[string]string) (string, error) {
	u, err := url.Parse(parameters["realm"])
	if err != nil {
		return "", err
	}
	q := u.Query()
	if service := parameters["service"]; service != "" {
		q.Set("service", service)
	}
	q.Add("scope", "repository:"+a.site.repo+":pull,push,delete")
	q.Add("scope", "registry:catalog:*")
	u.RawQuery = q.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	if t := a.site.target; t.User != "" {
		r.SetBasicAuth(t.User, t.Password)
	}
	got, err := a.site.follow.Do(r)
	if err != nil {
		return "", err
	}
	if got.StatusCode != http.StatusOK {
		return "", answered(r.Method, u, got)
	}
	defer func() { _ = got.Body.Close() }() // it was read
	var body struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(io.LimitReader(got.Body, 1<<20)).Decode(&body); err != nil {
		return "", err
	}
	if body.Token == "" {
		body.Token = body.AccessToken
	}
	if body.Token == "" {
		return "", errors.New("the answer has none")
	}
	return body.Token, nil
}

// challenge reads a WWW-Authenticate header: the scheme in lower case, and its parameters.
func challenge(header string) (scheme string, parameters map[string]string) {
	scheme, rest, _ := strings.Cut(header, " ")
	parameters = map[string]string{}
	for rest = strings.TrimLeft(rest, ", "); rest != ""; rest = strings.TrimLeft(rest, ", ") {
		key, after, ok := strings.Cut(rest, "=")
		if !ok {
			break
		}
		var value string
		if quoted, ok := strings.CutPrefix(after, `"`); ok {
			value, rest, _ = strings.Cut(quoted, `"`)
		} else {
			value, rest, _ = strings.Cut(after, ",")
		}
		parameters[strings.ToLower(key)] = value
	}
	return strings.ToLower(scheme), parameters
}
