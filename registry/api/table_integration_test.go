//go:build integration && !race

package api_test

import (
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/minio"
	"github.com/longshore-registry/longshore/internal/miniotest"
)

// With the race detector the tables over memory and folders are run; this one takes minutes then.
func TestTableMinIO(t *testing.T) {
	server := miniotest.Start(t)
	open := func(t *testing.T) drivers.Driver {
		c := minio.Defaults()
		c.Endpoint, c.Bucket = server.URL, server.Bucket(t)
		c.AccessKey, c.SecretKey = server.User, drivers.Secret(server.Password)
		d, err := minio.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.Close)
		return d
	}
	t.Run("one process", func(t *testing.T) { runTable(t, one, options{open: open}) })
	t.Run("two replicas", func(t *testing.T) { runTable(t, alternating, options{open: open}) })
	t.Run("a restart before each request", func(t *testing.T) { runTable(t, restarting, options{open: open}) })
}
