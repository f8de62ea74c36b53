package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// ACMEOptions are the settings of an [ACME].
type ACMEOptions struct {
	Hosts     []string       // names for which certificates are asked
	Email     string         // told to the ACME server, which may warn there; may be ""
	Directory string         // URL. "": Let's Encrypt
	Roots     *x509.CertPool // of the ACME server's own certificate. Nil: those of the system
	Log       *slog.Logger   // nil: slog.Default()
}

// ACME gets certificates from an ACME server (RFC 8555), such as Let's Encrypt, and renews them when a third of their life is left. They
// are kept in a [Keep]: replicas share them, and any replica can answer what the ACME server asks of another one, at port 80
// (HTTP-01) or 443 (TLS-ALPN-01, RFC 8737), whichever leads to the registry.
type ACME struct {
	manager *autocert.Manager
	options ACMEOptions
}

// NewACME makes an ACME. Whoever uses it agrees to the terms of the ACME server. ErrNoSecret if keep may not hold private keys.
func NewACME(keep *Keep, o ACMEOptions) (*ACME, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	for _, h := range o.Hosts {
		if err := CheckACMEHost(h); err != nil {
			return nil, err
		}
	}
	if len(o.Hosts) == 0 {
		return nil, errors.New("no names are given for which to ask")
	}
	if _, err := keep.seal("", nil); err != nil {
		return nil, err
	}
	client := &acme.Client{DirectoryURL: o.Directory, UserAgent: "longshore"}
	if o.Directory == "" {
		client.DirectoryURL = autocert.DefaultACMEDirectory
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12}
	client.HTTPClient = &http.Client{Transport: transport, Timeout: time.Minute}
	a := &ACME{options: o, manager: &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      newACMEStore(keep),
		HostPolicy: autocert.HostWhitelist(o.Hosts...),
		Email:      o.Email,
		Client:     client,
	}}
	a.manager.HTTPHandler(nil) // from here on it uses HTTP-01 too
	return a, nil
}

// CheckACMEHost reports what is wrong with a name for which a certificate is to be asked.
func CheckACMEHost(h string) error {
	if err := CheckHost(h); err != nil {
		return err
	}
	if _, err := netip.ParseAddr(h); err == nil || strings.HasPrefix(h, "*") || !strings.Contains(h, ".") {
		return fmt.Errorf("%q: certificates by ACME are for whole names, such as registry.example.com, not for addresses, and without *", h)
	}
	return nil
}

// Certificate returns the certificate for the name that the client wants, and for a client that wants none, or another one, that of the
// first host: then it is the client who says that the name is wrong. If there is none yet it is asked for, which takes seconds.
func (a *ACME) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if challenge(hello) || slices.ContainsFunc(a.options.Hosts, func(h string) bool { return strings.EqualFold(h, hello.ServerName) }) {
		return a.manager.GetCertificate(hello)
	}
	other := *hello
	other.ServerName = a.options.Hosts[0]
	return a.manager.GetCertificate(&other)
}

// challenge reports whether the ACME server greets.
func challenge(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acme.ALPNProto
}

// challengePath begins the paths at which an ACME server looks (RFC 8555, section 8.3).
const challengePath = "/.well-known/acme-challenge/"

// Handler answers what the ACME server asks for below /.well-known/acme-challenge/, and passes all else on.
func (a *ACME) Handler(next http.Handler) http.Handler {
	answers := a.manager.HTTPHandler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, challengePath) {
			next.ServeHTTP(w, r)
			return
		}
		// Servers within an organisation may ask at another port than 80, which autocert takes for a part of the name.
		asked := *r
		asked.Host = hostOnly(r.Host)
		answers.ServeHTTP(w, &asked)
	})
}

// Run gets the certificates of all hosts, so that no client has to wait, and tries again where that fails, until ctx ends. What is there
// is renewed whether Run runs or not.
func (a *ACME) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, host := range a.options.Hosts {
		all.Go(func() { a.get(ctx, host) })
	}
	all.Wait()
}

// Pauses between attempts: Let's Encrypt allows 5 failures for a name in an hour,
// https://letsencrypt.org/docs/rate-limits/#authorization-failures-per-identifier-per-account.
const (
	firstPause = 2 * time.Minute
	longPause  = time.Hour
)

func (a *ACME) get(ctx context.Context, host string) {
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, longPause) {
		c, err := a.manager.GetCertificate(modern(host))
		if err == nil {
			a.options.Log.Info("a certificate by ACME", "name", host, "until", c.Leaf.NotAfter.Format(time.DateOnly))
			return
		}
		a.options.Log.Error("no certificate by ACME yet", "name", host, "err", err, "again_in", pause.String(),
			"fix", "the ACME server has to reach this registry at "+host+", port 443 or port 80, which may lead to another port here")
		wait := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
	}
}

// modern is the greeting of a client that takes ECDSA.
func modern(host string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		ServerName:        host,
		SupportedVersions: []uint16{tls.VersionTLS13},
		SignatureSchemes:  []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
		SupportedCurves:   []tls.CurveID{tls.CurveP256},
		CipherSuites:      []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	}
}
