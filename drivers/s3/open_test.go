//go:build integration

package s3

import (
	"net"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/internal/faultproxy"
)

// TestOpenIsOneRequest also shows that nothing is listed and no region is asked for.
func TestOpenIsOneRequest(t *testing.T) {
	p := faultproxy.New(t, server.Get(t).URL)
	c := onMinIO(t)
	c.Endpoint = p.URL
	for _, want := range []string{"HEAD bucket, PUT bucket", "HEAD bucket"} {
		d := open(t, c)
		if got := strings.Join(p.Calls(), ", "); got != want {
			t.Errorf("requests %q, want %q", got, want)
		}
		if err := d.Put(t.Context(), "a", nil); err != nil {
			t.Error(err)
		}
		p.Calls()
	}
}

func TestOpenOfWhatIsWrong(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*Config)
		want   string // how the message begins
	}{
		"closed port":    {func(c *Config) { c.Endpoint = "http://" + closed.Addr().String() }, "endpoint: no answer from"},
		"no such host":   {func(c *Config) { c.Endpoint = "http://store.invalid:9000" }, "endpoint: "},
		"bucket missing": {func(c *Config) { c.Bucket, c.CreateBucket = "missing", false }, `bucket: there is no bucket "missing"`},
		"unknown user":   {func(c *Config) { c.AccessKey = "nobody" }, "access_key: "},
		"wrong password": {func(c *Config) { c.SecretKey = "wrong-wrong" }, "secret_key: "},
		"TLS to plain":   {func(c *Config) { c.Endpoint = strings.Replace(c.Endpoint, "http:", "https:", 1) }, "endpoint: the store at"},
		"no CA file":     {func(c *Config) { c.Endpoint, c.CAFile = "https://127.0.0.1:1", "/does/not/exist.pem" }, "ca_file: "},
	} {
		t.Run(name, func(t *testing.T) {
			c := onMinIO(t)
			c.Attempts = 2
			test.change(&c)
			_, err := Open(t.Context(), c)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v, want %q first", err, test.want)
			}
		})
	}
}

// TestRole assumes a role of MinIO's, which takes any ARN.
func TestRole(t *testing.T) {
	c := onMinIO(t)
	c.RoleARN, c.STSEndpoint = "arn:aws:iam::123456789012:role/registry", c.Endpoint
	d := open(t, c)
	if got := d.Identity(); !strings.HasPrefix(got, "role "+c.RoleARN) {
		t.Errorf("identity %q", got)
	}
	if err := d.Put(t.Context(), "a/b", []byte("x")); err != nil {
		t.Error(err)
	}
	c.SecretKey = drivers.Secret("wrong-wrong")
	if _, err := Open(t.Context(), c); err == nil || !strings.HasPrefix(err.Error(), "role_arn: ") {
		t.Errorf("with a wrong key: %v", err)
	}
}
