package s3

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/bucket"
)

// Config says where the store is and how it is used. [Defaults] fills in what can be.
type Config struct {
	Endpoint       string `yaml:"endpoint" doc:"URL of the S3 API, for stores other than AWS; empty: AWS in the region"`
	Region         string `yaml:"region" doc:"the bucket's region; default for AWS that of the environment or the profile, for others us-east-1"`
	Bucket         string `yaml:"bucket" doc:"the bucket that holds the registry"`
	Prefix         string `yaml:"prefix" doc:"folder in the bucket, for a bucket that is shared with others"`
	Addressing     string `yaml:"addressing" enum:"auto,path,virtual" doc:"whether the bucket's name is in the path or in the host's name"`
	PublicEndpoint string `yaml:"public_endpoint" doc:"the endpoint as clients reach it, for URLs that are handed to them; default endpoint"`
	DualStack      bool   `yaml:"dualstack" doc:"use AWS's endpoints that also have IPv6"`
	FIPS           bool   `yaml:"fips" doc:"use AWS's FIPS endpoints"`
	Accelerate     bool   `yaml:"accelerate" doc:"use AWS's transfer acceleration, which the bucket must have"`

	CloudFront CloudFront `yaml:"cloudfront" doc:"URLs of a CloudFront distribution for clients, instead of those of the bucket"`

	AccessKey    string         `yaml:"access_key" doc:"access key; empty: the identity that the environment, a profile or the machine has"`
	SecretKey    drivers.Secret `yaml:"secret_key" doc:"secret key"`
	SessionToken drivers.Secret `yaml:"session_token" doc:"the third part of temporary credentials"`
	Profile      string         `yaml:"profile" doc:"profile of the files in ~/.aws"`
	RoleARN      string         `yaml:"role_arn" doc:"role to assume, with the identity found otherwise"`
	ExternalID   string         `yaml:"external_id" doc:"external id that the role asks for"`
	SessionName  string         `yaml:"session_name" doc:"name of the assumed role's sessions in audit logs"`
	STSEndpoint  string         `yaml:"sts_endpoint" doc:"URL of the service that gives out roles, for stores other than AWS"`

	Encryption   string         `yaml:"encryption" enum:"none,s3,kms,customer" doc:"encryption that each object asks for: none leaves it to the bucket, s3 is SSE-S3, kms SSE-KMS, customer SSE-C"`
	KMSKey       string         `yaml:"kms_key" doc:"id or ARN of the key for encryption: kms; empty: the account's"`
	BucketKey    bool           `yaml:"bucket_key" doc:"let the bucket keep a key derived from kms_key, which saves requests to KMS"`
	CustomerKey  drivers.Secret `yaml:"customer_key" doc:"the key for encryption: customer, 32 bytes in base64"`
	StorageClass string         `yaml:"storage_class" doc:"storage class of blobs; records stay in the store's default"`
	ACL          string         `yaml:"acl" doc:"canned ACL for each object; empty: none is sent"`

	PartSize    int64  `yaml:"part_size" unit:"bytes" min:"5MiB" max:"5GiB" doc:"size of the parts in which large objects are sent"`
	EqualParts  bool   `yaml:"equal_parts" doc:"send parts that are all equally large but the last, as Cloudflare R2 demands"`
	AllParts    bool   `yaml:"all_parts" doc:"for stores that complete an upload only with all of its parts, as Ceph does"`
	Memory      int64  `yaml:"memory" unit:"bytes" doc:"bound for the buffers of all uploads together"`
	Checksums   string `yaml:"checksums" enum:"crc32c,md5,sha256,none" doc:"how the store checks what it receives"`
	IfMatch     string `yaml:"if_match" enum:"auto,quoted,unquoted,off" doc:"how the store wants the ETag of a conditional replacement: auto is quoted for AWS and unquoted for others; off does without"`
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

// Defaults returns the configuration to which only the bucket, and for stores other than AWS the endpoint, has to be added.
//
// Ten attempts take about ten seconds: AWS says SlowDown for some seconds while it splits a prefix that has become
// busy. Twelve parts of 8 MiB in flight fill a line of 10 Gbit/s with 80 ms of latency.
func Defaults() Config {
	return Config{
		Addressing: "auto", SessionName: "longshore", Encryption: "none",
		PartSize: 8 << 20, Memory: 96 << 20, Checksums: "crc32c", IfMatch: "auto", ListVersion: "v2", BatchDelete: true,
		UserAgent: "longshore", Timeout: time.Minute, Attempts: 10,
	}
}

// bucketName is what all stores take; AWS's rules for new buckets are narrower, those for old ones wider.
var bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$`)

// Validate returns all that is wrong, joined; each message begins with the name of a field. It asks
// nothing of the network.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf(field+": "+format, args...))
	}
	endpoint := func(field, value string) {
		if err := checkEndpoint(value); err != nil && value != "" {
			bad(field, "%w", err)
		}
	}
	endpoint("endpoint", c.Endpoint)
	endpoint("public_endpoint", c.PublicEndpoint)
	endpoint("sts_endpoint", c.STSEndpoint)
	c.validatePlace(bad)
	c.CloudFront.validate(bad, c.folder())
	if c.CloudFront.URL != "" && c.PublicEndpoint != "" {
		bad("public_endpoint", "is where clients are sent, as cloudfront.url is; one of them is enough")
	}
	bucket.OneOf(bad, "if_match", c.IfMatch, "auto", "quoted", "unquoted", "off")
	if c.RoleARN == "" && (c.ExternalID != "" || c.STSEndpoint != "") {
		bad("role_arn", "external_id and sts_endpoint are for a role")
	}
	if c.BucketKey && c.Encryption != bucket.EncryptKMS {
		bad("encryption", "bucket_key is for encryption: kms")
	}
	c.settings().Validate(bad)
	return errors.Join(errs...)
}

func (c Config) validatePlace(bad func(field, format string, args ...any)) {
	switch {
	case c.Bucket == "":
		bad("bucket", "required")
	case !bucketName.MatchString(c.Bucket):
		bad("bucket", "%q is no name of a bucket: 3 to 255 letters, digits, dots, hyphens and underscores", c.Bucket)
	}
	if c.Endpoint == "" {
		return
	}
	if c.DualStack || c.FIPS || c.Accelerate {
		bad("endpoint", "dualstack, fips and accelerate pick among AWS's own, so they can't be set beside it")
	}
	if u, err := url.Parse(c.Endpoint); err == nil && c.Addressing == "virtual" && net.ParseIP(u.Hostname()) != nil {
		bad("addressing", "virtual needs an endpoint with a name, not with an IP address")
	}
	if strings.HasPrefix(c.Endpoint, "http://") && (c.CAFile != "" || c.InsecureVerify) {
		bad("endpoint", "ca_file and insecure_skip_verify mean nothing without TLS; let the endpoint begin with https://")
	}
}

// settings are those that other drivers have too.
func (c Config) settings() bucket.Settings {
	return bucket.Settings{
		Prefix: c.Prefix, Addressing: c.Addressing, ListVersion: c.ListVersion, Checksums: c.Checksums, StorageClass: c.StorageClass,
		UserAgent: c.UserAgent, Encryption: c.Encryption, KMSKey: c.KMSKey, CustomerKey: c.CustomerKey,
		Plain: strings.HasPrefix(c.Endpoint, "http://"), AccessKey: c.AccessKey, SecretKey: c.SecretKey, SessionToken: c.SessionToken,
		Profile: c.Profile, Role: c.RoleARN != "", SessionName: c.SessionName, PartSize: c.PartSize, Memory: c.Memory, Timeout: c.Timeout,
		Attempts: c.Attempts,
	}
}

// folder is the prefix as it stands before every key: "" or with a slash at its end only.
func (c Config) folder() string { return bucket.Folder(c.Prefix) }

// pathStyle reports whether the bucket's name is in the path of URLs at endpoint.
func (c Config) pathStyle(endpoint string) bool {
	if c.Addressing != "auto" {
		return c.Addressing == "path"
	}
	if endpoint == "" {
		return false
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return true
	}
	// These take no other style. https://www.alibabacloud.com/help/en/oss/developer-reference/use-amazon-s3-sdks-to-access-oss
	for _, domain := range []string{"amazonaws.com", "amazonaws.com.cn", "aliyuncs.com", "myqcloud.com"} {
		if strings.HasSuffix(u.Hostname(), "."+domain) {
			return false
		}
	}
	return true
}

// quotes reports whether ETags in conditions have quotes.
func (c Config) quotes() bool {
	return c.IfMatch == "quoted" || c.IfMatch == "auto" && c.Endpoint == ""
}

// checkEndpoint returns what is wrong with a URL.
func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q does not begin with http:// or https://", endpoint)
	}
	if u.Hostname() == "" {
		return fmt.Errorf("%q names no host", endpoint)
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fmt.Errorf("%q has more than a host and a port; the bucket has a key of its own", endpoint)
	}
	return nil
}
