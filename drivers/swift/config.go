package swift

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
)

// Config says where the container is and how it is used. [Defaults] fills in what can be.
type Config struct {
	AuthURL     string `yaml:"auth_url" doc:"URL of the identity service: https://keystone.example.com/v3, …/v2.0, or …/auth/v1.0 for tempauth and Ceph"`
	AuthVersion string `yaml:"auth_version" enum:"auto,1,2,3" doc:"version of the identity API; auto takes it from auth_url"`
	Container   string `yaml:"container" doc:"the container that holds the registry"`
	Prefix      string `yaml:"prefix" doc:"folder in the container, for a container that is shared with others"`

	Username      string         `yaml:"username" doc:"name of the user; account:user for tempauth"`
	UserID        string         `yaml:"user_id" doc:"id of the user, in place of username and domain"`
	Password      drivers.Secret `yaml:"password" doc:"password, or tempauth's key"`
	Domain        string         `yaml:"domain" doc:"name of the user's domain (v3)"`
	DomainID      string         `yaml:"domain_id" doc:"id of the user's domain (v3)"`
	Project       string         `yaml:"project" doc:"name of the project, also called tenant (v2, v3)"`
	ProjectID     string         `yaml:"project_id" doc:"id of the project (v2, v3)"`
	ProjectDomain string         `yaml:"project_domain" doc:"name of the project's domain where it is not the user's (v3)"`
	TrustID       string         `yaml:"trust_id" doc:"id of a trust to act under (v3)"`

	ApplicationCredentialID     string         `yaml:"application_credential_id" doc:"id of an application credential, in place of a user (v3)"`
	ApplicationCredentialName   string         `yaml:"application_credential_name" doc:"name of an application credential of the user (v3)"`
	ApplicationCredentialSecret drivers.Secret `yaml:"application_credential_secret" doc:"its secret"`

	Region     string `yaml:"region" doc:"region of the object store in the identity service's catalogue; empty: the first"`
	Interface  string `yaml:"interface" enum:"public,internal,admin" doc:"which of the catalogue's addresses is used"`
	StorageURL string `yaml:"storage_url" doc:"URL of the account that has the container (…/v1/AUTH_…), where it is not the user's own in the catalogue"`

	TempURLKey     drivers.Secret `yaml:"temp_url_key" doc:"the container's or account's X-…-Meta-Temp-URL-Key, for URLs that are handed to clients; empty: none are"`
	TempURLDigest  string         `yaml:"temp_url_digest" enum:"sha256,sha512,sha1" doc:"how these URLs are signed"`
	PublicEndpoint string         `yaml:"public_endpoint" doc:"the object store's endpoint as clients reach it, for such URLs; default that of the account"`

	LargeObjects string `yaml:"large_objects" enum:"auto,slo,dlo" doc:"how the parts of an object are joined: static large objects, dynamic ones for a cluster that lacks them, or what the cluster says that it has"`
	PartSize     int64  `yaml:"part_size" unit:"bytes" min:"5MiB" max:"5GiB" doc:"size of the segments in which large objects are sent"`
	Memory       int64  `yaml:"memory" unit:"bytes" doc:"bound for the buffers of all uploads together"`
	Checksums    string `yaml:"checksums" enum:"md5,none" doc:"how the store checks what it receives"`
	Newest       bool   `yaml:"newest" doc:"ask all replicas for the newest version at each read; without it a read soon after a write may give the older one"`
	ShortPages   bool   `yaml:"short_pages" doc:"go on with a listing until a page is empty, for stores whose pages can be short before the last"`
	BulkDelete   bool   `yaml:"bulk_delete" doc:"remove many objects in one request where the cluster says that it can"`

	UserAgent       string        `yaml:"user_agent" doc:"the User-Agent of each request"`
	CAFile          string        `yaml:"ca_file" doc:"PEM file of certificates to trust beside the system's"`
	InsecureVerify  bool          `yaml:"insecure_skip_verify" doc:"take any certificate; anyone on the way can then read and change everything"`
	CreateContainer bool          `yaml:"create_container" doc:"make the container if there is none"`
	StoragePolicy   string        `yaml:"storage_policy" doc:"storage policy of a container that is made"`
	Timeout         time.Duration `yaml:"timeout" min:"1s" doc:"how long the store may be silent in the middle of a request"`
	Attempts        int           `yaml:"attempts" min:"1" max:"20" doc:"how often a request is sent before the store is taken for busy"`

	// Transport wraps the HTTP transport of requests to the object store, to count them or to make them fail. May be nil.
	Transport func(http.RoundTripper) http.RoundTripper `yaml:"-" json:"-"`
}

// Defaults returns the configuration to which the identity service, the container and an identity have to be added.
func Defaults() Config {
	return Config{
		AuthVersion: "auto", Interface: "public", TempURLDigest: "sha256", LargeObjects: "auto",
		PartSize: 8 << 20, Memory: 96 << 20, Checksums: "md5", Newest: true, BulkDelete: true,
		UserAgent: "longshore", Timeout: time.Minute, Attempts: 10,
	}
}

// agent is what can be a User-Agent.
var agent = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+.^_|~-]+(/[A-Za-z0-9!#$%&'*+.^_|~-]+)?$`)

// Validate returns all that is wrong, joined; each message begins with the name of a field. It asks
// nothing of the network.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf(field+": "+format, args...))
	}
	oneOf := func(field, value string, values ...string) {
		if !slices.Contains(values, value) {
			bad(field, "%q is none of %s", value, strings.Join(values, ", "))
		}
	}
	if c.AuthURL == "" {
		bad("auth_url", "required")
	}
	for _, u := range []struct{ field, value string }{{"auth_url", c.AuthURL}, {"storage_url", c.StorageURL}, {"public_endpoint", c.PublicEndpoint}} {
		parsed, err := url.Parse(u.value)
		if u.value != "" && (err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" || parsed.User != nil || parsed.RawQuery != "") {
			bad(u.field, "%q is not a URL that begins with http:// or https://", u.value)
		}
	}
	switch {
	case c.Container == "":
		bad("container", "required")
	case len(c.Container) > 256 || strings.ContainsAny(c.Container, "/?#%\x00"):
		bad("container", "%q is no name of a container: at most 256 bytes, without / ? # %%", c.Container)
	}
	if p := c.folder(); p != "" {
		// 512 leaves as much again for the keys below it.
		if err := drivers.CheckKey(name, "open", strings.TrimSuffix(p, "/")); err != nil || len(p) > 512 {
			bad("prefix", "%q: at most 511 bytes of A-Z a-z 0-9 . _ - and /, without empty, . and .. elements", c.Prefix)
		}
	}
	c.validateIdentity(bad)
	oneOf("auth_version", c.AuthVersion, "auto", "1", "2", "3")
	oneOf("interface", c.Interface, "public", "internal", "admin")
	oneOf("temp_url_digest", c.TempURLDigest, "sha256", "sha512", "sha1")
	oneOf("large_objects", c.LargeObjects, "auto", "slo", "dlo")
	oneOf("checksums", c.Checksums, "md5", "none")
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

// version is the identity API's, 0 if neither auth_version nor auth_url tells.
func (c Config) version() int {
	if n, err := strconv.Atoi(c.AuthVersion); err == nil {
		return n
	}
	for n := 3; n > 0; n-- { // as the library looks for it
		if strings.Contains(c.AuthURL, fmt.Sprintf("v%d", n)) {
			return n
		}
	}
	return 0
}

func (c Config) validateIdentity(bad func(field, format string, args ...any)) {
	if c.version() == 0 && c.AuthURL != "" {
		bad("auth_version", "%s does not tell it; set 1, 2 or 3", c.AuthURL)
	}
	if c.version() == 3 && c.Username != "" && c.Domain == "" && c.DomainID == "" {
		bad("domain", "required beside username, or domain_id: names are a domain's in version 3")
	}
	if c.ApplicationCredentialSecret != "" {
		if c.ApplicationCredentialID == "" && c.ApplicationCredentialName == "" {
			bad("application_credential_id", "required beside application_credential_secret, or application_credential_name with the user")
		}
		if c.ApplicationCredentialID == "" && c.Username == "" && c.UserID == "" {
			bad("username", "required beside application_credential_name: the name is the user's")
		}
		if c.Password != "" {
			bad("password", "an application credential has a secret of its own")
		}
		return
	}
	if c.ApplicationCredentialID != "" || c.ApplicationCredentialName != "" {
		bad("application_credential_secret", "required")
		return
	}
	if c.Username == "" && c.UserID == "" {
		bad("username", "required")
	}
	if c.Password == "" {
		bad("password", "required")
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
