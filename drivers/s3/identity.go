package s3

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// configure finds the region and the identity, and sets d.identity. Without access_key the SDK looks, in this order, at the
// environment, the profile (with its role, SSO or process), a web identity token (IRSA), the container's endpoint (Pod Identity, ECS)
// and the machine's role: https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
func (d *Driver) configure(ctx context.Context) (aws.Config, error) {
	var with []func(*config.LoadOptions) error
	if d.c.Region != "" {
		with = append(with, config.WithRegion(d.c.Region))
	}
	if d.c.Profile != "" {
		with = append(with, config.WithSharedConfigProfile(d.c.Profile))
	}
	if d.c.AccessKey != "" {
		with = append(with, config.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(d.c.AccessKey, string(d.c.SecretKey), string(d.c.SessionToken))))
	}
	sdk, err := config.LoadDefaultConfig(ctx, with...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("profile: the AWS configuration of this machine can't be read: %w", err)
	}
	if d.c.Endpoint != "" && sdk.Region == "" {
		sdk.Region = "us-east-1"
	}
	if sdk.Region == "" {
		return aws.Config{}, fmt.Errorf("region: required, since neither the environment nor a profile has one; or set endpoint for a store other than AWS")
	}
	if d.c.RoleARN != "" {
		d.assume(&sdk)
	}
	found, err := sdk.Credentials.Retrieve(ctx)
	if ctx.Err() != nil {
		return aws.Config{}, ctx.Err()
	}
	switch {
	case err != nil && d.c.RoleARN != "":
		return aws.Config{}, fmt.Errorf("role_arn: %s can't be assumed: %w", d.c.RoleARN, err)
	case err != nil:
		return aws.Config{}, fmt.Errorf("access_key: is not set, and there is no other identity: %w", err)
	}
	d.identity = describe(d.c, found)
	return sdk, nil
}

// assume puts the role before the identity that was found.
func (d *Driver) assume(sdk *aws.Config) {
	service := sts.NewFromConfig(*sdk, func(o *sts.Options) {
		if d.c.STSEndpoint != "" {
			o.BaseEndpoint = aws.String(d.c.STSEndpoint)
			o.HTTPClient = &http.Client{Transport: d.transport, Timeout: d.c.Timeout} // with the same CA
		}
	})
	sdk.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(service, d.c.RoleARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = d.c.SessionName
		if d.c.ExternalID != "" {
			o.ExternalID = aws.String(d.c.ExternalID)
		}
	}))
}

// describe says whose credentials are used. An access key's id is no secret: it is in each signed URL.
func describe(c Config, found aws.Credentials) string {
	var parts []string
	switch {
	case c.RoleARN != "":
		parts = append(parts, "role "+c.RoleARN)
	case c.AccessKey != "":
		parts = append(parts, "access_key")
	default:
		parts = append(parts, found.Source)
	}
	if c.Profile != "" {
		parts = append(parts, "profile "+c.Profile)
	}
	return strings.Join(append(parts, found.AccessKeyID), ", ")
}
