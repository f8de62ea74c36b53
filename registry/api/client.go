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
