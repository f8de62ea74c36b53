package swift

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/ncw/swift/v2"

	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// info is what the driver has to know of the cluster's abilities.
type info struct {
	dynamic bool // large objects are dynamic ones
	most    int  // segments of a static large object; 0: Swift's own limit
	bulk    int  // objects that one request removes; 0: it has no such requests
}

// segments is the highest number that a part can have.
func (i info) segments() int {
	if i.most > 0 {
		return i.most
	}
	return 1000
}

// check gets a token, asks the cluster what it can do, and looks for the container. The error begins with
// the name of the setting that is most likely wrong.
func (d *Driver) check(ctx context.Context) error {
	account, _, err := d.session.get(ctx, "")
	if err == nil {
		err = d.ask(ctx, account)
	}
	if err == nil {
		// Not a HEAD: Swift sends a body with its answer to one of a container, which net/http complains about.
		_, err = d.run(ctx, request{method: http.MethodGet, query: url.Values{"format": {"json"}, "limit": {"1"}}})
		if statusOf(err) == http.StatusNotFound && d.c.CreateContainer {
			header := map[string]string{}
			if d.c.StoragePolicy != "" {
				header["X-Storage-Policy"] = d.c.StoragePolicy
			}
			_, err = d.run(ctx, request{method: http.MethodPut, header: header})
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
		return nil
	}
	return d.explain(err)
}

// ask reads /info, which needs no token. A store that has none, as Ceph's, is taken to have what Swift itself has, but
// bulk requests. https://docs.openstack.org/api-ref/object-store/#list-activated-capabilities
func (d *Driver) ask(ctx context.Context, account string) error {
	d.info.dynamic = d.c.LargeObjects == "dlo"
	u, err := url.Parse(account)
	if err != nil {
		return fmt.Errorf("storage_url: %w", err)
	}
	u.Path = "/info"
	var said struct {
		Bulk *struct {
			Most int `json:"max_deletes_per_request"`
		} `json:"bulk_delete"`
		SLO *struct {
			Most int `json:"max_manifest_segments"`
		} `json:"slo"`
		DLO *struct{} `json:"dlo"`
	}
	known := false
	_, err = wire.Try(ctx, d.c.Attempts, transient, func() error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return err
		}
		answer, err := d.client.Do(r)
		if err != nil {
			return err
		}
		defer func() { _ = answer.Body.Close() }() // it was read, or does not matter
		if answer.StatusCode >= 500 {
			return &refusal{status: answer.StatusCode, what: "GET /info", header: answer.Header}
		}
		known = answer.StatusCode == http.StatusOK && json.NewDecoder(answer.Body).Decode(&said) == nil
		return nil
	})
	if err != nil || !known {
		return err
	}
	if said.Bulk != nil {
		d.info.bulk = max(said.Bulk.Most, 1)
	}
	switch {
	case said.SLO != nil:
		d.info.most = said.SLO.Most
	case d.c.LargeObjects == "slo":
		return errors.New("large_objects: the cluster has no static large objects; leave it at auto")
	case said.DLO != nil:
		d.info.dynamic = true
	case d.c.LargeObjects == "auto":
		return errors.New("large_objects: the cluster has neither static nor dynamic large objects, so it can hold no blob that is larger than part_size")
	}
	return nil
}

// explain says in words what a failure of the first requests means.
func (d *Driver) explain(err error) error {
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var refused *refusal
	where := d.c.AuthURL
	field := "auth_url"
	if errors.As(err, &refused) && refused.err == nil {
		where, field = d.session.account, "storage_url"
	}
	switch status := statusOf(err); {
	case strings.HasPrefix(err.Error(), "large_objects: ") || strings.HasPrefix(err.Error(), "storage_url: "):
		return err
	case errors.Is(err, swift.AuthorizationFailed), status == http.StatusUnauthorized:
		return fmt.Errorf("password: %s does not take the credentials of %s: %w", where, d.Identity(), err)
	case field == "auth_url" && status == http.StatusNotFound:
		return fmt.Errorf("auth_url: there is no identity service at %s; does the URL end in /v3, /v2.0 or /auth/v1.0 as it should? %w", where, err)
	case field == "auth_url" && strings.Contains(err.Error(), "storage url"):
		return fmt.Errorf("region: the identity service's catalogue has no object store for the region %q and the interface %s: %w", d.c.Region, d.c.Interface, err)
	case status == http.StatusNotFound:
		return fmt.Errorf("container: there is no container %q at %s; make it, or set create_container: true: %w", d.c.Container, where, err)
	case status == http.StatusForbidden:
		return fmt.Errorf("container: %s has no right to use %q at %s; docs/swift.md shows the rights that are needed: %w", d.Identity(), d.c.Container, where, err)
	case status != 0:
		return fmt.Errorf("%s: %s does not answer as it should: %w", field, where, err)
	case strings.Contains(err.Error(), wire.PlainAnswer):
		return fmt.Errorf("%s: %s speaks plain HTTP; let it begin with http://", field, where)
	case errors.As(err, &authority):
		return fmt.Errorf("ca_file: the certificate of %s is signed by nobody that this machine trusts; name the file of its CA: %w", where, err)
	case errors.As(err, &host):
		return fmt.Errorf("%s: the certificate of %s is not good: %w", field, where, err)
	case errors.As(err, &dns):
		return fmt.Errorf("%s: there is no host %q: %w", field, dns.Name, err)
	}
	return fmt.Errorf("%s: no answer from %s: %w", field, where, err)
}
