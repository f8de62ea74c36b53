//go:build integration

package cephtest

import (
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// TestTwoAtOnce: each gateway knows its own user, also when others start at the same moment.
func TestTwoAtOnce(t *testing.T) {
	for _, name := range []string{"one", "two"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := Start(t)
			c, err := minio.New(strings.TrimPrefix(s.URL, "http://"), &minio.Options{Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, "")})
			if err == nil {
				err = c.MakeBucket(t.Context(), "bucket", minio.MakeBucketOptions{})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}
