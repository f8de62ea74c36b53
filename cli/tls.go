package cli

import (
	"context"
	"crypto/rand"
	"crypto/tls"
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

	Cert []string `yaml:"cert" doc:"PEM files with certificates from elsewhere, each with the chain that leads to its CA. Of several the client gets the one for the name that it wants. They are read again when they change. Then the registry makes none itself."`
	Key  []string `yaml:"key" doc:"The PEM files with their keys, in the same order."`

	ACME acmeSettings `yaml:"acme"`

	Clients clientSettings `yaml:"clients"`

	MinVersion string        `yaml:"min_version" enum:"1.2,1.3" doc:"The oldest version of TLS that clients may speak."`
	Suites     []string      `yaml:"suites" doc:"The cipher suites of TLS 1.2 that clients may use, such as TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256. Empty: those that Go takes for safe. Those of TLS 1.3 can't be chosen."`
	HSTS       time.Duration `yaml:"hsts" doc:"Browsers that have been here by TLS use nothing else for that long (Strict-Transport-Security). 0: they are not told."`
}

// acmeSettings say where certificates are asked for.
type acmeSettings struct {
	Hosts     []string `yaml:"hosts" doc:"Names for which certificates are got from an ACME server. It has to reach the registry at port 443 or 80 of each name. With them you agree to the server's terms."`
	Email     string   `yaml:"email" doc:"An address for the ACME server's warnings."`
	Directory string   `yaml:"directory" doc:"The URL of the ACME server's directory. Empty: Let's Encrypt."`
	CA        string   `yaml:"ca" doc:"A PEM file with the CA of the ACME server's own certificate. Empty: those of the system."`
}

// clientSettings say what clients show for themselves.
type clientSettings struct {
	CA   string `yaml:"ca" doc:"A PEM file with the CAs that sign certificates of clients. Empty: clients are not asked for any."`
	Mode string `yaml:"mode" enum:"request,require" doc:"Whether clients may show a certificate, or have to."`
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
	if len(t.Cert) != len(t.Key) {
		errs = append(errs, fmt.Errorf("key: there are %s and %s: each certificate has its own key", plural(len(t.Cert), "certificate"), plural(len(t.Key), "key")))
	}
	if len(t.Cert) > 0 && len(t.ACME.Hosts) > 0 {
		errs = append(errs, errors.New("acme: certificates come from files (cert) or by ACME, not both: leave one out"))
	}
	if _, err := t.suites(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Validate looks at what the types of the fields don't say.
func (a acmeSettings) Validate() error {
	var errs []error
	for _, h := range a.Hosts {
		if err := certs.CheckACMEHost(h); err != nil {
			errs = append(errs, fmt.Errorf("hosts: %w", err))
		}
	}
	if u, err := url.Parse(a.Directory); a.Directory != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		errs = append(errs, fmt.Errorf("directory: %q is not a URL such as https://ca.example.com/acme/directory", a.Directory))
	}
	return errors.Join(errs...)
}

func (t tlsSettings) suites() (all []uint16, err error) {
	for _, name := range t.Suites {
		id, err := certs.Suite(name)
		if err != nil {
			return nil, fmt.Errorf("suites: %w", err)
		}
		all = append(all, id)
	}
	return all, nil
}

// configOptions are the settings of TLS itself.
func (t tlsSettings) configOptions() (certs.ConfigOptions, error) {
	o := certs.ConfigOptions{ClientRequired: t.Clients.Mode == "require"}
	if t.MinVersion == "1.3" {
		o.MinVersion = tls.VersionTLS13
	}
	var err error
	if o.Suites, err = t.suites(); err != nil {
		return o, err
	}
	if t.Clients.CA != "" {
		if o.ClientCAs, err = certs.ReadPool(t.Clients.CA); err != nil {
			return o, fmt.Errorf("tls.clients.ca: %w", err)
		}
	}
	return o, nil
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
	local    *certs.Local // if the registry makes its certificate itself
	acme     *certs.ACME  // if that comes by ACME
	config   *tls.Config  // nil if there is no certificate
	run      func(context.Context)
	log      *slog.Logger
}

// openSecurity finds or makes the certificates. If there can be none, because the store is no place for a key, it says so and the registry speaks
// plain HTTP alone.
func openSecurity(ctx context.Context, l loaded, store drivers.Driver, log *slog.Logger) (*security, error) {
	s := &security{settings: l.settings, log: log, run: func(context.Context) {}}
	if !l.TLS.Enabled {
		return s, nil
	}
	const read = "correct tls in the configuration; docs/tls.md explains it"
	options, err := l.TLS.configOptions()
	if err != nil {
		return nil, adviceError{l.placed(err), read}
	}
	source, err := s.open(ctx, l, store)
	var aboutStore *drivers.Error
	switch {
	case errors.Is(err, certs.ErrNoSecret) && l.TLS.Secret == "" && len(l.TLS.ACME.Hosts) == 0:
		log.Warn("the registry speaks no TLS", "err", err, "fix", secretAdvice())
		return s, nil
	case errors.Is(err, certs.ErrNoSecret):
		return nil, adviceError{fmt.Errorf("the certificates can't be kept: %w", err), secretAdvice()}
	case errors.Is(err, drivers.ErrReadOnly), errors.Is(err, drivers.ErrDenied):
		log.Warn("the registry speaks no TLS: the store takes no new certificate", "err", err)
		return s, nil
	case errors.Is(err, certs.ErrWrongSecret):
		return nil, adviceError{l.placed(fmt.Errorf("tls.secret: %w", err)), "give all replicas the secret that they had before; or delete what lies below certs/ in the store, for a new CA and new certificates"}
	case errors.As(err, &aboutStore):
		return nil, err
	case err != nil:
		return nil, adviceError{l.placed(err), read}
	}
	s.config = certs.Config(source, options)
	return s, nil
}

// open opens where the certificates come from.
func (s *security) open(ctx context.Context, l loaded, store drivers.Driver) (certs.Source, error) {
	if len(l.TLS.Cert) > 0 {
		var pairs []certs.Pair
		for i, c := range l.TLS.Cert {
			pairs = append(pairs, certs.Pair{Cert: c, Key: l.TLS.Key[i]})
		}
		files, err := certs.OpenFiles(pairs, s.log)
		if err != nil {
			return nil, fmt.Errorf("tls.cert: %w", err)
		}
		s.run = files.Run
		return files, nil
	}
	private, err := l.makePrivate()
	if err != nil {
		return nil, err
	}
	keep, err := certs.NewKeep(store, string(l.TLS.Secret), private)
	if err != nil {
		return nil, err
	}
	if len(l.TLS.ACME.Hosts) > 0 {
		return s.openACME(l.TLS.ACME, keep)
	}
	var authority *certs.Authority
	if l.TLS.CACert != "" {
		authority, err = certs.ReadAuthority(l.TLS.CACert, l.TLS.CAKey)
		if err != nil {
			return nil, fmt.Errorf("tls.ca_cert: %w", err)
		}
	} else if authority, err = certs.OpenAuthority(ctx, keep); err != nil {
		return nil, err
	}
	s.local, err = certs.NewLocal(authority, certs.LocalOptions{Hosts: l.TLS.Hosts, Life: l.TLS.Life, Log: s.log})
	if err != nil {
		return nil, err
	}
	s.run = s.local.Run
	return s.local, nil
}

func (s *security) openACME(a acmeSettings, keep *certs.Keep) (certs.Source, error) {
	o := certs.ACMEOptions{Hosts: a.Hosts, Email: a.Email, Directory: a.Directory, Log: s.log}
	var err error
	if a.CA != "" {
		if o.Roots, err = certs.ReadPool(a.CA); err != nil {
			return nil, fmt.Errorf("tls.acme.ca: %w", err)
		}
	}
	if s.acme, err = certs.NewACME(keep, o); err != nil {
		return nil, err
	}
	s.run = s.acme.Run
	return s.acme, nil
}

// makePrivate reports whether nobody else reads what is kept below certs/ in the store. In a folder it sees to that; ErrDenied if it
// can't.
func (l loaded) makePrivate() (bool, error) {
	switch l.driver.Name {
	case "memory":
		return true, nil
	case "fs":
		const mode = 0o700
		folder := filepath.Join(l.value("root"), "certs")
		if info, err := os.Stat(folder); err == nil && info.Mode().Perm() == mode {
			return true, nil
		}
		err := os.MkdirAll(folder, mode)
		if err == nil {
			err = os.Chmod(folder, mode) // it may have been there, made by others
		}
		if err != nil {
			return false, fmt.Errorf("%w: %w", drivers.ErrDenied, err)
		}
		return true, nil
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
	running.Go(func() { s.run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// listen lets the port speak TLS too.
func (s *security) listen(inner *net.TCPListener) net.Listener {
	return certs.Listen(inner, certs.ListenOptions{TLS: s.config, Timeout: s.settings.HTTP.HeaderTimeout, Log: s.log, Advice: s.advice(inner.Addr())})
}

// advice is for the log, about clients whose handshake failed.
func (s *security) advice(addr net.Addr) string {
	host := s.publicHost(addr)
	switch {
	case s.local != nil:
		return "if the client does not trust the registry's CA yet, http://" + host + "/trust and longshore trust show the line that installs it; if it knows the registry by a name or address that the certificate lacks, start longshore with --host NAME or add that to tls.hosts"
	case s.config != nil:
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

// handler adds the page about trust, the policy for plain HTTP and answers for ACME servers to that of the registry. locked says whether the registry
// asks for credentials.
func (s *security) handler(next http.Handler, addr net.Addr, locked func(context.Context) (bool, error)) http.Handler {
	h := certs.NewSite(next, certs.SiteOptions{
		Plain:          certs.Plain(s.settings.HTTP.Plain),
		Locked:         locked,
		TrustedProxies: s.settings.HTTP.TrustedProxies,
		Local:          s.local,
		TLS:            s.config != nil,
		Host:           s.publicHost(addr),
		Public:         s.settings.HTTP.PublicURL != "",
		HSTS:           s.settings.TLS.HSTS,
	})
	if s.acme != nil {
		h = s.acme.Handler(h)
	}
	return h
}
