package minio

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// An identity is where credentials may come from.
type identity struct {
	name     string
	provider credentials.Provider
}

// identities are those that are asked, in this order. The first that has credentials is used from then on.
func (c Config) identities(endpoint string) []identity {
	sts := cmp.Or(c.STSEndpoint, endpoint)
	switch {
	case c.WebIdentityTokenFile != "":
		return []identity{{"web_identity_token_file", webIdentity(sts, c.WebIdentityTokenFile, c.RoleARN)}}
	case c.AccessKey != "" && c.assumes():
		return []identity{{"access_key " + c.AccessKey + " at " + sts, &credentials.STSAssumeRole{
			STSEndpoint: sts,
			Options: credentials.STSAssumeRoleOptions{
				AccessKey: c.AccessKey, SecretKey: string(c.SecretKey), SessionToken: string(c.SessionToken), Location: c.Region,
				RoleARN: c.RoleARN, RoleSessionName: c.SessionName, ExternalID: c.ExternalID,
			},
		}}}
	case c.AccessKey != "":
		return []identity{{"access_key", &credentials.Static{Value: credentials.Value{
			AccessKeyID: c.AccessKey, SecretAccessKey: string(c.SecretKey), SessionToken: string(c.SessionToken), SignerType: credentials.SignatureV4,
		}}}}
	case c.Profile != "":
		return []identity{{"profile " + c.Profile, &credentials.FileAWSCredentials{Profile: c.Profile}}}
	}
	all := []identity{
		{"MINIO_ACCESS_KEY", &credentials.EnvMinio{}},
		{"AWS_ACCESS_KEY_ID", &credentials.EnvAWS{}},
		{"~/.aws/credentials", &credentials.FileAWSCredentials{}},
	}
	if os.Getenv("AWS_EC2_METADATA_DISABLED") != "true" || os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "" {
		// Off the cloud nothing answers at the address of the machine's role.
		all = append(all, identity{"the machine's role", &credentials.IAM{Client: &http.Client{Timeout: 5 * time.Second}}})
	}
	return all
}

// webIdentity changes the token in file for credentials.
func webIdentity(sts, file, role string) credentials.Provider {
	return &credentials.STSWebIdentity{
		STSEndpoint: sts, RoleARN: role,
		GetWebIDTokenExpiry: func() (*credentials.WebIdentityToken, error) {
			token, err := os.ReadFile(file)
			return &credentials.WebIdentityToken{Token: strings.TrimSpace(string(token))}, err
		},
	}
}

// identify finds the identity, and sets the options and what [Driver.Identity] says.
func (d *Driver) identify(c Config, endpoint string, client *http.Client) error {
	var failures []string
	for _, one := range c.identities(endpoint) {
		found := credentials.New(one.provider)
		value, err := found.GetWithContext(&credentials.CredContext{Client: client, Endpoint: endpoint})
		if err == nil && value.AccessKeyID == "" {
			err = fmt.Errorf("has no credentials")
		}
		if err == nil {
			d.options.Creds = found
			d.identity = one.name + ", " + value.AccessKeyID
			return nil
		}
		failures = append(failures, fmt.Sprintf("%s: %v", one.name, err))
	}
	reasons := strings.Join(failures, "; ")
	switch {
	case c.WebIdentityTokenFile != "":
		return fmt.Errorf("web_identity_token_file: the token gives no credentials: %s", reasons)
	case c.AccessKey != "":
		return fmt.Errorf("role_arn, sts_endpoint: no temporary credentials: %s", reasons)
	case c.Profile != "":
		return fmt.Errorf("profile: %s", reasons)
	}
	return fmt.Errorf("access_key: is not set, and there is no other identity: %s", reasons)
}

// Identity says where the credentials come from and whose they are, without secrets, for a log: "access_key, longshore", or
// "AWS_ACCESS_KEY_ID, AKIA…".
func (d *Driver) Identity() string { return d.identity }
