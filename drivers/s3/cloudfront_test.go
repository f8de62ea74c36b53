package s3

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// edge does what CloudFront does with a request: it looks at the policy and at the signature, and then asks the origin.
// https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-signed-urls.html
type edge struct {
	keys       map[string]crypto.PublicKey // by id
	originPath string
	origin     http.Handler // gets the key of the object as path
	now        func() time.Time
}

// statement is the only one of a policy.
type statement struct {
	Resource  string
	Condition struct {
		IPAddress *struct {
			SourceIP string `json:"AWS:SourceIp"`
		} `json:"IpAddress"`
		DateLessThan struct {
			End int64 `json:"AWS:EpochTime"`
		}
	}
}

// ServeHTTP answers 403 to what is not signed well.
func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := e.check(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "the cache behavior allows GET and HEAD", http.StatusForbidden)
		return
	}
	r = r.Clone(r.Context())
	r.URL.Path, r.URL.RawQuery = e.originPath+r.URL.Path, ""
	e.origin.ServeHTTP(w, r)
}

func (e *edge) check(r *http.Request) error {
	q := r.URL.Query()
	for name := range q {
		if !strings.Contains(" Expires Policy Signature Key-Pair-Id ", " "+name+" ") {
			return fmt.Errorf("%s in the query", name)
		}
	}
	resource := "http://" + r.Host + r.URL.Path
	policy := fmt.Appendf(nil, `{"Statement":[{"Resource":"%s","Condition":{"DateLessThan":{"AWS:EpochTime":%s}}}]}`, resource, q.Get("Expires"))
	if q.Has("Policy") {
		var err error
		if policy, err = unescaped(q.Get("Policy")); err != nil {
			return err
		}
	}
	signature, err := unescaped(q.Get("Signature"))
	if err != nil {
		return err
	}
	if err := verify(e.keys[q.Get("Key-Pair-Id")], policy, signature); err != nil {
		return err
	}
	var p struct{ Statement []statement }
	if err := json.Unmarshal(policy, &p); err != nil || len(p.Statement) != 1 {
		return fmt.Errorf("policy %s: %w", policy, err)
	}
	s := p.Statement[0]
	if s.Resource != resource || s.Condition.DateLessThan.End <= e.now().Unix() {
		return fmt.Errorf("%s, which ends at %d, asked for %s", s.Resource, s.Condition.DateLessThan.End, resource)
	}
	if s.Condition.IPAddress == nil {
		return nil
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err == nil && !netip.MustParsePrefix(s.Condition.IPAddress.SourceIP).Contains(netip.MustParseAddr(host)) {
		err = errors.New("another network")
	}
	return err
}

// unescaped decodes CloudFront's form of base64.
func unescaped(s string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "=", "~", "/").Replace(s))
}

func verify(key crypto.PublicKey, policy, signature []byte) error {
	sum := sha1.Sum(policy)
	switch key := key.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA1, sum[:], signature)
	case *ecdsa.PublicKey:
		if !ecdsa.VerifyASN1(key, sum[:], signature) {
			return errors.New("the ECDSA signature is not good")
		}
		return nil
	}
	return errors.New("the key is not known")
}

// privateKey is one of a kind, in PEM form.
func privateKey(t testing.TB, kind string) (text string, public crypto.PublicKey) {
	t.Helper()
	var der []byte
	var key crypto.Signer
	var err error
	if kind == "EC PRIVATE KEY" {
		var own *ecdsa.PrivateKey
		if own, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
			der, err = x509.MarshalECPrivateKey(own)
		}
		key = own
	} else {
		var own *rsa.PrivateKey
		own, err = rsa.GenerateKey(rand.Reader, 2048)
		key = own
		if err == nil && kind == "PRIVATE KEY" {
			der, err = x509.MarshalPKCS8PrivateKey(own)
		} else if err == nil {
			der = x509.MarshalPKCS1PrivateKey(own)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})), key.Public()
}

func TestCloudFrontSigns(t *testing.T) {
	for name, c := range map[string]struct {
		kind   string
		change func(*Config)
		path   string // what clients are to ask for
		custom bool
	}{
		"RSA, PKCS #1":         {"RSA PRIVATE KEY", func(*Config) {}, "/data/o", false},
		"RSA, PKCS #8":         {"PRIVATE KEY", func(*Config) {}, "/data/o", false},
		"ECDSA":                {"EC PRIVATE KEY", func(*Config) {}, "/data/o", false},
		"a prefix":             {"PRIVATE KEY", func(c *Config) { c.Prefix = "/images/one/" }, "/images/one/data/o", false},
		"an origin path":       {"PRIVATE KEY", func(c *Config) { c.Prefix, c.CloudFront.OriginPath = "images/one", "/images" }, "/one/data/o", false},
		"the whole prefix":     {"PRIVATE KEY", func(c *Config) { c.Prefix, c.CloudFront.OriginPath = "images/one", "images/one/" }, "/data/o", false},
		"a path in the URL":    {"PRIVATE KEY", func(c *Config) { c.CloudFront.URL += "/blobs/" }, "/blobs/data/o", false},
		"for one network":      {"PRIVATE KEY", func(c *Config) { c.CloudFront.Network = "127.0.0.0/8" }, "/data/o", true},
		"for one address":      {"PRIVATE KEY", func(c *Config) { c.CloudFront.Network = "127.0.0.1" }, "/data/o", true},
		"not S3's credentials": {"PRIVATE KEY", func(c *Config) { c.SessionToken = "token" }, "/data/o", false},
	} {
		t.Run(name, func(t *testing.T) {
			text, public := privateKey(t, c.kind)
			d := fake(t, func(http.ResponseWriter, *http.Request) {}, func(config *Config) {
				config.CloudFront = CloudFront{URL: "http://d111111abcdef8.cloudfront.net", KeyID: "K2JCJMDEHXQW5F", PrivateKey: drivers.Secret(text)}
				c.change(config)
			})
			url, err := d.SignURL(t.Context(), "data/o", 20*time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.RemoteAddr = "127.0.0.1:1"
			e := &edge{keys: map[string]crypto.PublicKey{"K2JCJMDEHXQW5F": public}, now: time.Now}
			if err := e.check(r); err != nil {
				t.Errorf("refused: %v", err)
			}
			if r.URL.Path != c.path || r.URL.Query().Has("Policy") != c.custom || strings.Contains(url, "X-Amz") {
				t.Errorf("the URL is %s", url)
			}
			e.now = func() time.Time { return time.Now().Add(19 * time.Minute) }
			if err := e.check(r); err != nil {
				t.Errorf("refused after 19 minutes: %v", err)
			}
			e.now = func() time.Time { return time.Now().Add(21 * time.Minute) }
			if e.check(r) == nil {
				t.Error("taken after 21 minutes")
			}
			e.now = time.Now
			r.URL.Path += "x"
			if e.check(r) == nil {
				t.Error("taken for another object")
			}
			r.URL.Path = c.path
			if r.RemoteAddr = "192.0.2.1:1"; c.custom == (e.check(r) == nil) {
				t.Error("another network's address is treated like its own, or the other way round")
			}
		})
	}
}

func TestCloudFrontSettings(t *testing.T) {
	text, _ := privateKey(t, "PRIVATE KEY")
	good := CloudFront{URL: "https://d111111abcdef8.cloudfront.net", KeyID: "K", PrivateKey: drivers.Secret(text)}
	for name, test := range map[string]struct {
		change func(*Config)
		want   string // "" for none
	}{
		"good":                  {func(*Config) {}, ""},
		"no URL":                {func(c *Config) { c.CloudFront.URL = "" }, "cloudfront.url: "},
		"a host alone":          {func(c *Config) { c.CloudFront.URL = "d111.cloudfront.net" }, "cloudfront.url: "},
		"a query":               {func(c *Config) { c.CloudFront.URL += "/?x=y" }, "cloudfront.url: "},
		"no key id":             {func(c *Config) { c.CloudFront.KeyID = "" }, "cloudfront.key_id: "},
		"no key":                {func(c *Config) { c.CloudFront.PrivateKey = "" }, "cloudfront.key_file: "},
		"two keys":              {func(c *Config) { c.CloudFront.KeyFile = "/key" }, "cloudfront.key_file: "},
		"no PEM":                {func(c *Config) { c.CloudFront.PrivateKey = "secret" }, "cloudfront.private_key: "},
		"IPv6":                  {func(c *Config) { c.CloudFront.Network = "2001:db8::/32" }, "cloudfront.network: "},
		"another folder":        {func(c *Config) { c.Prefix, c.CloudFront.OriginPath = "images", "/other" }, "cloudfront.origin_path: "},
		"the beginning of one":  {func(c *Config) { c.Prefix, c.CloudFront.OriginPath = "images", "/ima" }, "cloudfront.origin_path: "},
		"below the prefix":      {func(c *Config) { c.Prefix, c.CloudFront.OriginPath = "images", "images/data" }, "cloudfront.origin_path: "},
		"a public endpoint too": {func(c *Config) { c.PublicEndpoint = "https://s3.example.com" }, "public_endpoint: "},
	} {
		c := goodConfig()
		c.CloudFront = good
		test.change(&c)
		err := c.Validate()
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the key is shown: %v", name, err)
		}
	}
}

func TestCloudFrontKeyFile(t *testing.T) {
	text, _ := privateKey(t, "RSA PRIVATE KEY")
	path := filepath.Join(t.TempDir(), "key.pem")
	c := goodConfig()
	c.CloudFront = CloudFront{URL: "https://d111111abcdef8.cloudfront.net", KeyID: "K", KeyFile: path}
	for i, content := range []string{"", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", text} {
		if content != "" {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d, err := newDistribution(c.CloudFront)
		if good := i == 2; good != (err == nil) || err != nil && !strings.HasPrefix(err.Error(), "cloudfront.key_file: ") {
			t.Errorf("file %d: %v", i, err)
		}
		if err == nil {
			if url, err := d.sign("a/b", time.Unix(1_800_000_000, 0)); err != nil || !strings.Contains(url, "/a/b?Expires="+strconv.Itoa(1_800_000_000)+"&Signature=") {
				t.Errorf("%s, %v", url, err)
			}
		}
	}
}
