package budget_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/counting"
	"github.com/longshore-registry/longshore/drivers/fs"
	"github.com/longshore-registry/longshore/drivers/memory"
	plugindriver "github.com/longshore-registry/longshore/drivers/plugin"
	"github.com/longshore-registry/longshore/plugin"
	"github.com/longshore-registry/longshore/registry"
	"github.com/longshore-registry/longshore/registry/api"
	"github.com/longshore-registry/longshore/registry/budget"
)

// TestMain is also the plugin of TestPlugin.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve-memory" {
		plugin.Serve("memory", memory.Defaults(), memory.Open)
		return
	}
	os.Exit(m.Run())
}

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

// What a plugin is asked for are the calls of the driver: it has no requests of its own.
func TestPlugin(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := plugindriver.Defaults()
	c.Command, c.Log = []string{self, "serve-memory"}, slog.New(slog.DiscardHandler)
	p, err := plugindriver.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	d := counting.New(p, counting.Options{})
	hold(t, d, budget.Calls(d))
}

// A page costs one request however many tags there are, with a store that gives no more than a page at a time.
func TestPageOfManyTags(t *testing.T) {
	m := memory.New(memory.Options{Page: 1000})
	r, err := registry.Open(t.Context(), m, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	image := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`)
	if _, err := r.PushManifest(t.Context(), registry.Push{Repo: "many", Tags: []string{"t"}, Body: image}); err != nil {
		t.Fatal(err)
	}
	const tags = 100_000
	key, record := tagOf(t, m)
	for i := range tags {
		if err := m.Put(t.Context(), fmt.Sprintf("%s%06d", key, i), record); err != nil {
			t.Fatal(err)
		}
	}
	d := counting.New(m, counting.Options{})
	again, err := registry.Open(t.Context(), d, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	handler := api.New(again, api.Options{})
	started := d.Counts()
	for i, last := range []string{"", "t000000", "t050000", "t099899", "t099999", "zzz"} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/many/tags/list?n=100&last="+last, nil))
		if w.Code != http.StatusOK {
			t.Fatalf("after %q: status %d", last, w.Code)
		}
		if got := d.Counts()["list"] - started["list"]; got != i+1 {
			t.Errorf("after %q: %d listings, want %d", last, got, i+1)
		}
	}
	if len(started) == 0 || started["list"] > 0 {
		t.Errorf("the start cost %v", started)
	}
}

// tagOf finds the only tag in the store.
func tagOf(t *testing.T, m *memory.Driver) (key string, record []byte) {
	t.Helper()
	for e, err := range m.List(t.Context(), "repos/", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(e.Key, "/_tags/") {
			continue
		}
		body, _, err := m.Reader(t.Context(), e.Key, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		record, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		return e.Key, record
	}
	t.Fatal("there is no tag")
	return "", nil
}

// start fails the test if the first steps of a process ask for more than a few things, whatever the store holds: a store of a
// million objects would be asked a thousand times if they were listed.
func start(t *testing.T, wire *budget.Wire, open func() (drivers.Driver, error)) {
	t.Helper()
	before := wire.Requests()
	d, err := open()
	if err != nil {
		t.Fatal(err)
	}
	r, err := registry.Open(t.Context(), d, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	const most = 6 // Swift's: a token, its abilities, the account, the container, and the format record
	if n := wire.Requests().Total() - before.Total(); n == 0 || n > most {
		t.Errorf("the start cost %d requests, want at most %d", n, most)
	}
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
	if len(results) < 12 {
		t.Errorf("only %d kinds of work were counted", len(results))
	}
}
