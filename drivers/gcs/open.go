package gcs

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/storage"

	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// check lists the bucket, which a registry needs to do and which needs no right beyond those on objects. The error begins with
// the name of the setting that is most likely wrong.
func (d *Driver) check(ctx context.Context) error {
	query := &storage.Query{Prefix: d.prefix, Delimiter: "/", Projection: storage.ProjectionNoACL}
	if err := query.SetAttrSelection([]string{"Name"}); err != nil {
		return err
	}
	_, _, err := d.objects(ctx, query, "")
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
		return nil
	}
	return d.explain(err)
}

// host is the service's name in messages.
func (d *Driver) host() string {
	if d.c.Endpoint == "" {
		return "Google Cloud Storage"
	}
	return d.c.Endpoint
}

// explain says in words what a failure of the first request means.
func (d *Driver) explain(err error) error {
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var token *auth.Error
	reason := reasonOf(err)
	switch status := statusOf(err); {
	case errors.As(err, &token):
		return fmt.Errorf("credentials_file: %s gets no token; its key may be deleted, or its account disabled: %w", d.identity.text, err)
	case status == http.StatusNotFound:
		return fmt.Errorf("bucket: there is no bucket %q at %s; make it, in the location that the registry runs in: %w", d.c.Bucket, d.host(), err)
	case status == http.StatusUnauthorized:
		return fmt.Errorf("credentials_file: %s does not take the credentials of %s: %w", d.host(), d.identity.text, err)
	case status == http.StatusForbidden && (reason == "userProjectMissing" || reason == "accountDisabled"):
		return fmt.Errorf("user_project: the project that pays is missing or disabled: %w", err)
	case status == http.StatusForbidden:
		return fmt.Errorf("bucket: %s has no right to use %q; docs/gcs.md lists the permissions that are needed: %w", d.identity.text, d.c.Bucket, err)
	case status == http.StatusBadRequest && strings.Contains(err.Error(), "Client sent an HTTP request to an HTTPS server"):
		return fmt.Errorf("endpoint: %s speaks TLS; let it begin with https://", d.host())
	case status != 0:
		return fmt.Errorf("endpoint: %s does not answer as Google Cloud Storage should: %w", d.host(), err)
	case strings.Contains(err.Error(), wire.PlainAnswer):
		return fmt.Errorf("endpoint: %s speaks plain HTTP; let it begin with http://", d.host())
	case errors.As(err, &authority):
		return fmt.Errorf("ca_file: the certificate of %s is signed by nobody that this machine trusts; name the file of its CA: %w", d.host(), err)
	case errors.As(err, &host):
		return fmt.Errorf("endpoint: the certificate of %s is not good: %w", d.host(), err)
	case errors.As(err, &dns):
		return fmt.Errorf("endpoint: there is no host %q: %w", dns.Name, err)
	}
	return fmt.Errorf("endpoint: no answer from %s: %w", d.host(), err)
}
