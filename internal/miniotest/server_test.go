//go:build integration

package miniotest

import (
	"net"
	"testing"
)

func TestServer(t *testing.T) {
	s := Start(t)
	a, b := s.Bucket(t), s.Bucket(t)
	if a == b {
		t.Errorf("two buckets are both called %s", a)
	}
	ok, err := s.Client(t).BucketExists(t.Context(), a)
	if err != nil || !ok {
		t.Errorf("bucket %s: %v, %v, want it to exist", a, ok, err)
	}
	s.Stop()
	if c, err := net.Dial("tcp", s.Addr); err == nil {
		_ = c.Close()
		t.Error("it still listens after Stop")
	}
	s.Stop() // again, as the cleanup will
}
