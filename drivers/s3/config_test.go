package s3

import (
	"fmt"
	"strings"
	"testing"
)

func goodConfig() Config {
	c := Defaults()
	c.Endpoint, c.Bucket, c.AccessKey, c.SecretKey = "http://127.0.0.1:9000", "registry", "user", "password"
	return c
}

func TestValidate(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Config)
		want   []string // how the messages begin
	}{
		"an endpoint and keys": {func(*Config) {}, nil},
		"AWS":                  {func(c *Config) { *c = Defaults(); c.Bucket = "registry" }, nil},
		"AWS, all of it":       {func(c *Config) { c.Endpoint, c.DualStack, c.FIPS, c.Accelerate = "", true, true, true }, nil},
		"R2": {func(c *Config) {
			c.Endpoint, c.Region, c.EqualParts = "https://id.r2.cloudflarestorage.com", "auto", true
		}, nil},
		"a role":        {func(c *Config) { c.RoleARN, c.ExternalID = "arn:aws:iam::123456789012:role/registry", "x" }, nil},
		"KMS":           {func(c *Config) { c.Encryption, c.KMSKey, c.BucketKey = "kms", "alias/registry", true }, nil},
		"SSE-C, no key": {func(c *Config) { c.Endpoint, c.Encryption, c.CustomerKey = "https://s3", "customer", "" }, []string{"customer_key: "}},
		"SSE-C, good": {func(c *Config) {
			c.Endpoint, c.Encryption, c.CustomerKey = "https://s3", "customer", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
		}, nil},
		"SSE-C without TLS":            {func(c *Config) { c.Encryption, c.CustomerKey = "customer", "short" }, []string{"customer_key: ", "encryption: "}},
		"nothing":                      {func(c *Config) { *c = Config{} }, []string{"bucket: ", "if_match: ", "addressing: ", "list_version: ", "encryption: ", "checksums: ", "part_size: ", "timeout: ", "attempts: "}},
		"no scheme":                    {func(c *Config) { c.Endpoint = "s3.example.com:9000" }, []string{"endpoint: "}},
		"no host":                      {func(c *Config) { c.Endpoint = "https://" }, []string{"endpoint: "}},
		"a bucket in the endpoint":     {func(c *Config) { c.Endpoint = "https://s3.example.com/registry" }, []string{"endpoint: "}},
		"public endpoint":              {func(c *Config) { c.PublicEndpoint = "cdn.example.com" }, []string{"public_endpoint: "}},
		"FIPS elsewhere":               {func(c *Config) { c.FIPS = true }, []string{"endpoint: "}},
		"CA without TLS":               {func(c *Config) { c.CAFile = "/ca.pem" }, []string{"endpoint: "}},
		"bucket with a slash":          {func(c *Config) { c.Bucket = "a/b" }, []string{"bucket: "}},
		"prefix that climbs":           {func(c *Config) { c.Prefix = "a/../b" }, []string{"prefix: "}},
		"virtual on an address":        {func(c *Config) { c.Addressing = "virtual" }, []string{"addressing: "}},
		"half a key":                   {func(c *Config) { c.SecretKey = "" }, []string{"secret_key: "}},
		"the other half":               {func(c *Config) { c.AccessKey = "" }, []string{"access_key: "}},
		"two identities":               {func(c *Config) { c.Profile = "other" }, []string{"profile: "}},
		"external id without role":     {func(c *Config) { c.ExternalID = "x" }, []string{"role_arn: "}},
		"KMS key without KMS":          {func(c *Config) { c.KMSKey = "x" }, []string{"encryption: "}},
		"customer key without its use": {func(c *Config) { c.CustomerKey = "x" }, []string{"encryption: "}},
		"archive":                      {func(c *Config) { c.StorageClass = "DEEP_ARCHIVE" }, []string{"storage_class: "}},
		"small parts":                  {func(c *Config) { c.PartSize = 1 << 20 }, []string{"part_size: "}},
		"little memory":                {func(c *Config) { c.Memory = 1 << 20 }, []string{"memory: "}},
		"user agent with a line":       {func(c *Config) { c.UserAgent = "a\r\nb: c" }, []string{"user_agent: "}},
	} {
		c := goodConfig()
		test.change(&c)
		var got []string
		if err := c.Validate(); err != nil {
			got = strings.Split(err.Error(), "\n")
		}
		ok := len(got) == len(test.want)
		for i := range min(len(got), len(test.want)) {
			ok = ok && strings.HasPrefix(got[i], test.want[i])
		}
		if !ok {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestConfigHidesItsSecrets(t *testing.T) {
	c := goodConfig()
	c.SecretKey, c.SessionToken, c.CustomerKey = "hunter2hunter2", "token-token", "key-key"
	for _, format := range []string{"%v", "%+v", "%#v"} {
		got := fmt.Sprintf(format, c)
		for _, secret := range []string{"hunter2", "token-token", "key-key"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s shows a secret: %s", format, got)
			}
		}
	}
}

func TestAddressing(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"": false, "http://127.0.0.1:9000": true, "https://minio.example.com": true, "https://id.r2.cloudflarestorage.com": true,
		"https://s3.eu-west-1.amazonaws.com": false, "https://oss-cn-hangzhou.aliyuncs.com": false, "https://cos.ap-beijing.myqcloud.com": false,
		"https://s3.cn-east-1.qiniucs.com": true, "https://notamazonaws.com": true,
	} {
		if got := Defaults().pathStyle(endpoint); got != want {
			t.Errorf("%q: path style is %v, want %v", endpoint, got, want)
		}
	}
}
