package cli

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// announce says what is served, where the images are, who can reach them, how to push a first one and how
// to stop: in lines for people, or as one line of the log.
func (p program) announce(l loaded, s *security, addr net.Addr, locked bool, log *slog.Logger) {
	f := factsOf(l, addr)
	f.locked = locked
	f.trustIn(s, addr)
	if l.Log.Format != "json" && isTerminal(p.stderr) {
		fmt.Fprint(p.stderr, f.banner())
		return
	}
	var more []any
	if f.fingerprint != "" {
		more = []any{"ca_sha256", f.fingerprint, "trust", f.trust}
	}
	log.With(more...).Info("serving",
		"version", f.version, "addr", addr.String(), "url", f.url(), "storage", f.driver, "images", f.images, "config", f.config,
		"access", f.access(), "push", "docker push "+f.host+"/NAME:TAG", "stop", "SIGTERM")
}

// facts are what a user wants to know first.
type facts struct {
	version string
	listen  string // in words
	host    string // host:port as a client on this machine writes it
	port    string
	public  string // the configured URL, or ""
	driver  string
	images  string // where they are
	config  string // where the settings are from
	local   bool   // clients on other machines can't reach it
	locked  bool   // clients need credentials
	lock    string // the command that locks it, "" if none does
	plain   bool   // docker takes host without being told that it has no TLS

	tls         string // the URL for TLS, "" if there is no certificate
	fingerprint string // of the registry's own CA, "" if there is none
	trust       string // the URL of the page about that
}

// trustIn adds how the registry speaks TLS.
func (f *facts) trustIn(s *security, addr net.Addr) {
	if s.config == nil {
		return
	}
	host := s.publicHost(addr)
	f.tls = "https://" + host
	if s.local != nil {
		f.fingerprint, f.trust = s.local.Authority().Fingerprint(), "http://"+host+"/trust"
	}
}

func factsOf(l loaded, addr net.Addr) facts {
	f := facts{
		version: thisVersion().Version, public: l.HTTP.PublicURL, driver: l.driver.Name, images: l.driver.place(),
		config: l.origin(), listen: addr.String(), host: addr.String(),
	}
	if l.Access.Users.Enabled && l.driver.Name != "memory" {
		f.lock = "longshore user add " + configArg(l.file) + "NAME"
	}
	bound, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return f
	}
	f.port = strconv.Itoa(int(bound.Port()))
	ip := bound.Addr().Unmap()
	f.local = ip.IsLoopback()
	f.plain = ip.IsLoopback() || ip.IsUnspecified()
	switch {
	case ip.IsUnspecified():
		f.listen = "port " + f.port + " of all addresses of this machine"
		f.host = "localhost:" + f.port
	case ip == netip.MustParseAddr("127.0.0.1"):
		f.host = "localhost:" + f.port
	}
	return f
}

func (f facts) url() string {
	if f.public != "" {
		return f.public
	}
	return "http://" + f.host
}

func (f facts) access() string {
	who := "anyone who can reach port " + f.port + " can read and write"
	switch {
	case f.locked:
		return "clients need credentials"
	case f.local:
		who = "anyone on this machine can read and write"
	}
	if f.lock == "" {
		return who
	}
	return who + ": run " + f.lock + " to lock"
}

// banner is what people read in a terminal.
func (f facts) banner() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("longshore %s", f.version)
	line("  serving   %s (%s)", f.url(), f.listen)
	line("  images    %s", f.images)
	line("  settings  %s", f.config)
	line("  access    %s", f.access())
	if f.tls != "" {
		line("  tls       %s", f.tls)
	}
	if f.fingerprint != "" {
		line("  trust     %s shows the line for each client, and so does longshore trust", f.trust)
		line("  CA        SHA-256 %s", f.fingerprint)
	}
	line("Push a first image:")
	line("  docker pull alpine && docker tag alpine %[1]s/alpine && docker push %[1]s/alpine", f.host)
	line("  podman pull docker.io/alpine && podman push --tls-verify=false docker.io/alpine %s/alpine", f.host)
	line("  skopeo copy --dest-tls-verify=false docker://alpine docker://%s/alpine", f.host)
	if !f.plain && f.tls == "" {
		line(`  docker needs {"insecure-registries": ["%s"]} in /etc/docker/daemon.json first`, f.host)
	}
	line("Stop with Ctrl+C; uploads under way may finish.")
	return b.String()
}
