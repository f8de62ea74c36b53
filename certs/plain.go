package certs

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Plain says what becomes of requests without TLS.
type Plain string

// The policies. PlainAuto is PlainAllow while the registry is open and PlainLoopback once it is locked: no password crosses the network in
// clear.
const (
	PlainAuto     Plain = "auto"
	PlainAllow    Plain = "allow"
	PlainLoopback Plain = "loopback" // requests from this machine are answered, others refused
	PlainRedirect Plain = "redirect" // GET and HEAD are sent to the same URL with https, others refused
	PlainRefuse   Plain = "refuse"
)

// IsSecure reports whether a request came over TLS: to the registry itself, or to a proxy in front that says so in Forwarded or
// X-Forwarded-Proto and is among those that are trusted, or runs on this machine.
func IsSecure(r *http.Request, proxies []netip.Prefix) bool {
	if r.TLS != nil {
		return true
	}
	proto := forwardedProto(r.Header)
	return proto != "" && strings.EqualFold(proto, "https") && trusted(r, proxies)
}

func trusted(r *http.Request, proxies []netip.Prefix) bool {
	peer := peerOf(r)
	return peer.IsLoopback() || slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(peer) })
}

func peerOf(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// forwardedProto is what the client spoke to the first proxy, "" if none says so.
func forwardedProto(h http.Header) string {
	if line := h.Get("Forwarded"); line != "" {
		first, _, _ := strings.Cut(line, ",")
		for pair := range strings.SplitSeq(first, ";") {
			if name, value, _ := strings.Cut(strings.TrimSpace(pair), "="); strings.EqualFold(name, "proto") {
				return strings.Trim(value, `"`)
			}
		}
	}
	first, _, _ := strings.Cut(h.Get("X-Forwarded-Proto"), ",")
	return strings.TrimSpace(first)
}

// fromHere reports whether a request was made on this machine. One that a proxy on this machine passes on was not.
func fromHere(r *http.Request) bool {
	return peerOf(r).IsLoopback() && r.Header.Get("X-Forwarded-For") == "" && r.Header.Get("Forwarded") == "" && forwardedProto(r.Header) == ""
}

// decision is what becomes of a request.
type decision int

const (
	answer decision = iota
	redirect
	refuse
)

// decide applies a policy to a request that is not secure. locked says whether credentials are needed; if that can't be found out,
// they are.
func (p Plain) decide(r *http.Request, locked func(context.Context) (bool, error)) decision {
	if p == PlainAuto {
		if fromHere(r) {
			return answer
		}
		if is, err := locked(r.Context()); err == nil && !is {
			return answer
		}
		return refuse
	}
	switch {
	case p == PlainAllow, p == PlainLoopback && fromHere(r):
		return answer
	case p == PlainRedirect && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		return redirect
	}
	return refuse
}

// refusal says why a request is refused and what to do, in a sentence for the users of clients, who see nothing else.
func refusal(r *http.Request, proxies []netip.Prefix, hasTLS bool, host string) string {
	switch {
	case strings.EqualFold(forwardedProto(r.Header), "https") && !trusted(r, proxies):
		return "the registry takes no plain HTTP, and does not know the proxy that says that it has spoken TLS to the client: add the proxy's address, " + peerOf(r).String() + ", to http.trusted_proxies"
	case hasTLS:
		return "the registry takes no plain HTTP, so that nobody reads passwords on the way: use https://" + host + "; http://" + host + "/trust tells how clients are made to trust its certificate"
	}
	return "the registry takes no plain HTTP, so that nobody reads passwords on the way, and has no certificate: its operator has to give it one (tls in its configuration), or put a proxy with one in front and name that in http.trusted_proxies"
}

// hostOf is the host, with its port, that a client has asked for; "" if it is not one that may be repeated in commands and URLs.
func hostOf(r *http.Request) string {
	if CheckHostPort(r.Host) != nil {
		return ""
	}
	return r.Host
}

// hostOnly is a host without its port and brackets.
func hostOnly(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return strings.Trim(host, "[]")
}
