// Package gcs keeps objects in a bucket of Google Cloud Storage.
//
//	storage:
//	  gcs:
//	    bucket: registry
//
// Every method costs the fewest requests that the service allows: Reader one GET, Stat one GET of the
// metadata, Put one POST, List one GET for 1,000 entries, Delete one DELETE for each key. A Writer that ends within
// its first part is one POST; see stream.go for larger ones. At [Open] the bucket is listed once.
//
// All writes that have a condition name a generation, which is the object's ETag here. docs/gcs.md has the settings, the
// rights that the driver needs, and what it can't rely on.
package gcs

import (
	"context"
	"net/http"

	"cloud.google.com/go/auth/httptransport"
	"cloud.google.com/go/storage"
	"google.golang.org/api/option"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// name is how the driver calls itself in errors.
const name = "gcs"

// Driver is a [drivers.Driver] on a bucket. It can also put if absent, put if matching, and find leftovers; and sign URLs if it
// has a key, or an account that IAM signs for.
type Driver struct {
	c         Config
	client    *storage.Client
	bucket    *storage.BucketHandle
	identity  identity
	prefix    string // "" or with a slash at its end
	streams   parts.Streams
	transport *http.Transport
	requests  http.RoundTripper // the transport, or what the configuration has wrapped around it
}

var (
	_ drivers.Driver       = (*Driver)(nil)
	_ drivers.AbsentPutter = (*Driver)(nil)
	_ drivers.MatchPutter  = (*Driver)(nil)
	_ drivers.Signer       = (*Driver)(nil)
	_ drivers.Sweeper      = (*Driver)(nil)
)

// Open validates c, finds an identity, and lists the bucket, once. The error of a bucket that can't be used says in words
// which setting to look at.
func Open(ctx context.Context, c Config) (*Driver, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	transport, err := wire.NewTransport(wire.TLS{CAFile: c.CAFile}, c.Timeout)
	if err != nil {
		return nil, err
	}
	d := &Driver{c: c, prefix: c.folder(), transport: transport, requests: transport}
	if c.Transport != nil {
		d.requests = c.Transport(transport)
	}
	d.streams = parts.Streams{
		Store: store{d}, Driver: name, Bucket: c.Bucket, Pool: parts.NewPool(c.Memory), PartSize: c.PartSize, Sum: parts.SumCRC32C, LateParts: true,
	}
	if err := d.connect(ctx); err != nil {
		d.Close()
		return nil, err
	}
	if err := d.check(ctx); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// connect makes the client, with the identity that the configuration names or the machine has.
func (d *Driver) connect(ctx context.Context) (err error) {
	if d.identity, err = d.findIdentity(ctx); err != nil {
		return err
	}
	authorised, err := httptransport.NewClient(&httptransport.Options{
		BaseRoundTripper: outgoing{d.requests, d.c}, Credentials: d.identity.credentials, DisableAuthentication: d.c.Anonymous, DisableTelemetry: true,
	})
	if err != nil {
		return err
	}
	options := []option.ClientOption{option.WithHTTPClient(authorised), option.WithoutAuthentication()}
	if d.c.Endpoint != "" {
		options = append(options, option.WithEndpoint(d.c.Endpoint+"/storage/v1/"))
	}
	if d.client, err = storage.NewClient(ctx, options...); err != nil {
		return err
	}
	d.client.SetRetry(storage.WithPolicy(storage.RetryNever)) // try knows which failures may have had their effect
	d.bucket = d.client.Bucket(d.c.Bucket)
	if d.c.UserProject != "" {
		d.bucket = d.bucket.UserProject(d.c.UserProject)
	}
	return nil
}

// Close closes the connections that wait for a next request. It is for tests and for a process that goes on
// without the driver; requests under way are not disturbed, and the driver can be used again.
func (d *Driver) Close() { d.transport.CloseIdleConnections() }

// Identity says whose credentials are used and where they come from, without secrets, for a log.
func (d *Driver) Identity() string { return d.identity.text }

// Extras leaves out signing where there is neither a key nor an account that IAM could sign for.
func (d *Driver) Extras() drivers.Extras {
	e := drivers.Extras{Absent: d, Match: d, Sweep: d}
	if d.identity.canSign() {
		e.Signer = d
	}
	return e
}

// full is the name of key in the bucket; an error is of kind ErrInvalid.
func (d *Driver) full(op, key string) (string, error) {
	if err := drivers.CheckKey(name, op, key); err != nil {
		return "", err
	}
	if len(d.prefix)+len(key) > drivers.MaxKey {
		return "", invalid(op, key, "bad key: longer than 1024 bytes together with the prefix %s", d.prefix)
	}
	return d.prefix + key, nil
}
