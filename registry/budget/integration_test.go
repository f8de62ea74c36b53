//go:build integration

package budget_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/gcs"
	"github.com/longshore-registry/longshore/drivers/minio"
	"github.com/longshore-registry/longshore/drivers/s3"
	"github.com/longshore-registry/longshore/drivers/swift"
	"github.com/longshore-registry/longshore/internal/gcstest"
	"github.com/longshore-registry/longshore/internal/miniotest"
	"github.com/longshore-registry/longshore/internal/swifttest"
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
	start(t, &wire, func() (drivers.Driver, error) { return minio.Open(t.Context(), c) })
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
	start(t, &wire, func() (drivers.Driver, error) { return s3.Open(t.Context(), c) })
}

// A part of Google's is an object, which is removed when the large one is there.
func TestGCS(t *testing.T) {
	server := gcstest.Start(t)
	server.Bucket(t, "images")
	wire := budget.Wire{IsPart: func(r *http.Request) bool {
		return strings.HasPrefix(r.URL.Query().Get("name"), "~streams/") || strings.Contains(r.URL.EscapedPath(), "/o/~streams%2F")
	}}
	c := gcs.Defaults()
	c.Endpoint, c.Bucket, c.Anonymous, c.Transport = server.URL, "images", true, wire.Transport
	d, err := gcs.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	hold(t, d, budget.Store{Requests: wire.Requests, Part: budget.WirePart})
	start(t, &wire, func() (drivers.Driver, error) { return gcs.Open(t.Context(), c) })
}

// Without put-if-absent the registry looks at each key that it must not replace, and at the end of a push once more at what it may have replaced; the
// driver asks twice for what is not there. A large object has a mark, which is sealed and removed.
func TestSwift(t *testing.T) {
	server := swifttest.Start(t)
	wire := budget.Wire{IsPart: func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/~segments/") }}
	c := swift.Defaults()
	c.AuthURL, c.Username, c.Password = server.AuthURL, server.User, drivers.Secret(server.Password)
	c.Container, c.CreateContainer, c.Transport = "images", true, wire.Transport
	d, err := swift.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	holdWith(t, d, budget.Store{Requests: wire.Requests, Part: budget.WirePart}, map[string]int{
		"push a one-layer image": 16, "the same": 16, "push an image with a layer": 25, "mount": 3,
	})
	start(t, &wire, func() (drivers.Driver, error) { return swift.Open(t.Context(), c) })
}
