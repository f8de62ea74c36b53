//go:build integration

package registry_test

import (
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/minio"
	"github.com/longshore-registry/longshore/internal/miniotest"
)

func TestRebuildOnMinIO(t *testing.T) {
	s := miniotest.Start(t)
	c := minio.Defaults()
	c.Endpoint, c.Bucket, c.AccessKey, c.SecretKey = s.Addr, s.Bucket(t), s.User, drivers.Secret(s.Password)
	store, err := minio.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	(&damaged{t: t, store: store}).testLoss(10, "all")
}
