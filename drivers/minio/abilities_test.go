//go:build integration

package minio

import (
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/internal/s3suite"
)

func TestAbilities(t *testing.T) {
	s3suite.Abilities(t, func(t testing.TB, url, accessKey, secretKey string) s3suite.Driver {
		c := Defaults()
		c.Endpoint, c.AccessKey, c.SecretKey = url, accessKey, drivers.Secret(secretKey)
		c.Bucket, c.CreateBucket, c.Prefix = "abilities", true, "some/folder"
		return open(t, c)
	})
}
