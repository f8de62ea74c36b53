package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// client is the address that a request comes from. What Forwarded (RFC 7239) and X-Forwarded-For say counts as far as
// each hop that said it is trusted.
func (s *server) client(r *http.Request) netip.Addr {
	addr := parseAddr(r.RemoteAddr)
	hops := forwardedFor(r.Header)
	for addr.IsValid() && len(hops) > 0 && contains(s.options.TrustedProxies, addr) {
		next := parseAddr(hops[len(hops)-1])
		if !next.IsValid() {
			break
		}
		addr, hops = next, hops[:len(hops)-1]
	}
	return addr
}

func contains(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// forwardedFor lists the addresses that proxies have noted, the nearest last.
func forwardedFor(h http.Header) []string {
	var hops []string
	if lines := h.Values("Forwarded"); len(lines) > 0 {
		for element := range strings.SplitSeq(strings.Join(lines, ","), ",") {
			for pair := range strings.SplitSeq(element, ";") {
				name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
				if strings.EqualFold(name, "for") {
					hops = append(hops, strings.Trim(value, `"`))
				}
			}
		}
		return hops
	}
	for _, line := range h.Values("X-Forwarded-For") {
		for hop := range strings.SplitSeq(line, ",") {
			hops = append(hops, strings.TrimSpace(hop))
		}
	}
	return hops
}

// parseAddr reads an address with or without a port or brackets.
func parseAddr(text string) netip.Addr {
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr().Unmap()
	}
	a, _ := netip.ParseAddr(strings.Trim(text, "[]"))
	return a.Unmap()
}

// proxyHeaders are those by which proxies are known.
var proxyHeaders = []string{"Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-Ip"}

// lastOnConnection reports whether the connection has to end with the answer to r. A request with a Content-Length beside its chunks, and one
// of HTTP/1.0 with chunks, has to be the last one (RFC 9112, section 6.1): a proxy that goes by the length would take what follows in
// the body for a part of it, and here it would be the next request, of the next client. net/http drops the
// length unseen, so chunks that a proxy passes on are always the last; to a proxy a new connection costs little.
func lastOnConnection(r *http.Request) bool {
	if r.ProtoMajor != 1 {
		return false
	}
	return r.ProtoMinor == 0 || len(r.TransferEncoding) > 0 && slices.ContainsFunc(proxyHeaders, func(name string) bool { return r.Header[name] != nil })
}
