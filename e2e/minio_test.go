//go:build e2e

package e2e

import (
	"testing"

	"github.com/longshore-registry/longshore/internal/miniotest"
)

// minioBackend starts a MinIO of the test's own; longshore makes the bucket.
func minioBackend(t *testing.T) []string {
	t.Helper()
	t.Setenv("LONGSHORE_TOOLS", toolsDir())
	m := miniotest.Start(t)
	versionOf(t, "minio")
	return []string{
		"LONGSHORE_STORAGE_MINIO_ENDPOINT=" + m.Addr,
		"LONGSHORE_STORAGE_MINIO_BUCKET=images",
		"LONGSHORE_STORAGE_MINIO_ACCESS_KEY=" + m.User,
		"LONGSHORE_STORAGE_MINIO_SECRET_KEY=" + m.Password,
		"LONGSHORE_STORAGE_MINIO_SECURE=false",
		"LONGSHORE_STORAGE_MINIO_CREATE_BUCKET=true",
	}
}
