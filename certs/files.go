package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// Pair is a certificate, with the chain that leads to its CA, and its key: two PEM files.
type Pair struct{ Cert, Key string }

// Files gives out certificates from files, which are read again when they change.
type Files struct {
	pairs   []Pair
	log     *slog.Logger
	current atomic.Pointer[[]*tls.Certificate] // one for each pair
	seen    []stamps                           // of what is in current, or could not be loaded; only look uses it
	before  []stamps                           // of the last look
	warned  []time.Time
}

// stamps tell whether a pair of files has changed. Kubernetes puts another file behind the same name, others write into it.
type stamps struct{ cert, key stamp }

type stamp struct {
	size    int64
	changed time.Time
	inode   uint64
}

// OpenFiles reads all pairs. It is an error if one can't be used. log may be nil.
func OpenFiles(pairs []Pair, log *slog.Logger) (*Files, error) {
	if log == nil {
		log = slog.Default()
	}
	f := &Files{pairs: pairs, log: log, warned: make([]time.Time, len(pairs))}
	var loaded []*tls.Certificate
	var errs []error
	for _, p := range pairs {
		f.seen = append(f.seen, p.stamps())
		c, err := p.load()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		loaded = append(loaded, c)
	}
	if len(errs) > 0 || len(pairs) == 0 {
		return nil, errors.Join(append(errs, errIf(len(pairs) == 0, "no certificate is given"))...)
	}
	f.before = slices.Clone(f.seen)
	f.current.Store(&loaded)
	f.warnOfEnd(time.Now())
	return f, nil
}

func errIf(is bool, text string) error {
	if is {
		return errors.New(text)
	}
	return nil
}

// load reads a pair. The error names the file.
func (p Pair) load() (*tls.Certificate, error) {
	certPEM, err := os.ReadFile(p.Cert)
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(p.Key)
	if err != nil {
		return nil, err
	}
	if _, err := parseKey(keyPEM); err != nil {
		return nil, fmt.Errorf("%s %w", p.Key, err)
	}
	c, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s with %s: %w", p.Cert, p.Key, err)
	}
	return &c, nil
}

func (p Pair) stamps() stamps { return stamps{stampOf(p.Cert), stampOf(p.Key)} }

// stampOf is the zero stamp for a file that can't be found.
func stampOf(file string) stamp {
	info, err := os.Stat(file)
	if err != nil {
		return stamp{}
	}
	s := stamp{size: info.Size(), changed: info.ModTime()}
	if u, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = uint64(u.Ino)
	}
	return s
}

// Certificate returns the first certificate that is good for the client: for the name that it wants, and with a key that it can check.
// If none is, the first: then the client says what it does not like.
func (f *Files) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	all := *f.current.Load()
	for _, c := range all {
		if hello.SupportsCertificate(c) == nil {
			return c, nil
		}
	}
	return all[0], nil
}

// filesEvery is how often Run looks at the files.
const filesEvery = 2 * time.Second

// Run reads the files again when they change, until ctx ends. While a new pair can't be used the old one stays.
func (f *Files) Run(ctx context.Context) {
	tick := time.NewTicker(filesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			f.look()
			f.warnOfEnd(now)
		}
	}
}

// look loads the pairs that have changed, and have not changed since the last look: somebody may be writing still.
func (f *Files) look() {
	all := slices.Clone(*f.current.Load())
	for i, p := range f.pairs {
		is := p.stamps()
		settled := is == f.before[i]
		f.before[i] = is
		if !settled || is == f.seen[i] {
			continue
		}
		f.seen[i] = is
		c, err := p.load()
		if err != nil {
			f.log.Error("a new certificate can't be used; the old one stays", "file", p.Cert, "err", err)
			continue
		}
		all[i] = c
		f.warned[i] = time.Time{}
		f.log.Info("a new certificate from a file", "file", p.Cert, "names", c.Leaf.DNSNames, "until", c.Leaf.NotAfter.Format(time.DateOnly))
	}
	f.current.Store(&all)
}

// How long before its end a certificate is warned of, and how often.
const (
	warnBefore = 14 * 24 * time.Hour
	warnEvery  = 24 * time.Hour
)

// warnOfEnd warns of certificates that end soon.
func (f *Files) warnOfEnd(now time.Time) {
	for i, c := range *f.current.Load() {
		if c.Leaf.NotAfter.Sub(now) < warnBefore && now.Sub(f.warned[i]) > warnEvery {
			f.warned[i] = now
			f.log.Warn("a certificate ends soon, or has ended", "file", f.pairs[i].Cert, "until", c.Leaf.NotAfter.Format(time.RFC3339), "fix", "put a new one at the same place; it is read without a restart")
		}
	}
}
