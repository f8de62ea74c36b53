//go:build integration

package oidc

import (
	"context"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/access/internal/jwks"
	"github.com/longshore-registry/longshore/internal/dextest"
)

// TestDex is about tokens and logins of a provider that many use.
func TestDex(t *testing.T) {
	var login http.Handler
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { login.ServeHTTP(w, r) }))
	defer registry.Close()
	dex := dextest.Start(t, dextest.Options{Callbacks: []string{registry.URL + Path + "callback/people"}})
	c := newClock()
	people := Options{
		Name: "people", Issuer: dex.Issuer, ClientID: dextest.Client, ClientSecret: dextest.Secret, Now: c.now,
		Scopes: []string{"openid", "email", "profile", "groups"}, Admins: []string{"group:" + dextest.Group},
	}
	jobs := Options{Name: "jobs", Kind: access.Workload, Issuer: dex.Issuer, Audiences: []string{dextest.Workload}, Now: c.now}
	p := mustOpen(t, people, jobs)
	var made []access.Identity
	var events []access.Event
	var keyErr error
	login = NewLogin(LoginOptions{
		Providers: p,
		Base:      func(r *http.Request) string { return "http://" + r.Host },
		Key: func(_ context.Context, id access.Identity) (APIKey, error) {
			made = append(made, id)
			return APIKey{"lsk_secret", time.Now().Add(time.Hour)}, keyErr
		},
		Record: func(e access.Event) { events = append(events, e) },
	})

	t.Run("tokens", func(t *testing.T) {
		token, err := dex.Token(t.Context(), dextest.Client)
		if err != nil {
			t.Fatal(err)
		}
		job, err := dex.Token(t.Context(), dextest.Workload)
		if err != nil {
			t.Fatal(err)
		}
		if id, err := p.CheckToken(t.Context(), token); err != nil || id.Name != dextest.Alice || id.Source != "people" || id.Kind != access.User || id.Admin {
			t.Errorf("a person's: got %+v, %v", id, err)
		}
		if id, err := p.CheckToken(t.Context(), job); err != nil || id.Name == "" || id.Source != "jobs" || !access.FitsClaim(id.Claims, "email", dextest.Alice) {
			t.Errorf("a program's: got %+v, %v", id, err)
		}
		alone := mustOpen(t, people)
		if id, err := alone.CheckToken(t.Context(), job); !errors.Is(err, access.ErrRefused) {
			t.Errorf("one for another client: got %+v, %v", id, err)
		}
		control, err := access.NewControl(access.ControlOptions{Tokens: []access.Tokens{p}, Now: c.now})
		if err != nil {
			t.Fatal(err)
		}
		for name, credentials := range map[string]access.Credentials{"bearer": {Token: job}, "password": {Name: "whoever", Password: job}} {
			if id, err := control.Identify(t.Context(), credentials); err != nil || id.Source != "jobs" {
				t.Errorf("as %s: got %+v, %v", name, id, err)
			}
		}

		cold := mustOpen(t, people)
		dex.Kill()
		if _, err := p.CheckToken(t.Context(), token); err != nil {
			t.Error("a provider that is down, with keys known:", err)
		}
		if _, err := cold.CheckToken(t.Context(), token); err == nil || errors.Is(err, access.ErrRefused) || errors.Is(err, access.ErrUnknown) {
			t.Errorf("a provider that is down from the start: got %v", err)
		}
		if err := dex.Run(); err != nil {
			t.Fatal(err)
		}
		c.forward(jwks.Again)
		if _, err := cold.CheckToken(t.Context(), token); err != nil {
			t.Error("when it is up again:", err)
		}
		c.forward(48 * time.Hour) // after dex's time for a token
		if _, err := p.CheckToken(t.Context(), token); !errors.Is(err, access.ErrExpired) {
			t.Errorf("after its time: got %v", err)
		}
		c.forward(-48 * time.Hour)
	})

	t.Run("browser", func(t *testing.T) {
		b := newBrowser(t)
		page := b.get(registry.URL + Path)
		if !strings.Contains(page, `href="/oidc/login/people"`) || strings.Contains(page, "jobs") {
			t.Errorf("the page shows %s", page)
		}
		page = b.get(registry.URL + Path + "login/people")
		page = b.get(b.link(page, "/auth/local"))
		page = b.post(b.formAt(page), url.Values{"login": {dextest.Alice}, "password": {dextest.Password}})
		if !strings.Contains(page, "You are "+dextest.Alice) || !strings.Contains(page, "lsk_secret") || len(made) != 1 || made[0].Source != "people" {
			t.Errorf("got %s for %+v", page, made)
		}
		if csp := b.last.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || b.last.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("the headers are %v", b.last.Header)
		}
		callback := b.last.Request.URL.String()
		if page = b.get(callback); b.last.StatusCode != http.StatusBadRequest || strings.Contains(page, "lsk_") {
			t.Errorf("a second time: got %d %s", b.last.StatusCode, page)
		}
		if page = newBrowser(t).get(callback); !strings.Contains(page, "not begun in this browser") {
			t.Errorf("in another browser: got %s", page)
		}
		if len(events) != 1 || events[0].Who != dextest.Alice || events[0].Outcome != access.OutcomeOK || events[0].From != "127.0.0.1" {
			t.Errorf("recorded was %+v", events)
		}
	})

	t.Run("browser, with groups", func(t *testing.T) {
		b := newBrowser(t)
		page := b.get(b.link(b.get(registry.URL+Path+"login/people"), "/auth/mock"))
		if !strings.Contains(page, "You are "+dextest.Grouped) {
			t.Fatalf("got %s", page)
		}
		if id := made[len(made)-1]; !slices.Contains(id.Groups, dextest.Group) || !id.Admin {
			t.Errorf("got %+v", id)
		}
	})

	t.Run("browser, no key", func(t *testing.T) {
		keyErr = errors.Join(access.ErrRefused)
		b := newBrowser(t)
		page := b.get(b.link(b.get(registry.URL+Path+"login/people"), "/auth/mock"))
		if b.last.StatusCode != http.StatusForbidden || strings.Contains(page, "lsk_") {
			t.Errorf("got %d %s", b.last.StatusCode, page)
		}
	})
}

// browser follows links and keeps cookies.
type browser struct {
	t      *testing.T
	client *http.Client
	last   *http.Response
}

func newBrowser(t *testing.T) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t: t, client: &http.Client{Jar: jar, Transport: transport, Timeout: 30 * time.Second}}
}

func (b *browser) get(url string) string {
	b.t.Helper()
	r, err := b.client.Get(url)
	return b.read(r, err)
}

func (b *browser) post(url string, form url.Values) string {
	b.t.Helper()
	r, err := b.client.PostForm(url, form)
	return b.read(r, err)
}

func (b *browser) read(r *http.Response, err error) string {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.last = r
	return string(body)
}

// link is the first of a page with that in it.
func (b *browser) link(page, with string) string {
	b.t.Helper()
	for _, m := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if strings.Contains(m[1], with) {
			return b.at(m[1])
		}
	}
	b.t.Fatalf("no link with %s in %s", with, page)
	return ""
}

// formAt is where the page's form is sent.
func (b *browser) formAt(page string) string {
	b.t.Helper()
	m := regexp.MustCompile(`action="([^"]*)"`).FindStringSubmatch(page)
	if m == nil {
		b.t.Fatalf("no form in %s", page)
	}
	return b.at(m[1])
}

func (b *browser) at(reference string) string {
	b.t.Helper()
	u, err := b.last.Request.URL.Parse(html.UnescapeString(reference))
	if err != nil {
		b.t.Fatal(err)
	}
	return u.String()
}
