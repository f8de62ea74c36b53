package minio

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// hideIdentities makes the machine's own credentials invisible, and returns the path of the file in which profiles are.
func hideIdentities(t *testing.T) (file string) {
	t.Helper()
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
		"MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", "MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD",
	} {
		t.Setenv(name, "")
	}
	file = filepath.Join(t.TempDir(), "credentials")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	return file
}

// sts is a service that gives out temporary credentials, and notes what it was asked.
func sts(t *testing.T) (url string, asked *[]string) {
	t.Helper()
	asked = &[]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // what is missing is empty
		*asked = append(*asked, r.Form.Get("Action")+" "+r.Form.Get("WebIdentityToken")+r.Form.Get("RoleArn"))
		action := r.Form.Get("Action")
		end := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
		_, _ = w.Write([]byte(`<` + action + `Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><` + action + `Result><Credentials>` +
			`<AccessKeyId>temporary</AccessKeyId><SecretAccessKey>x</SecretAccessKey><SessionToken>session</SessionToken><Expiration>` + end +
			`</Expiration></Credentials></` + action + `Result></` + action + `Response>`))
	}))
	t.Cleanup(server.Close)
	return server.URL, asked
}

func TestIdentity(t *testing.T) {
	file := hideIdentities(t)
	profiles := "[default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = x\n[other]\naws_access_key_id = AKIDOTHER\naws_secret_access_key = x\n"
	token := filepath.Join(t.TempDir(), "token")
	for path, content := range map[string]string{file: profiles, token: "a-token\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	service, asked := sts(t)
	none := func(c *Config) { c.AccessKey, c.SecretKey = "", "" }
	for name, test := range map[string]struct {
		env    map[string]string
		change func(*Config)
		want   string // how the identity begins
		key    string // in the signature
		asked  string // of the service for temporary credentials
	}{
		"keys":              {nil, func(*Config) {}, "access_key, ", "user", ""},
		"MinIO's variables": {map[string]string{"MINIO_ACCESS_KEY": "mine", "MINIO_SECRET_KEY": "x"}, none, "MINIO_ACCESS_KEY, ", "mine", ""},
		"AWS's variables":   {map[string]string{"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "x"}, none, "AWS_ACCESS_KEY_ID, ", "AKIDENV", ""},
		"file":              {nil, none, "~/.aws/credentials, ", "AKIDDEFAULT", ""},
		"profile":           {nil, func(c *Config) { none(c); c.Profile = "other" }, "profile other, ", "AKIDOTHER", ""},
		"token": {nil, func(c *Config) { none(c); c.WebIdentityTokenFile, c.STSEndpoint = token, service }, "web_identity_token_file, ",
			"temporary", "AssumeRoleWithWebIdentity a-token"},
		"role": {nil, func(c *Config) { c.RoleARN, c.STSEndpoint = "arn:aws:iam::1:role/r", service }, "access_key user at " + service,
			"temporary", "AssumeRole arn:aws:iam::1:role/r"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range test.env {
				t.Setenv(k, v)
			}
			*asked = nil
			signature := ""
			d := fakeWith(t, func(_ http.ResponseWriter, r *http.Request) { signature = r.Header.Get("Authorization") }, test.change)
			if got := d.Identity(); !strings.HasPrefix(got, test.want) || !strings.HasSuffix(got, ", "+test.key) {
				t.Errorf("identity %q, want %q first and %q last", got, test.want, test.key)
			}
			if err := d.Put(t.Context(), "a/b", nil); err != nil || !strings.Contains(signature, "Credential="+test.key+"/") {
				t.Errorf("signed by %q, %v", signature, err)
			}
			if got := strings.Join(*asked, ", "); got != test.asked {
				t.Errorf("asked for %q, want %q", got, test.asked)
			}
		})
	}
}

func TestNoIdentity(t *testing.T) {
	hideIdentities(t)
	for want, change := range map[string]func(*Config){
		"access_key: is not set":           func(*Config) {},
		"profile: ":                        func(c *Config) { c.Profile = "missing" },
		"web_identity_token_file: ":        func(c *Config) { c.WebIdentityTokenFile, c.STSEndpoint = "/nowhere", "http://127.0.0.1:1" },
		"role_arn, sts_endpoint: no tempo": func(c *Config) { c.AccessKey, c.SecretKey, c.STSEndpoint = "user", "secret-word", "http://127.0.0.1:1" },
	} {
		c := goodConfig()
		c.AccessKey, c.SecretKey = "", ""
		change(&c)
		_, err := Open(t.Context(), c)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "secret-word") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestIdentityStopsWithTheContext: a service for temporary credentials that does not answer does not keep Open.
func TestIdentityStopsWithTheContext(t *testing.T) {
	hideIdentities(t)
	ctx, cancel := context.WithCancel(t.Context())
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not see that the client leaves
		cancel()
		<-r.Context().Done()
	}))
	t.Cleanup(silent.Close)
	c := goodConfig()
	c.STSEndpoint = silent.URL
	if _, err := Open(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// TestSettingsInRequests looks at what a few settings do to a PUT and to the beginning of an upload.
func TestSettingsInRequests(t *testing.T) {
	headers := map[string]http.Header{}
	d := fakeWith(t, func(w http.ResponseWriter, r *http.Request) {
		headers[r.Method] = r.Header
		if r.Method == http.MethodPost {
			_, _ = w.Write([]byte("<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"))
		}
	}, func(c *Config) {
		c.StorageClass, c.ACL, c.UserAgent, c.Encryption, c.KMSKey = "REDUCED_REDUNDANCY", "bucket-owner-full-control", "yard/7", "kms", "a-key"
	})
	if err := d.Put(t.Context(), "a/record", nil); err != nil {
		t.Fatal(err)
	}
	w, err := d.Writer(t.Context(), "a/blob", -1)
	if err == nil {
		_, err = w.Suspend(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{http.MethodPut, http.MethodPost} {
		h := headers[method]
		for header, want := range map[string]string{
			"X-Amz-Acl": "bucket-owner-full-control", "X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "a-key",
			"X-Amz-Storage-Class": map[string]string{http.MethodPost: "REDUCED_REDUNDANCY"}[method], // a record stays in the default
		} {
			if got := h.Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", method, header, got, want)
			}
		}
		if !strings.HasSuffix(h.Get("User-Agent"), " yard/7") {
			t.Errorf("%s: User-Agent is %q", method, h.Get("User-Agent"))
		}
	}
}

func TestExtrasFollowTheSettings(t *testing.T) {
	d := fakeWith(t, nil, func(c *Config) { c.IfMatch = "off" })
	if x := drivers.ExtrasOf(d); x.Match != nil || x.Absent == nil || x.Signer == nil || x.Sweep == nil {
		t.Errorf("extras are %+v", x)
	}
}
