package certs

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// The names of the authority's objects in a Keep.
const (
	authorityName    = "ca.crt"
	authorityKeyName = "ca.key"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	// clockSlack is how far behind the clock of a client may be.
	clockSlack = 24 * time.Hour
)

// Authority is a CA that signs the certificates of a registry.
type Authority struct {
	Certificate *x509.Certificate
	key         crypto.Signer
	chain       [][]byte          // what servers send after their own certificate, up to the anchor and without it
	anchor      *x509.Certificate // what clients are to trust: Certificate, or the CA above it that its file ends with
}

// OpenAuthority reads the CA that all replicas share, and makes it if there is none: of two that do so at the same time both return the same
// one. ErrNoSecret if the store is not private and keep has no secret, ErrWrongSecret if it has another one.
func OpenAuthority(ctx context.Context, keep *Keep) (*Authority, error) {
	keyPEM, err := keep.get(ctx, authorityKeyName)
	if errors.Is(err, drivers.ErrNotFound) {
		keyPEM, err = newAuthorityKey(ctx, keep)
	}
	if err != nil {
		return nil, err
	}
	if keyPEM, err = keep.open(authorityKeyName, keyPEM); err != nil {
		return nil, err
	}
	// The certificate is made of the key that is there, so whoever made it, it fits.
	certPEM, err := keep.get(ctx, authorityName)
	if errors.Is(err, drivers.ErrNotFound) {
		if certPEM, err = newAuthorityCertificate(keyPEM, time.Now()); err == nil {
			certPEM, err = keep.putNew(ctx, authorityName, certPEM)
		}
	}
	if err != nil {
		return nil, err
	}
	return parseAuthority(certPEM, keyPEM, prefix+authorityName, prefix+authorityKeyName)
}

// ReadAuthority reads a CA from two PEM files: that of an organisation, which its clients trust already, or one whose key lies elsewhere
// than the images. After its own certificate certFile may have those of the CAs above it.
func ReadAuthority(certFile, keyFile string) (*Authority, error) {
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	return parseAuthority(certPEM, keyPEM, certFile, keyFile)
}

func newAuthorityKey(ctx context.Context, keep *Keep) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	body, err := keep.seal(authorityKeyName, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		return nil, err
	}
	return keep.putNew(ctx, authorityKeyName, body)
}

// newAuthorityCertificate makes the CA's own certificate. It has no name constraints: the names of a registry come and go, and clients that
// trust the CA would have to be visited for each. It is good for servers only, and for no CA below.
func newAuthorityCertificate(keyPEM []byte, now time.Time) ([]byte, error) {
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", prefix, authorityKeyName, err)
	}
	id, err := keyID(key.Public())
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		// The ID tells the CAs of two registries apart in a list of those that a machine trusts.
		Subject:               pkix.Name{Organization: []string{"Longshore"}, CommonName: "Longshore CA " + hex.EncodeToString(id[:4])},
		SubjectKeyId:          id,
		NotBefore:             now.Add(-clockSlack),
		NotAfter:              now.Add(authorityLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// keyID is that of RFC 7093, section 2, method 1.
func keyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return sum[:20], nil
}

// serial is a random number of 127 bits: positive, and of no more than 20 bytes (RFC 5280, section 4.1.2.2).
func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}

func parseAuthority(certPEM, keyPEM []byte, certName, keyName string) (*Authority, error) {
	a := &Authority{}
	for block, rest := pem.Decode(certPEM); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", certName, err)
		}
		if a.Certificate == nil {
			a.Certificate = cert
		}
		a.anchor = cert
		if !bytes.Equal(cert.RawIssuer, cert.RawSubject) { // clients that trust a root need not be sent it
			a.chain = append(a.chain, cert.Raw)
		}
	}
	cert := a.Certificate
	if cert == nil {
		return nil, fmt.Errorf("%s holds no certificate", certName)
	}
	if !cert.IsCA {
		return nil, fmt.Errorf("%s is not the certificate of a CA", certName)
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyName, err)
	}
	if public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%s is not the key of %s", keyName, certName)
	}
	a.key = key
	return a, nil
}

// parseKey reads a private key in one of the forms in which tools write it.
func parseKey(text []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if signer, ok := key.(crypto.Signer); ok {
				return signer, nil
			}
		}
		if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return key, nil
		}
		if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return key, nil
		}
		return nil, errors.New("holds a private key in a form that is not known, or an encrypted one")
	}
	return nil, errors.New("holds no private key")
}

// PEM is the certificate that clients are to trust.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.anchor.Raw})
}

// Fingerprint is the SHA-256 of that certificate, as openssl and browsers show it.
func (a *Authority) Fingerprint() string { return Fingerprint(a.anchor) }

// Fingerprint is the SHA-256 of a certificate in pairs of upper-case hex digits, with colons between them.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(pairs, ":")
}

// issue makes a certificate for a server that is known by these names and addresses, with a key that is kept nowhere.
func (a *Authority) issue(n names, now time.Time, life time.Duration) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	end := now.Add(life)
	if end.After(a.Certificate.NotAfter) {
		end = a.Certificate.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{Organization: []string{"Longshore"}, CommonName: n.first()},
		NotBefore:             now.Add(-clockSlack),
		NotAfter:              end,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:              n.hosts,
	}
	for _, ip := range n.addresses {
		template.IPAddresses = append(template.IPAddresses, ip.AsSlice())
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: append([][]byte{der}, a.chain...), PrivateKey: key, Leaf: leaf}, nil
}

// names are those by which clients know a server: sorted, each once.
type names struct {
	hosts     []string
	addresses []netip.Addr
}

// maxCommonName is the longest that a certificate may have (RFC 5280, appendix A.1, ub-common-name).
const maxCommonName = 64

func (n names) first() string {
	for _, h := range n.hosts {
		if h != "localhost" && len(h) <= maxCommonName {
			return h
		}
	}
	return "longshore"
}
