// Package minio keeps objects in a bucket of MinIO.
//
//	storage:
//	  minio:
//	    endpoint: https://minio.example.com:9000
//	    bucket: registry
//	    access_key: longshore
//	    secret_key: ${MINIO_SECRET_KEY}
//
// Every method costs the fewest requests that S3 allows: Reader one GET, Stat one HEAD, Put one PUT,
// List one GET for 1,000 entries, Delete one DELETE or one POST for 1,000 keys. A Writer that
// ends within its first part is one PUT; a larger one takes one request to begin, one for each part and
// one to complete. No request asks for the bucket's region or whether it exists, but for one at [Open].
//
// Bodies are not signed but carry a CRC32C that the store checks, also without TLS: a SHA-256 of
// each body, as signing wants it, takes four times the processor time. See docs/minio.md for that,
// for the rights that the driver needs and for what was found out about MinIO.
package minio

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/bucket"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// name is how the driver calls itself in errors.
const name = "minio"

// Driver is a [drivers.Driver] on a bucket. It can also put if absent, put if matching, sign URLs, and find
// what streams have left over.
type Driver struct {
	core      *minio.Core
	public    *minio.Core // signs for the public endpoint, never sends
	options   minio.Options
	host      string
	bucket    string
	prefix    string // "" or with a slash at its end
	attempts  int
	shared    bucket.Bucket
	streams   parts.Streams
	transport *http.Transport
	identity  string
	c         Config

	writeKey encrypt.ServerSide // what new objects ask for; nil for the bucket's default
	readKey  encrypt.ServerSide // for SSE-C, else nil

	uploadsPage int // how many uploads a page of Leftovers has; 0 leaves it to the store
}

var (
	_ drivers.Driver       = (*Driver)(nil)
	_ drivers.AbsentPutter = (*Driver)(nil)
	_ drivers.MatchPutter  = (*Driver)(nil)
	_ drivers.Signer       = (*Driver)(nil)
	_ drivers.Sweeper      = (*Driver)(nil)
)

// Open validates c and asks the store for the bucket, once; it makes the bucket if c says so. The error
// of a store that can't be used says in words which setting to look at. Nothing is listed.
func Open(ctx context.Context, c Config) (*Driver, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	transport, err := wire.NewTransport(wire.TLS{CAFile: c.CAFile, SkipVerify: c.InsecureVerify}, c.Timeout)
	if err != nil {
		return nil, err
	}
	sum, err := parts.ParseSum(c.Checksums)
	if err != nil {
		return nil, err
	}
	d := &Driver{bucket: c.Bucket, prefix: c.folder(), attempts: c.Attempts, transport: transport, c: c}
	d.shared = bucket.Bucket{Requests: store{d}, Driver: name, Prefix: d.prefix, OneByOne: !c.BatchDelete}
	d.streams = parts.Streams{
		Store: store{d}, Driver: name, Bucket: c.Bucket, Pool: parts.NewPool(c.Memory), PartSize: c.PartSize, Sum: sum,
		Equal: c.EqualParts, AllParts: c.AllParts,
	}
	if err := d.encrypt(); err != nil {
		return nil, err
	}
	var tripper http.RoundTripper = transport
	if c.Transport != nil {
		tripper = c.Transport(tripper)
	}
	lookup := minio.BucketLookupAuto
	switch c.Addressing {
	case "path":
		lookup = minio.BucketLookupPath
	case "virtual":
		lookup = minio.BucketLookupDNS
	}
	var secure bool
	if d.host, secure, err = splitEndpoint(c.Endpoint, c.Secure); err != nil {
		return nil, err
	}
	d.options = minio.Options{
		Secure:       secure,
		Region:       c.Region, // else minio-go asks for it
		BucketLookup: lookup,
		Transport:    tripper,
		MaxRetries:   1, // try knows which failures may have had their effect, minio-go does not
	}
	endpoint := "http://" + d.host
	if secure {
		endpoint = "https://" + d.host
	}
	// minio-go takes no context for it.
	if err := d.identify(c, endpoint, &http.Client{Transport: bound{ctx: ctx, next: transport}}); err != nil {
		d.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	if d.core, err = d.client(tripper); err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	d.public = d.core
	if c.PublicEndpoint != "" {
		options := d.options
		var host string
		if host, options.Secure, err = splitEndpoint(c.PublicEndpoint, secure); err != nil {
			return nil, err
		}
		if d.public, err = minio.NewCore(host, &options); err != nil {
			return nil, fmt.Errorf("public_endpoint: %w", err)
		}
	}
	if err := d.check(ctx, c.CreateBucket); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Close closes the connections that wait for a next request. It is for tests and for a process that goes on
// without the driver; requests under way are not disturbed, and the driver can be used again.
func (d *Driver) Close() { d.transport.CloseIdleConnections() }

// client makes a client that sends through t.
func (d *Driver) client(t http.RoundTripper) (*minio.Core, error) {
	options := d.options
	options.Transport = t
	core, err := minio.NewCore(d.host, &options)
	if err != nil {
		return nil, err
	}
	if app, version, named := strings.Cut(d.c.UserAgent, "/"); app != "" {
		if !named {
			version = "-" // minio-go takes no name without one
		}
		core.SetAppInfo(app, version)
	}
	return core, nil
}

// encrypt sets what requests say of encryption.
func (d *Driver) encrypt() (err error) {
	switch d.c.Encryption {
	case bucket.EncryptS3:
		d.writeKey = encrypt.NewSSE()
	case bucket.EncryptKMS:
		d.writeKey, err = encrypt.NewSSEKMS(d.c.KMSKey, nil)
	case bucket.EncryptCustomer:
		key, _ := bucket.CustomerKey(d.c.CustomerKey) // Validate has seen that it is good
		d.readKey, err = encrypt.NewSSEC(key)
		d.writeKey = d.readKey
	}
	if err != nil {
		return fmt.Errorf("encryption: %w", err)
	}
	return nil
}

// created are the options of a request that makes an object.
func (d *Driver) created() minio.PutObjectOptions {
	opts := minio.PutObjectOptions{ServerSideEncryption: d.writeKey, UserMetadata: make(map[string]string)}
	if d.c.ACL != "" {
		opts.UserMetadata["x-amz-acl"] = d.c.ACL // minio-go leaves the name as it is
	}
	return opts
}

// Extras leaves out what the configuration rules out: putting if matching where that is off, and URLs where objects are
// encrypted with a key of ours, which a URL alone can't read.
func (d *Driver) Extras() drivers.Extras {
	e := drivers.Extras{Absent: d, Match: d, Signer: d, Sweep: d}
	if d.readKey != nil {
		e.Signer = nil
	}
	if d.c.IfMatch == "off" {
		e.Match = nil
	}
	return e
}

// full is the name of key in the bucket; an error is of kind ErrInvalid.
func (d *Driver) full(op, key string) (string, error) { return d.shared.Full(op, key) }
