package cli

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/longshore-registry/longshore/certs"
	"github.com/longshore-registry/longshore/drivers"
)

// tlsSettings say with which certificates the port speaks TLS.
type tlsSettings struct {
	Enabled bool           `yaml:"enabled" doc:"The port speaks TLS beside plain HTTP. Without certificates of tls.cert or tls.acme the registry makes its own."`
	Hosts   []string       `yaml:"hosts" doc:"Names and addresses by which clients know the registry, for the certificate that it makes itself. Those of the machine are in it without being listed here."`
	Secret  drivers.Secret `yaml:"secret" doc:"Encrypts the private keys that are kept in the store; all replicas need the same. At least 32 characters, such as openssl rand -base64 32 makes. Without it keys are kept on fs only, in a folder that nobody else may read."`
	CACert  string         `yaml:"ca_cert" doc:"A PEM file with the certificate of a CA that signs the certificate which the registry makes itself. Empty: the registry makes the CA too, and keeps it in the store."`
	CAKey   string         `yaml:"ca_key" doc:"A PEM file with the key of ca_cert."`
	Life    time.Duration  `yaml:"life" min:"24h" max:"9552h" doc:"How long a certificate that the registry makes itself is good for. It is renewed when a third of that is left."`
}

func (t tlsSettings) Validate() error {
	var errs []error
	for _, h := range t.Hosts {
		if err := certs.CheckHost(h); err != nil {
			errs = append(errs, fmt.Errorf("hosts: %w", err))
		}
	}
	if n := len(t.Secret); n > 0 && n < certs.MinSecret {
		errs = append(errs, fmt.Errorf("secret: too short: at least %d characters; openssl rand -base64 32 makes a good one", certs.MinSecret))
	}
	if (t.CACert == "") != (t.CAKey == "") {
		errs = append(errs, errors.New("ca_key: ca_cert and ca_key belong together: give both or none"))
	}
	return errors.Join(errs...)
}

// addHosts adds what --host says.
func (l loaded) addHosts(hosts []string) error {
	for _, h := range hosts {
		if err := certs.CheckHost(h); err != nil {
			return usageError{fmt.Errorf("--host: %w", err)}
		}
	}
	l.TLS.Hosts = append(l.TLS.Hosts, hosts...)
	return nil
}

// security is how the port speaks TLS.
type security struct {
	settings *settings
	local    *certs.Local // nil if the certificates come from elsewhere, or if there are none
	source   certs.Source // nil if there are none
	log      *slog.Logger
}

// openSecurity finds or makes the certificates. If there can be none, because the store is no place for a key, it says so and the registry speaks
// plain HTTP alone.
func openSecurity(ctx context.Context, l loaded, store drivers.Driver, log *slog.Logger) (*security, error) {
	s := &security{settings: l.settings, log: log}
	if !l.TLS.Enabled {
		return s, nil
	}
	authority, err := openAuthority(ctx, l, store)
	switch {
	case errors.Is(err, certs.ErrNoSecret) && l.TLS.Secret == "":
		log.Warn("the registry makes no certificate: others may read the store, and there is no secret to encrypt the CA's key with", "err", err, "fix", secretAdvice())
		return s, nil
	case errors.Is(err, drivers.ErrReadOnly), errors.Is(err, drivers.ErrDenied):
		log.Warn("the registry makes no certificate: the store takes no writes", "err", err)
		return s, nil
	case errors.Is(err, certs.ErrWrongSecret):
		return nil, fmt.Errorf("tls.secret: %w: give all replicas the one with which the CA was made, or delete certs/ca.crt and certs/ca.key for a new CA", err)
	case err != nil:
		return nil, err
	}
	s.local, err = certs.NewLocal(authority, certs.LocalOptions{Hosts: l.TLS.Hosts, Life: l.TLS.Life, Log: log})
	if err != nil {
		return nil, err
	}
	s.source = s.local
	return s, nil
}

func openAuthority(ctx context.Context, l loaded, store drivers.Driver) (*certs.Authority, error) {
	if l.TLS.CACert != "" {
		return certs.ReadAuthority(l.TLS.CACert, l.TLS.CAKey)
	}
	private, err := l.makePrivate()
	if err != nil {
		return nil, err
	}
	keep, err := certs.NewKeep(store, string(l.TLS.Secret), private)
	if err != nil {
		return nil, err
	}
	return certs.OpenAuthority(ctx, keep)
}

// makePrivate reports whether nobody else reads what is kept below certs/ in the store. In a folder it sees to that.
func (l loaded) makePrivate() (bool, error) {
	switch l.driver.Name {
	case "memory":
		return true, nil
	case "fs":
		folder := filepath.Join(l.value("root"), "certs")
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return false, err
		}
		return true, os.Chmod(folder, 0o700)
	}
	return false, nil
}

// secretAdvice has a new secret in it, to be pasted.
func secretAdvice() string {
	b := make([]byte, 32)
	rand.Read(b)
	return "give all replicas the same tls.secret, such as this one, which was made at random: LONGSHORE_TLS_SECRET=" + base64.StdEncoding.EncodeToString(b) +
		"; or certificates with tls.cert or tls.acme; or set tls.enabled to false, if a proxy in front speaks TLS"
}

// inBackground keeps the certificates new until the function that it returns is called.
func (s *security) inBackground(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	if s.local != nil {
		running.Go(func() { s.local.Run(ctx) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// listen lets the port speak TLS too.
func (s *security) listen(inner *net.TCPListener) net.Listener {
	o := certs.ListenOptions{Timeout: s.settings.HTTP.HeaderTimeout, Log: s.log, Advice: s.advice(inner.Addr())}
	if s.source != nil {
		o.TLS = certs.Config(s.source, certs.ConfigOptions{})
	}
	return certs.Listen(inner, o)
}

// advice is for the log, about clients whose handshake failed.
func (s *security) advice(addr net.Addr) string {
	host := s.publicHost(addr)
	switch {
	case s.local != nil:
		return "if the client does not trust the registry's CA yet, http://" + host + "/trust and longshore trust show the line that installs it; if it knows the registry by a name or address that the certificate lacks, start longshore with --host NAME or add that to tls.hosts"
	case s.source != nil:
		return "the client has to trust the CA that has signed the certificate, and to know the registry by a name in it"
	}
	return `the registry has no certificate: give it one (see tls in the configuration), or let the client speak plain HTTP; docker does with {"insecure-registries": ["` + host + `"]} in /etc/docker/daemon.json`
}

// publicHost is host:port as clients on other machines write it, as far as it is known.
func (s *security) publicHost(addr net.Addr) string {
	if u, err := url.Parse(s.settings.HTTP.PublicURL); err == nil && u.Host != "" {
		return u.Host
	}
	at, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return addr.String()
	}
	port := fmt.Sprint(at.Port())
	for _, h := range s.settings.TLS.Hosts {
		if !strings.HasPrefix(h, "*") {
			return net.JoinHostPort(h, port)
		}
	}
	if host, err := os.Hostname(); err == nil && at.Addr().IsUnspecified() && certs.CheckHost(host) == nil {
		return net.JoinHostPort(host, port)
	}
	return addr.String()
}

// handler adds the page about trust and the policy for plain HTTP to that of the registry.
func (s *security) handler(next http.Handler, addr net.Addr) http.Handler {
	return certs.NewSite(next, certs.SiteOptions{
		Plain:          certs.Plain(s.settings.HTTP.Plain),
		TrustedProxies: s.settings.HTTP.TrustedProxies,
		Local:          s.local,
		TLS:            s.source != nil,
		Host:           s.publicHost(addr),
		Public:         s.settings.HTTP.PublicURL != "",
	})
}
