package s3

import (
	"context"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/bucket"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
)

// Reader is one GET; one HEAD instead if length is 0; and a HEAD after the GET if offset is at or past the end.
func (d *Driver) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	return d.shared.Reader(ctx, key, offset, length)
}

// Stat is one HEAD.
func (d *Driver) Stat(ctx context.Context, key string) (drivers.Info, error) {
	return d.shared.Stat(ctx, key)
}

// Get is one GetObject.
func (s store) Get(ctx context.Context, full, ranges string) (bucket.Object, error) {
	var out *s3.GetObjectOutput
	_, err := s.d.try(ctx, func() (err error) {
		out, err = s.d.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.d.c.Bucket, Key: &full, Range: optional(ranges)})
		return err
	})
	if err != nil {
		return bucket.Object{}, err
	}
	o := objectOf(out.ContentLength, out.ETag, out.LastModified)
	o.ContentRange, o.Body = aws.ToString(out.ContentRange), out.Body
	return o, nil
}

// Head is one HeadObject.
func (s store) Head(ctx context.Context, full string) (bucket.Object, error) {
	var out *s3.HeadObjectOutput
	_, err := s.d.try(ctx, func() (err error) {
		out, err = s.d.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.d.c.Bucket, Key: &full})
		return err
	})
	if err != nil {
		return bucket.Object{}, err
	}
	o := objectOf(out.ContentLength, out.ETag, out.LastModified)
	o.PutID = out.Metadata[putID]
	return o, nil
}

// InvalidRange knows S3's code.
func (s store) InvalidRange(err error) bool { return codeOf(err) == codeInvalidRange }

func objectOf(size *int64, etag *string, modified *time.Time) bucket.Object {
	o := bucket.Object{Size: -1, ETag: parts.TrimETag(aws.ToString(etag)), Modified: aws.ToTime(modified)}
	if size != nil {
		o.Size = *size
	}
	return o
}

// SignURL makes no request, unless the credentials have to be renewed. The URL is one of the public endpoint, good for GET
// alone. ttl is cut to S3's seven days; less than a second is ErrInvalid. Temporary credentials end it earlier. Where cloudfront is
// set the URL is one of the distribution, which decides on methods and knows nothing of our credentials.
func (d *Driver) SignURL(ctx context.Context, key string, ttl time.Duration) (string, error) {
	return d.shared.Sign(ctx, key, ttl, func(full string, ttl time.Duration) (string, error) {
		if d.c.Encryption == bucket.EncryptCustomer {
			return "", invalid("signurl", key, "a URL alone can't read what is encrypted with customer_key")
		}
		if d.cdn != nil {
			return d.cdn.sign(full, time.Now().Add(ttl))
		}
		r, err := d.signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &d.c.Bucket, Key: &full}, s3.WithPresignExpires(ttl))
		if err != nil {
			return "", err
		}
		return r.URL, nil
	})
}
