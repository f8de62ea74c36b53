package minio

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/abilities"
)

var _ drivers.Able = (*Driver)(nil)

// Abilities asks for what stores with the S3 API differ in, in some eighty requests. It sends some 30 MB.
func (d *Driver) Abilities(ctx context.Context, folder string) []drivers.Ability {
	s := abilities.Store{
		Bucket: d.bucket, Headers: d.asked, Transport: d.options.Transport,
		// minio-go knows whether the bucket's name is in the path.
		URL: func(ctx context.Context, full string) (*url.URL, error) {
			return d.core.Presign(ctx, http.MethodGet, d.bucket, full, time.Minute, nil)
		},
		Sign: func(ctx context.Context, r *http.Request) error {
			value, err := d.options.Creds.GetWithContext(d.core.CredContext())
			if err != nil {
				return err
			}
			region, err := d.core.GetBucketLocation(ctx, d.bucket) // minio-go remembers it
			if err != nil {
				return err
			}
			signed := signer.SignV4(*r, value.AccessKeyID, value.SecretAccessKey, value.SessionToken, region)
			r.Header = signed.Header
			return nil
		},
	}
	return s.Find(ctx, d.prefix+folder)
}

// asked are the headers that the configuration adds to an operation of S3.
func (d *Driver) asked(operation string) map[string]string {
	h := make(http.Header)
	creates := operation == "PutObject" || operation == "CreateMultipartUpload"
	if creates && d.c.ACL != "" {
		h.Set("x-amz-acl", d.c.ACL)
	}
	switch customer := d.readKey != nil; {
	case creates && d.writeKey != nil:
		d.writeKey.Marshal(h)
	case customer && slices.Contains([]string{"UploadPart", "CompleteMultipartUpload", "GetObject", "HeadObject"}, operation):
		d.readKey.Marshal(h)
	}
	all := make(map[string]string)
	for name := range h {
		all[name] = h.Get(name)
	}
	return all
}
