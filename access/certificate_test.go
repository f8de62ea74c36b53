package access

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestCertificateNames(t *testing.T) {
	named := func(cn string) *x509.Certificate { return &x509.Certificate{Subject: pkix.Name{CommonName: cn}} }
	for _, test := range []struct {
		from CertificateNames
		c    *x509.Certificate
		want string // "": unknown
	}{
		{FromCN, named("erin"), "erin"},
		{FromCN, &x509.Certificate{DNSNames: []string{"a.test"}}, ""},
		{FromCN, named("a\nb"), ""},
		{FromCN, named("\xff"), ""},
		{FromCN, named(strings.Repeat("a", 300)), ""},
		{FromSAN, named("erin"), ""},
		{FromSAN, &x509.Certificate{DNSNames: []string{"a.test", "b.test"}}, "a.test"},
		{FromSAN, &x509.Certificate{DNSNames: []string{"a.test"}, EmailAddresses: []string{"erin@a.test"}}, "erin@a.test"},
		{FromSAN, &x509.Certificate{URIs: []*url.URL{{Scheme: "spiffe", Host: "a.test", Path: "/ci"}}}, "spiffe://a.test/ci"},
		{"", named("erin"), ""},
	} {
		id, err := test.from.CheckCertificate(t.Context(), test.c)
		if id.Name != test.want || (err == nil) != (test.want != "") || err != nil && !errors.Is(err, ErrUnknown) {
			t.Errorf("%s of %+v: %q, %v", test.from, test.c.Subject, id.Name, err)
		}
		if err == nil && (id.Kind != Certificate || id.Source != "certificate") {
			t.Errorf("%+v", id)
		}
	}
}
