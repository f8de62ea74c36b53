package gcs

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
)

// Config says where the bucket is and how it is used. [Defaults] fills in what can be.
type Config struct {
	Bucket   string `yaml:"bucket" doc:"the bucket that holds the registry"`
	Prefix   string `yaml:"prefix" doc:"folder in the bucket, for a bucket that is shared with others"`
	Endpoint string `yaml:"endpoint" doc:"URL of the service, for a private endpoint or an emulator; empty: https://storage.googleapis.com"`

	CredentialsFile string         `yaml:"credentials_file" doc:"JSON file of a service account, or of workload identity federation; empty: the application default credentials, which on Google's machines are those of the machine or the workload"`
	CredentialsJSON drivers.Secret `yaml:"credentials_json" doc:"the content of such a file"`
	Impersonate     string         `yaml:"impersonate" doc:"e-mail address of a service account to act as, with the identity found otherwise"`
	Anonymous       bool           `yaml:"anonymous" doc:"send no credentials, for emulators"`
	SigningAccount  string         `yaml:"signing_account" doc:"e-mail address of the service account that signs URLs through IAM, where the credentials hold no key; empty: the one of the credentials"`
	PublicEndpoint  string         `yaml:"public_endpoint" doc:"the endpoint as clients reach it, for URLs that are handed to them; default endpoint"`

	KMSKey       string `yaml:"kms_key" doc:"key of Cloud KMS that encrypts each object: projects/P/locations/L/keyRings/R/cryptoKeys/K; empty: the bucket's default"`
	StorageClass string `yaml:"storage_class" doc:"storage class of blobs; records stay in the bucket's default"`
	UserProject  string `yaml:"user_project" doc:"project that pays, for a bucket whose requester pays"`

	PartSize int64 `yaml:"part_size" unit:"bytes" min:"5MiB" max:"5GiB" doc:"size of the parts in which large objects are sent"`
	Memory   int64 `yaml:"memory" unit:"bytes" doc:"bound for the buffers of all uploads together"`

	UserAgent string        `yaml:"user_agent" doc:"added to the User-Agent of each request"`
	CAFile    string        `yaml:"ca_file" doc:"PEM file of certificates to trust beside the system's"`
	Timeout   time.Duration `yaml:"timeout" min:"1s" doc:"how long the store may be silent in the middle of a request"`
	Attempts  int           `yaml:"attempts" min:"1" max:"20" doc:"how often a request is sent before the store is taken for busy"`

	// Transport wraps the HTTP transport, to count requests or to make them fail. May be nil.
	Transport func(http.RoundTripper) http.RoundTripper `yaml:"-" json:"-"`
}

// Defaults returns the configuration to which only the bucket has to be added.
//
// Ten attempts take about ten seconds: Google asks for that much patience while a bucket's request rate grows.
// https://cloud.google.com/storage/docs/request-rate
func Defaults() Config {
	return Config{PartSize: 8 << 20, Memory: 96 << 20, UserAgent: "longshore", Timeout: time.Minute, Attempts: 10}
}

// https://cloud.google.com/storage/docs/buckets#naming
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)

var kmsKey = regexp.MustCompile(`^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$`)

// agent is what may be added to a User-Agent.
var agent = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+.^_|~-]*(/[A-Za-z0-9!#$%&'*+.^_|~-]+)?$`)

// classes are the storage classes from which a GET is answered at once: https://cloud.google.com/storage/docs/storage-classes
var classes = []string{"", "STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"}

// Validate returns all that is wrong, joined; each message begins with the name of a field. It asks
// nothing of the network.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf(field+": "+format, args...))
	}
	switch {
	case c.Bucket == "":
		bad("bucket", "required")
	case !bucketName.MatchString(c.Bucket):
		bad("bucket", "%q is no name of a bucket: 3 to 222 lower-case letters, digits, dots, hyphens and underscores", c.Bucket)
	}
	if p := c.folder(); p != "" {
		// 512 leaves as much again for the keys below it.
		if err := drivers.CheckKey(name, "open", strings.TrimSuffix(p, "/")); err != nil || len(p) > 512 {
			bad("prefix", "%q: at most 511 bytes of A-Z a-z 0-9 . _ - and /, without empty, . and .. elements", c.Prefix)
		}
	}
	for field, endpoint := range map[string]string{"endpoint": c.Endpoint, "public_endpoint": c.PublicEndpoint} {
		u, err := url.Parse(endpoint)
		if endpoint == "" {
			continue
		}
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
			bad(field, "%q is not https://host or http://host:port", endpoint)
		}
	}
	c.validateIdentity(bad)
	if c.KMSKey != "" && !kmsKey.MatchString(c.KMSKey) {
		bad("kms_key", "%q is not projects/P/locations/L/keyRings/R/cryptoKeys/K", c.KMSKey)
	}
	if !slices.Contains(classes, c.StorageClass) {
		bad("storage_class", "%q is none of STANDARD, NEARLINE, COLDLINE, ARCHIVE", c.StorageClass)
	}
	if c.PartSize < parts.MinPart || c.PartSize > parts.MaxPart {
		bad("part_size", "%d bytes; it has to be 5 MiB to 5 GiB", c.PartSize)
	}
	if c.Memory < c.PartSize {
		bad("memory", "%d bytes is less than part_size, so no part could be sent", c.Memory)
	}
	if !agent.MatchString(c.UserAgent) {
		bad("user_agent", "%q is not a name, or name/version, without spaces", c.UserAgent)
	}
	if c.Timeout < time.Second {
		bad("timeout", "%v is less than a second", c.Timeout)
	}
	if c.Attempts < 1 {
		bad("attempts", "at least 1")
	}
	return errors.Join(errs...)
}

func (c Config) validateIdentity(bad func(field, format string, args ...any)) {
	if c.CredentialsFile != "" && c.CredentialsJSON != "" {
		bad("credentials_json", "names an identity, as credentials_file does; one of them is enough")
	}
	if c.CredentialsJSON != "" && !json.Valid([]byte(c.CredentialsJSON)) {
		bad("credentials_json", "is not JSON; it takes the content of a credentials file")
	}
	if c.Anonymous && (c.CredentialsFile != "" || c.CredentialsJSON != "" || c.Impersonate != "") {
		bad("anonymous", "excludes credentials_file, credentials_json and impersonate")
	}
	for field, address := range map[string]string{"impersonate": c.Impersonate, "signing_account": c.SigningAccount} {
		if address != "" && !strings.Contains(address, "@") {
			bad(field, "%q is not the e-mail address of a service account", address)
		}
	}
}

// folder is the prefix as it stands before every key: "" or with a slash at its end only.
func (c Config) folder() string {
	p := strings.Trim(c.Prefix, "/")
	if p == "" {
		return ""
	}
	return p + "/"
}
