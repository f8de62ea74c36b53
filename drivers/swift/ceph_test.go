//go:build integration

package swift

import (
	"net/http"
	"testing"

	"github.com/longshore-registry/longshore/internal/cephtest"
)

// TestCeph runs the suite on the Swift API of Ceph's RADOS Gateway, which it starts from Debian's packages ceph-mon, ceph-osd, radosgw and ceph-common.
func TestCeph(t *testing.T) {
	authURL, user, password, err := cephtest.Start(t).SwiftUser(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := on(authURL, user, password)
	c.TempURLKey, c.TempURLDigest = "k1", "sha1" // it knows no other digest
	// Nor has a container a key.
	if _, err := open(t, c).run(t.Context(), request{method: http.MethodPost, account: true, header: map[string]string{"X-Account-Meta-Temp-URL-Key": "k1"}}); err != nil {
		t.Fatal(err)
	}
	conform(t, short, c)
	t.Run("late rivals", func(t *testing.T) { lateRivals(t, c) })
	t.Run("Cancel after a Commit that failed", func(t *testing.T) { cancelAfterCommit(t, c) })
	t.Run("requests", func(t *testing.T) { calls(t, c) })
	t.Run("leftovers", func(t *testing.T) { findLeftovers(t, c) })
	t.Run("dynamic large objects", func(t *testing.T) {
		c := c
		c.LargeObjects = "dlo"
		findLeftovers(t, c)
	})
}
