package minio

import (
	"fmt"
	"strings"
	"testing"
)

func goodConfig() Config {
	c := Defaults()
	c.Endpoint, c.Bucket, c.AccessKey, c.SecretKey = "127.0.0.1:9000", "registry", "user", "password"
	return c
}

func TestValidate(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Config)
		want   []string // how the messages begin
	}{
		"the defaults":           {func(*Config) {}, nil},
		"https":                  {func(c *Config) { c.Endpoint, c.CAFile = "https://minio.example.com", "/ca.pem" }, nil},
		"secure":                 {func(c *Config) { c.Secure, c.InsecureVerify = true, true }, nil},
		"IPv6":                   {func(c *Config) { c.Endpoint = "[::1]:9000" }, nil},
		"a slash at the end":     {func(c *Config) { c.Endpoint = "http://minio:9000/" }, nil},
		"prefix with slashes":    {func(c *Config) { c.Prefix = "/a/b/" }, nil},
		"virtual":                {func(c *Config) { c.Addressing, c.Endpoint = "virtual", "minio.example.com" }, nil},
		"nothing":                {func(c *Config) { *c = Config{} }, []string{"endpoint: ", "bucket: ", "region: ", "if_match: ", "addressing: ", "list_version: ", "encryption: ", "checksums: ", "part_size: ", "timeout: ", "attempts: "}},
		"no host":                {func(c *Config) { c.Endpoint = "http://" }, []string{"endpoint: "}},
		"a path":                 {func(c *Config) { c.Endpoint = "http://minio:9000/registry" }, []string{"endpoint: "}},
		"another scheme":         {func(c *Config) { c.Endpoint = "s3://registry" }, []string{"endpoint: "}},
		"http and secure":        {func(c *Config) { c.Endpoint, c.Secure = "http://minio:9000", true }, []string{"secure: "}},
		"CA without TLS":         {func(c *Config) { c.CAFile = "/ca.pem" }, []string{"secure: "}},
		"bucket with upper case": {func(c *Config) { c.Bucket = "Registry" }, []string{"bucket: "}},
		"prefix that climbs":     {func(c *Config) { c.Prefix = "a/../b" }, []string{"prefix: "}},
		"virtual on an address":  {func(c *Config) { c.Addressing = "virtual" }, []string{"addressing: "}},
		"public with a path":     {func(c *Config) { c.PublicEndpoint = "https://cdn.example.com/x" }, []string{"public_endpoint: "}},
		"small parts":            {func(c *Config) { c.PartSize = 1 << 20 }, []string{"part_size: "}},
		"little memory":          {func(c *Config) { c.Memory = 1 << 20 }, []string{"memory: "}},
		"half a key":             {func(c *Config) { c.SecretKey = "" }, []string{"secret_key: "}},
		"the machine's identity": {func(c *Config) { c.AccessKey, c.SecretKey = "", "" }, nil},
		"a role for nobody":      {func(c *Config) { c.AccessKey, c.SecretKey, c.RoleARN = "", "", "arn:minio:iam:::role/x" }, []string{"access_key: "}},
		"a token": {func(c *Config) {
			c.AccessKey, c.SecretKey, c.WebIdentityTokenFile = "", "", "/var/run/secrets/token"
		}, nil},
		"two identities":      {func(c *Config) { c.WebIdentityTokenFile, c.Profile = "/t", "p" }, []string{"web_identity_token_file: ", "profile: "}},
		"STS without scheme":  {func(c *Config) { c.STSEndpoint = "sts.example.com" }, []string{"sts_endpoint: "}},
		"external id alone":   {func(c *Config) { c.ExternalID = "x" }, []string{"role_arn: "}},
		"SSE-C without TLS":   {func(c *Config) { c.Encryption, c.CustomerKey = "customer", "short" }, []string{"customer_key: ", "encryption: "}},
		"KMS key without KMS": {func(c *Config) { c.KMSKey = "x" }, []string{"encryption: "}},
		"archive":             {func(c *Config) { c.StorageClass = "GLACIER" }, []string{"storage_class: "}},
		"user agent":          {func(c *Config) { c.UserAgent = "a b" }, []string{"user_agent: "}},
		"unknown checksum":    {func(c *Config) { c.Checksums = "crc32" }, []string{"checksums: "}},
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
	c.SecretKey, c.SessionToken = "hunter2hunter2", "token-token"
	for _, format := range []string{"%v", "%+v", "%#v"} {
		if got := fmt.Sprintf(format, c); strings.Contains(got, "hunter2") || strings.Contains(got, "token-token") {
			t.Errorf("%s shows a secret: %s", format, got)
		}
	}
}
