package api_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/longshore-registry/longshore/access/token"
	"github.com/longshore-registry/longshore/registry/api"
)

// BenchmarkAccess reads a manifest by HEAD: of a registry without accounts, and of one with them, by each kind of credentials.
func BenchmarkAccess(b *testing.B) {
	g := newGuarded(b, guardedOptions{})
	g.holds("team/app", image(), "latest")
	g.holds("public/app", image(), "latest")
	bearer := g.fetch(g.as("alice"), url.Values{"scope": {"repository:team/app:pull"}}).Token
	open := api.New(g.registry, api.Options{})
	guarded := api.New(g.registry, api.Options{Access: g.control, Tokens: token.NewServer(g.control, g.issuer), Challenge: api.Challenge{Service: service}})
	for _, test := range []struct {
		name, path string
		handler    http.Handler
		sign       func(*http.Request)
	}{
		{"open", "/v2/team/app/manifests/latest", open, func(*http.Request) {}},
		{"anonymous", "/v2/public/app/manifests/latest", guarded, func(*http.Request) {}},
		{"token", "/v2/team/app/manifests/latest", guarded, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+bearer) }},
		{"password", "/v2/team/app/manifests/latest", guarded, func(r *http.Request) { r.SetBasicAuth("alice", passwordOf("alice")) }},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodHead, test.path, nil)
				test.sign(r)
				w := httptest.NewRecorder()
				test.handler.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Header())
				}
			}
		})
	}
}
