package token

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

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
