package certs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// SiteOptions are the settings of a [Site].
type SiteOptions struct {
	Plain          Plain                               // "" is PlainAuto
	Locked         func(context.Context) (bool, error) // whether the registry asks for credentials; it is asked for each plain request
	TrustedProxies []netip.Prefix                      // whose Forwarded and X-Forwarded-Proto count
	Local          *Local                              // nil if the certificates come from elsewhere, or if there are none
	TLS            bool                                // whether the registry speaks TLS itself
	Host           string                              // for requests that do not say by which host they know the registry; and if it is not "", Public says whether for all
	Public         bool
	HSTS           time.Duration // sent to clients that use TLS. 0: not sent
}

// NewSite is a handler around that of the registry. It serves the page at /trust that tells how clients are made to trust the
// registry, and its CA at /ca.crt, both over plain HTTP too; and applies the policy for plain HTTP to all that next answers, but for
// /livez, /readyz and what ACME servers ask for below /.well-known/acme-challenge/.
func NewSite(next http.Handler, o SiteOptions) http.Handler {
	o.Plain = cmp.Or(o.Plain, PlainAuto)
	if o.Locked == nil {
		o.Locked = func(context.Context) (bool, error) { return false, nil }
	}
	return &site{SiteOptions: o, next: next}
}

type site struct {
	SiteOptions
	next http.Handler
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := s.page(r); h != nil {
		h(w, r)
		return
	}
	secure := IsSecure(r, s.TrustedProxies)
	if secure && s.HSTS > 0 {
		w.Header().Set("Strict-Transport-Security", "max-age="+strconv.FormatInt(int64(s.HSTS/time.Second), 10))
	}
	if secure || exempt(r.URL.Path) {
		s.next.ServeHTTP(w, r)
		return
	}
	switch s.Plain.decide(r, s.Locked) {
	case answer:
		s.next.ServeHTTP(w, r)
	case redirect:
		// 308 keeps the method. The host is the client's own, with the port that speaks both.
		http.Redirect(w, r, "https://"+s.host(r)+r.URL.RequestURI(), http.StatusPermanentRedirect)
	default:
		s.refuse(w, r)
	}
}

// exempt are the paths at which nobody sends a password: those that watch the process, and those of ACME servers.
func exempt(path string) bool {
	return path == "/livez" || path == "/readyz" || strings.HasPrefix(path, challengePath)
}

// page is the handler for a path of the site itself, nil for those of the registry.
func (s *site) page(r *http.Request) http.HandlerFunc {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil
	}
	switch r.URL.Path {
	case "/":
		if wantsPage(r) {
			return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/trust", http.StatusFound) }
		}
	case "/trust":
		return func(w http.ResponseWriter, r *http.Request) { s.writePage(w, r, http.StatusOK, "") }
	case "/ca.crt":
		if s.Local != nil {
			return s.certificate
		}
	}
	return nil
}

// wantsPage reports whether a person with a browser asks.
func wantsPage(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

// host is by which host and port clients know the registry.
func (s *site) host(r *http.Request) string {
	if s.Public {
		return s.Host
	}
	return cmp.Or(hostOf(r), s.Host)
}

func (s *site) certificate(w http.ResponseWriter, _ *http.Request) {
	body := s.Local.Authority().PEM()
	h := w.Header()
	h.Set("Content-Type", "application/x-pem-file") // browsers save it; x-x509-ca-cert would make some offer to trust it at once
	h.Set("Content-Disposition", `attachment; filename="ca.crt"`)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // a client that has gone needs no answer
}

// refuse answers a request that may not come over plain HTTP: with a page for people, else in the form of the OCI distribution spec, section
// "Error Codes".
func (s *site) refuse(w http.ResponseWriter, r *http.Request) {
	message := refusal(r, s.TrustedProxies, s.TLS, s.host(r))
	if wantsPage(r) {
		s.writePage(w, r, http.StatusForbidden, message)
		return
	}
	type line struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(map[string][]line{"errors": {{"DENIED", message}}})
	if err != nil {
		http.Error(w, message, http.StatusForbidden)
		return
	}
	h := w.Header()
	h.Set("Docker-Distribution-Api-Version", "registry/2.0")
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusForbidden)
	_, _ = w.Write(body) // a client that has gone needs no answer
}

//go:embed page.css
var pageCSS string

//go:embed page.html
var pageHTML string

// pageData is what page.html shows.
type pageData struct {
	Guide
	Message  string // why the page is shown instead of what was asked for
	Style    template.CSS
	Local    bool // the registry has a CA of its own
	TLS      bool
	Covered  bool // the certificate is good for Host
	HostOnly string
	Names    []string
	Until    string
	Recipes  []Recipe
}

func (s *site) writePage(w http.ResponseWriter, r *http.Request, status int, message string) {
	d := pageData{Guide: Guide{Host: s.host(r)}, Message: message, Style: template.CSS(pageCSS), Local: s.Local != nil, TLS: s.TLS}
	d.HostOnly, d.Covered = hostOnly(d.Host), true
	if s.Local != nil {
		d.Fingerprint = s.Local.Authority().Fingerprint()
		d.Until = s.Local.Authority().Certificate.NotAfter.Format(time.DateOnly)
		d.Names, d.Covered = s.Local.Names(), s.Local.Covers(d.HostOnly)
	}
	body, err := d.render()
	if err != nil {
		http.Error(w, "the page could not be made; longshore trust prints the same", http.StatusInternalServerError)
		return
	}
	style := sha256.Sum256([]byte(pageCSS))
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", base64.StdEncoding.EncodeToString(style[:])))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone needs no answer
}

func (d pageData) render() ([]byte, error) {
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return nil, err
	}
	if d.Recipes, err = d.Guide.Recipes(); err != nil {
		return nil, err
	}
	if !d.Local { // there is no CA to install
		d.Recipes = nil
	}
	var b bytes.Buffer
	err = t.Execute(&b, d)
	return b.Bytes(), err
}
