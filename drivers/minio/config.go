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
	"github.com/longshore-registry/longshore/drivers/internal/bucket"
)

// Config says where the store is and how it is used. [Defaults] fills in what can be. Settings that package s3 has too have the same
// names and mean the same.
type Config struct {
	Endpoint       string `yaml:"endpoint" doc:"host:port of the S3 API, or a URL that begins with http:// or https://"`
	Secure         bool   `yaml:"secure" doc:"speak TLS; implied by an endpoint with https://"`
	Region         string `yaml:"region" doc:"the store's region; only to be set where the store has one"`
	Bucket         string `yaml:"bucket" doc:"the bucket that holds the registry"`
	Prefix         string `yaml:"prefix" doc:"folder in the bucket, for a bucket that is shared with others"`
	Addressing     string `yaml:"addressing" enum:"auto,path,virtual" doc:"whether the bucket's name is in the path or in the host's name"`
	PublicEndpoint string `yaml:"public_endpoint" doc:"the endpoint as clients reach it, for URLs that are handed to them; default endpoint"`

	AccessKey            string         `yaml:"access_key" doc:"the user or access key; empty: the identity that the environment, a profile or the machine has"`
	SecretKey            drivers.Secret `yaml:"secret_key" doc:"the password or secret key"`
	SessionToken         drivers.Secret `yaml:"session_token" doc:"the third part of temporary credentials"`
	Profile              string         `yaml:"profile" doc:"profile of the file ~/.aws/credentials"`
	WebIdentityTokenFile string         `yaml:"web_identity_token_file" doc:"file of an OpenID token that sts_endpoint takes for credentials; it is read again whenever these have to be renewed"`
	RoleARN              string         `yaml:"role_arn" doc:"role to assume, with access_key or the token; MinIO needs none for its own users"`
	ExternalID           string         `yaml:"external_id" doc:"external id that the role asks for"`
	SessionName          string         `yaml:"session_name" doc:"name of the assumed role's sessions in audit logs"`
	STSEndpoint          string         `yaml:"sts_endpoint" doc:"URL of the service that gives out temporary credentials; with access_key they are then used instead of that; default for roles and tokens endpoint"`

	Encryption   string         `yaml:"encryption" enum:"none,s3,kms,customer" doc:"encryption that each object asks for: none leaves it to the bucket, s3 is SSE-S3, kms SSE-KMS, customer SSE-C"`
	KMSKey       string         `yaml:"kms_key" doc:"name of the key for encryption: kms; empty: the store's"`
	CustomerKey  drivers.Secret `yaml:"customer_key" doc:"the key for encryption: customer, 32 bytes in base64"`
	StorageClass string         `yaml:"storage_class" doc:"storage class of blobs; records stay in the store's default"`
	ACL          string         `yaml:"acl" doc:"canned ACL for each object; empty: none is sent"`

	PartSize    int64  `yaml:"part_size" unit:"bytes" min:"5MiB" max:"5GiB" doc:"size of the parts in which large objects are sent"`
	EqualParts  bool   `yaml:"equal_parts" doc:"send parts that are all equally large but the last, as Cloudflare R2 demands"`
	AllParts    bool   `yaml:"all_parts" doc:"for stores that complete an upload only with all of its parts, as Ceph does"`
	Memory      int64  `yaml:"memory" unit:"bytes" doc:"bound for the buffers of all uploads together"`
	Checksums   string `yaml:"checksums" enum:"crc32c,md5,sha256,none" doc:"how the store checks what it receives"`
	IfMatch     string `yaml:"if_match" enum:"quoted,off" doc:"the form of the ETag of a conditional replacement; off does without, for stores that don't take it quoted, as Ceph"`
	ListVersion string `yaml:"list_version" enum:"v2,v1" doc:"version of ListObjects; v1 for stores without the other"`
	BatchDelete bool   `yaml:"batch_delete" doc:"remove many objects in one request; false for stores that can't"`

	UserAgent      string        `yaml:"user_agent" doc:"added to the User-Agent of each request"`
	CAFile         string        `yaml:"ca_file" doc:"PEM file of certificates to trust beside the system's"`
	InsecureVerify bool          `yaml:"insecure_skip_verify" doc:"take any certificate; anyone on the way can then read and change everything"`
	CreateBucket   bool          `yaml:"create_bucket" doc:"make the bucket if there is none"`
	Timeout        time.Duration `yaml:"timeout" min:"1s" doc:"how long the store may be silent in the middle of a request"`
	Attempts       int           `yaml:"attempts" min:"1" max:"20" doc:"how often a request is sent before the store is taken for busy"`

	// Transport wraps the HTTP transport, to count requests or to make them fail. May be nil.
	Transport func(http.RoundTripper) http.RoundTripper `yaml:"-"`
}

// Defaults returns the configuration to which only the place and the credentials have to be added.
//
// Eight attempts take about six seconds, longer than a restart of MinIO. Twelve parts of 8 MiB in
// flight fill a line of 10 Gbit/s with 80 ms of latency.
func Defaults() Config {
	return Config{
		Region: "us-east-1", Addressing: "auto", SessionName: "longshore", Encryption: bucket.EncryptNone,
		PartSize: 8 << 20, Memory: 96 << 20, Checksums: "crc32c", IfMatch: "quoted", ListVersion: "v2", BatchDelete: true,
		UserAgent: "longshore", Timeout: time.Minute, Attempts: 8,
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
	if host, _, err := splitEndpoint(c.Endpoint, c.Secure); err == nil && c.Addressing == "virtual" && net.ParseIP(hostname(host)) != nil {
		bad("addressing", "virtual needs an endpoint with a name, not with an IP address")
	}
	c.validateIdentity(bad)
	bucket.OneOf(bad, "if_match", c.IfMatch, "quoted", "off")
	c.settings().Validate(bad)
	return errors.Join(errs...)
}

func (c Config) validateIdentity(bad func(field, format string, args ...any)) {
	if c.STSEndpoint != "" {
		if u, err := url.Parse(c.STSEndpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			bad("sts_endpoint", "%q is not a URL that begins with http:// or https://", c.STSEndpoint)
		}
	}
	if c.WebIdentityTokenFile != "" && (c.AccessKey != "" || c.Profile != "") {
		bad("web_identity_token_file", "names an identity, as access_key and profile do; one of them is enough")
	}
	if c.assumes() && c.AccessKey == "" && c.WebIdentityTokenFile == "" {
		bad("access_key", "required, or web_identity_token_file, for role_arn and sts_endpoint")
	}
	if c.ExternalID != "" && c.RoleARN == "" {
		bad("role_arn", "external_id is for a role")
	}
}

// assumes reports whether credentials are changed for temporary ones.
func (c Config) assumes() bool { return c.RoleARN != "" || c.STSEndpoint != "" }

// settings are those that other drivers have too.
func (c Config) settings() bucket.Settings {
	_, secure, err := splitEndpoint(c.Endpoint, c.Secure)
	return bucket.Settings{
		Prefix: c.Prefix, Addressing: c.Addressing, ListVersion: c.ListVersion, Checksums: c.Checksums, StorageClass: c.StorageClass,
		UserAgent: c.UserAgent, Encryption: c.Encryption, KMSKey: c.KMSKey, CustomerKey: c.CustomerKey, Plain: err == nil && !secure,
		AccessKey: c.AccessKey, SecretKey: c.SecretKey, SessionToken: c.SessionToken, Profile: c.Profile, Role: c.assumes(),
		SessionName: c.SessionName, PartSize: c.PartSize, Memory: c.Memory, Timeout: c.Timeout, Attempts: c.Attempts,
	}
}

// folder is the prefix as it stands before every key: "" or with a slash at its end only.
func (c Config) folder() string { return bucket.Folder(c.Prefix) }

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
