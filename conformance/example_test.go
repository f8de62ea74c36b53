package conformance_test

import (
	"testing"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// The test of a driver is a few lines. What it has beyond the seven methods is said, so that
// a wrapper that hides some of it fails.
func ExampleRun() {
	_ = func(t *testing.T) { // TestConformance
		conformance.Run(t, conformance.Config{
			Open: func(testing.TB) drivers.Driver { return memory.New(memory.Options{}) },
			Reopen: func(_ testing.TB, d drivers.Driver) drivers.Driver {
				return d.(*memory.Driver).Reopen(nil)
			},
			Extras: conformance.Extras{Absent: true, Match: true, Sweep: true},
			Name:   "memory",
		})
	}
}
