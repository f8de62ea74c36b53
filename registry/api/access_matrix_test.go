package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/access/token"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// deed is a request of the API, made in one repository.
type deed struct {
	name   string
	send   string // METHOD path; $R is /v2/ and the repository, $U the Location of an upload that an administrator has just begun there
	needs  string // what its client has to have, of the letters of testdata/access.txt; "": credentials; "list": nothing
	there  string // the answer to who may
	absent string // the same in a repository that does not exist; "" for the same
	body   string
}

const nothingThere = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// deeds are each method of each route. None changes what another one sees.
func deeds() []deed {
	v1st, v2nd := image(), image(`"annotations":{"a":"second"}`)
	return []deed{
		{"version", "GET /v2/", "", "200", "", ""},
		{"version, asked for by HEAD", "HEAD /v2/", "", "200", "", ""},
		{"catalogue", "GET /v2/_catalog", "list", "200", "", ""},
		{"catalogue, asked for by HEAD", "HEAD /v2/_catalog", "list", "200", "", ""},
		{"search", "GET /v1/search?q=", "list", "200", "", ""},
		{"list of tags", "GET $R/tags/list", "r", "200", "404 NAME_UNKNOWN", ""},
		{"list of tags, asked for by HEAD", "HEAD $R/tags/list", "r", "200", "404", ""},
		{"referrers", "GET $R/referrers/" + sum(v1st), "r", "200", "", ""},
		{"manifest by tag", "GET $R/manifests/latest", "r", "200", "404 MANIFEST_UNKNOWN", ""},
		{"manifest by tag, HEAD", "HEAD $R/manifests/latest", "rw", "200", "404", ""},
		{"manifest by digest", "GET $R/manifests/" + sum(v1st), "r", "200", "404 MANIFEST_UNKNOWN", ""},
		{"manifest by digest, HEAD", "HEAD $R/manifests/" + sum(v1st), "rw", "200", "404", ""},
		{"manifest with a tag that is none", "GET $R/manifests/-", "r", "400 TAG_INVALID", "", ""},
		{"blob", "GET $R/blobs/" + sum(layer), "r", "200", "404 BLOB_UNKNOWN", ""},
		{"blob, HEAD", "HEAD $R/blobs/" + sum(layer), "rw", "200", "404", ""},
		{"blob that is not there, HEAD", "HEAD $R/blobs/" + nothingThere, "rw", "404", "", ""},
		{"history of a tag", "GET $R/_longshore/tags/history?tag=latest", "r", "200", "404 MANIFEST_UNKNOWN", ""},
		{"deleted tags", "GET $R/_longshore/tags/deleted", "r", "200", "", ""},
		{"begin an upload", "POST $R/blobs/uploads/", "w", "202", "", ""},
		{"mount what is not there", "POST $R/blobs/uploads/?from=public/app&mount=" + nothingThere, "w", "202", "", ""},
		{"status of an upload", "GET $U", "w", "204", "", ""},
		{"status of an upload, HEAD", "HEAD $U", "w", "204", "", ""},
		{"chunk", "PATCH $U", "w", "202", "", "some bytes"},
		{"end of an upload", "PUT $U&digest=" + nothingThere, "w", "400 DIGEST_INVALID", "", "some bytes"},
		{"cancel an upload", "DELETE $U", "w", "204", "", ""},
		{"push a new tag", "PUT $R/manifests/new-$N", "w", "201", "400 MANIFEST_BLOB_UNKNOWN,MANIFEST_BLOB_UNKNOWN", v1st},
		{"push a tag to where it is", "PUT $R/manifests/latest", "w", "201", "400 MANIFEST_BLOB_UNKNOWN,MANIFEST_BLOB_UNKNOWN", v1st},
		{"push by digest", "PUT $R/manifests/" + sum(v2nd), "w", "201", "400 MANIFEST_BLOB_UNKNOWN,MANIFEST_BLOB_UNKNOWN", v2nd},
		{"move a tag", "PUT $R/manifests/moves-$N", "m", "201", "400 MANIFEST_BLOB_UNKNOWN,MANIFEST_BLOB_UNKNOWN", v2nd},
		{"delete a tag", "DELETE $R/manifests/none", "d", "404 MANIFEST_UNKNOWN", "", ""},
		{"delete a manifest", "DELETE $R/manifests/" + nothingThere, "d", "404 MANIFEST_UNKNOWN", "", ""},
		{"delete a blob", "DELETE $R/blobs/" + nothingThere, "d", "404 BLOB_UNKNOWN", "", ""},
		{"delete a repository", "DELETE $R/_longshore/repository/contents", "d", "405 UNSUPPORTED", "", ""},
		{"delete a repository, by its path", "DELETE $R/", "d", "405 UNSUPPORTED", "", ""},
		{"restore a tag", "POST $R/_longshore/tags/restore?tag=none", "d", "404 MANIFEST_UNKNOWN", "", ""},
		{"restore a repository", "POST $R/_longshore/repository/restore", "d", "405 UNSUPPORTED", "", ""},
	}
}

// scope is what a client asks for who wants to do it.
func (d deed) scope(repo string) string {
	switch d.needs {
	case "":
		return ""
	case "list":
		return "registry:catalog:*"
	case "r":
		return "repository:" + repo + ":pull"
	case "d":
		return "repository:" + repo + ":pull,delete"
	}
	return "repository:" + repo + ":pull,push"
}

// want is the answer to somebody with those rights, or whom the number refuses. known says that he has credentials or a token.
func (d deed) want(rights, repo string, account, known bool) string {
	yes := d.there
	if repo == "team/none" && d.absent != "" {
		yes = d.absent
	}
	has := func(any string) bool { return strings.ContainsAny(rights, any) }
	no, unknown := "403 DENIED", "401 UNAUTHORIZED"
	if strings.HasPrefix(d.send, "HEAD") {
		unknown = "401"
	}
	_, err := strconv.Atoi(rights)
	switch {
	case rights == "429":
		return strings.NewReplacer("401", "429", "UNAUTHORIZED", "TOOMANYREQUESTS").Replace(unknown)
	case err == nil, d.needs == "" && !known:
		return unknown
	case d.needs == "", d.needs == "list", has(d.needs):
		return yes
	case d.needs == "m" && has("w") && repo == "team/none": // there is no tag that would move
		return yes
	case !account:
		return unknown
	case d.needs != "r" && d.needs != "rw":
		return strings.Replace(no, " DENIED", "", strings.Count(d.send, "HEAD"))
	case strings.HasPrefix(d.send, "HEAD"):
		return "404"
	}
	return "404 NAME_UNKNOWN"
}

// way is how an account says who it is.
type way struct {
	name string
	who  who
	// fetches says that what sends requests is a token that who gets from /token.
	fetches bool
}

// matrixSite has what testdata/access.txt speaks of.
func matrixSite(t *testing.T) *guarded {
	g := newGuarded(t, guardedOptions{})
	for _, repo := range []string{"public/app", "team/app", "alice/app", "bob/app", "shared", "drop/box"} {
		g.holds(repo, image(), "latest")
	}
	return g
}

// ways are those of each line of the table.
func (g *guarded) ways(forged map[string]string) map[string][]way {
	basic := func(w who) []way {
		second := w
		second.http2 = true
		return []way{{"Basic, HTTP/1.1", w, false}, {"Basic, HTTP/2", second, false}, {"token, HTTP/1.1", w, true}, {"token, HTTP/2", second, true}}
	}
	bearer := func(text string) []way {
		return []way{{"Bearer, HTTP/1.1", who{bearer: text}, false}, {"Bearer, HTTP/2", who{bearer: text, http2: true}, false}}
	}
	all := map[string][]way{
		"anonymous":    {{"nothing, HTTP/1.1", who{}, false}, {"nothing, HTTP/2", who{http2: true}, false}, {"token, HTTP/1.1", who{}, true}},
		"admin":        basic(g.as("admin")),
		"alice":        basic(g.as("alice")),
		"alice-key":    append(basic(who{name: "alice", password: g.key}), bearer(g.key)...),
		"alice-scoped": append(basic(who{name: "alice", password: g.scopedKey}), bearer(g.scopedKey)...),
		"bob":          basic(g.as("bob")),
		"robot":        basic(g.as("robot$ci")),
		"htpasswd":     basic(g.as("dave")),
		"certificate":  {{"certificate, HTTP/1.1", who{certificate: true}, false}, {"certificate, HTTP/2", who{certificate: true, http2: true}, false}, {"token, HTTP/2", who{certificate: true, http2: true}, true}},
		// Each request with a wrong password takes its time, and a token is fetched only for some.
		"disabled":       basic(g.as("carol"))[1:3],
		"wrong-password": append(basic(who{name: "dave", password: "password of bob"})[2:], basic(who{name: "robot$ci", password: "password of bob"})[:2]...),
		"unknown":        append(basic(who{name: "nobody", password: "password of bob"})[2:], basic(who{name: "robot$nobody", password: "password of bob"})[:2]...),
		"robot-expired":  basic(g.as("robot$old")),
	}
	for name, text := range forged {
		all[name] = bearer(text)
	}
	return all
}

// forge makes tokens that are not good, each by one change of one that would let an administrator do everything.
func (g *guarded) forge(scopes []string) map[string]string {
	g.t.Helper()
	good := g.fetch(g.as("admin"), url.Values{"scope": scopes})
	parts := strings.Split(good.Token, ".")
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		g.t.Fatal(err)
	}
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		g.t.Fatal(err)
	}
	var named struct{ Kid string }
	if err := json.Unmarshal(header, &named); err != nil {
		g.t.Fatal(err)
	}
	private := g.signingKey(strings.Split(named.Kid, ".")[0])
	sign := func(algorithm jose.SignatureAlgorithm, key any, kid string, changes map[string]any) string {
		claims := map[string]any{}
		if err := json.Unmarshal(body, &claims); err != nil {
			g.t.Fatal(err)
		}
		maps.Copy(claims, changes)
		text, err := json.Marshal(claims)
		if err != nil {
			g.t.Fatal(err)
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
		if err != nil {
			g.t.Fatal(err)
		}
		signed, err := signer.Sign(text)
		if err != nil {
			g.t.Fatal(err)
		}
		compact, err := signed.CompactSerialize()
		if err != nil {
			g.t.Fatal(err)
		}
		return compact
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		g.t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		g.t.Fatal(err)
	}
	elsewhere, err := token.NewIssuer(token.IssuerOptions{Store: memory.New(memory.Options{})})
	if err != nil {
		g.t.Fatal(err)
	}
	foreign, err := token.NewServer(g.control, elsewhere).Answer(g.t.Context(), access.TokenCall{
		Credentials: access.Credentials{Name: "admin", Password: g.passwords["admin"]}, Service: service, Scopes: scopes,
	})
	if err != nil {
		g.t.Fatal(err)
	}
	narrow := strings.Split(g.fetch(g.as("admin"), url.Values{"scope": {"repository:public/app:pull"}}).Token, ".")
	past := time.Now().Add(-time.Hour).Unix()
	offline := g.fetch(g.as("admin"), url.Values{"offline_token": {"true"}})
	forged := map[string]string{
		"expired":        sign(jose.ES256, private, named.Kid, map[string]any{"iat": past, "nbf": past, "exp": past + 300}),
		"other-service":  sign(jose.ES256, private, named.Kid, map[string]any{"aud": "other.test"}),
		"other-registry": foreign.Token,
		"other-issuer":   sign(jose.ES256, private, named.Kid, map[string]any{"iss": "other"}),
		"alg-none":       base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"`+named.Kid+`"}`)) + "." + parts[1] + ".",
		"hmac":           sign(jose.HS256, public, named.Kid, nil),
		"unknown-kid":    sign(jose.ES256, other, "20000.0123456789abcdef", nil),
		"widened":        narrow[0] + "." + parts[1] + "." + narrow[2],
		"refresh-token":  offline.Refresh,
		"key-revoked":    access.KeyPrefix + "aaaaaaaaaaaaaaaa_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
	}
	// Each is refused for what was changed: unchanged it is good.
	if a := g.send(who{bearer: sign(jose.ES256, private, named.Kid, nil)}, http.MethodGet, "/v2/shared/tags/list", "", ""); a.status != http.StatusOK {
		g.t.Fatalf("a token that was signed anew, and not changed: %s", a)
	}
	return forged
}

// signingKey reads the key of a slot from the store.
func (g *guarded) signingKey(slot string) *ecdsa.PrivateKey {
	g.t.Helper()
	var stored struct{ Key []byte }
	if err := json.Unmarshal([]byte(readAll(g.t, g.store, "access/signing/"+slot)), &stored); err != nil {
		g.t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(stored.Key)
	if err != nil {
		g.t.Fatal(err)
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		g.t.Fatalf("the key is a %T", key)
	}
	return private
}

// matrix is the table in testdata/access.txt: the repositories, and the rights of each line in the order of its file.
func matrix(t *testing.T) (repos []string, lines [][]string) {
	t.Helper()
	b, err := os.ReadFile("testdata/access.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || strings.HasPrefix(line, "#"):
		case repos == nil:
			repos = fields[1:]
		case len(fields) != len(repos)+1:
			t.Fatalf("%q does not have a field for each repository", line)
		default:
			lines = append(lines, fields)
		}
	}
	return repos, lines
}

func TestAccessMatrix(t *testing.T) {
	repos, lines := matrix(t)
	g := matrixSite(t)
	var scopes []string
	for _, repo := range repos {
		scopes = append(scopes, "repository:"+repo+":*")
	}
	forged := g.forge(append(scopes, "registry:catalog:*"))
	ways := g.ways(forged)
	throttled := newGuarded(t, guardedOptions{access: func(o *access.ControlOptions) {
		o.Throttle = access.ThrottleOptions{Account: 1, AccountEvery: time.Hour, MaxDelay: -1}
	}})
	if a := throttled.send(who{name: "bob", password: "a guess"}, http.MethodGet, "/v2/", "", ""); a.status != http.StatusUnauthorized {
		t.Fatalf("the first wrong password: %s", a)
	}
	ways["throttled"] = []way{{"Basic, HTTP/1.1", g.as("bob"), false}, {"Basic, HTTP/2", who{name: "bob", password: g.passwords["bob"], http2: true}, false}, {"token, HTTP/1.1", g.as("bob"), true}}
	cells, n := 0, 0
	for _, line := range lines {
		var visible []string
		for i, rights := range line[1:] {
			if strings.Contains(rights, "r") && repos[i] != "team/none" {
				visible = append(visible, repos[i])
			}
		}
		slices.Sort(visible)
		site := g
		if line[0] == "throttled" {
			site = throttled
		}
		if _, ok := ways[line[0]]; !ok {
			t.Errorf("%s is in the table, and nobody plays it", line[0])
		}
		for _, way := range ways[line[0]] {
			t.Run(line[0]+" by "+way.name, func(t *testing.T) {
				p := player{t: t, guarded: site, way: way, account: line[0] != "anonymous", tokens: map[string]fetched{}, visible: visible}
				for i, repo := range repos {
					if _, err := strconv.Atoi(line[1+i]); err == nil && repo != "public/app" && repo != "bob/app" {
						continue // it is the same everywhere, and passwords take their time
					}
					for _, d := range deeds() {
						n++
						if p.play(d, repo, line[1+i], n) {
							cells++
						}
					}
				}
			})
		}
	}
	t.Logf("%d cells", cells)
	if cells < 500 {
		t.Errorf("%d cells; there ought to be 500 at least", cells)
	}
	g.checkSecrets(slices.Collect(maps.Values(forged)))
}

// player plays a line of the table by one way.
type player struct {
	t *testing.T
	*guarded
	way     way
	account bool
	tokens  map[string]fetched // by scope
	visible []string           // what lists show
}

// play sends a request in a repository. It reports false for what is the same in each repository and was done in another one.
func (p *player) play(d deed, repo, rights string, n int) bool {
	if !strings.Contains(d.send, "$") && repo != "public/app" {
		return false
	}
	send := strings.NewReplacer("$R", "/v2/"+repo, "$N", strconv.Itoa(n)).Replace(d.send)
	if strings.Contains(send, "$U") {
		u, err := p.registry.StartUpload(repo, "")
		if err != nil {
			p.t.Fatal(err)
		}
		send = strings.Replace(send, "$U", "/v2/"+repo+"/blobs/uploads/"+u.ID+"?_state="+u.Value, 1)
	}
	if d.needs == "m" && repo != "team/none" {
		p.holds(repo, image(), fmt.Sprintf("moves-%d", n))
	}
	w := p.way.who
	var got answer
	if p.way.fetches {
		scope := d.scope(repo)
		f, ok := p.tokens[scope]
		if !ok {
			f = p.fetch(w, url.Values{"scope": {scope}})
			p.tokens[scope] = f
		}
		got = f.answer
		w = who{bearer: f.Token, http2: w.http2}
	}
	method, path, _ := strings.Cut(send, " ")
	if !p.way.fetches || w.bearer != "" {
		kind := ""
		if strings.Contains(send, "/manifests/") {
			kind = v1.MediaTypeImageManifest
		}
		got = p.send(w, method, path, kind, d.body)
	}
	want := d.want(rights, repo, p.account, p.account || p.way.fetches)
	text := strconv.Itoa(got.status)
	if got.status >= 400 && got.codes() != "" {
		text += " " + got.codes()
	}
	if p.way.fetches && w.bearer == "" {
		text, want = text[:3], want[:3]
	}
	if text != want {
		p.t.Errorf("%s in %s, who may %s there: got %s, want %s\n%s", d.name, repo, rights, text, want, got)
	}
	p.checkRefusal(got, method)
	if d.needs == "list" && got.status == http.StatusOK && method == http.MethodGet {
		p.checkList(got)
	}
	return true
}

// checkRefusal looks at what each answer of 401 and 429 has to have.
func (p *player) checkRefusal(a answer, method string) {
	p.t.Helper()
	challenge := a.header.Get("WWW-Authenticate")
	if (a.status == http.StatusUnauthorized) != (challenge != "") {
		p.t.Errorf("the challenge is %q: %s", challenge, a)
	}
	if a.status == http.StatusTooManyRequests && a.header.Get("Retry-After") == "" {
		p.t.Errorf("no Retry-After: %s", a)
	}
	if a.status >= 400 && (a.header.Get("Content-Type") != "application/json" || a.header.Get("Docker-Distribution-Api-Version") != "registry/2.0") {
		p.t.Errorf("headers of an error: %s", a)
	}
	if a.status >= 400 && method != http.MethodHead && a.codes() == "" {
		p.t.Errorf("an error without a code: %s", a)
	}
}

// checkList compares a list with what may be seen.
func (p *player) checkList(a answer) {
	p.t.Helper()
	var body struct {
		Repositories []string
		Results      []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil {
		p.t.Fatal(err)
	}
	got := body.Repositories
	for _, r := range body.Results {
		got = append(got, r.Name)
	}
	if !slices.Equal(got, p.visible) {
		p.t.Errorf("the list shows %q, want %q", got, p.visible)
	}
}

// checkSecrets looks for secrets in the logs.
func (g *guarded) checkSecrets(more []string) {
	g.t.Helper()
	secrets := append(more, g.key, g.scopedKey)
	for name, p := range g.passwords {
		secrets = append(secrets, p, base64.StdEncoding.EncodeToString([]byte(name+":"+p)))
	}
	logs := g.log.String() + g.audit.String()
	if strings.Count(logs, "\n") < 500 || !strings.Contains(g.audit.String(), `"bob"`) {
		g.t.Errorf("the logs have %d lines: were they written?", strings.Count(logs, "\n"))
	}
	for _, s := range secrets {
		for _, part := range strings.Split(s, ".") { // of a token the signature is what nobody may learn; none of it is of use in a log
			if len(part) > 8 && strings.Contains(logs, part) {
				g.t.Errorf("the logs tell a secret: %.12s…", part)
			}
		}
	}
	for _, word := range []string{"Authorization", "Basic ", "Bearer ", "eyJ", access.KeyPrefix, token.RefreshPrefix} {
		if i := strings.Index(logs, word); i >= 0 {
			g.t.Errorf("the logs have %q: %.200s", word, logs[max(i-100, 0):])
		}
	}
}
