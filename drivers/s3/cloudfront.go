package s3

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/cloudfront/sign"

	"github.com/longshore-registry/longshore/drivers"
)

// CloudFront says how URLs that are handed to clients are signed for a distribution before the bucket. They have nothing of S3 in them:
// the distribution reads the bucket with an identity of its own (origin access control).
type CloudFront struct {
	URL        string         `yaml:"url" doc:"URL of a CloudFront distribution that has the bucket as its origin, and that clients are redirected to; empty: to the bucket"`
	KeyID      string         `yaml:"key_id" doc:"id of the public key in the distribution's trusted key group"`
	KeyFile    string         `yaml:"key_file" doc:"PEM file of the private key that belongs to key_id, RSA 2048 or ECDSA P-256"`
	PrivateKey drivers.Secret `yaml:"private_key" doc:"the private key itself, instead of key_file"`
	OriginPath string         `yaml:"origin_path" doc:"the distribution's origin path, a folder that CloudFront puts before the path of each request"`
	Network    string         `yaml:"network" doc:"network or address that the URLs are good for, in a custom policy; empty: any, in a canned policy"`
}

// validate tells bad of what is wrong, for keys below folder.
func (c CloudFront) validate(bad func(field, format string, args ...any), folder string) {
	if c == (CloudFront{}) {
		return
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		bad("cloudfront.url", "%q is no URL of a distribution, such as https://d111111abcdef8.cloudfront.net", c.URL)
	}
	if c.KeyID == "" {
		bad("cloudfront.key_id", "required beside cloudfront.url")
	}
	if (c.KeyFile == "") == (c.PrivateKey == "") {
		bad("cloudfront.key_file", "required, or cloudfront.private_key, but not both")
	}
	if c.PrivateKey != "" {
		if _, err := parseKey([]byte(c.PrivateKey)); err != nil {
			bad("cloudfront.private_key", "%w", err)
		}
	}
	if c.Network != "" {
		if _, err := parseNetwork(c.Network); err != nil {
			bad("cloudfront.network", "%q is neither a network such as 192.0.2.0/24 nor an IPv4 address", c.Network)
		}
	}
	if !strings.HasPrefix(folder, c.origin()) {
		bad("cloudfront.origin_path", "%q is not above all keys: these begin with prefix, %q", c.OriginPath, folder)
	}
}

// origin is the origin path as keys begin with it.
func (c CloudFront) origin() string {
	if p := strings.Trim(c.OriginPath, "/"); p != "" {
		return p + "/"
	}
	return ""
}

// parseNetwork reads a network or address. Policies take IPv4 only:
// https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-creating-signed-url-custom-policy.html
func parseNetwork(text string) (network string, err error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		text = netip.PrefixFrom(addr, addr.BitLen()).String()
	}
	p, err := netip.ParsePrefix(text)
	if err == nil && !p.Addr().Is4() {
		err = errors.New("is not IPv4")
	}
	return p.String(), err
}

// parseKey reads a private key in PEM form: PKCS #1, PKCS #8 or SEC 1.
func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("is not in PEM form")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("is no private key that is not encrypted: %w", err)
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key, nil
	case *ecdsa.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("is a %T; CloudFront knows RSA and ECDSA", key)
}

// distribution signs URLs of a CloudFront distribution.
type distribution struct {
	base    string // without a slash at its end
	origin  string // "" or with a slash at its end
	network string // "" for a canned policy
	signer  *sign.URLSigner
}

// newDistribution reads the key.
func newDistribution(c CloudFront) (*distribution, error) {
	text, field := []byte(c.PrivateKey), "cloudfront.private_key"
	if c.KeyFile != "" {
		var err error
		if text, err = os.ReadFile(c.KeyFile); err != nil {
			return nil, fmt.Errorf("cloudfront.key_file: %w", err)
		}
		field = "cloudfront.key_file"
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	d := &distribution{base: strings.TrimSuffix(c.URL, "/"), origin: c.origin(), signer: sign.NewURLSigner(c.KeyID, key)}
	if c.Network != "" {
		d.network, _ = parseNetwork(c.Network) // Validate has seen that it is good
	}
	return d, nil
}

// sign returns a URL of the object full that ends at the time. Keys need no escapes.
func (d *distribution) sign(full string, end time.Time) (string, error) {
	resource := d.base + "/" + strings.TrimPrefix(full, d.origin)
	if d.network == "" {
		return d.signer.Sign(resource, end)
	}
	policy := sign.NewCannedPolicy(resource, end)
	policy.Statements[0].Condition.IPAddress = &sign.IPAddress{SourceIP: d.network}
	return d.signer.SignWithPolicy(resource, policy)
}
