package api

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/registry"
)

// right is what a client needs for a request. The table of routes has one for each.
type right int

// The rights.
const (
	anyone  right = iota // nothing: nobody is asked who he is
	logsIn               // credentials that are good
	lists                // nothing, but what is listed is what the client may pull
	reads                // pull
	looks                // pull or push: what a push looks for, too
	pushes               // push
	uploads              // push, to go on with an upload that has begun: its time is not over when a token's is
	deletes              // delete
)

// readsBy is what GET and HEAD of content need.
func readsBy(method string) right {
	if method == http.MethodHead {
		return looks
	}
	return reads
}

// actions are those of which a client has to be allowed one.
func (n right) actions() []access.Action {
	switch n {
	case reads:
		return []access.Action{access.Pull}
	case looks:
		return []access.Action{access.Pull, access.Push}
	case pushes, uploads:
		return []access.Action{access.Push}
	case deletes:
		return []access.Action{access.Delete}
	}
	return nil
}

// writes reports whether who may not do it is told so. To who may not read, a repository is not there.
func (n right) writes() bool { return n == pushes || n == uploads || n == deletes }

// scope is what a token has to be asked for, https://distribution.github.io/distribution/spec/auth/scope/; "" for a login.
func (n right) scope(repo string, query url.Values) string {
	switch n {
	case lists:
		return "registry:catalog:*"
	case reads, looks:
		return "repository:" + repo + ":pull"
	case pushes, uploads:
		scope := "repository:" + repo + ":pull,push"
		if from := query.Get("from"); n == pushes && query.Has("mount") && from != repo && registry.CheckName(from) == nil {
			scope += " repository:" + from + ":pull"
		}
		return scope
	case deletes:
		return "repository:" + repo + ":pull,delete"
	}
	return ""
}

// nameUnknown is the answer about a repository that is not there, as the registry gives it; and about one that the client may not know of.
func nameUnknown(repo string) error {
	return &registry.Error{Code: registry.NameUnknown, Message: "repository name not known to registry", Detail: map[string]any{"name": repo}}
}

// challenge asks for credentials. problem is the error of RFC 6750, section 3.1; "" for none.
func (s *server) challenge(r *http.Request, scope, problem string) string {
	var b strings.Builder
	add := func(name, value string) {
		if value != "" {
			if b.Len() > 0 {
				b.WriteByte(',')
			}
			b.WriteString(name + `="` + value + `"`)
		}
	}
	service := s.service(r)
	if s.options.Challenge.Basic {
		return `Basic realm="` + service + `"`
	}
	add("realm", s.realm(r))
	add("service", service)
	add("scope", scope)
	add("error", problem)
	return "Bearer " + b.String()
}

// service is the name by which the client knows this registry.
func (s *server) service(r *http.Request) string {
	if s.options.Challenge.Service != "" {
		return s.options.Challenge.Service
	}
	if u, err := url.Parse(s.options.PublicURL); err == nil && u.Host != "" {
		return strings.ToLower(u.Host)
	}
	return s.host(r)
}

// realm is where it fetches tokens.
func (s *server) realm(r *http.Request) string {
	switch {
	case s.options.Challenge.Realm != "":
		return s.options.Challenge.Realm
	case s.options.PublicURL != "":
		return s.options.PublicURL + tokenPath
	}
	return s.scheme(r) + "://" + s.host(r) + tokenPath
}

// host is the one that the client asked, as far as that is known.
func (s *server) host(r *http.Request) string {
	host := r.Host
	if contains(s.options.TrustedProxies, parseAddr(r.RemoteAddr)) {
		if told := forwarded(r.Header, "host", "X-Forwarded-Host"); told != "" && !strings.ContainsFunc(told, notInHost) {
			host = told
		}
	}
	return strings.ToLower(host)
}

func notInHost(c rune) bool {
	return (c < 'a' || 'z' < c) && (c < 'A' || 'Z' < c) && (c < '0' || '9' < c) && !strings.ContainsRune("-._~:[]", c)
}

// scheme is the one by which the client came. Anyone may say that it was https: who lies gets a URL that he can't use, and
// behind a proxy that nobody told us of no password goes out in clear.
func (s *server) scheme(r *http.Request) string {
	if r.TLS != nil || strings.EqualFold(forwarded(r.Header, "proto", "X-Forwarded-Proto"), "https") {
		return "https"
	}
	return "http"
}

// forwarded is what the proxy that the client came to has noted: a parameter of Forwarded (RFC 7239), or a header.
func forwarded(h http.Header, parameter, header string) string {
	for element := range strings.SplitSeq(h.Get("Forwarded"), ",") {
		for pair := range strings.SplitSeq(element, ";") {
			if name, value, _ := strings.Cut(strings.TrimSpace(pair), "="); strings.EqualFold(name, parameter) {
				return strings.Trim(value, `"`)
			}
		}
	}
	first, _, _ := strings.Cut(h.Get(header), ",")
	return strings.TrimSpace(first)
}
