//go:build integration

package swift

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/internal/daemon"
	"github.com/longshore-registry/longshore/internal/faultproxy"
	"github.com/longshore-registry/longshore/internal/swifttest"
)

// shared is the cluster of all tests, started by the first that needs it.
var shared = daemon.Shared[*swifttest.Server]{Launch: func() (*swifttest.Server, error) { return swifttest.Launch(context.Background()) }}

func TestMain(m *testing.M) {
	code := conformance.Main(m, func(ctx context.Context, where string) (drivers.Driver, error) {
		c := Defaults()
		if err := json.Unmarshal([]byte(where), &c); err != nil {
			return nil, err
		}
		return Open(ctx, c)
	})
	shared.Stop()
	os.Exit(code)
}

// containers counts those that were made.
var containers atomic.Int64

// at is a configuration for a new container, which Open makes.
func at(t testing.TB) Config {
	t.Helper()
	s := shared.Get(t)
	return on(s.AuthURL, s.User, s.Password)
}

// on is at for the user of another server.
func on(authURL, user, password string) Config {
	c := Defaults()
	c.AuthURL, c.Username, c.Password = authURL, user, drivers.Secret(password)
	c.Container, c.CreateContainer = fmt.Sprintf("test-swift-%d", containers.Add(1)), true
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
	q := r.URL.Query()
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/") // v1, account, container, object
	switch {
	case strings.HasPrefix(r.URL.Path, "/auth") || r.URL.Path == "/info":
		return "HEAD" // reads
	case q.Has("bulk-delete"):
		return "DeleteMany"
	case q.Get("multipart-manifest") == "put":
		return "Manifest"
	case q.Get("multipart-manifest") == "delete":
		return "DeleteLarge"
	case len(path) <= 3 && r.Method == http.MethodGet:
		return "List"
	case r.Method != http.MethodPut:
	case strings.Contains(r.URL.Path, "/"+segments):
		return "PUT segment"
	case strings.Contains(r.URL.Path, "/"+marks) && strings.HasSuffix(r.URL.Path, closed):
		return "PUT closed"
	case strings.Contains(r.URL.Path, "/"+marks):
		return "PUT mark"
	}
	return r.Method
}

// setKey gives the container the key of d's URLs.
func setKey(t testing.TB, d *Driver) {
	t.Helper()
	if _, err := d.run(t.Context(), request{method: http.MethodPost, header: map[string]string{"X-Container-Meta-Temp-URL-Key": string(d.c.TempURLKey)}}); err != nil {
		t.Fatal(err)
	}
}

// short is for a run beside a full one: the rest is the same.
var short = conformance.Config{ListKeys: 1100, Repeat: 2}

func TestConformance(t *testing.T) {
	t.Run("openstack swift", func(t *testing.T) { conform(t, conformance.Config{ListKeys: 2100}, at(t)) })
	t.Run("openstack swift, dynamic large objects, with a prefix and little memory", func(t *testing.T) {
		c := at(t)
		c.Prefix, c.LargeObjects, c.TempURLKey = "/some/folder/", "dlo", "k1"
		// Three buffers: one Writer of a test may wait for another of the same goroutine.
		c.PartSize, c.Memory = parts.MinPart, 3*parts.MinPart
		conform(t, short, c)
	})
}

// conform runs suite over proxied drivers on new containers, with the settings of base.
func conform(t *testing.T, suite conformance.Config, base Config) {
	account, _, err := open(t, base).session.get(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	server, err := url.Parse(account)
	if err != nil {
		t.Fatal(err)
	}
	origin := server.Scheme + "://" + server.Host
	base.Attempts = 4 // or lost replies would take minutes
	proxies := make(map[drivers.Driver]*faultproxy.Proxy)
	direct := make(map[drivers.Driver]Config)
	reopen := func(t testing.TB, c Config) drivers.Driver {
		t.Helper()
		p := faultproxy.NewNamed(t, origin, callOf)
		proxied := c
		proxied.StorageURL = strings.Replace(account, origin, p.URL, 1)
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
		c := base
		c.Container = fmt.Sprintf("test-swift-%d", containers.Add(1))
		d := reopen(t, c)
		if c.TempURLKey != "" {
			setKey(t, d.(*Driver))
		}
		return d
	}
	suite.Reopen = func(t testing.TB, d drivers.Driver) drivers.Driver { return reopen(t, direct[d]) }
	suite.Where = func(t testing.TB, d drivers.Driver) string {
		c := direct[d]
		where, err := json.Marshal(map[string]any{
			"AuthURL": c.AuthURL, "Username": c.Username, "Password": string(c.Password), // Config's own form hides it
			"Container": c.Container, "Prefix": c.Prefix, "PartSize": c.PartSize, "Memory": c.Memory, "LargeObjects": c.LargeObjects,
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(where)
	}
	if folder := base.folder(); folder != "" {
		suite.Neighbour = func(t testing.TB, d drivers.Driver) drivers.Driver {
			c := direct[d]
			c.Prefix = strings.TrimSuffix(folder, "/") + "-2"
			return reopen(t, c)
		}
	}
	suite.Faults = conformance.Faults{
		BreakReads:  fail(func(call string) bool { return call == "GET" }, faultproxy.Truncate),
		FailWrites:  fail(faultproxy.Changes, faultproxy.Denied),
		LoseReplies: fail(faultproxy.Changes, faultproxy.LoseReply),
		Hang:        fail(func(string) bool { return true }, faultproxy.Hang),
	}
	suite.Extras = conformance.Extras{Sweep: true, Signer: base.TempURLKey != ""}
	suite.Name = name
	suite.MaxKey = drivers.MaxKey - len(base.folder())
	conformance.Run(t, suite)
}
