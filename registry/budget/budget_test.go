package budget_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/counting"
	"github.com/longshore-registry/longshore/drivers/fs"
	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/registry"
	"github.com/longshore-registry/longshore/registry/api"
	"github.com/longshore-registry/longshore/registry/budget"
)

func TestMemory(t *testing.T) {
	d := counting.New(memory.New(memory.Options{}), counting.Options{})
	hold(t, d, budget.Calls(d))
}

func TestFS(t *testing.T) {
	folder, err := fs.Open(t.Context(), fs.Config{Root: t.TempDir(), Durability: fs.Fast})
	if err != nil {
		t.Fatal(err)
	}
	d := counting.New(folder, counting.Options{})
	hold(t, d, budget.Calls(d))
}

// hold fails the test if some work costs the store more requests than its budget.
func hold(t *testing.T, d drivers.Driver, store budget.Store) {
	t.Helper()
	holdWith(t, d, store, nil)
}

// holdWith is hold where some work may cost more: a number by the beginning of the work's name.
func holdWith(t *testing.T, d drivers.Driver, store budget.Store, more map[string]int) {
	t.Helper()
	r, err := registry.Open(t.Context(), d, registry.Options{HistoryKeep: 720 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	results, err := budget.Measure(t.Context(), api.New(r, api.Options{}), store, "budget", budget.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, result := range results {
		for work, n := range more {
			if strings.HasPrefix(result.Work, work) {
				result.Limit += n
			}
		}
		t.Logf("%3d of %3d  %s  %v", result.Total, result.Limit, result.Work, result.Requests)
		said = append(said, fmt.Sprintf("%s: %d of %d", result.Work, result.Total, result.Limit))
		if !result.Met() {
			t.Errorf("%s: %d requests to the store, %d allowed: %v", result.Work, result.Total, result.Limit, result.Requests)
		}
	}
	t.Attr("requests", strings.Join(said, "; ")) // for docs/stores.md
	if len(results) < 11 {
		t.Errorf("only %d kinds of work were counted", len(results))
	}
}
