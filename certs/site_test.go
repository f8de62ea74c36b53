package certs

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"
)

// ask sends a request to a site in front of a registry that answers all with 200 and its path.
func ask(t *testing.T, o SiteOptions, method, target string, set func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "registry "+r.URL.Path) })
	r := httptest.NewRequest(method, target, nil)
	r.Host, r.RemoteAddr = "nas.lan:5000", "192.168.1.7:40000"
	if set != nil {
		set(r)
	}
	w := httptest.NewRecorder()
	NewSite(next, o).ServeHTTP(w, r)
	return w
}

func isLocked(is bool, err error) func(context.Context) (bool, error) {
	return func(context.Context) (bool, error) { return is, err }
}

func header(pairs ...string) func(*http.Request) {
	return func(r *http.Request) {
		for i := 0; i < len(pairs); i += 2 {
			r.Header.Set(pairs[i], pairs[i+1])
		}
	}
}

func from(addr string, pairs ...string) func(*http.Request) {
	return func(r *http.Request) {
		r.RemoteAddr = addr
		header(pairs...)(r)
	}
}

func overTLS(r *http.Request) { r.TLS = &tls.ConnectionState{} }

func TestPlainPolicy(t *testing.T) {
	here := from("127.0.0.1:40000")
	proxy := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	const ok, moved, denied = http.StatusOK, http.StatusPermanentRedirect, http.StatusForbidden
	for _, test := range []struct {
		name    string
		plain   Plain
		locked  func(context.Context) (bool, error)
		method  string
		path    string
		request func(*http.Request)
		want    int
	}{
		{"open", PlainAuto, isLocked(false, nil), "GET", "/v2/", nil, ok},
		{"locked", PlainAuto, isLocked(true, nil), "GET", "/v2/", nil, denied},
		{"locked, a push", PlainAuto, isLocked(true, nil), "POST", "/v2/a/blobs/uploads/", nil, denied},
		{"locked, here", PlainAuto, isLocked(true, nil), "GET", "/v2/", here, ok},
		{"locked, here, IPv6", PlainAuto, isLocked(true, nil), "GET", "/v2/", from("[::1]:1"), ok},
		{"locked, by TLS", PlainAuto, isLocked(true, nil), "GET", "/v2/", overTLS, ok},
		{"nobody knows whether it is locked", PlainAuto, isLocked(false, errors.New("out of reach")), "GET", "/v2/", nil, denied},
		{"no policy is auto", "", isLocked(true, nil), "GET", "/v2/", nil, denied},
		{"allow", PlainAllow, isLocked(true, nil), "GET", "/v2/", nil, ok},
		{"loopback", PlainLoopback, nil, "GET", "/v2/", nil, denied},
		{"loopback, here", PlainLoopback, nil, "GET", "/v2/", here, ok},
		{"loopback, by a proxy here", PlainLoopback, nil, "GET", "/v2/", from("127.0.0.1:1", "X-Forwarded-For", "192.168.1.7"), denied},
		{"loopback, by a proxy here, without TLS", PlainLoopback, nil, "GET", "/v2/", from("127.0.0.1:1", "X-Forwarded-Proto", "http"), denied},
		{"loopback, by a proxy here, with TLS", PlainLoopback, nil, "GET", "/v2/", from("127.0.0.1:1", "X-Forwarded-For", "192.168.1.7", "X-Forwarded-Proto", "https"), ok},
		{"refuse", PlainRefuse, nil, "GET", "/v2/", nil, denied},
		{"refuse, here", PlainRefuse, nil, "GET", "/v2/", here, denied},
		{"refuse, by TLS", PlainRefuse, nil, "GET", "/v2/", overTLS, ok},
		{"refuse, by a trusted proxy", PlainRefuse, nil, "GET", "/v2/", from("10.1.2.3:1", "X-Forwarded-Proto", "https"), ok},
		{"refuse, by a trusted proxy, RFC 7239", PlainRefuse, nil, "GET", "/v2/", from("10.1.2.3:1", "Forwarded", `for=192.168.1.7;proto="https"`), ok},
		{"refuse, by a trusted proxy without TLS", PlainRefuse, nil, "GET", "/v2/", from("10.1.2.3:1", "X-Forwarded-Proto", "http"), denied},
		{"refuse, by a foreign proxy", PlainRefuse, nil, "GET", "/v2/", header("X-Forwarded-Proto", "https"), denied},
		{"redirect", PlainRedirect, nil, "GET", "/v2/a/tags/list?n=1", nil, moved},
		{"redirect HEAD", PlainRedirect, nil, "HEAD", "/v2/", nil, moved},
		{"redirect has no second body", PlainRedirect, nil, "PUT", "/v2/a/manifests/1", nil, denied},
		{"who watches the process", PlainRefuse, nil, "GET", "/readyz", nil, ok},
		{"who watches the process", PlainRefuse, nil, "GET", "/livez", nil, ok},
		{"ACME", PlainRefuse, nil, "GET", "/.well-known/acme-challenge/x", nil, ok},
		{"the page", PlainRefuse, nil, "GET", "/trust", nil, ok},
		{"a repository of that name", PlainRefuse, nil, "GET", "/v2/trust", nil, denied},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := SiteOptions{Plain: test.plain, Locked: test.locked, TrustedProxies: proxy, TLS: true, Host: "fallback:5000"}
			w := ask(t, o, test.method, test.path, test.request)
			if w.Code != test.want {
				t.Errorf("got %d, want %d: %s", w.Code, test.want, w.Body)
			}
			if test.want == moved && w.Header().Get("Location") != "https://nas.lan:5000"+test.path {
				t.Errorf("sent to %q", w.Header().Get("Location"))
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	o := SiteOptions{Plain: PlainRefuse, TLS: true, Host: "fallback:5000"}
	w := ask(t, o, "GET", "/v2/", nil)
	var body struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || len(body.Errors) != 1 || body.Errors[0].Code != "DENIED" {
		t.Fatalf("got %s, %v", w.Body, err)
	}
	wantIn(t, "message", body.Errors[0].Message, "https://nas.lan:5000", "/trust")
	wantIn(t, "behind a proxy", ask(t, o, "GET", "/v2/", header("X-Forwarded-Proto", "https")).Body.String(), "192.168.1.7", "http.trusted_proxies")
	wantIn(t, "without a certificate", ask(t, SiteOptions{Plain: PlainRefuse}, "GET", "/v2/", nil).Body.String(), "has no certificate")
	page := ask(t, o, "GET", "/v2/", header("Accept", "text/html"))
	wantIn(t, "the page", page.Body.String(), "This request was refused", "<!doctype html>")
	if page.Code != http.StatusForbidden {
		t.Errorf("the page has %d", page.Code)
	}
}

// TestPathsOfTheSite: nothing that the registry answers is hidden.
func TestPathsOfTheSite(t *testing.T) {
	local := newLocal(t, LocalOptions{})
	o := SiteOptions{Local: local, TLS: true}
	if w := ask(t, o, "GET", "/", header("Accept", "text/html,*/*")); w.Code != http.StatusFound || w.Header().Get("Location") != "/trust" {
		t.Errorf("a browser at / gets %d to %q", w.Code, w.Header().Get("Location"))
	}
	for _, path := range []string{"/", "/v2/", "/v2/trust/manifests/ca.crt", "/trust/", "/TRUST", "/ca.crt/", "/v1/search", "/livez"} {
		if w := ask(t, o, "GET", path, nil); w.Body.String() != "registry "+path {
			t.Errorf("%s: got %q", path, w.Body)
		}
	}
	if w := ask(t, o, "PUT", "/trust", nil); w.Body.String() != "registry /trust" {
		t.Errorf("PUT: got %q", w.Body)
	}
	w := ask(t, o, "GET", "/ca.crt", nil)
	if w.Body.String() != string(local.Authority().PEM()) {
		t.Errorf("/ca.crt: got %q", w.Body)
	}
	if w := ask(t, SiteOptions{}, "GET", "/ca.crt", nil); w.Body.String() != "registry /ca.crt" {
		t.Errorf("without a CA: got %q", w.Body)
	}
}

func TestHSTS(t *testing.T) {
	o := SiteOptions{HSTS: time.Hour}
	if got := ask(t, o, "GET", "/v2/", overTLS).Header().Get("Strict-Transport-Security"); got != "max-age=3600" {
		t.Errorf("got %q", got)
	}
	if got := ask(t, o, "GET", "/v2/", nil).Header().Get("Strict-Transport-Security"); got != "" {
		t.Errorf("over plain HTTP: got %q, which RFC 6797, section 7.2 forbids", got)
	}
}

func TestPage(t *testing.T) {
	local := newLocal(t, LocalOptions{Hosts: []string{"nas.lan"}})
	o := SiteOptions{Local: local, TLS: true, Host: "fallback:5000"}
	w := ask(t, o, "GET", "/trust", nil)
	body := w.Body.String()
	wantIn(t, "page", body, local.Authority().Fingerprint(), "/etc/docker/certs.d/nas.lan:5000", "insecure-registries", `name="viewport"`, `lang="en"`, "prefers-color-scheme: dark")
	if strings.Contains(body, "does not name") {
		t.Error("it says that the certificate lacks a name that it has")
	}
	policy := w.Header().Get("Content-Security-Policy")
	style := sha256.Sum256([]byte(regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(body)[1]))
	wantIn(t, "policy", policy, "default-src 'none'", "frame-ancestors 'none'", base64.StdEncoding.EncodeToString(style[:]))
	if strings.Contains(policy, "unsafe") || strings.Contains(body, "<script") {
		t.Errorf("it has scripts, or a policy that allows much: %s", policy)
	}
	// Nothing is fetched from anywhere: there are links and commands, but no sources.
	if m := regexp.MustCompile(`(?i)\s(src|srcset|action)=|<link|@import|url\(`).FindString(body); m != "" {
		t.Errorf("it fetches something: %q", m)
	}

	other := ask(t, o, "GET", "/trust", func(r *http.Request) { r.Host = "other.lan:5000" }).Body.String()
	wantIn(t, "page for a name that is missing", other, "does not name other.lan", "--host other.lan", "nas.lan")

	for _, host := range []string{`"><script>alert(1)</script>`, "a b", "x;reboot", "$(reboot):1", "`reboot`", "nas.lan:5000/../x", strings.Repeat("a", 300)} {
		body := ask(t, o, "GET", "/trust", func(r *http.Request) { r.Host = host }).Body.String()
		if strings.Contains(body, host) || !strings.Contains(body, "fallback:5000") {
			t.Errorf("the host %q got into the page", host)
		}
	}

	wantIn(t, "page of other certificates", ask(t, SiteOptions{TLS: true}, "GET", "/trust", nil).Body.String(), "its operator has given it")
	wantIn(t, "page without TLS", ask(t, SiteOptions{}, "GET", "/trust", nil).Body.String(), "without a certificate", `{"insecure-registries": ["nas.lan:5000"]}`)
	public := ask(t, SiteOptions{Local: local, TLS: true, Host: "hub.example.com", Public: true}, "GET", "/trust", nil).Body.String()
	wantIn(t, "page with a public URL", public, "/etc/docker/certs.d/hub.example.com")
}

func TestRecipes(t *testing.T) {
	for _, host := range []string{"nas.lan:5000", "10.0.0.1:5000", "[fd00::1]:5000", "hub.example.com"} {
		all, err := Guide{Host: host}.Recipes()
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, r := range all {
			if r.Title == "" || r.Commands == "" || seen[r.Name] || strings.Contains(r.Commands, "{{") {
				t.Errorf("%s: a recipe is not whole, or there twice: %+v", host, r)
			}
			seen[r.Name] = true
			if r.Name != "insecure" && !strings.Contains(r.Commands, "http://"+host+"/ca.crt") {
				t.Errorf("%s, %s does not fetch the CA:\n%s", host, r.Name, r.Commands)
			}
		}
		for _, name := range []string{"docker", "podman", "containerd", "k3s", "buildkit", "crane", "debian", "redhat", "macos", "windows", "insecure"} {
			if !seen[name] {
				t.Errorf("nothing about %s", name)
			}
		}
	}
	var b strings.Builder
	if err := (Guide{Host: "nas.lan:5000"}).WriteText(&b, "docker"); err != nil || strings.Contains(b.String(), "Podman") {
		t.Errorf("got %v and %s", err, b.String())
	}
	if err := (Guide{Host: "nas.lan:5000"}).WriteText(&b, "dokcer"); err == nil || !strings.Contains(err.Error(), "podman") {
		t.Errorf("got %v, want the names that there are", err)
	}
}
