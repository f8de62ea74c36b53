package s3

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// hideIdentities makes the machine's own credentials invisible.
func hideIdentities(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_ENDPOINT_URL",
	} {
		t.Setenv(name, "")
	}
	dir := t.TempDir()
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "credentials"))
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "config"))
}

func TestIdentity(t *testing.T) {
	hideIdentities(t)
	credentials := "[default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = x\n[other]\naws_access_key_id = AKIDOTHER\naws_secret_access_key = x\n"
	if err := os.WriteFile(os.Getenv("AWS_SHARED_CREDENTIALS_FILE"), []byte(credentials), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		env    map[string]string
		change func(*Config)
		want   string
		key    string // in the signature
	}{
		"keys":        {nil, func(*Config) {}, "access_key, user", "user"},
		"environment": {map[string]string{"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "x"}, func(c *Config) { c.AccessKey, c.SecretKey = "", "" }, "EnvConfigCredentials, AKIDENV", "AKIDENV"},
		"file":        {nil, func(c *Config) { c.AccessKey, c.SecretKey = "", "" }, "SharedConfigCredentials: ", "AKIDDEFAULT"},
		"profile":     {nil, func(c *Config) { c.AccessKey, c.SecretKey, c.Profile = "", "", "other" }, "SharedConfigCredentials: ", "AKIDOTHER"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range test.env {
				t.Setenv(k, v)
			}
			signature := ""
			d := fake(t, func(_ http.ResponseWriter, r *http.Request) { signature = r.Header.Get("Authorization") }, test.change)
			if got := d.Identity(); !strings.HasPrefix(got, test.want) || !strings.HasSuffix(got, test.key) {
				t.Errorf("identity %q, want %q first and %q last", got, test.want, test.key)
			}
			if err := d.Put(t.Context(), "a/b", nil); err != nil || !strings.Contains(signature, "Credential="+test.key+"/") {
				t.Errorf("signed by %q, %v", signature, err)
			}
		})
	}
}

func TestNoIdentityAndNoRegion(t *testing.T) {
	hideIdentities(t)
	c := goodConfig()
	c.AccessKey, c.SecretKey = "", ""
	if _, err := Open(t.Context(), c); err == nil || !strings.HasPrefix(err.Error(), "access_key: is not set") {
		t.Errorf("no identity: %v", err)
	}
	c = goodConfig()
	c.Endpoint = ""
	if _, err := Open(t.Context(), c); err == nil || !strings.HasPrefix(err.Error(), "region: required") {
		t.Errorf("no region: %v", err)
	}
	c.Region, c.Profile, c.AccessKey, c.SecretKey = "eu-west-1", "missing", "", ""
	if _, err := Open(t.Context(), c); err == nil || !strings.HasPrefix(err.Error(), "profile: ") {
		t.Errorf("no such profile: %v", err)
	}
}

// TestEndpointOfTheEnvironment is not taken: half of the settings would not fit.
func TestEndpointOfTheEnvironment(t *testing.T) {
	hideIdentities(t)
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:2")
	c := goodConfig()
	c.Region = "eu-west-1"
	d := &Driver{c: c}
	sdk, err := d.configure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"", "https://s3.example.com"} {
		if got := aws.ToString(s3.NewFromConfig(sdk, d.options(want)).Options().BaseEndpoint); got != want {
			t.Errorf("the endpoint is %q, want %q", got, want)
		}
	}
}
