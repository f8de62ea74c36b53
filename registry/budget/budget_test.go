package budget_test

import (
	"context"
	"maps"
	"sync"
	"testing"

	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/registry"
	"github.com/longshore-registry/longshore/registry/api"
	"github.com/longshore-registry/longshore/registry/budget"
)

func TestMemory(t *testing.T) {
	var mu sync.Mutex
	counts := budget.Counts{}
	d := memory.New(memory.Options{Hook: func(_ context.Context, op, _ string) memory.Outcome {
		mu.Lock()
		defer mu.Unlock()
		if op != "read" && op != "write" {
			counts[op]++
		}
		return memory.Outcome{}
	}})
	r, err := registry.Open(t.Context(), d, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	results, err := budget.Measure(t.Context(), api.New(r, api.Options{}), budget.Store{Requests: func() budget.Counts {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(counts)
	}}, "budget", budget.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range results {
		t.Logf("%3d of %3d  %s  %v", result.Total, result.Limit, result.Work, result.Requests)
		if !result.Met() {
			t.Errorf("%s: %d requests to the store, %d allowed: %v", result.Work, result.Total, result.Limit, result.Requests)
		}
	}
}
