//go:build integration

package budget_test

import (
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/minio"
	"github.com/longshore-registry/longshore/drivers/s3"
	"github.com/longshore-registry/longshore/internal/miniotest"
	"github.com/longshore-registry/longshore/registry/budget"
)

// On MinIO the requests are counted on the wire.
func TestMinIO(t *testing.T) {
	server := miniotest.Start(t)
	var wire budget.Wire
	c := minio.Defaults()
	c.Endpoint, c.Bucket, c.AccessKey, c.SecretKey = server.URL, server.Bucket(t), server.User, drivers.Secret(server.Password)
	c.Transport = wire.Transport
	d, err := minio.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	hold(t, d, budget.Store{Requests: wire.Requests, Part: budget.WirePart})
}

// The requests of the other driver for MinIO are the same.
func TestS3(t *testing.T) {
	server := miniotest.Start(t)
	var wire budget.Wire
	c := s3.Defaults()
	c.Endpoint, c.Bucket, c.AccessKey, c.SecretKey = server.URL, server.Bucket(t), server.User, drivers.Secret(server.Password)
	c.Transport = wire.Transport
	d, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	hold(t, d, budget.Store{Requests: wire.Requests, Part: budget.WirePart})
}
