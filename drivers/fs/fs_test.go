//go:build unix

package fs_test

import (
	"context"
	"os"
	"testing"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/fs"
)

func TestMain(m *testing.M) {
	os.Exit(conformance.Main(m, func(ctx context.Context, where string) (drivers.Driver, error) {
		return fs.Open(ctx, fs.Config{Root: where})
	}))
}

func TestConformance(t *testing.T) {
	for _, durability := range []string{fs.Full, fs.Fast} {
		t.Run(durability, func(t *testing.T) {
			open := func(t testing.TB, root string) drivers.Driver {
				d, err := fs.Open(t.Context(), fs.Config{Root: root, Durability: durability})
				if err != nil {
					t.Fatal(err)
				}
				return d
			}
			conformance.Run(t, conformance.Config{
				Open: func(t testing.TB) drivers.Driver { return open(t, t.TempDir()) },
				Reopen: func(t testing.TB, d drivers.Driver) drivers.Driver {
					return open(t, d.(*fs.Driver).Root())
				},
				Where:  func(_ testing.TB, d drivers.Driver) string { return d.(*fs.Driver).Root() },
				Extras: conformance.Extras{Absent: true, Match: true, Files: true, Sweep: true},
				Name:   "fs",
			})
		})
	}
}
