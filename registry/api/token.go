package api

import (
	"errors"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/registry"
)

// tokenPath is where clients fetch tokens.
const tokenPath = "/token"

// maxTokenForm is the size in bytes up to which the body of POST is taken. A password can be the token of a workload.
const maxTokenForm = 128 << 10

// token answers GET as https://distribution.github.io/distribution/spec/auth/token/ has it, and POST as
// https://distribution.github.io/distribution/spec/auth/oauth/ does.
func (s *server) token(w http.ResponseWriter, r *http.Request) error {
	header := w.Header()
	header.Set("Cache-Control", "no-store") // RFC 6749, section 5.1
	address := s.client(r)
	if err := s.rates.spend(w, address.String()); err != nil {
		return err
	}
	call, err := s.tokenCall(w, r)
	if err != nil {
		return err
	}
	call.Credentials.Address = address
	service := s.service(r)
	if call.Service == "" {
		call.Service = service
	} else if call.Service != service {
		return tokenRequest("tokens for another registry are not issued here; behind a proxy, is http.public_url what clients use?")
	}
	answer, err := s.options.Tokens.Answer(r.Context(), call)
	if err != nil {
		err = loginError(w, err)
		if status := (*statusError)(nil); errors.As(err, &status) && status.status == http.StatusUnauthorized {
			header.Set("WWW-Authenticate", `Basic realm="`+service+`"`)
		}
		return err
	}
	body := struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		Type        string `json:"token_type"`
		ExpiresIn   int    `json:"expires_in"`
		IssuedAt    string `json:"issued_at"`
		Scope       string `json:"scope,omitempty"`
		Refresh     string `json:"refresh_token,omitempty"`
	}{
		answer.Token, answer.Token, "Bearer", int(answer.Life / time.Second), answer.Issued.UTC().Format(time.RFC3339), answer.Scope, answer.Refresh,
	}
	return writeJSON(w, http.StatusOK, body)
}

// tokenRequest is the answer to a request that can't be understood.
func tokenRequest(message string) error {
	return &statusError{http.StatusBadRequest, registry.Unsupported, message, nil}
}

// tokenCall reads what a client asks.
func (s *server) tokenCall(w http.ResponseWriter, r *http.Request) (access.TokenCall, error) {
	if r.Method != http.MethodPost {
		credentials, err := s.credentials(r, s.client(r))
		query := r.URL.Query()
		return access.TokenCall{
			Credentials: credentials, Service: query.Get("service"), Scopes: query["scope"], Offline: query.Get("offline_token") == "true",
		}, err
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return access.TokenCall{}, tokenRequest("the body has to be application/x-www-form-urlencoded")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxTokenForm)
	r.URL = &url.URL{Path: r.URL.Path} // no password is taken from there: URLs are logged by proxies
	if err := r.ParseForm(); err != nil {
		return access.TokenCall{}, tokenRequest("the form can't be read")
	}
	form := r.PostForm
	call := access.TokenCall{Service: form.Get("service"), Scopes: form["scope"], Offline: form.Get("access_type") == "offline"}
	switch form.Get("grant_type") {
	case "password":
		call.Credentials.Name, call.Credentials.Password = form.Get("username"), form.Get("password")
		if call.Credentials.Name == "" || call.Credentials.Password == "" {
			return call, tokenRequest("grant_type=password needs username and password")
		}
	case "refresh_token":
		if call.Refresh = form.Get("refresh_token"); call.Refresh == "" {
			return call, tokenRequest("grant_type=refresh_token needs refresh_token")
		}
	default:
		return call, tokenRequest("grant_type has to be password or refresh_token")
	}
	return call, nil
}
