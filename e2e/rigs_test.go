//go:build e2e

package e2e

import (
	"context"
	"flag"
	"path/filepath"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/fs"
	"github.com/longshore-registry/longshore/drivers/minio"
	"github.com/longshore-registry/longshore/internal/miniotest"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random choices of TestKill and TestReplicas; 0: a new one, which is printed")

// seed is that of one test.
func seed(t *testing.T) uint64 {
	s := *seedFlag
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the random choices were those of -seed %d", s)
		}
	})
	return s
}

// A rig is a store, with the settings for longshore and a driver for the test itself.
type rig struct {
	addr string                     // of the store's server; "" for a folder
	env  func(addr string) []string // for a store that is reached at addr
	open func(t *testing.T) drivers.Driver
}

func fsRig(t *testing.T) rig {
	root := filepath.Join(t.TempDir(), "images")
	return rig{
		env: func(string) []string { return []string{"LONGSHORE_STORAGE_FS_ROOT=" + root} },
		open: func(t *testing.T) drivers.Driver {
			d, err := fs.Open(t.Context(), fs.Config{Root: root})
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
	}
}

func minioRig(t *testing.T) rig {
	m := miniotest.Start(t)
	versionOf(t, "minio")
	return rig{
		addr: m.Addr,
		env: func(addr string) []string {
			return append(s3Env("MINIO", "http://"+addr, m.User, m.Password), "LONGSHORE_STORAGE_MINIO_TIMEOUT=1s", "LONGSHORE_STORAGE_MINIO_ATTEMPTS=4")
		},
		open: func(t *testing.T) drivers.Driver {
			c := minio.Defaults()
			c.Endpoint, c.Bucket, c.AccessKey, c.SecretKey = m.Addr, "images", m.User, drivers.Secret(m.Password)
			d, err := minio.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(d.Close)
			return d
		},
	}
}

// rigs are the stores of TestKill and TestReplicas.
func rigs() []struct {
	name  string
	setup func(t *testing.T) rig
} {
	return []struct {
		name  string
		setup func(t *testing.T) rig
	}{{"fs", fsRig}, {"minio", minioRig}}
}

// pauseFor waits, unless ctx ends.
func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
