package minio

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/longshore-registry/longshore/drivers/internal/bucket"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// check asks whether the bucket is there and makes it if create is true. The error begins with the
// name of the setting that is most likely wrong.
func (d *Driver) check(ctx context.Context, create bool) error {
	seen := &tap{next: d.options.Transport}
	core, err := d.client(seen)
	if err != nil {
		return err
	}
	exists := false
	ask := func() error {
		exists, err = core.BucketExists(ctx, d.bucket)
		return err
	}
	_, err = d.try(ctx, ask)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil && strings.HasPrefix(seen.header.Get("Content-Type"), "text/html") {
		return fmt.Errorf("endpoint: %s answers with web pages, not with the S3 API; MinIO's console has a port of its own (often 9001), the API another (often 9000)", d.host)
	}
	if err == nil && !exists && create {
		_, err = d.try(ctx, func() error {
			err := core.MakeBucket(ctx, d.bucket, minio.MakeBucketOptions{Region: d.options.Region})
			if code := minio.ToErrorResponse(err).Code; code == minio.BucketAlreadyOwnedByYou {
				return nil // another replica was faster
			}
			return err
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("create_bucket: could not make the bucket %q: %w", d.bucket, d.explain(err, seen.header))
		}
		return nil
	}
	if err == nil && !exists {
		return fmt.Errorf("bucket: there is no bucket %q at %s; make it with \"mc mb ALIAS/%s\", or set create_bucket: true", d.bucket, d.host, d.bucket)
	}
	if err == nil {
		return nil
	}
	// The answer to a HEAD has no body. MinIO repeats its code in a header; of others only the status is
	// known, so ask again in a way that has a body.
	if resp := minio.ToErrorResponse(err); seen.header != nil && seen.header.Get("X-Minio-Error-Code") == "" &&
		(resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusBadRequest) {
		if _, again := d.page(ctx, d.prefix, "", "", "/"); again != nil {
			err = again
		}
	}
	return d.explain(err, seen.header)
}

// explain says in words what an answer to the first request means. header is that of the answer, if any.
func (d *Driver) explain(err error, header http.Header) error {
	var resp minio.ErrorResponse
	if !errors.As(err, &resp) {
		return d.explainNetwork(err)
	}
	switch resp.Code {
	case minio.NoSuchBucket:
		return fmt.Errorf("bucket: there is no bucket %q at %s: %w", d.bucket, d.host, err)
	case minio.InvalidAccessKeyID:
		return fmt.Errorf("access_key: the store at %s does not know it: %w", d.host, err)
	case minio.SignatureDoesNotMatch:
		return fmt.Errorf("secret_key: it does not belong to access_key (or a proxy before the store changes the Host header): %w", err)
	case codeExpiredToken, codeInvalidTokenID:
		return fmt.Errorf("session_token: %w", err)
	case minio.RequestTimeTooSkewed:
		return fmt.Errorf("the clock of this machine and that of the store differ too much (%s); set both by NTP: %w", bucket.Skew(header), err)
	case minio.AuthorizationHeaderMalformed, minio.InvalidRegion:
		if resp.Region != "" && resp.Region != d.options.Region {
			return fmt.Errorf("region: is %q, but the store says %q: %w", d.options.Region, resp.Region, err)
		}
		return fmt.Errorf("region: the store does not take %q: %w", d.options.Region, err)
	case minio.AccessDenied:
		return fmt.Errorf("access_key: has no right to use the bucket %q; docs/minio.md shows the policy that is needed: %w", d.bucket, err)
	}
	switch resp.StatusCode {
	case http.StatusBadRequest:
		if !d.options.Secure {
			return fmt.Errorf("secure: the store at %s seems to speak TLS; let the endpoint begin with https:// (it answered: %w)", d.host, err)
		}
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect:
		return fmt.Errorf("region: the store at %s sends to another place; the bucket is probably in another region than %q: %w", d.host, d.options.Region, err)
	}
	return fmt.Errorf("endpoint: %s does not answer as an S3 store should: %w", d.host, err)
}

// explainNetwork is explain for a store that gave no answer.
func (d *Driver) explainNetwork(err error) error {
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var certificate x509.CertificateInvalidError
	switch text := err.Error(); {
	case strings.Contains(text, wire.PlainAnswer):
		return fmt.Errorf("secure: the store at %s speaks plain HTTP; let the endpoint begin with http://, or set secure: false", d.host)
	case errors.As(err, &authority):
		return fmt.Errorf("ca_file: the certificate of %s is signed by nobody that this machine trusts; name the file of its CA: %w", d.host, err)
	case errors.As(err, &host), errors.As(err, &certificate):
		return fmt.Errorf("endpoint: the certificate of %s is not good: %w", d.host, err)
	case errors.As(err, &dns):
		return fmt.Errorf("endpoint: there is no host %q: %w", hostname(d.host), err)
	case strings.Contains(text, "Connection closed by foreign host") && !d.options.Secure:
		return fmt.Errorf("endpoint: %s closed the connection without an answer; if it speaks TLS let the endpoint begin with https://: %w", d.host, err)
	default:
		return fmt.Errorf("endpoint: no answer from %s: %w", d.host, err)
	}
}
