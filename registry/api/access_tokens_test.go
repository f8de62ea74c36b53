package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/longshore-registry/longshore/access/accounts"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/counting"
	"github.com/longshore-registry/longshore/registry/api"
)

// clockwork is a time that tests move, beginning now: the accounts have the real one.
type clockwork struct {
	mu    sync.Mutex
	moved time.Duration
}

func (c *clockwork) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.moved)
}

func (c *clockwork) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved += d
}

func TestTokenEndpoint(t *testing.T) {
	g := matrixSite(t)
	scope := func(all ...string) url.Values { return url.Values{"scope": all} }
	form := func(pairs ...string) url.Values {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Add(pairs[i], pairs[i+1])
		}
		return v
	}
	password := func(name string, more ...string) url.Values {
		return form(append([]string{"grant_type", "password", "username", name, "password", g.passwords[name], "client_id", "test"}, more...)...)
	}
	offline := g.fetch(g.as("bob"), form("offline_token", "true", "account", "bob", "client_id", "docker"))
	if offline.status != http.StatusOK || offline.Refresh == "" {
		t.Fatalf("a refresh token: %s", offline.answer)
	}
	for _, test := range []struct {
		name    string
		got     fetched
		status  int
		scope   string
		refresh bool
	}{
		{"anonymous", g.fetch(who{}, scope("repository:public/app:pull,push")), 200, "repository:public/app:pull", false},
		{"anonymous wants a refresh token", g.fetch(who{}, form("offline_token", "true")), 200, "", false},
		{"a login", g.fetch(g.as("alice"), form()), 200, "", false},
		{"two scopes", g.fetch(g.as("alice"), scope("repository:team/app:pull,push", "repository:public/app:pull")), 200,
			"repository:team/app:pull,push,tag-move repository:public/app:pull", false},
		{"two scopes in one", g.fetch(g.as("alice"), scope("repository:team/app:pull repository:bob/app:pull registry:catalog:*")), 200,
			"repository:team/app:pull registry:catalog:*", false},
		{"all", g.fetch(g.as("alice"), scope("repository:alice/app:*")), 200, "repository:alice/app:pull,push,tag-move,delete", false},
		{"what is no scope", g.fetch(g.as("alice"), scope("repository:team/app", "nonsense", "", "repository:../x:pull", "repository:Team/App:pull", "other:team/app:pull")), 200, "", false},
		{"a port in the name", g.fetch(g.as("alice"), scope("repository:localhost:5000/team/app:pull")), 200, "", false},
		{"a class", g.fetch(g.as("alice"), scope("repository(plugin):team/app:pull")), 200, "repository(plugin):team/app:pull", false},
		{"a robot", g.fetch(g.as("robot$ci"), scope("repository:team/app:*", "repository:public/app:pull")), 200, "repository:team/app:pull,push", false},
		{"a robot wants a refresh token", g.fetch(g.as("robot$ci"), form("offline_token", "true")), 200, "", false},
		{"an API key wants one", g.fetch(who{name: "alice", password: g.key}, form("offline_token", "true")), 200, "", false},
		{"an API key of another", g.fetch(who{name: "bob", password: g.key}, form()), 200, "", false},
		{"a wrong password", g.fetch(who{name: "alice", password: "wrong"}, scope("repository:public/app:pull")), 401, "", false},
		{"a token as password", g.fetch(who{name: "bob", password: offline.Token}, form()), 401, "", false},
		{"a token as token", g.fetch(who{bearer: offline.Token}, form()), 401, "", false},
		{"a refresh token as password", g.fetch(who{name: "bob", password: offline.Refresh}, form()), 401, "", false},
		{"another service", g.fetch(g.as("alice"), form("service", "other.test")), 400, "", false},

		{"POST", g.post(password("bob", "scope", "repository:bob/app:pull repository:team/app:pull")), 200, "repository:bob/app:pull", false},
		{"POST for a refresh token", g.post(password("bob", "access_type", "offline")), 200, "", true},
		{"POST for none", g.post(password("bob", "access_type", "online")), 200, "", false},
		{"POST of a robot for one", g.post(password("robot$ci", "access_type", "offline")), 200, "", false},
		{"POST without a password", g.post(form("grant_type", "password", "username", "bob")), 400, "", false},
		{"POST with a wrong one", g.post(form("grant_type", "password", "username", "bob", "password", "wrong")), 401, "", false},
		{"POST without a grant", g.post(form("username", "bob", "password", g.passwords["bob"])), 400, "", false},
		{"POST with another grant", g.post(form("grant_type", "client_credentials")), 400, "", false},
		{"POST with a refresh token", g.post(form("grant_type", "refresh_token", "refresh_token", offline.Refresh, "access_type", "offline", "scope", "repository:bob/app:pull,push")), 200,
			"repository:bob/app:pull,push,tag-move", false},
		{"POST with a refresh token for another service", g.post(form("grant_type", "refresh_token", "refresh_token", offline.Refresh, "service", "other.test")), 400, "", false},
		{"POST with a token for a refresh token", g.post(form("grant_type", "refresh_token", "refresh_token", offline.Token)), 401, "", false},
		{"POST without a refresh token", g.post(form("grant_type", "refresh_token")), 400, "", false},
	} {
		if test.got.status != test.status || test.got.Scope != test.scope || (test.got.Refresh != "") != test.refresh {
			t.Errorf("%s: scope %q, refresh token %v, %s", test.name, test.got.Scope, test.got.Refresh != "", test.got.answer)
		}
		header := test.got.answer.header
		if challenge := header.Get("WWW-Authenticate"); (test.status == 401) != strings.HasPrefix(challenge, "Basic realm=") {
			t.Errorf("%s: the challenge is %q", test.name, challenge)
		}
		if test.status != http.StatusOK {
			continue
		}
		issued, err := time.Parse(time.RFC3339, test.got.IssuedAt)
		if test.got.Token == "" || test.got.Token != test.got.AccessToken || test.got.ExpiresIn != 300 || err != nil || time.Since(issued).Abs() > time.Hour || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s", test.name, test.got.answer)
		}
	}
	for name, a := range map[string]answer{
		"a form of another type":  g.send(who{}, "POST", "/token", "application/json", `{"grant_type":"password"}`),
		"a form that is none":     g.send(who{}, "POST", "/token", "application/x-www-form-urlencoded", "%zz"),
		"a form without an end":   g.send(who{}, "POST", "/token", "application/x-www-form-urlencoded", strings.Repeat("a", 1<<20)),
		"a password in the URL":   g.send(who{}, "POST", "/token?grant_type=password&username=bob&password="+url.QueryEscape(g.passwords["bob"]), "application/x-www-form-urlencoded", ""),
		"a password in a GET URL": g.send(who{}, "GET", "/token?service=x&username=bob&password="+url.QueryEscape(g.passwords["bob"]), "", ""),
	} {
		if a.status != http.StatusBadRequest {
			t.Errorf("%s: %s", name, a)
		}
	}
	if a := g.send(who{}, "PUT", "/token", "", ""); a.status != http.StatusMethodNotAllowed {
		t.Error(a)
	}
}

// A refresh token ends with the password, and with the account.
func TestRefreshTokensEnd(t *testing.T) {
	g := newGuarded(t, guardedOptions{refresh: 20 * time.Millisecond})
	users, err := accounts.Open(g.store, accounts.Options{}) // of another process
	if err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func() error{
		"alice": func() error { return users.SetPassword(t.Context(), "alice", "another password", false) },
		"bob": func() error {
			return users.ChangeUser(t.Context(), "bob", func(u *accounts.User) { u.Disabled = true })
		},
		"admin": func() error { return users.RemoveUser(t.Context(), "admin") },
	} {
		refresh := g.fetch(g.as(name), url.Values{"offline_token": {"true"}}).Refresh
		again := func() fetched { return g.post(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}) }
		if f := again(); f.status != http.StatusOK {
			t.Fatalf("%s: %s", name, f.answer)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(30 * time.Second)
		for again().status != http.StatusUnauthorized {
			if time.Now().After(deadline) {
				t.Fatalf("%s: the refresh token still counts", name)
			}
		}
	}
}

// An upload goes on to its end with the token with which it was begun; nothing else does.
func TestTokensThatEndInAnUpload(t *testing.T) {
	c := &clockwork{}
	g := newGuarded(t, guardedOptions{now: c.Now})
	fetch := func(name, scope string) who {
		f := g.fetch(g.as(name), url.Values{"scope": {scope}})
		if f.status != http.StatusOK {
			t.Fatal(f.answer)
		}
		return who{bearer: f.Token}
	}
	early := fetch("alice", "repository:team/app:pull,push")
	c.move(10 * time.Minute)
	mine := fetch("alice", "repository:team/app:pull,push")
	pulls, elsewhere, robots := fetch("alice", "repository:team/app:pull"), fetch("alice", "repository:alice/app:pull,push"), fetch("robot$ci", "repository:team/app:push")
	begin := func() string {
		t.Helper()
		a := g.send(mine, "POST", "/v2/team/app/blobs/uploads/", "", "")
		if a.status != http.StatusAccepted {
			t.Fatal(a)
		}
		return a.header.Get("Location")
	}
	upload, cancelled, asked := begin(), begin(), begin()
	c.move(30 * time.Minute)
	for _, test := range []struct {
		name         string
		who          who
		method, path string
		want         int
	}{
		{"begin another", mine, "POST", "/v2/team/app/blobs/uploads/", 401},
		{"read", mine, "GET", "/v2/team/app/tags/list", 401},
		{"log in", mine, "GET", "/v2/", 401},
		{"push a manifest", mine, "PUT", "/v2/team/app/manifests/v1", 401},
		{"another's token that was issued for pulls", pulls, "PATCH", upload, 401},
		{"a token for another repository", elsewhere, "PATCH", upload, 401},
		{"a token that had ended before", early, "PATCH", upload, 401},
		{"no session", mine, "PATCH", "/v2/team/app/blobs/uploads/0?_state=0", 401},
		{"another repository's name", mine, "PATCH", strings.Replace(upload, "team/app", "team/other", 1), 401},
		{"a session that was changed", mine, "PATCH", upload[:len(upload)-4] + "AAAA", 401},
		{"status", mine, "GET", asked, 204},
		{"cancel", mine, "DELETE", cancelled, 204},
		{"chunk", mine, "PATCH", upload, 202},
		{"the same chunk, by the robot's token of that time", robots, "PATCH", upload, 202},
	} {
		a := g.send(test.who, test.method, test.path, v1.MediaTypeImageManifest, "bytes")
		if a.status != test.want {
			t.Errorf("%s: %s", test.name, a)
		}
		if test.want == http.StatusAccepted {
			upload = a.header.Get("Location")
		}
	}
	a := g.send(mine, "PUT", upload+"&digest="+sum("bytes"), "", "")
	if a.status != http.StatusCreated {
		t.Errorf("the end: %s", a)
	}
	mine = fetch("alice", "repository:team/app:pull,push")
	upload = begin()
	c.move(25 * time.Hour)
	if a := g.send(mine, "PATCH", upload, "", "bytes"); a.status != http.StatusUnauthorized {
		t.Errorf("after the session's life: %s", a)
	}
}

func TestPasswordsThatMustBeChanged(t *testing.T) {
	g := newGuarded(t, guardedOptions{})
	users, err := accounts.Open(g.store, accounts.Options{})
	if err == nil {
		err = users.SetPassword(t.Context(), "bob", "for one time", true)
	}
	if err != nil {
		t.Fatal(err)
	}
	once := who{name: "bob", password: "for one time"}
	for _, path := range []string{"/v2/", "/v2/bob/app/tags/list", "/v2/public/app/tags/list", "/v2/_catalog", "/token?service=" + service} {
		if a := g.send(once, "GET", path, "", ""); a.status != http.StatusForbidden || a.codes() != "DENIED" || !strings.Contains(a.body, "changed") {
			t.Errorf("%s: %s", path, a)
		}
	}
}

// A page of what one may see costs a bounded number of requests, and its Link names nothing that one may not see.
func TestCataloguePages(t *testing.T) {
	var counted *counting.Driver
	g := newGuarded(t, guardedOptions{wrap: func(d drivers.Driver) drivers.Driver {
		counted = counting.New(d, counting.Options{})
		return counted
	}})
	const hidden, every = 25_000, 2_000
	var want []string
	for n := range hidden {
		repo := fmt.Sprintf("bob/r%05d", n)
		if n%every == 0 {
			repo = fmt.Sprintf("public/r%05d", n)
			want = append(want, repo)
		}
		if err := g.store.Put(t.Context(), "catalog/"+repo+"-", nil); err != nil {
			t.Fatal(err)
		}
	}
	if repos, _, err := g.registry.Catalog(t.Context(), "", 3); err != nil || len(repos) != 3 {
		t.Fatalf("the store is not as this test thinks: %v, %v", repos, err)
	}
	w := who{bearer: g.fetch(g.as("alice"), url.Values{"scope": {"registry:catalog:*"}}).Token}
	var got []string
	pages := 0
	for path := "/v2/_catalog?n=5"; path != ""; pages++ {
		counted.Reset()
		a := g.send(w, "GET", path, "", "")
		var body struct{ Repositories []string }
		if err := json.Unmarshal([]byte(a.body), &body); err != nil || a.status != http.StatusOK {
			t.Fatal(a, err)
		}
		if n := counted.Counts().Total(); n > 11 {
			t.Errorf("a page cost %d requests", n)
		}
		got = append(got, body.Repositories...)
		link := a.header.Get("Link")
		if strings.Contains(link, "bob") {
			t.Errorf("the Link tells a name: %s", link)
		}
		path, _, _ = strings.Cut(strings.TrimPrefix(link, "<"), ">")
	}
	if strings.Join(got, " ") != strings.Join(want, " ") || pages > 8 {
		t.Errorf("%d pages show %q, want %q", pages, got, want)
	}
	if a := g.send(w, "GET", "/v2/_catalog?n=5&_after=nonsense", "", ""); a.status != http.StatusOK {
		t.Errorf("a position that is none: %s", a)
	}
	// Clients without an account see what is public; where nothing is, they are asked who they are.
	if a := g.send(who{}, "GET", "/v2/_catalog?last=public/r24000", "", ""); a.status != http.StatusUnauthorized {
		t.Errorf("nothing to see: %s", a)
	}
}

// With a bearer token the store gets no request more than without accounts.
func TestTokensCostNoRequests(t *testing.T) {
	work := func(t *testing.T, guard bool) (push, pull int) {
		var counted *counting.Driver
		g := newGuarded(t, guardedOptions{
			wrap: func(d drivers.Driver) drivers.Driver {
				counted = counting.New(d, counting.Options{})
				return counted
			},
			api: func(o *api.Options) {
				if !guard {
					o.Access, o.Tokens = nil, nil
				}
			},
		})
		w := who{}
		if guard {
			w.bearer = g.fetch(g.as("admin"), url.Values{"scope": {"repository:team/app:pull,push repository:team/warm:pull,push"}}).Token
		}
		ask := func(want int, method, path, body string) answer {
			t.Helper()
			a := g.send(w, method, path, v1.MediaTypeImageManifest, body)
			if a.status != want {
				t.Fatal(a)
			}
			return a
		}
		pushTo := func(repo string) {
			for _, blob := range []string{small, layer} {
				ask(404, "HEAD", "/v2/"+repo+"/blobs/"+sum(repo+blob), "")
				a := ask(202, "POST", "/v2/"+repo+"/blobs/uploads/", "")
				a = ask(202, "PATCH", a.header.Get("Location"), blob)
				ask(201, "PUT", a.header.Get("Location")+"&digest="+sum(blob), "")
			}
			ask(404, "HEAD", "/v2/"+repo+"/manifests/v1", "")
			ask(201, "PUT", "/v2/"+repo+"/manifests/v1", image())
		}
		pullFrom := func(repo string) {
			ask(200, "GET", "/v2/"+repo+"/manifests/v1", "")
			for _, blob := range []string{small, layer} {
				ask(200, "GET", "/v2/"+repo+"/blobs/"+sum(blob), "")
			}
		}
		pushTo("team/warm")
		counted.Reset()
		pushTo("team/app")
		push = counted.Reset().Total()
		pullFrom("team/app")
		counted.Reset()
		pullFrom("team/app")
		return push, counted.Reset().Total()
	}
	push, pull := work(t, false)
	guardedPush, guardedPull := work(t, true)
	t.Logf("a push costs %d requests, a pull %d; with a token %d and %d", push, pull, guardedPush, guardedPull)
	if guardedPush != push || guardedPull != pull {
		t.Errorf("with a token a push costs %d requests, without %d; a pull %d and %d", guardedPush, push, guardedPull, pull)
	}
}
