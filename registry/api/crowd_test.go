package api_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/longshore-registry/longshore/drivers/counting"
	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/registry"
	"github.com/longshore-registry/longshore/registry/api"
)

// A thousand clients who ask for a tag and its blobs at once cost at most two reads of each small object, one that was under way and one for
// all who came later, and one of each blob's bytes.
func TestCrowdCostsWhatOneClientDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 1000
		var mu sync.Mutex
		gate := make(chan struct{})
		store := memory.New(memory.Options{Hook: func(_ context.Context, op, _ string) memory.Outcome {
			mu.Lock()
			wait := gate
			mu.Unlock()
			if op == "reader" {
				<-wait
			}
			return memory.Outcome{}
		}})
		asked := map[string]int{}
		counted := counting.New(store, counting.Options{Trace: func(op, key string) {
			mu.Lock()
			defer mu.Unlock()
			asked[op+" "+key]++
		}})
		close(gate)
		config, layer := strings.Repeat("c", 1500), strings.Repeat("l", 40<<10)
		s := newPushed(t, counted, config, layer)
		r, err := registry.Open(t.Context(), counted, registry.Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		replica := api.New(r, api.Options{Log: slog.New(slog.DiscardHandler)})
		clear(asked)

		for _, test := range []struct{ path, want string }{{s.byTag, s.manifest}, {s.config, config}, {s.layer, layer}} {
			mu.Lock()
			gate = make(chan struct{})
			mu.Unlock()
			var wg sync.WaitGroup
			for range clients {
				wg.Go(func() {
					w := httptest.NewRecorder()
					replica.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, test.path, nil))
					if w.Code != http.StatusOK || w.Body.String() != test.want {
						t.Errorf("%s: got %d and %s", test.path, w.Code, short(w.Body.String()))
					}
				})
			}
			synctest.Wait()
			close(gate)
			wg.Wait()
		}
		for what, times := range asked {
			most := 2
			if strings.HasPrefix(what, "reader data/") {
				most = 1
			}
			if times > most {
				t.Errorf("%s: %d times, want %d at most", what, times, most)
			}
		}
		const kinds = 8 // of objects: tag, manifest, and of each blob link, record and bytes
		if len(asked) != kinds {
			t.Errorf("asked for %s", fmt.Sprint(asked))
		}
	})
}
