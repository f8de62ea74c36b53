package glance

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// Config says where the image service is and how it is used. [Defaults] fills in what can be.
type Config struct {
	AuthURL       string         `yaml:"auth_url" doc:"URL of the identity service, version 3: https://keystone.example.com/v3; empty with endpoint: no identity service is asked"`
	Username      string         `yaml:"username" doc:"name of the user"`
	Password      drivers.Secret `yaml:"password" doc:"password of the user"`
	Domain        string         `yaml:"domain" doc:"name of the user's domain"`
	Project       string         `yaml:"project" doc:"name of the project that owns the images"`
	ProjectDomain string         `yaml:"project_domain" doc:"name of the project's domain where it is not the user's"`

	ApplicationCredentialID     string         `yaml:"application_credential_id" doc:"id of an application credential, in place of a user; it belongs to a project"`
	ApplicationCredentialSecret drivers.Secret `yaml:"application_credential_secret" doc:"its secret"`

	Token     drivers.Secret `yaml:"token" doc:"a token that is used as it is, in place of credentials; it needs endpoint, and ends some day"`
	Region    string         `yaml:"region" doc:"region of the image service in the identity service's catalogue; empty: the first"`
	Interface string         `yaml:"interface" enum:"public,internal,admin" doc:"which of the catalogue's addresses is used"`
	Endpoint  string         `yaml:"endpoint" doc:"URL of the image service, where it is not that of the catalogue"`

	Store           string `yaml:"store" doc:"name of the registry's store; several can share one project"`
	ContainerFormat string `yaml:"container_format" doc:"container format of the images with data; one that the cloud allows, and not bare, whose data some versions inspect"`
	PartSize        int64  `yaml:"part_size" unit:"bytes" min:"1MiB" max:"1GiB" doc:"size of the images in which a blob is kept"`
	Memory          int64  `yaml:"memory" unit:"bytes" doc:"bound for the buffers of all uploads together"`

	CAFile         string        `yaml:"ca_file" doc:"PEM file of certificates to trust beside the system's"`
	InsecureVerify bool          `yaml:"insecure_skip_verify" doc:"take any certificate; anyone on the way can then read and change everything"`
	Timeout        time.Duration `yaml:"timeout" min:"1s" doc:"how long the service may be silent in the middle of a request"`
	Attempts       int           `yaml:"attempts" min:"1" max:"20" doc:"how often a request is sent before the service is taken for busy"`
}

// Defaults returns the configuration to which the identity service and an identity have to be added.
func Defaults() Config {
	return Config{
		Domain: "Default", Interface: "public", Store: "longshore", ContainerFormat: "docker",
		PartSize: 32 << 20, Memory: 256 << 20, Timeout: time.Minute, Attempts: 8,
	}
}

// storeName is what can name a store: it is compared by a database that may not tell small letters from large ones.
var storeName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// Validate returns all that is wrong, joined; each message begins with the name of a field. It asks
// nothing of the network.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf(field+": "+format, args...))
	}
	for _, u := range []struct{ field, value string }{{"auth_url", c.AuthURL}, {"endpoint", c.Endpoint}} {
		parsed, err := url.Parse(u.value)
		if u.value != "" && (err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" || parsed.User != nil || parsed.RawQuery != "") {
			bad(u.field, "%q is not a URL that begins with http:// or https://", u.value)
		}
	}
	c.validateIdentity(bad)
	if !slices.Contains([]string{"public", "internal", "admin"}, c.Interface) {
		bad("interface", "%q is none of public, internal, admin", c.Interface)
	}
	if !storeName.MatchString(c.Store) {
		bad("store", "%q: at most 40 of a-z 0-9 -, the first not -", c.Store)
	}
	if c.ContainerFormat == "" || strings.EqualFold(c.ContainerFormat, "bare") {
		bad("container_format", "%q: one of the image service's, but not bare", c.ContainerFormat)
	}
	if c.PartSize < 1<<20 || c.PartSize > 1<<30 {
		bad("part_size", "%d bytes; it has to be 1 MiB to 1 GiB", c.PartSize)
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

func (c Config) validateIdentity(bad func(field, format string, args ...any)) {
	switch {
	case c.AuthURL == "" && c.Endpoint == "":
		bad("auth_url", "required, or endpoint")
	case c.AuthURL == "":
		if c.Username != "" || c.Password != "" || c.ApplicationCredentialID != "" || c.ApplicationCredentialSecret != "" {
			bad("auth_url", "required beside credentials")
		}
		return
	}
	if c.Token != "" {
		bad("token", "not beside auth_url: a token is used as it is, and needs endpoint alone")
		return
	}
	if c.ApplicationCredentialID != "" || c.ApplicationCredentialSecret != "" {
		if c.ApplicationCredentialID == "" {
			bad("application_credential_id", "required beside application_credential_secret")
		}
		if c.ApplicationCredentialSecret == "" {
			bad("application_credential_secret", "required beside application_credential_id")
		}
		if c.Username != "" || c.Password != "" || c.Project != "" {
			bad("username", "an application credential stands for user, password and project")
		}
		return
	}
	for _, f := range []struct{ field, value string }{{"username", c.Username}, {"password", string(c.Password)}, {"project", c.Project}, {"domain", c.Domain}} {
		if f.value == "" {
			bad(f.field, "required")
		}
	}
}
