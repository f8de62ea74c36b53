package swift

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/ncw/swift/v2"

	"github.com/longshore-registry/longshore/drivers/internal/listing"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// info is what the driver has to know of the cluster's abilities.
type info struct {
	dynamic bool // large objects are dynamic ones
	unsure  bool // nobody says that there are static ones
	most    int  // segments of one manifest of a static large object
	nested  bool // a manifest can name others
	bulk    int  // objects that one request removes; 0: it has no such requests
	page    int  // entries of one page of a listing
}

const (
	usualMost = 1000 // segments of a manifest, and objects of a bulk request, where the cluster does not say
	// usualInner is how many manifests are in one. Of ten full ones Swift can't remove the segments (get_segments_to_delete_iter in its slo.py).
	usualInner = 9
)

// segments is the highest number that a part can have. Dynamic large objects can have any number.
func (i info) segments() int {
	switch {
	case i.dynamic:
		return parts.MaxNumber
	case i.nested:
		return min(i.most*min(i.most, usualInner), parts.MaxNumber)
	}
	return i.most
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

// said is what the driver reads of a cluster's /info:
// https://docs.openstack.org/api-ref/object-store/#list-activated-capabilities
type said struct {
	Swift struct {
		Largest int64 `json:"max_file_size"`
		Page    int   `json:"container_listing_limit"`
	} `json:"swift"`
	Bulk *struct {
		Most int `json:"max_deletes_per_request"`
	} `json:"bulk_delete"`
	SLO *struct {
		Most     int    `json:"max_manifest_segments"`
		Smallest *int64 `json:"min_segment_size"` // Ceph, which takes no manifest in a manifest, does not say it
	} `json:"slo"`
	DLO *struct{} `json:"dlo"`
}

// ask reads /info, which needs no token. A cluster that shows none is taken to have static large objects; should that be wrong, it refuses them
// (see putManifest).
func (d *Driver) ask(ctx context.Context, account string) error {
	d.info = info{dynamic: d.c.LargeObjects == "dlo", most: usualMost, page: listing.PageSize}
	u, err := url.Parse(account)
	if err != nil {
		return fmt.Errorf("storage_url: %w", err)
	}
	// …/v1/AUTH_account has it at …/info, and Ceph's …/swift/v1 at …/swift/info.
	u.Path, _, _ = strings.Cut(u.Path, "/v1")
	u.Path += "/info"
	var all said
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
		all = said{}
		known = answer.StatusCode == http.StatusOK && json.NewDecoder(answer.Body).Decode(&all) == nil
		return nil
	})
	if err != nil || !known {
		d.info.unsure = d.c.LargeObjects == "auto"
		return err
	}
	return d.learn(all)
}

// learn keeps what the cluster can do. The error is about a setting that it can't do.
func (d *Driver) learn(all said) error {
	if all.Bulk != nil {
		// Swift gives up after 1,000 objects that it can't remove (max_failed_deletes), and does not say which it has not tried.
		d.info.bulk = min(cmp.Or(all.Bulk.Most, usualMost), usualMost)
	}
	if most := all.Swift.Page; most > 0 {
		d.info.page = min(d.info.page, most) // it refuses to be asked for more
	}
	if most := all.Swift.Largest; most > 0 && d.c.PartSize > most {
		return fmt.Errorf("part_size: the cluster takes objects of at most %d bytes", most)
	}
	switch {
	case all.SLO != nil:
		d.info.most, d.info.nested = cmp.Or(all.SLO.Most, usualMost), all.SLO.Smallest != nil
		if !d.info.dynamic && d.info.nested && *all.SLO.Smallest > parts.MinPart {
			return fmt.Errorf("large_objects: the cluster wants segments of at least %d bytes, which is more than the driver can do; set it to dlo", *all.SLO.Smallest)
		}
	case d.c.LargeObjects == "slo":
		return errors.New("large_objects: the cluster has no static large objects; leave it at auto")
	case all.DLO != nil:
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
	case regexp.MustCompile("^(large_objects|part_size|storage_url): ").MatchString(err.Error()):
		return err
	case errors.Is(err, swift.AuthorizationFailed), status == http.StatusUnauthorized:
		return fmt.Errorf("password: %s does not take the credentials of %s: %w", where, d.Identity(), err)
	case field == "auth_url" && status == http.StatusNotFound:
		return fmt.Errorf("auth_url: there is no identity service at %s; does the URL end in /v3, /v2.0 or /auth/v1.0 as it should? %w", where, err)
	case field == "auth_url" && strings.Contains(err.Error(), "storage url") && d.c.version() == 3 && d.c.Project+d.c.ProjectID+d.c.TrustID == "" && d.c.ApplicationCredentialSecret == "":
		return fmt.Errorf("project: the identity service shows no object store to %s, for whom no project is named: %w", d.Identity(), err)
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
