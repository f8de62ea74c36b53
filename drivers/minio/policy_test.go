//go:build integration

package minio

import (
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/internal/s3suite"
)

// TestPolicy tries the rights of docs/minio.md.
func TestPolicy(t *testing.T) {
	s3suite.Policy(t, "../../docs/minio.md", server.Get(t), func(t *testing.T, bucket string, with s3suite.Credentials) (drivers.Driver, error) {
		c := newConfig(t)
		c.Bucket, c.CreateBucket, c.PartSize = bucket, false, parts.MinPart
		if with.AccessKey != "" {
			c.AccessKey, c.SecretKey, c.SessionToken = with.AccessKey, drivers.Secret(with.SecretKey), drivers.Secret(with.SessionToken)
		}
		d, err := Open(t.Context(), c)
		if err != nil {
			return nil, err
		}
		t.Cleanup(d.Close)
		return d, nil
	})
}
