//go:build e2e

package e2e

import (
	"context"
	"debug/buildinfo"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/internal/cephtest"
	"github.com/longshore-registry/longshore/internal/gcstest"
	"github.com/longshore-registry/longshore/internal/glancetest"
	"github.com/longshore-registry/longshore/internal/miniotest"
	"github.com/longshore-registry/longshore/internal/swifttest"
	"github.com/longshore-registry/longshore/internal/versitygwtest"
)

// stores are all that a driver is proved on, each with a server of the test's own. Most tests run on two of them; see backends.
func stores() []backend {
	return append(backends(), []backend{
		{"memory", func(t *testing.T) []string { return []string{"LONGSHORE_STORAGE=memory"} }},
		{"s3-minio", func(t *testing.T) []string {
			m := miniotest.Start(t)
			versionOf(t, "minio")
			return s3Env("S3", m.URL, m.User, m.Password)
		}},
		{"s3-versitygw", func(t *testing.T) []string {
			v := versitygwtest.Start(t)
			versionOf(t, "versitygw")
			return s3Env("S3", v.URL, v.AccessKey, v.SecretKey)
		}},
		{"s3-ceph", func(t *testing.T) []string {
			c := cephtest.Start(t)
			versionOf(t, "radosgw")
			return append(s3Env("S3", c.URL, c.AccessKey, c.SecretKey), "LONGSHORE_STORAGE_S3_ALL_PARTS=true", "LONGSHORE_STORAGE_S3_IF_MATCH=off")
		}},
		{"gcs", func(t *testing.T) []string {
			g := gcstest.Start(t)
			versionOf(t, "fake-gcs-server")
			g.Bucket(t, "images")
			return gcsEnv(g.URL)
		}},
		{"swift", func(t *testing.T) []string {
			s := swifttest.Start(t)
			versionOf(t, "swift-proxy")
			return swiftEnv(s)
		}},
		{"plugin-memory", func(t *testing.T) []string {
			return []string{"LONGSHORE_STORAGE_PLUGIN_COMMAND=" + buildPlugin(t, "./plugin") + ",memory"}
		}},
		{"plugin-fs", func(t *testing.T) []string {
			return []string{"LONGSHORE_STORAGE_PLUGIN_COMMAND=" + buildPlugin(t, "./plugin") + ",fs", "LONGSHORE_STORAGE_PLUGIN_CONFIG=root: " + t.TempDir()}
		}},
		{"plugin-glance", func(t *testing.T) []string {
			g := glancetest.StartKeystone(t)
			versionOf(t, "glance-api")
			return []string{
				"LONGSHORE_STORAGE_PLUGIN_COMMAND=" + buildPlugin(t, "../plugins/glance/cmd/longshore-glance"),
				"LONGSHORE_STORAGE_PLUGIN_CONFIG={auth_url: " + g.AuthURL + ", username: " + g.Member + ", password: " + g.Password + ", project: " + g.Project + "}",
			}
		}},
	}...)
}

// s3Env is for the drivers S3 and MINIO, which makes the bucket.
func s3Env(driver, url, access, secret string) []string {
	storage := "LONGSHORE_STORAGE_" + driver + "_"
	return []string{
		storage + "ENDPOINT=" + url, storage + "BUCKET=images", storage + "CREATE_BUCKET=true",
		storage + "ACCESS_KEY=" + access, storage + "SECRET_KEY=" + secret,
	}
}

func gcsEnv(url string) []string {
	return []string{"LONGSHORE_STORAGE_GCS_ENDPOINT=" + url, "LONGSHORE_STORAGE_GCS_BUCKET=images", "LONGSHORE_STORAGE_GCS_ANONYMOUS=true"}
}

func swiftEnv(s *swifttest.Server) []string {
	return []string{
		"LONGSHORE_STORAGE_SWIFT_AUTH_URL=" + s.AuthURL, "LONGSHORE_STORAGE_SWIFT_USERNAME=" + s.User, "LONGSHORE_STORAGE_SWIFT_PASSWORD=" + s.Password,
		"LONGSHORE_STORAGE_SWIFT_CONTAINER=images", "LONGSHORE_STORAGE_SWIFT_CREATE_CONTAINER=true",
	}
}

// buildPlugin builds a plugin; that of ./plugin has the drivers memory and fs.
func buildPlugin(t *testing.T, source string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "plugin")
	if err := goBuild(program, source); err != nil {
		t.Fatal(err)
	}
	return program
}

// versionOf tells the report which version of a program or of Debian's package serves the store.
func versionOf(t *testing.T, program string) {
	t.Helper()
	if info, err := buildinfo.ReadFile(filepath.Join(toolsDir(), program)); err == nil {
		t.Attr("server", program+" "+info.Main.Version)
		return
	}
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "dpkg-query", "-W", "-f", "${Package} ${Version} (Debian)", program).Output()
	if err != nil {
		t.Fatalf("the version of %s: %v", program, err)
	}
	t.Attr("server", strings.TrimSpace(string(out)))
}

// onEachStore runs a test on every store, on a few of them at once.
func onEachStore(t *testing.T, test func(t *testing.T, env []string)) {
	for _, b := range stores() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			test(t, b.setup(t))
		})
	}
}
