// Package swift keeps objects in a container of OpenStack Swift.
//
//	storage:
//	  swift:
//	    auth_url: https://keystone.example.com/v3
//	    project: registry
//	    username: longshore
//	    domain: Default
//	    password: …
//	    container: registry
//
// Every method costs the fewest requests that Swift allows: Reader one GET, Stat one HEAD, Put one PUT, List one GET for
// 1,000 entries, Delete one HEAD for each key and one request for those that are not large. A Writer that ends within
// its first part is one PUT; see stream.go for larger ones.
//
// Swift has no compare-and-swap and no put-if-absent that holds against a second writer at the same moment, so the driver
// offers neither. docs/swift.md tells what the registry does without, the rights that are needed, and the quirks.
package swift

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// name is how the driver calls itself in errors.
const name = "swift"

// Driver is a [drivers.Driver] on a container. It can also find leftovers, and sign URLs if it has a key for that.
type Driver struct {
	c         Config
	session   *session
	client    *http.Client
	transport *http.Transport
	info      info
	prefix    string // "" or with a slash at its end
	streams   parts.Streams
}

var (
	_ drivers.Driver  = (*Driver)(nil)
	_ drivers.Signer  = (*Driver)(nil)
	_ drivers.Sweeper = (*Driver)(nil)
)

// Open validates c, asks the identity service for a token, the cluster for its abilities, and the container for one entry; it makes the container if c
// says so. The error of a store that can't be used says in words which setting to look at.
func Open(ctx context.Context, c Config) (*Driver, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	transport, err := wire.NewTransport(wire.TLS{CAFile: c.CAFile, SkipVerify: c.InsecureVerify}, c.Timeout)
	if err != nil {
		return nil, err
	}
	var tripper http.RoundTripper = transport
	if c.Transport != nil {
		tripper = c.Transport(tripper)
	}
	d := &Driver{c: c, prefix: c.folder(), transport: transport, client: &http.Client{Transport: tripper}, session: newSession(c, transport)}
	if err := d.check(ctx); err != nil {
		d.Close()
		return nil, err
	}
	sum := parts.SumMD5
	if c.Checksums == "none" {
		sum = parts.SumNone
	}
	d.streams = parts.Streams{
		Store: store{d}, Driver: name, Bucket: c.Container, Pool: parts.NewPool(c.Memory), PartSize: c.PartSize, Sum: sum, Most: d.info.segments(), LateParts: true,
	}
	return d, nil
}

// Close closes the connections that wait for a next request. It is for tests and for a process that goes on
// without the driver; requests under way are not disturbed, and the driver can be used again.
func (d *Driver) Close() { d.transport.CloseIdleConnections() }

// Identity says whose credentials are used, without secrets, for a log.
func (d *Driver) Identity() string { return d.session.identity() }

// Extras leaves out signing where there is no key for it.
func (d *Driver) Extras() drivers.Extras {
	e := drivers.Extras{Sweep: d}
	if d.c.TempURLKey != "" {
		e.Signer = d
	}
	return e
}

// SignURL makes a temporary URL, good for GET and HEAD. It makes no request but for a token, if there is none.
// https://docs.openstack.org/swift/latest/api/temporary_url_middleware.html
func (d *Driver) SignURL(ctx context.Context, key string, ttl time.Duration) (string, error) {
	const op = "signurl"
	full, err := d.full(op, key)
	if err != nil {
		return "", err
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if ttl < time.Second {
		return "", invalid(op, key, "a URL can't live for %v, only for a second or more", ttl)
	}
	if d.c.TempURLKey == "" {
		return "", invalid(op, key, "temp_url_key is not set")
	}
	account, _, err := d.session.get(ctx, "")
	if err != nil {
		return "", fail(ctx, op, key, err)
	}
	u, err := url.Parse(account + "/" + url.PathEscape(d.c.Container) + "/" + full)
	if err != nil {
		return "", invalid(op, key, "%w", err)
	}
	expires := strconv.FormatInt(time.Now().Add(ttl).Unix(), 10)
	mac := hmac.New(map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}[d.c.TempURLDigest], []byte(d.c.TempURLKey))
	_, _ = fmt.Fprintf(mac, "GET\n%s\n%s", expires, u.Path) // a hash takes all
	u.RawQuery = url.Values{"temp_url_sig": {hex.EncodeToString(mac.Sum(nil))}, "temp_url_expires": {expires}}.Encode()
	if d.c.PublicEndpoint != "" {
		public, err := url.Parse(d.c.PublicEndpoint)
		if err != nil {
			return "", invalid(op, key, "%w", err)
		}
		u.Scheme, u.Host = public.Scheme, public.Host
	}
	return u.String(), nil
}

// full is the name of key in the container; an error is of kind ErrInvalid.
func (d *Driver) full(op, key string) (string, error) {
	if err := drivers.CheckKey(name, op, key); err != nil {
		return "", err
	}
	if len(d.prefix)+len(key) > drivers.MaxKey {
		return "", invalid(op, key, "bad key: longer than 1024 bytes together with the prefix %s", d.prefix)
	}
	return d.prefix + key, nil
}
