// Package s3 keeps objects in a bucket of Amazon S3 or of a store that speaks its API.
//
//	storage:
//	  s3:
//	    region: eu-central-1
//	    bucket: registry
//
// Every method costs the fewest requests that S3 allows: Reader one GET, Stat one HEAD, Put one PUT,
// List one GET for 1,000 entries, Delete one DELETE or one POST for 1,000 keys. A Writer that
// ends within its first part is one PUT; a larger one takes one request to begin, one for each part and
// one to complete. At [Open] the bucket is asked for once.
//
// Bodies are not signed but carry a CRC32C in a header, never in a trailer: many stores that speak the API refuse
// the trailers that the SDK sends by default. See docs/s3.md for the settings of known stores, the rights
// that the driver needs and what was found out about each store.
package s3

import (
	"context"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/bucket"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// name is how the driver calls itself in errors.
const name = "s3"

// Driver is a [drivers.Driver] on a bucket. It can also put if absent, put if matching, sign URLs, and find
// what streams have left over.
type Driver struct {
	client    *s3.Client
	signer    *s3.PresignClient // for the public endpoint, never sends
	cdn       *distribution     // signs instead of signer; nil if there is none
	identity  string
	c         Config
	region    string
	prefix    string // "" or with a slash at its end
	shared    bucket.Bucket
	streams   parts.Streams
	transport *http.Transport

	uploadsPage int32 // how many uploads a page of Leftovers has; 0 leaves it to the store
}

var (
	_ drivers.Driver       = (*Driver)(nil)
	_ drivers.AbsentPutter = (*Driver)(nil)
	_ drivers.MatchPutter  = (*Driver)(nil)
	_ drivers.Signer       = (*Driver)(nil)
	_ drivers.Sweeper      = (*Driver)(nil)
)

// Open validates c, finds an identity, and asks the store for the bucket, once; it makes the bucket if c says so. The error
// of a store that can't be used says in words which setting to look at. Nothing is listed.
func Open(ctx context.Context, c Config) (*Driver, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	sum, err := parts.ParseSum(c.Checksums)
	if err != nil {
		return nil, err
	}
	transport, err := wire.NewTransport(wire.TLS{CAFile: c.CAFile, SkipVerify: c.InsecureVerify}, c.Timeout)
	if err != nil {
		return nil, err
	}
	d := &Driver{c: c, prefix: c.folder(), transport: transport}
	d.shared = bucket.Bucket{Requests: store{d}, Driver: name, Prefix: d.prefix, OneByOne: !c.BatchDelete}
	d.streams = parts.Streams{
		Store: store{d}, Driver: name, Bucket: c.Bucket, Pool: parts.NewPool(c.Memory), PartSize: c.PartSize, Sum: sum,
		Equal: c.EqualParts, AllParts: c.AllParts,
	}
	if c.CloudFront.URL != "" {
		if d.cdn, err = newDistribution(c.CloudFront); err != nil {
			return nil, err
		}
	}
	sdk, err := d.configure(ctx)
	if err != nil {
		d.Close()
		return nil, err
	}
	d.region = sdk.Region
	d.client = s3.NewFromConfig(sdk, d.options(c.Endpoint))
	signing := d.client
	if c.PublicEndpoint != "" {
		signing = s3.NewFromConfig(sdk, d.options(c.PublicEndpoint))
	}
	d.signer = s3.NewPresignClient(signing)
	if err := d.check(ctx); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// options are the SDK's for requests to endpoint, "" for AWS.
func (d *Driver) options(endpoint string) func(*s3.Options) {
	return func(o *s3.Options) {
		// Not that of AWS_ENDPOINT_URL_S3 or a profile: addressing and if_match follow from the configuration's.
		o.BaseEndpoint = optional(endpoint)
		o.UsePathStyle = d.c.pathStyle(endpoint)
		o.UseAccelerate = d.c.Accelerate
		if d.c.DualStack {
			o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
		}
		if d.c.FIPS {
			o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
		}
		// The driver computes its checksums itself: see parts.Sum.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.ContinueHeaderThresholdBytes = -1 // a round trip for each part
		o.Retryer = aws.NopRetryer{}        // try knows which failures may have had their effect
		o.Logger = logging.Nop{}            // it would write to stderr what the driver returns as an error
		var tripper http.RoundTripper = d.transport
		if d.c.Transport != nil {
			tripper = d.c.Transport(tripper)
		}
		o.HTTPClient = &http.Client{
			Transport: tripper,
			// A redirect says that the region is wrong; a signature is good for one host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		o.APIOptions = append(o.APIOptions, d.addHeaders)
	}
}

// Close closes the connections that wait for a next request. It is for tests and for a process that goes on
// without the driver; requests under way are not disturbed, and the driver can be used again.
func (d *Driver) Close() { d.transport.CloseIdleConnections() }

// Identity says where the credentials come from and whose they are, without secrets, for a log: "access_key AKIA…", or what the SDK's
// chain has found, such as "EC2RoleProvider".
func (d *Driver) Identity() string { return d.identity }

// Extras leaves out what the configuration rules out: putting if matching where that is off, and URLs where objects are
// encrypted with a key of ours, which a URL alone can't read.
func (d *Driver) Extras() drivers.Extras {
	e := drivers.Extras{Absent: d, Match: d, Signer: d, Sweep: d}
	if d.c.Encryption == bucket.EncryptCustomer {
		e.Signer = nil
	}
	if d.c.IfMatch == "off" {
		e.Match = nil
	}
	return e
}

// full is the name of key in the bucket; an error is of kind ErrInvalid.
func (d *Driver) full(op, key string) (string, error) { return d.shared.Full(op, key) }

// host is the store's name in messages.
func (d *Driver) host() string {
	if d.c.Endpoint == "" {
		return fmt.Sprintf("AWS in the region %s", d.region)
	}
	return d.c.Endpoint
}
