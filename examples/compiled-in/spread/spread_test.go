package spread_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/examples/compiled-in/spread"
)

// at is a driver on three folders of one.
func at(ctx context.Context, folder string) (drivers.Driver, error) {
	c := spread.Defaults()
	for _, disk := range []string{"a", "b", "c"} {
		root := filepath.Join(folder, disk)
		if err := os.MkdirAll(root, 0o700); err != nil {
			return nil, err
		}
		c.Roots = append(c.Roots, root)
	}
	return spread.Open(ctx, c)
}

func TestMain(m *testing.M) { os.Exit(conformance.Main(m, at)) }

func TestConformance(t *testing.T) {
	folders := make(map[drivers.Driver]string)
	open := func(t testing.TB, folder string) drivers.Driver {
		d, err := at(t.Context(), folder)
		if err != nil {
			t.Fatal(err)
		}
		folders[d] = folder
		return d
	}
	conformance.Run(t, conformance.Config{
		Open:   func(t testing.TB) drivers.Driver { return open(t, t.TempDir()) },
		Reopen: func(t testing.TB, d drivers.Driver) drivers.Driver { return open(t, folders[d]) },
		Where:  func(_ testing.TB, d drivers.Driver) string { return folders[d] },
		Extras: conformance.Extras{Absent: true, Match: true, Files: true},
	})
}
