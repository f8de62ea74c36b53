package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/counting"
	"github.com/longshore-registry/longshore/registry"
	"github.com/longshore-registry/longshore/registry/api"
)

// with sends a request with headers.
func (g *guarded) with(method, path string, header http.Header) answer {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.plain.URL+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	res, err := g.client(false, false).Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	return readAnswer(res)
}

func TestCredentialsThatAreNone(t *testing.T) {
	g := newGuarded(t, guardedOptions{})
	for _, lines := range [][]string{{""}, {"Basic"}, {"Basic !!!"}, {"Basic YWxpY2U="}, {"Bearer"}, {"Bearer "}, {"Digest a=b"}, {"Bearer a", "Basic YTpi"}, {"Basic YTpi", "Basic YTpi"}} {
		if a := g.with("GET", "/v2/public/app/tags/list", http.Header{"Authorization": lines}); a.status != http.StatusUnauthorized || a.codes() != "UNAUTHORIZED" {
			t.Errorf("%q: %s", lines, a)
		}
	}
	// An empty name and password are what some clients send for none.
	g.holds("public/app", image(), "latest")
	if a := g.with("GET", "/v2/public/app/tags/list", http.Header{"Authorization": {"Basic Og=="}}); a.status != http.StatusOK {
		t.Errorf("no name, no password: %s", a)
	}
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/v1/_ping": 200, "/v2/": 401, "/v2": 401, "/nowhere": 404, "/v2/UPPER/tags/list": 400} {
		if a := g.with("GET", path, nil); a.status != want {
			t.Errorf("%s: %s", path, a)
		}
	}
}

func TestChallenge(t *testing.T) {
	g := newGuarded(t, guardedOptions{api: func(o *api.Options) {
		o.Challenge.Service = ""
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}})
	host := strings.TrimPrefix(g.plain.URL, "http://")
	bearer := func(realm, service, scope, problem string) string {
		text := fmt.Sprintf(`Bearer realm="%s",service="%s"`, realm, service)
		if scope != "" {
			text += fmt.Sprintf(`,scope="%s"`, scope)
		}
		if problem != "" {
			text += fmt.Sprintf(`,error="%s"`, problem)
		}
		return text
	}
	own := func(scope string) string { return bearer(g.plain.URL+"/token", host, scope, "") }
	mounted := "/v2/team/app/blobs/uploads/?mount=" + sum(small) + "&from="
	for _, test := range []struct {
		method, path string
		header       http.Header
		want         string
	}{
		{"GET", "/v2/", nil, own("")},
		{"HEAD", "/v2/", nil, own("")},
		{"GET", "/v2/_catalog", nil, own("registry:catalog:*")},
		{"GET", "/v2/team/app/manifests/latest", nil, own("repository:team/app:pull")},
		{"HEAD", "/v2/team/app/blobs/" + sum(small), nil, own("repository:team/app:pull")},
		{"POST", "/v2/team/app/blobs/uploads/", nil, own("repository:team/app:pull,push")},
		{"POST", mounted + "bob/app", nil, own("repository:team/app:pull,push repository:bob/app:pull")},
		{"POST", mounted + "%22,error%3D", nil, own("repository:team/app:pull,push")},
		{"DELETE", "/v2/team/app/manifests/latest", nil, own("repository:team/app:pull,delete")},
		{"GET", "/v2/team/app/tags/list", http.Header{"Authorization": {"Bearer no.such.token"}}, bearer(g.plain.URL+"/token", host, "repository:team/app:pull", "invalid_token")},
		{"GET", "/v2/", http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"Registry.example"}}, bearer("https://registry.example/token", "registry.example", "", "")},
		{"GET", "/v2/", http.Header{"Forwarded": {`for=10.0.0.1;proto=https;host="registry.example:444"`}}, bearer("https://registry.example:444/token", "registry.example:444", "", "")},
		{"GET", "/v2/", http.Header{"X-Forwarded-Host": {`a",error="x`}}, own("")},
		{"GET", "/v2/", http.Header{"Host": {"name.test:5000"}}, bearer("http://name.test:5000/token", "name.test:5000", "", "")},
	} {
		a := g.with(test.method, test.path, test.header)
		if got := a.header.Values("WWW-Authenticate"); a.status != http.StatusUnauthorized || len(got) != 1 || got[0] != test.want {
			t.Errorf("%s %s %v: %d, %q\nwant %q", test.method, test.path, test.header, a.status, got, test.want)
		}
	}

	for name, test := range map[string]struct {
		options api.Options
		want    string
	}{
		"public_url":     {api.Options{PublicURL: "https://registry.example"}, bearer("https://registry.example/token", "registry.example", "", "")},
		"Basic":          {api.Options{PublicURL: "https://registry.example", Challenge: api.Challenge{Basic: true}}, `Basic realm="registry.example"`},
		"another server": {api.Options{Challenge: api.Challenge{Realm: "https://auth.example/token", Service: "ours"}}, bearer("https://auth.example/token", "ours", "", "")},
	} {
		g := newGuarded(t, guardedOptions{api: func(o *api.Options) { o.PublicURL, o.Challenge = test.options.PublicURL, test.options.Challenge }})
		if got := g.with("GET", "/v2/", http.Header{"X-Forwarded-Host": {"nobody.trusts"}}).header.Get("WWW-Authenticate"); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// What a token was not issued for is asked for again; what its account may not do at all is not.
func TestNarrowTokens(t *testing.T) {
	g := matrixSite(t)
	pull := who{bearer: g.fetch(g.as("alice"), url.Values{"scope": {"repository:team/app:pull"}}).Token}
	none := who{bearer: g.fetch(g.as("alice"), url.Values{}).Token}
	anonymous := who{bearer: g.fetch(who{}, url.Values{"scope": {"repository:public/app:pull,push repository:team/app:pull"}}).Token}
	for _, test := range []struct {
		who          who
		method, path string
		want         string
		problem      string
	}{
		{pull, "GET", "/v2/team/app/tags/list", "200", ""},
		{pull, "GET", "/v2/", "200", ""},
		{pull, "GET", "/v2/alice/app/tags/list", "401", "insufficient_scope"},
		{pull, "GET", "/v2/public/app/tags/list", "401", "insufficient_scope"},
		{pull, "POST", "/v2/team/app/blobs/uploads/", "401", "insufficient_scope"},
		{pull, "GET", "/v2/_catalog", "401", "insufficient_scope"},
		{pull, "GET", "/v1/search?q=a", "401", "insufficient_scope"},
		{pull, "GET", "/v2/bob/app/tags/list", "404", ""},
		{pull, "DELETE", "/v2/team/app/manifests/latest", "403", ""},
		{none, "GET", "/v2/", "200", ""},
		{none, "GET", "/v2/team/app/tags/list", "401", "insufficient_scope"},
		{anonymous, "GET", "/v2/public/app/tags/list", "200", ""},
		{anonymous, "POST", "/v2/public/app/blobs/uploads/", "401", "insufficient_scope"},
		{anonymous, "GET", "/v2/team/app/tags/list", "401", "insufficient_scope"},
	} {
		a := g.send(test.who, test.method, test.path, "", "")
		problem := regexp.MustCompile(`error="(\w+)"`).FindStringSubmatch(a.header.Get("WWW-Authenticate"))
		if fmt.Sprint(a.status) != test.want || (test.problem != "") != (problem != nil) || problem != nil && problem[1] != test.problem {
			t.Errorf("%s %s: %s, want %s %s", test.method, test.path, a, test.want, test.problem)
		}
	}
}

// A repository that one may not know of is answered for as one that is not there: the same bytes but for the name, and the store is not asked.
func TestHiddenIsAbsent(t *testing.T) {
	var counted *counting.Driver
	g := newGuarded(t, guardedOptions{wrap: func(d drivers.Driver) drivers.Driver {
		counted = counting.New(d, counting.Options{})
		return counted
	}})
	g.holds("bob/app", image(), "latest")
	g.send(g.as("alice"), "GET", "/v2/", "", "") // what is read of accounts is known now
	for _, d := range deeds() {
		if d.needs == "list" || d.needs == "" || strings.Contains(d.send, "$U") {
			continue
		}
		before := counted.Counts().Total()
		var answers []answer
		for _, repo := range []string{"bob/app", "bob/nil"} {
			method, path, _ := strings.Cut(strings.NewReplacer("$R", "/v2/"+repo, "$N", "1").Replace(d.send), " ")
			a := g.send(g.as("alice"), method, path, v1.MediaTypeImageManifest, d.body)
			a.header.Del("Date")
			a.body = strings.ReplaceAll(a.body, repo, "it")
			answers = append(answers, a)
		}
		if answers[0].String() != answers[1].String() {
			t.Errorf("%s: hidden %s\nabsent %s", d.name, answers[0], answers[1])
		}
		if n := counted.Counts().Total() - before; n != 0 {
			t.Errorf("%s: the store got %d requests", d.name, n)
		}
	}
}

// A mount from a repository that one may not pull is as one from a repository that does not have the blob.
func TestMountsTellNothing(t *testing.T) {
	var counted *counting.Driver
	g := newGuarded(t, guardedOptions{wrap: func(d drivers.Driver) drivers.Driver {
		counted = counting.New(d, counting.Options{})
		return counted
	}})
	g.holds("bob/app", image(), "latest")
	g.holds("public/app", image(), "latest")
	narrow := who{bearer: g.fetch(g.as("alice"), url.Values{"scope": {"repository:alice/app:pull,push"}}).Token}
	wide := who{bearer: g.fetch(g.as("alice"), url.Values{"scope": {"repository:alice/app:pull,push repository:public/app:pull repository:bob/app:pull"}}).Token}
	var want, wantCount string
	for _, test := range []struct {
		name  string
		who   who
		query string
	}{
		{"missing", wide, "from=public/app&mount=" + nothingThere},
		{"hidden and there", wide, "from=bob/app&mount=" + sum(layer)},
		{"hidden and missing", wide, "from=bob/app&mount=" + nothingThere},
		{"no such repository", wide, "from=bob/nil&mount=" + sum(layer)},
		{"hidden, by password", g.as("alice"), "from=bob/app&mount=" + sum(layer)},
		{"not in the token", narrow, "from=public/app&mount=" + sum(layer)},
	} {
		g.send(test.who, "GET", "/v2/", "", "")
		before := counted.Counts()
		a := g.send(test.who, "POST", "/v2/alice/app/blobs/uploads/?"+test.query, "", "")
		count := fmt.Sprint(difference(before, counted.Counts()))
		got := fmt.Sprint(a.status, slices.Sorted(maps.Keys(a.header)), len(a.header.Get("Location")), a.body)
		if want == "" {
			want, wantCount = got, count
		}
		if a.status != http.StatusAccepted || got != want || count != wantCount {
			t.Errorf("%s: %s, %s; want %s, %s", test.name, got, count, want, wantCount)
		}
	}
	// Without from, repositories that have the blob are tried; those of others are not.
	if a := g.send(g.as("alice"), "POST", "/v2/alice/app/blobs/uploads/?mount="+sum(layer), "", ""); a.status != http.StatusCreated {
		t.Errorf("from a repository that one may pull: %s", a)
	}
	g = newGuarded(t, guardedOptions{})
	g.holds("bob/app", image(), "latest")
	for _, test := range []struct {
		who  who
		want int
	}{{g.as("alice"), http.StatusAccepted}, {g.as("admin"), http.StatusCreated}} {
		if a := g.send(test.who, "POST", "/v2/alice/app/blobs/uploads/?mount="+sum(layer), "", ""); a.status != test.want {
			t.Errorf("%s, from a repository that is bob's alone: %s", test.who.name, a)
		}
	}
}

func difference(before, after map[string]int) map[string]int {
	d := map[string]int{}
	for k, n := range after {
		if n -= before[k]; n != 0 {
			d[k] = n
		}
	}
	return d
}

func TestWhoPushedIsWrittenDown(t *testing.T) {
	g := newGuarded(t, guardedOptions{registry: registry.Options{HistoryKeep: time.Hour}})
	g.holds("alice/app", image(), "before")
	put := func(w who, tag, body string) {
		t.Helper()
		if a := g.send(w, "PUT", "/v2/alice/app/manifests/"+tag, v1.MediaTypeImageManifest, body); a.status != http.StatusCreated {
			t.Fatal(a)
		}
	}
	put(g.as("alice"), "v1", image())
	put(g.as("admin"), "v1", image(`"annotations":{"a":"b"}`))
	if tag, err := g.registry.Tag(t.Context(), "alice/app", "v1"); err != nil || tag.By != "admin" {
		t.Errorf("the tag is by %q, %v", tag.By, err)
	}
	if a := g.send(g.as("alice"), "DELETE", "/v2/alice/app/manifests/v1", "", ""); a.status != http.StatusAccepted {
		t.Fatal(a)
	}
	if a := g.send(who{name: "alice", password: g.key}, "POST", "/v2/alice/app/_longshore/tags/restore?tag=v1", "", ""); a.status != http.StatusCreated {
		t.Fatal(a)
	}
	if tag, err := g.registry.Tag(t.Context(), "alice/app", "v1"); err != nil || tag.By != "alice" {
		t.Errorf("the restored tag is by %q, %v", tag.By, err)
	}
	past, _, err := g.registry.TagHistory(t.Context(), "alice/app", "v1", "", 10)
	if err != nil || len(past) != 2 || past[0].EndedBy != "alice" || past[0].By != "admin" || past[1].By != "alice" || past[1].EndedBy != "admin" {
		t.Errorf("the history is %+v, %v", past, err)
	}
	if a := g.send(g.as("bob"), "PUT", "/v2/alice/app/manifests/v1", v1.MediaTypeImageManifest, image()); a.status != http.StatusForbidden {
		t.Fatal(a)
	}
	g.send(who{}, "DELETE", "/v2/alice/app/manifests/v1", "", "") // nobody: he is asked who he is, and that is no event
	var events []string
	for line := range strings.Lines(g.audit.String()) {
		var e access.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Event != access.EventLogin {
			events = append(events, fmt.Sprint(e.Event, " ", e.Reference, " in ", e.Repository, " by ", e.Who, " from ", e.From, ": ", e.Outcome))
		}
	}
	want := []string{
		"push v1 in alice/app by alice from 127.0.0.1: ok", "push v1 in alice/app by admin from 127.0.0.1: ok", "delete v1 in alice/app by alice from 127.0.0.1: ok",
		"restore v1 in alice/app by alice from 127.0.0.1: ok", "push v1 in alice/app by bob from 127.0.0.1: denied",
	}
	if !slices.Equal(events, want) {
		t.Errorf("the audit log has\n%s\nwant\n%s", strings.Join(events, "\n"), strings.Join(want, "\n"))
	}
}

// Of two who may push new tags alone, and push the same tag at the same moment, one gets it.
func TestNewTagsRace(t *testing.T) {
	g := newGuarded(t, guardedOptions{})
	for n := range 20 {
		bodies := []string{image(fmt.Sprintf(`"annotations":{"a":"%d"}`, n)), image(fmt.Sprintf(`"annotations":{"b":"%d"}`, n))}
		g.holds("shared", image(), "latest")
		var all sync.WaitGroup
		got := make([]answer, len(bodies))
		for i, body := range bodies {
			w := []who{g.as("alice"), g.as("bob")}[i]
			req, err := http.NewRequestWithContext(t.Context(), "PUT", fmt.Sprintf("%s/v2/shared/manifests/v%d", g.plain.URL, n), strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", v1.MediaTypeImageManifest)
			req.SetBasicAuth(w.name, w.password)
			client := g.client(false, false)
			all.Go(func() {
				res, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				got[i] = readAnswer(res)
			})
		}
		all.Wait()
		if statuses := got[0].status + got[1].status; statuses != http.StatusCreated+http.StatusForbidden {
			t.Fatalf("the two got %d and %d", got[0].status, got[1].status)
		}
	}
}

// Until the first account is made everybody may do everything.
func TestOpenAndLocked(t *testing.T) {
	locked, down := false, error(nil)
	g := newGuarded(t, guardedOptions{access: func(o *access.ControlOptions) {
		o.Locked = func(context.Context) (bool, error) { return locked, down }
	}})
	g.holds("bob/app", image(), "latest")
	for _, w := range []who{{}, {name: "somebody", password: "something"}, {bearer: "something"}} {
		for _, path := range []string{"/v2/", "/v2/bob/app/manifests/latest", "/v2/_catalog", "/v1/search?q=bob"} {
			if a := g.send(w, "GET", path, "", ""); a.status != http.StatusOK {
				t.Errorf("open: %s", a)
			}
		}
	}
	free := g.fetch(who{}, url.Values{"scope": {"repository:bob/app:pull,push"}})
	if free.status != http.StatusOK {
		t.Errorf("a token of an open registry: %s", free.answer)
	}
	locked = true
	for _, w := range []who{{}, {bearer: free.Token}} {
		if a := g.send(w, "GET", "/v2/bob/app/manifests/latest", "", ""); a.status != http.StatusUnauthorized {
			t.Errorf("locked: %s", a)
		}
	}
	down = errors.New("the store is down")
	for _, path := range []string{"/v2/", "/v2/bob/app/manifests/latest", "/token?service=" + service} {
		if a := g.send(g.as("bob"), "GET", path, "", ""); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || strings.Contains(a.body, "down") {
			t.Errorf("the store can't be asked: %s", a)
		}
	}
}

func TestRates(t *testing.T) {
	g := newGuarded(t, guardedOptions{api: func(o *api.Options) { o.Rate = api.Rate{PerSecond: 0.001, Burst: 5} }})
	statuses := func(send func() answer) (codes []int) {
		for range 7 {
			a := send()
			codes = append(codes, a.status)
			if a.status == http.StatusTooManyRequests && (a.header.Get("Retry-After") == "" || a.codes() != "TOOMANYREQUESTS") {
				t.Errorf("%s", a)
			}
		}
		return codes
	}
	if got := statuses(func() answer { return g.send(g.as("alice"), "GET", "/v2/", "", "") }); !slices.Equal(got, []int{200, 200, 200, 200, 200, 429, 429}) {
		t.Errorf("by address: %v", got)
	}
	if a := g.send(who{}, "GET", "/token", "", ""); a.status != http.StatusTooManyRequests {
		t.Errorf("at /token: %s", a)
	}
	if a := g.send(who{}, "GET", "/livez", "", ""); a.status != http.StatusOK {
		t.Errorf("/livez: %s", a)
	}
	// An account is counted wherever it comes from.
	g = newGuarded(t, guardedOptions{api: func(o *api.Options) {
		o.Rate = api.Rate{PerSecond: 0.001, Burst: 5}
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}})
	n := 0
	header := func() http.Header {
		n++
		req := http.Request{Header: http.Header{"X-Forwarded-For": {fmt.Sprintf("10.0.0.%d", n)}}}
		req.SetBasicAuth("alice", g.passwords["alice"])
		return req.Header
	}
	if got := statuses(func() answer { return g.with("GET", "/v2/", header()) }); !slices.Equal(got, []int{200, 200, 200, 200, 200, 429, 429}) {
		t.Errorf("by account: %v", got)
	}
}

// Too many wrong passwords from an address keep no token of it out.
func TestTokensBehindAThrottledAddress(t *testing.T) {
	g := newGuarded(t, guardedOptions{access: func(o *access.ControlOptions) {
		o.Throttle = access.ThrottleOptions{Address: 2, AddressEvery: time.Hour, MaxDelay: -1}
	}})
	g.holds("team/app", image(), "latest")
	first, second := who{bearer: g.fetch(g.as("alice"), url.Values{"scope": {"repository:team/app:pull"}}).Token}, who{name: "alice", password: g.key}
	for g.send(who{name: "robot$ci", password: "a guess"}, "GET", "/v2/", "", "").status != http.StatusTooManyRequests {
	}
	if a := g.send(first, "GET", "/v2/team/app/tags/list", "", ""); a.status != http.StatusOK {
		t.Errorf("a token: %s", a)
	}
	if a := g.send(who{bearer: g.key}, "GET", "/v2/team/app/tags/list", "", ""); a.status != http.StatusOK {
		t.Errorf("an API key as a token: %s", a)
	}
	if a := g.send(who{bearer: "no.such.token"}, "GET", "/v2/team/app/tags/list", "", ""); a.status != http.StatusUnauthorized {
		t.Errorf("a token that is none: %s", a)
	}
	if a := g.send(g.as("bob"), "GET", "/v2/", "", ""); a.status != http.StatusTooManyRequests {
		t.Errorf("another account: %s", a)
	}
	if a := g.send(second, "GET", "/v2/", "", ""); a.status != http.StatusOK {
		t.Errorf("an account that has logged in there: %s", a)
	}
}
