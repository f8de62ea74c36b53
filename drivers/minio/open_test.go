//go:build integration

package minio

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/internal/faultproxy"
	"github.com/longshore-registry/longshore/internal/miniotest"
)

// TestOpenIsOneRequest also shows that nothing is listed and no region is asked for.
func TestOpenIsOneRequest(t *testing.T) {
	p := faultproxy.New(t, server.Get(t).URL)
	c := newConfig(t)
	c.Endpoint = p.URL
	open(t, c)
	wantCalls(t, p, "HEAD bucket")
	c.CreateBucket = true
	open(t, c)
	wantCalls(t, p, "HEAD bucket")
	c.Bucket += "-new"
	d := open(t, c)
	wantCalls(t, p, "HEAD bucket", "PUT bucket")
	if err := d.Put(t.Context(), "a", nil); err != nil {
		t.Error(err)
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
	certs := miniotest.Certificates(t)
	secure := miniotest.StartTLS(t, certs)
	for name, test := range map[string]struct {
		server *miniotest.Server
		change func(*Config)
		want   string // how the message begins
	}{
		"closed port":    {server.Get(t), func(c *Config) { c.Endpoint = closed.Addr().String() }, "endpoint: no answer from " + closed.Addr().String()},
		"no such host":   {server.Get(t), func(c *Config) { c.Endpoint = "store.invalid:9000" }, `endpoint: `},
		"bucket missing": {server.Get(t), func(c *Config) { c.Bucket = "missing" }, `bucket: there is no bucket "missing"`},
		"unknown user":   {server.Get(t), func(c *Config) { c.AccessKey = "nobody" }, "access_key: "},
		"wrong password": {server.Get(t), func(c *Config) { c.SecretKey = "wrong-wrong" }, "secret_key: "},
		"TLS to plain":   {server.Get(t), func(c *Config) { c.Endpoint, c.Secure = strings.TrimPrefix(c.Endpoint, "http://"), true }, "secure: the store at"},
		"plain to TLS":   {secure, func(c *Config) { c.Endpoint = strings.Replace(c.Endpoint, "https://", "http://", 1) }, "secure: the store at"},
		"unknown CA":     {secure, func(*Config) {}, "ca_file: "},
		"no CA file":     {secure, func(c *Config) { c.CAFile = "/does/not/exist.pem" }, "ca_file: "},
		"no PEM":         {secure, func(c *Config) { c.CAFile = filepath.Join(certs, "not.pem") }, "ca_file: "},
	} {
		t.Run(name, func(t *testing.T) {
			c := configFor(t, test.server)
			c.Attempts = 2
			test.change(&c)
			_, err := Open(t.Context(), c)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v, want %q first", err, test.want)
			}
		})
	}
	for name, change := range map[string]func(*Config){
		"CA file":     func(c *Config) { c.CAFile = filepath.Join(certs, "public.crt") },
		"skip verify": func(c *Config) { c.InsecureVerify = true },
	} {
		c := configFor(t, secure)
		change(&c)
		d := open(t, c)
		if err := d.Put(t.Context(), "a/b", []byte(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := string(readBack(t, d, "a/b")); got != name {
			t.Errorf("%s: read %q", name, got)
		}
	}
}

// TestOpenWithTheWrongRegion needs a server that has a region: others take any.
func TestOpenWithTheWrongRegion(t *testing.T) {
	t.Setenv("MINIO_SITE_REGION", "eu-north-7")
	s := miniotest.Start(t)
	c := Defaults()
	c.Endpoint, c.Bucket, c.AccessKey, c.SecretKey = s.URL, "registry", s.User, drivers.Secret(s.Password)
	_, err := Open(t.Context(), c)
	// MinIO answers before it has read its settings; until then it takes any region.
	soon := time.After(30 * time.Second)
	for tick := time.Tick(50 * time.Millisecond); err != nil && strings.HasPrefix(err.Error(), "bucket: "); {
		select {
		case <-tick:
			_, err = Open(t.Context(), c)
		case <-soon:
			t.Fatal(err)
		}
	}
	if want := `region: is "us-east-1", but the store says "eu-north-7"`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %q first", err, want)
	}
	c.Region, c.CreateBucket = "eu-north-7", true
	d := open(t, c)
	if err := d.Put(t.Context(), "a/b", []byte("x")); err != nil {
		t.Error(err)
	}
}

func TestOpenStopsWithTheContext(t *testing.T) {
	p := faultproxy.New(t, server.Get(t).URL)
	p.Set(func(string) faultproxy.Fault { return faultproxy.Hang })
	c := newConfig(t)
	c.Endpoint = p.URL
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
}
