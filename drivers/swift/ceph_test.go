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
}
