package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/acme"
)

// Source gives out server certificates: a [Local], [Files] or an [ACME].
type Source interface {
	// Certificate returns the one for a client that greets so.
	Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// ConfigOptions say what is asked of TLS connections. The zero value is TLS 1.2 and 1.3 with the suites of crypto/tls, and nothing is asked of
// clients.
type ConfigOptions struct {
	MinVersion uint16   // such as tls.VersionTLS13. Default: TLS 1.2
	Suites     []uint16 // of TLS 1.2; those of 1.3 can't be chosen. Default: those that crypto/tls takes for safe

	// ClientCAs sign the certificates of clients. Nil: no client is asked for one. A client that shows one has to have it from one of them;
	// with ClientRequired, each client has to.
	ClientCAs      *x509.CertPool
	ClientRequired bool
}

// Config makes the configuration of a server whose certificates come from s. Clients may ask for HTTP/2. Those of an ACME server, which
// proves with a handshake that the name leads here, are asked for no certificate.
func Config(s Source, o ConfigOptions) *tls.Config {
	c := &tls.Config{
		GetCertificate: s.Certificate,
		NextProtos:     []string{"h2", "http/1.1"},
		MinVersion:     max(o.MinVersion, tls.VersionTLS12),
		CipherSuites:   o.Suites,
	}
	var forChallenges *tls.Config
	if _, ok := s.(*ACME); ok {
		forChallenges = c.Clone()
		forChallenges.NextProtos = []string{acme.ALPNProto}
		forChallenges.CipherSuites, forChallenges.MinVersion = nil, tls.VersionTLS12
	}
	if o.ClientCAs != nil {
		c.ClientCAs, c.ClientAuth = o.ClientCAs, tls.VerifyClientCertIfGiven
		if o.ClientRequired {
			c.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	if forChallenges != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if challenge(hello) {
				return forChallenges, nil
			}
			return nil, nil
		}
	}
	return c
}

// ReadPool reads the certificates of CAs from a PEM file.
func ReadPool(file string) (*x509.CertPool, error) {
	body, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(body) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return pool, nil
}

// Suite finds a cipher suite of TLS 1.2 by its name, such as TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256. The error lists all that are safe.
func Suite(name string) (uint16, error) {
	var known []string
	for _, s := range tls.CipherSuites() {
		if !slices.Contains(s.SupportedVersions, tls.VersionTLS12) {
			if s.Name == name {
				return 0, fmt.Errorf("%s is of TLS 1.3, whose suites are all safe and can't be chosen", name)
			}
			continue
		}
		if s.Name == name {
			return s.ID, nil
		}
		known = append(known, s.Name)
	}
	return 0, fmt.Errorf("%q is not a safe cipher suite of TLS 1.2; those are %s", name, strings.Join(known, ", "))
}
