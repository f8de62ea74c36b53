//go:build integration && glance

package glance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/internal/daemon"
	"github.com/longshore-registry/longshore/internal/faultproxy"
	"github.com/longshore-registry/longshore/internal/glancetest"
)

// The servers of all tests, started by the first that needs them: one without keystone, one behind it.
var (
	shared  = daemon.Shared[*glancetest.Server]{Launch: func() (*glancetest.Server, error) { return glancetest.Launch(context.Background()) }}
	guarded = daemon.Shared[*glancetest.Server]{Launch: func() (*glancetest.Server, error) { return glancetest.LaunchKeystone(context.Background()) }}
)

func TestMain(m *testing.M) {
	code := conformance.Main(m, func(ctx context.Context, where string) (drivers.Driver, error) {
		c := Defaults()
		if err := json.Unmarshal([]byte(where), &c); err != nil {
			return nil, err
		}
		return Open(ctx, c)
	})
	shared.Stop()
	guarded.Stop()
	os.Exit(code)
}

// stores counts those that were made.
var stores atomic.Int64

// at is a configuration for a new store.
func at(url string) Config {
	c := Defaults()
	c.Endpoint, c.Store = url, fmt.Sprintf("test-%d", stores.Add(1))
	c.PartSize, c.Memory = 4<<20, 32<<20
	return c
}

// behind is a configuration for a new store behind keystone.
func behind(s *glancetest.Server) Config {
	c := at("")
	c.AuthURL, c.Username, c.Password, c.Project = s.AuthURL, s.Member, drivers.Secret(s.Password), s.Project
	return c
}

// open opens a driver and closes its connections after the test.
func open(t testing.TB, c Config) *Driver {
	t.Helper()
	d, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// callOf names a request for a proxy.
func callOf(r *http.Request) string {
	switch {
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/file"):
		return "GET"
	case r.Method == http.MethodGet && r.URL.Query().Has("marker"):
		return "List"
	case r.Method == http.MethodGet:
		return "HEAD" // reads
	}
	return r.Method
}

func TestConformance(t *testing.T) {
	t.Run("glance", func(t *testing.T) {
		conform(t, conformance.Config{}, func() Config { return at(shared.Get(t).URL) }, shared.Get(t).URL)
	})
	t.Run("glance, behind keystone", func(t *testing.T) {
		conform(t, conformance.Config{ListKeys: 1100, Repeat: 2}, func() Config { return behind(guarded.Get(t)) }, guarded.Get(t).URL)
	})
}

// conform runs suite over proxied drivers on new stores, which config configures.
func conform(t *testing.T, suite conformance.Config, config func() Config, url string) {
	proxies := make(map[drivers.Driver]*faultproxy.Proxy)
	direct := make(map[drivers.Driver]Config)
	reopen := func(t testing.TB, c Config) drivers.Driver {
		t.Helper()
		p := faultproxy.NewNamed(t, url, callOf)
		proxied := c
		proxied.Endpoint = p.URL
		d := open(t, proxied)
		proxies[d], direct[d] = p, c
		return d
	}
	fail := func(kinds func(call string) bool, what faultproxy.Fault) func(t testing.TB, d drivers.Driver) func() {
		return func(_ testing.TB, d drivers.Driver) func() {
			p := proxies[d]
			p.Set(func(call string) faultproxy.Fault {
				if kinds(call) {
					return what
				}
				return faultproxy.Pass
			})
			return func() { p.Set(nil) }
		}
	}
	suite.Open = func(t testing.TB) drivers.Driver {
		c := config()
		c.Attempts = 4 // or lost replies would take minutes
		return reopen(t, c)
	}
	suite.Reopen = func(t testing.TB, d drivers.Driver) drivers.Driver { return reopen(t, direct[d]) }
	suite.Where = func(t testing.TB, d drivers.Driver) string {
		c := direct[d]
		where, err := json.Marshal(map[string]any{
			"AuthURL": c.AuthURL, "Username": c.Username, "Password": string(c.Password), "Project": c.Project, // Config's own form hides it
			"Endpoint": c.Endpoint, "Store": c.Store, "PartSize": c.PartSize, "Memory": c.Memory,
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(where)
	}
	suite.Neighbour = func(t testing.TB, d drivers.Driver) drivers.Driver {
		c := direct[d]
		c.Store = config().Store
		return reopen(t, c)
	}
	suite.Faults = conformance.Faults{
		BreakReads:  fail(func(call string) bool { return call == "GET" }, faultproxy.Truncate),
		FailWrites:  fail(faultproxy.Changes, faultproxy.Denied),
		LoseReplies: fail(faultproxy.Changes, faultproxy.LoseReply),
		Hang:        fail(func(string) bool { return true }, faultproxy.Hang),
	}
	suite.Extras = conformance.Extras{Absent: true, Sweep: true}
	suite.Name = name
	conformance.Run(t, suite)
}
