//go:build integration

package s3

import (
	"testing"

	"github.com/longshore-registry/longshore/internal/cephtest"
)

// TestCeph runs the suite on Ceph's RADOS Gateway, which it starts from Debian's packages ceph-mon, ceph-osd, radosgw and ceph-common.
func TestCeph(t *testing.T) {
	s := cephtest.Start(t)
	c := at(s.URL, s.AccessKey, s.SecretKey)
	c.AllParts, c.IfMatch, c.Prefix = true, "off", "shared/registry"
	ceph := short
	ceph.MaxKey = 900 // beyond, the answer to CompleteMultipartUpload has zero bytes in it
	conform(t, ceph, c)
	t.Run("leftovers by pages", func(t *testing.T) { leftoversByPages(t, c) })
}
