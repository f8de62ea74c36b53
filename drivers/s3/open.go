package s3

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/longshore-registry/longshore/drivers/internal/bucket"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// check asks whether the bucket is there and makes it if the configuration says so. The error begins with the
// name of the setting that is most likely wrong.
func (d *Driver) check(ctx context.Context) error {
	_, err := d.try(ctx, func() error {
		_, err := d.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &d.c.Bucket})
		return err
	})
	a, _ := answerOf(err)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
		return nil
	case a.status == http.StatusNotFound && d.c.CreateBucket:
		return d.create(ctx)
	case a.status == http.StatusForbidden || a.status == http.StatusBadRequest:
		// The answer to a HEAD has no body, so ask again in a way that has one. Some answer a HEAD of a bucket
		// with 403 to who may list only what is below the prefix.
		_, again := d.page(ctx, d.prefix, "", "", "/")
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if again == nil {
			return nil
		}
		err = again
	}
	return d.explain(err)
}

// create makes the bucket.
func (d *Driver) create(ctx context.Context) error {
	in := &s3.CreateBucketInput{Bucket: &d.c.Bucket}
	if d.c.Endpoint == "" && d.region != "us-east-1" {
		// AWS alone wants it, and not in its first region.
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(d.region)}
	}
	_, err := d.try(ctx, func() error {
		_, err := d.client.CreateBucket(ctx, in)
		if codeOf(err) == "BucketAlreadyOwnedByYou" {
			return nil // another replica was faster
		}
		return err
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("create_bucket: could not make the bucket %q: %w", d.c.Bucket, d.explain(err))
	}
	return nil
}

// explain says in words what an answer to the first request means.
func (d *Driver) explain(err error) error {
	a, ok := answerOf(err)
	if !ok {
		return d.explainNetwork(err)
	}
	if strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		return fmt.Errorf("endpoint: %s answers with web pages, not with the S3 API: %w", d.host(), err)
	}
	switch a.code {
	case codeNoSuchBucket:
		return d.noBucket(err)
	case "InvalidAccessKeyId":
		return fmt.Errorf("access_key: the store does not know %s: %w", d.identity, err)
	case "SignatureDoesNotMatch":
		return fmt.Errorf("secret_key: it does not belong to %s (or a proxy before the store changes the Host header): %w", d.identity, err)
	case "ExpiredToken", "InvalidToken", "InvalidTokenId":
		return fmt.Errorf("session_token: that of %s is not good: %w", d.identity, err)
	case "RequestTimeTooSkewed":
		return fmt.Errorf("the clock of this machine and that of the store differ too much (%s); set both by NTP: %w", bucket.Skew(a.header), err)
	case "AuthorizationHeaderMalformed", "InvalidRegion", "PermanentRedirect", "IllegalLocationConstraintException":
		return d.otherRegion(a, err)
	case codeAccessDenied:
		return fmt.Errorf("access_key: %s has no right to use the bucket %q; docs/s3.md shows the policy that is needed: %w", d.identity, d.c.Bucket, err)
	case "SecondLevelDomainForbidden", "VirtualHostDomainRequired":
		return fmt.Errorf("addressing: the store at %s wants the bucket in the host's name; set addressing: virtual: %w", d.host(), err)
	}
	switch a.status {
	case http.StatusNotFound:
		return d.noBucket(err)
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect:
		return d.otherRegion(a, err)
	case http.StatusForbidden:
		return fmt.Errorf("access_key: %s has no right to use the bucket %q; docs/s3.md shows the policy that is needed: %w", d.identity, d.c.Bucket, err)
	case http.StatusBadRequest:
		if strings.HasPrefix(d.c.Endpoint, "http://") {
			return fmt.Errorf("endpoint: the store at %s seems to speak TLS; let it begin with https:// (it answered: %w)", d.host(), err)
		}
	}
	return fmt.Errorf("endpoint: %s does not answer as an S3 store should: %w", d.host(), err)
}

func (d *Driver) noBucket(err error) error {
	return fmt.Errorf("bucket: there is no bucket %q at %s; make it, or set create_bucket: true: %w", d.c.Bucket, d.host(), err)
}

func (d *Driver) otherRegion(a answer, err error) error {
	if theirs := a.header.Get("X-Amz-Bucket-Region"); theirs != "" && theirs != d.region {
		return fmt.Errorf("region: is %q, but the bucket %q is in %q: %w", d.region, d.c.Bucket, theirs, err)
	}
	return fmt.Errorf("region: the store at %s does not take %q for the bucket %q: %w", d.host(), d.region, d.c.Bucket, err)
}

// explainNetwork is explain for a store that gave no answer.
func (d *Driver) explainNetwork(err error) error {
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var certificate x509.CertificateInvalidError
	switch {
	case strings.Contains(err.Error(), wire.PlainAnswer):
		return fmt.Errorf("endpoint: the store at %s speaks plain HTTP; let it begin with http://", d.host())
	case errors.As(err, &authority):
		return fmt.Errorf("ca_file: the certificate of %s is signed by nobody that this machine trusts; name the file of its CA: %w", d.host(), err)
	case errors.As(err, &host), errors.As(err, &certificate):
		return fmt.Errorf("endpoint: the certificate of %s is not good: %w", d.host(), err)
	case errors.As(err, &dns):
		return fmt.Errorf("endpoint: there is no host %q: %w", dns.Name, err)
	default:
		return fmt.Errorf("endpoint: no answer from %s: %w", d.host(), err)
	}
}
