package certs

import (
	"crypto/tls"
)

// Source gives out server certificates.
type Source interface {
	// Certificate returns the one for a client that greets so.
	Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// ConfigOptions say what is asked of TLS connections. The zero value is TLS 1.2 and 1.3 with the suites of crypto/tls.
type ConfigOptions struct {
	MinVersion uint16   // such as tls.VersionTLS13. Default: TLS 1.2
	Suites     []uint16 // of TLS 1.2; those of 1.3 can't be chosen. Default: those that crypto/tls takes for safe
}

// Config makes the configuration of a server whose certificates come from s. Clients may ask for HTTP/2.
func Config(s Source, o ConfigOptions) *tls.Config {
	c := &tls.Config{
		GetCertificate: s.Certificate,
		NextProtos:     []string{"h2", "http/1.1"},
		MinVersion:     max(o.MinVersion, tls.VersionTLS12),
		CipherSuites:   o.Suites,
	}
	return c
}
