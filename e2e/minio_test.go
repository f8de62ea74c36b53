//go:build e2e

package e2e

import (
	"testing"

	"github.com/longshore-registry/longshore/internal/miniotest"
)

// minioBackend starts a MinIO of the test's own; longshore makes the bucket.
func minioBackend(t *testing.T) []string {
	t.Helper()
	m := miniotest.Start(t)
	versionOf(t, "minio")
	return s3Env("MINIO", m.URL, m.User, m.Password)
}
