//go:build integration

package swift

import (
	"testing"

	"github.com/longshore-registry/longshore/internal/cephtest"
)

// TestCeph runs the suite on the Swift API of Ceph's RADOS Gateway, which it starts from Debian's packages ceph-mon, ceph-osd, radosgw and ceph-common.
func TestCeph(t *testing.T) {
	authURL, user, password, err := cephtest.Start(t).SwiftUser(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conform(t, short, on(authURL, user, password))
}
