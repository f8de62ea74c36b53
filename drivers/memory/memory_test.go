package memory_test

import (
	"testing"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Config{
		Open: func(*testing.T) drivers.Driver { return memory.New(memory.Options{}) },
		Reopen: func(_ *testing.T, d drivers.Driver) drivers.Driver {
			return d.(*memory.Driver).Reopen(nil)
		},
		Extras: conformance.Extras{Absent: true, Match: true},
		Name:   "memory",
	})
}
