package access

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// CertificateNames takes the name of an account from a TLS client certificate, of whatever authority the registry trusts for clients. It
// implements Certificates.
type CertificateNames string

// The places in a certificate.
const (
	FromCN  CertificateNames = "cn"  // the subject's common name
	FromSAN CertificateNames = "san" // the first e-mail address among the alternative names, or the first host name, or the first URI
)

// CheckCertificate implements Certificates. A certificate that has no such name, or one that is no plain text, is ErrUnknown.
func (n CertificateNames) CheckCertificate(_ context.Context, c *x509.Certificate) (Identity, error) {
	name := ""
	switch n {
	case FromCN:
		name = c.Subject.CommonName
	case FromSAN:
		first := func(list []string) string {
			if len(list) == 0 {
				return ""
			}
			return list[0]
		}
		name = cmp.Or(first(c.EmailAddresses), first(c.DNSNames))
		if name == "" && len(c.URIs) > 0 {
			name = c.URIs[0].String()
		}
	}
	const longest = 255
	if name == "" || len(name) > longest || !utf8.ValidString(name) {
		return Identity{}, ErrUnknown
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return Identity{}, fmt.Errorf("the name in the certificate is no plain text: %w", ErrUnknown)
		}
	}
	return Identity{Name: name, Kind: Certificate, Source: string(Certificate), Expires: c.NotAfter}, nil
}
