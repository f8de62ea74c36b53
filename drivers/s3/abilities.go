package s3

import (
	"context"
	"net/http"
	"net/url"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/abilities"
)

var _ drivers.Able = (*Driver)(nil)

// Abilities asks for what stores with the S3 API differ in, in some eighty requests. It sends some 30 MB.
func (d *Driver) Abilities(ctx context.Context, folder string) []drivers.Ability {
	options := d.client.Options()
	presign := s3.NewPresignClient(d.client)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }) // S3's way
	s := abilities.Store{
		Bucket: d.c.Bucket, Headers: d.headers, Transport: d.transport,
		// The SDK knows which host it is, and whether the bucket's name is in the path.
		URL: func(ctx context.Context, full string) (*url.URL, error) {
			var r *v4.PresignedHTTPRequest
			var err error
			if full == "" {
				r, err = presign.PresignHeadBucket(ctx, &s3.HeadBucketInput{Bucket: &d.c.Bucket})
			} else {
				r, err = presign.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &d.c.Bucket, Key: &full})
			}
			if err != nil {
				return nil, err
			}
			return url.Parse(r.URL)
		},
		Sign: func(ctx context.Context, r *http.Request) error {
			credentials, err := options.Credentials.Retrieve(ctx)
			if err != nil {
				return err
			}
			return signer.SignHTTP(ctx, credentials, r, r.Header.Get("X-Amz-Content-Sha256"), "s3", d.region, time.Now())
		},
	}
	if d.c.Transport != nil {
		s.Transport = d.c.Transport(s.Transport)
	}
	return s.Find(ctx, d.prefix+folder)
}
