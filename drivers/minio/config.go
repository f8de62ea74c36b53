package minio

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
)

// Config says where the store is and how it is used. [Defaults] fills in what can be.
type Config struct {
	Endpoint       string         `yaml:"endpoint" doc:"host:port of the S3 API, or a URL that begins with http:// or https://"`
	Bucket         string         `yaml:"bucket" doc:"the bucket that holds the registry"`
	Region         string         `yaml:"region" doc:"the store's region; only to be set where the store has one"`
	AccessKey      string         `yaml:"access_key" doc:"the user or access key"`
	SecretKey      drivers.Secret `yaml:"secret_key" doc:"the password or secret key"`
	SessionToken   drivers.Secret `yaml:"session_token" doc:"the third part of temporary credentials"`
	Secure         bool           `yaml:"secure" doc:"speak TLS; implied by an endpoint with https://"`
	CAFile         string         `yaml:"ca_file" doc:"PEM file of certificates to trust beside the system's"`
	InsecureVerify bool           `yaml:"insecure_skip_verify" doc:"take any certificate; anyone on the way can then read and change everything"`
	Prefix         string         `yaml:"prefix" doc:"folder in the bucket, for a bucket that is shared with others"`
	Addressing     string         `yaml:"addressing" enum:"auto,path,virtual" doc:"whether the bucket's name is in the path or in the host's name"`
	PublicEndpoint string         `yaml:"public_endpoint" doc:"the endpoint as clients reach it, for URLs that are handed to them; default endpoint"`
	CreateBucket   bool           `yaml:"create_bucket" doc:"make the bucket if there is none"`
	PartSize       int64          `yaml:"part_size" unit:"bytes" min:"5MiB" max:"5GiB" doc:"size of the parts in which large objects are sent"`
	Memory         int64          `yaml:"memory" unit:"bytes" doc:"bound for the buffers of all uploads together"`
	Checksums      string         `yaml:"checksums" enum:"crc32c,md5,sha256,none" doc:"how the store checks what it receives"`
	Timeout        time.Duration  `yaml:"timeout" min:"1s" doc:"how long the store may be silent in the middle of a request"`
	Attempts       int            `yaml:"attempts" min:"1" max:"20" doc:"how often a request is sent before the store is taken for busy"`

	// Transport wraps the HTTP transport, to count requests or to make them fail. May be nil.
	Transport func(http.RoundTripper) http.RoundTripper `yaml:"-"`
}

// Defaults returns the configuration to which only the place and the credentials have to be added.
//
// Eight attempts take about six seconds, longer than a restart of MinIO. Twelve parts of 8 MiB in
// flight fill a line of 10 Gbit/s with 80 ms of latency.
func Defaults() Config {
	return Config{
		Region: "us-east-1", Addressing: "auto", Checksums: "crc32c",
		PartSize: 8 << 20, Memory: 96 << 20, Timeout: time.Minute, Attempts: 8,
	}
}

// Validate returns all that is wrong, joined; each message begins with the name of a field. It asks
// nothing of the network.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf(field+": "+format, args...))
	}
	if _, secure, err := splitEndpoint(c.Endpoint, c.Secure); err != nil {
		bad("endpoint", "%w", err)
	} else if c.Secure && !secure {
		bad("secure", "is true, but the endpoint begins with http://")
	} else if !secure && (c.CAFile != "" || c.InsecureVerify) {
		bad("secure", "ca_file and insecure_skip_verify mean nothing without TLS; let the endpoint begin with https://")
	}
	if c.PublicEndpoint != "" {
		if _, _, err := splitEndpoint(c.PublicEndpoint, c.Secure); err != nil {
			bad("public_endpoint", "%w", err)
		}
	}
	if c.Bucket == "" {
		bad("bucket", "required")
	} else if err := s3utils.CheckValidBucketNameStrict(c.Bucket); err != nil {
		bad("bucket", "%w", err)
	}
	if c.Region == "" {
		// minio-go would ask for it before the first request, and again in every process.
		bad("region", "required; MinIO's default is us-east-1")
	}
	if c.AccessKey == "" {
		bad("access_key", "required")
	}
	if c.SecretKey == "" {
		bad("secret_key", "required")
	}
	if p := c.folder(); p != "" {
		// 512 leaves as much again for the keys below it.
		if err := drivers.CheckKey(name, "open", strings.TrimSuffix(p, "/")); err != nil || len(p) > 512 {
			bad("prefix", "%q: at most 511 bytes of A-Z a-z 0-9 . _ - and /, without empty, . and .. elements", c.Prefix)
		}
	}
	switch c.Addressing {
	case "auto", "path":
	case "virtual":
		if host, _, err := splitEndpoint(c.Endpoint, c.Secure); err == nil && net.ParseIP(hostname(host)) != nil {
			bad("addressing", "virtual needs an endpoint with a name, not with an IP address")
		}
	default:
		bad("addressing", "%q is none of auto, path, virtual", c.Addressing)
	}
	if _, err := parts.ParseSum(c.Checksums); err != nil {
		bad("checksums", "%w", err)
	}
	if c.PartSize < parts.MinPart || c.PartSize > parts.MaxPart {
		bad("part_size", "%d bytes; S3 takes 5 MiB to 5 GiB", c.PartSize)
	}
	if c.Memory < c.PartSize {
		bad("memory", "%d bytes is less than part_size, so no part could be sent", c.Memory)
	}
	if c.Timeout < time.Second {
		bad("timeout", "%v is less than a second", c.Timeout)
	}
	if c.Attempts < 1 {
		bad("attempts", "at least 1")
	}
	return errors.Join(errs...)
}

// folder is the prefix as it stands before every key: "" or with a slash at its end only.
func (c Config) folder() string {
	p := strings.Trim(c.Prefix, "/")
	if p == "" {
		return ""
	}
	return p + "/"
}

// splitEndpoint returns the host (with port) of an endpoint and whether it speaks TLS.
func splitEndpoint(endpoint string, secure bool) (host string, tls bool, err error) {
	if endpoint == "" {
		return "", false, errors.New("required")
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	if !strings.Contains(endpoint, "://") {
		endpoint = scheme + "://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", false, fmt.Errorf("%q is not host:port or a URL", endpoint)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", false, fmt.Errorf("%q begins with neither http:// nor https://", endpoint)
	}
	if u.Host == "" || u.Hostname() == "" {
		return "", false, fmt.Errorf("%q names no host", endpoint)
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", false, fmt.Errorf("%q has more than a host and a port; the bucket has a key of its own", endpoint)
	}
	return u.Host, u.Scheme == "https", nil
}

// hostname is host without a port and brackets.
func hostname(host string) string { return (&url.URL{Host: host}).Hostname() }
