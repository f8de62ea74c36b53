package certs

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// LocalOptions are the settings of a [Local]. The zero value of each field means its default.
type LocalOptions struct {
	// Hosts are names and addresses by which clients know the registry, beside those of the machine.
	Hosts []string

	// Life is how long a certificate is good for. Default 90 days. It is renewed when a third of it is left.
	Life time.Duration

	// Log gets a line for each new certificate. Default slog.Default().
	Log *slog.Logger

	// machine says by which names and addresses the machine is known, full its whole name as the name server has it ("" if that does not
	// answer), and now what time it is.
	machine func() names
	full    func(context.Context) string
	now     func() time.Time
}

// Local makes the server's certificates itself: one at a time, for all names and addresses of this machine. Its key is in memory
// only; each process has its own, signed by the CA that all replicas share.
type Local struct {
	authority *Authority
	options   LocalOptions
	hosts     names  // of the options
	full      string // what options.full said last; only Run changes it
	current   atomic.Pointer[tls.Certificate]
}

// NewLocal makes a first certificate. An error concerns the hosts.
func NewLocal(a *Authority, o LocalOptions) (*Local, error) {
	o.Life = cmp.Or(o.Life, 90*24*time.Hour)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.machine == nil {
		o.machine = machineNames
	}
	if o.full == nil {
		o.full = fullName
	}
	if o.now == nil {
		o.now = time.Now
	}
	l := &Local{authority: a, options: o}
	for _, h := range o.Hosts {
		if err := CheckHost(h); err != nil {
			return nil, err
		}
		l.hosts.add(h)
	}
	return l, l.renew()
}

// CheckHost reports what is wrong with a name or address for a certificate: it may not be a URL or have a port.
func CheckHost(h string) error {
	if _, err := netip.ParseAddr(h); err == nil {
		return nil
	}
	if _, err := netip.ParseAddrPort(h); err == nil || strings.Contains(h, "/") {
		return fmt.Errorf("%q is not a host name or address: leave out scheme and port", h)
	}
	if host, _, err := net.SplitHostPort(h); err == nil {
		return fmt.Errorf("%q has a port; write %s", h, host)
	}
	for label := range strings.SplitSeq(strings.TrimPrefix(h, "*."), ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return fmt.Errorf("%q is not a host name", h)
		}
	}
	if len(h) > 253 {
		return fmt.Errorf("%q is not a host name: it is too long", h)
	}
	return nil
}

// Authority is the CA that signs.
func (l *Local) Authority() *Authority { return l.authority }

// Names are the names and addresses in the certificate, names first.
func (l *Local) Names() []string {
	leaf := l.current.Load().Leaf
	all := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		all = append(all, ip.String())
	}
	return all
}

// Covers reports whether the certificate is good for a name or an address.
func (l *Local) Covers(host string) bool {
	return l.current.Load().Leaf.VerifyHostname(host) == nil
}

// Certificate returns the certificate, which is the same for all clients.
func (l *Local) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return l.current.Load(), nil
}

// lookEvery is how often Run looks whether the machine's addresses have changed.
const lookEvery = 30 * time.Second

// Run replaces the certificate before it ends, and when the machine's names and addresses change, until ctx ends. Connections that there are
// stay as they are.
func (l *Local) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		// The first certificate does without the name server: nobody should wait for that at the start. And one that does not answer for a
		// while is no reason to forget the name.
		if full := l.options.full(ctx); full != "" {
			l.full = full
		}
		if err := l.renew(); err != nil {
			l.options.Log.Error("the server's certificate could not be renewed; the old one stays", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// renew makes a new certificate if it is time for one, or if names have changed.
func (l *Local) renew() error {
	want, now := l.options.machine(), l.options.now()
	if l.full != "" {
		want.add(l.full)
	}
	want.hosts = append(want.hosts, l.hosts.hosts...)
	want.addresses = append(want.addresses, l.hosts.addresses...)
	want.sort()
	old := l.current.Load()
	if old != nil && sameNames(old, want) &&
		(old.Leaf.NotAfter.Sub(now) > l.options.Life/3 || old.Leaf.NotAfter.Equal(l.authority.Certificate.NotAfter)) { // which is as long as it can be
		return nil
	}
	made, err := l.authority.issue(want, now, l.options.Life)
	if err != nil {
		return err
	}
	l.current.Store(made)
	level := slog.LevelInfo
	if old == nil {
		level = slog.LevelDebug
	}
	l.options.Log.Log(context.Background(), level, "a new certificate for this server", "names", strings.Join(l.Names(), " "), "until", made.Leaf.NotAfter.Format(time.DateOnly))
	if left := l.authority.Certificate.NotAfter.Sub(now); left < 365*24*time.Hour {
		l.options.Log.Warn("the CA of this registry ends soon, and clients will have to trust a new one", "until", l.authority.Certificate.NotAfter.Format(time.DateOnly),
			"fix", "delete certs/ca.crt and certs/ca.key in the store, restart all replicas and install the new CA in the clients")
	}
	return nil
}

func sameNames(c *tls.Certificate, n names) bool {
	return slices.Equal(c.Leaf.DNSNames, n.hosts) &&
		slices.EqualFunc(c.Leaf.IPAddresses, n.addresses, func(ip net.IP, a netip.Addr) bool { return ip.String() == a.String() })
}

// maxAddresses bounds what goes into a certificate: some machines have an address for each container.
const maxAddresses = 200

// fullName is the host name with its domain.
func fullName(ctx context.Context) string {
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	full, err := net.DefaultResolver.LookupCNAME(ctx, host)
	if full = strings.TrimSuffix(full, "."); err != nil || CheckHost(full) != nil {
		return ""
	}
	return full
}

// machineNames are the host name as it is set and without its domain, its mDNS name, localhost, and all addresses.
func machineNames() names {
	n := names{hosts: []string{"localhost"}}
	if host, err := os.Hostname(); err == nil && host != "" && CheckHost(host) == nil {
		short, _, _ := strings.Cut(host, ".")
		n.hosts = append(n.hosts, host, short, short+".local")
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		addresses = nil // then those of the settings have to do
	}
	for _, a := range addresses {
		network, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(network.IP)
		// Link-local addresses of IPv6 mean something on their own network interface only.
		if ip = ip.Unmap(); ok && (ip.Is4() || !ip.IsLinkLocalUnicast()) && len(n.addresses) < maxAddresses {
			n.addresses = append(n.addresses, ip)
		}
	}
	n.addresses = append(n.addresses, netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback())
	return n
}

// add takes a name or an address.
func (n *names) add(host string) {
	if ip, err := netip.ParseAddr(host); err == nil {
		n.addresses = append(n.addresses, ip.Unmap().WithZone(""))
		return
	}
	n.hosts = append(n.hosts, host)
}

func (n *names) sort() {
	for i, h := range n.hosts {
		n.hosts[i] = strings.ToLower(h)
	}
	slices.Sort(n.hosts)
	n.hosts = slices.Compact(n.hosts)
	slices.SortFunc(n.addresses, netip.Addr.Compare)
	n.addresses = slices.Compact(n.addresses)
}
