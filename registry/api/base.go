package api

import (
	"net/http"
	"net/netip"
	"strings"
)

// Base is the URL under which the client of a request knows the registry, without a slash at its end: PublicURL or, without one, by the host and scheme
// that the client used.
func (o Options) Base(r *http.Request) string {
	if o.PublicURL != "" {
		return strings.TrimSuffix(o.PublicURL, "/")
	}
	s := &server{options: o}
	return s.scheme(r) + "://" + s.host(r)
}

// Client is the address of a request's client, behind TrustedProxies; the zero Addr if it is not known.
func (o Options) Client(r *http.Request) netip.Addr {
	return (&server{options: o}).client(r)
}
