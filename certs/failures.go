package certs

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// errNoCertificate ends handshakes where there is no certificate.
var errNoCertificate = errors.New("the client speaks TLS, and the registry has no certificate")

// How often a client's failures are told, and how many clients are remembered. Lines about more clients than that in a minute would
// help nobody.
const (
	failurePause = time.Minute
	maxFailing   = 1000
)

// failures logs handshakes that failed, once for each client and minute.
type failures struct {
	log    *slog.Logger
	advice string
	now    func() time.Time
	mu     sync.Mutex
	told   map[netip.Addr]time.Time
}

func newFailures(log *slog.Logger, advice string) *failures {
	return &failures{log: log, advice: advice, now: time.Now, told: map[netip.Addr]time.Time{}}
}

// note logs a failed handshake, unless one of the same client was logged within the last minute.
func (f *failures) note(c net.Conn, name string, err error) {
	remote, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return
	}
	client := remote.AddrPort().Addr().Unmap()
	if !f.first(client) {
		return
	}
	if name == "" {
		name = "none: it connects to an address, such as " + c.LocalAddr().String()
	}
	f.log.Warn("a TLS connection failed", "client", client.String(), "name", name, "err", err.Error(), "fix", f.fix(err))
}

// first reports whether there is nothing about the client within the last minute.
func (f *failures) first(client netip.Addr) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if at, ok := f.told[client]; ok && now.Sub(at) < failurePause {
		return false
	}
	if len(f.told) >= maxFailing {
		for c, at := range f.told {
			if now.Sub(at) >= failurePause {
				delete(f.told, c)
			}
		}
		if len(f.told) >= maxFailing {
			return false
		}
	}
	f.told[client] = now
	return true
}

// fix says what to do about an error. crypto/tls has no types for the alerts that a client sends; the words are those of its alertText.
func (f *failures) fix(err error) string {
	text := err.Error()
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	remote := has("remote error")
	switch {
	case errors.Is(err, errNoCertificate):
		return f.advice
	case remote && has("certificate authority", "bad certificate", "unknown certificate"),
		// What OpenSSL says of an unknown CA in TLS 1.3 comes in clear, where crypto/tls expects it encrypted.
		has("bad record MAC"):
		return f.advice
	case remote && has("expired certificate"):
		return "the client takes the certificate for outdated: compare the clocks of both machines"
	case remote && has("protocol version"), has("unsupported versions"):
		return "the client is too old for tls.min_version"
	case has("no cipher suite", "handshake failure"):
		return "client and registry share no cipher suite: see tls.suites"
	case has("didn't provide a certificate", "failed to verify certificate"):
		return "tls.clients.mode is require: give the client a certificate that tls.clients.ca has signed"
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), has("connection reset"):
		return "the client hung up, as some do that do not trust a certificate. " + f.advice
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "the client did not go on within http.header_timeout"
	}
	return "nothing, unless the client is one of yours: then see what it says itself"
}
