package token

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keySource has the keys of a JWKS, from a file or a URL.
type keySource struct {
	from   string
	remote bool
	client http.Client
	now    func() time.Time
	log    *slog.Logger

	reading chan struct{} // held by who reads
	mu      sync.RWMutex
	keys    []jose.JSONWebKey
	tried   time.Time
	err     error // of the last try
}

const (
	keysAgain   = time.Minute      // at least so long between two tries, so that tokens with made-up keys cost nothing
	keysOutlive = time.Hour        // then they are read anew though none is missing: one may have been withdrawn
	keysTime    = 10 * time.Second // of one try
	maxKeys     = 1 << 20          // bytes
)

func newKeySource(from string, now func() time.Time, log *slog.Logger) *keySource {
	return &keySource{
		from: from, remote: strings.HasPrefix(from, "https://") || strings.HasPrefix(from, "http://"),
		client: http.Client{Timeout: keysTime}, now: now, log: log, reading: make(chan struct{}, 1),
	}
}

// find gives the keys that a header names. An error means that there is none and the source could not be read.
func (s *keySource) find(ctx context.Context, header jose.Header) ([]crypto.PublicKey, error) {
	keys, age, err := s.state()
	found := matching(keys, header)
	if len(found) > 0 && age < keysOutlive || age < keysAgain {
		if len(found) > 0 {
			err = nil
		}
		return found, err
	}
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if _, age, err = s.state(); age >= keysAgain { // nobody has read meanwhile
		if err = s.load(ctx); err != nil {
			s.log.Warn("the keys of the token server can't be read", "from", s.from, "err", err)
		}
	}
	keys, _, _ = s.state()
	if found = matching(keys, header); len(found) > 0 {
		return found, nil
	}
	return nil, err
}

func (s *keySource) state() (keys []jose.JSONWebKey, age time.Duration, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.keys, s.now().Sub(s.tried), s.err
}

// load reads the keys. If that fails those that are known stay.
func (s *keySource) load(ctx context.Context) error {
	body, err := s.read(ctx)
	var keys []jose.JSONWebKey
	if err == nil {
		keys, err = parseKeys(body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = s.now()
	if err != nil {
		s.err = fmt.Errorf("the keys of the token server, %s: %w", s.from, err)
		return s.err
	}
	s.keys, s.err = keys, nil
	return nil
}

func (s *keySource) read(ctx context.Context) ([]byte, error) {
	if !s.remote {
		return os.ReadFile(s.from)
	}
	req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, s.from, nil) // others wait for it
	if err != nil {
		return nil, err
	}
	res, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", res.Status)
	}
	return io.ReadAll(io.LimitReader(res.Body, maxKeys))
}

// parseKeys reads a JSON Web Key Set. A key that is not public, or of a kind that is not known, is left out.
func parseKeys(body []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("this is no JSON Web Key Set: %w", err)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if json.Unmarshal(raw, &k) == nil && k.Valid() && k.IsPublic() {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("there is no public key among the %d", len(set.Keys))
	}
	return keys, nil
}

// readRoots reads certificates, PEM.
func readRoots(file string) (*x509.CertPool, []jose.JSONWebKey, error) {
	body, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	pool := x509.NewCertPool()
	var keys []jose.JSONWebKey
	for block, rest := pem.Decode(body); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", file, err)
		}
		pool.AddCert(c)
		id, err := libtrustID(c.PublicKey)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", file, err)
		}
		keys = append(keys, jose.JSONWebKey{Key: c.PublicKey, KeyID: id})
	}
	if len(keys) == 0 {
		return nil, nil, fmt.Errorf("%s has no certificate in PEM", file)
	}
	return pool, keys, nil
}

// libtrustID is the name that token servers made with Docker's libtrust give a key: 240 bits of a hash, in base 32, in groups of four.
// https://distribution.github.io/distribution/spec/auth/jwt/
func libtrustID(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	text := base32.StdEncoding.EncodeToString(sum[:30])
	var groups []string
	for group := range slices.Chunk([]byte(text), 4) {
		groups = append(groups, string(group))
	}
	return strings.Join(groups, ":"), nil
}
