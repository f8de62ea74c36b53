//go:build integration

package glance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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
	conform(t, conformance.Config{ListKeys: 250, Repeat: 2, Patience: time.Minute}, func() Config { return at(shared.Get(t).URL) }, shared.Get(t).URL)
}

// TestKeystone does behind keystone what differs there: whose rights count, and what is said of those that are missing.
func TestKeystone(t *testing.T) {
	s := guarded.Get(t)
	id, secret, err := s.ApplicationCredential(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	credential := at("")
	credential.AuthURL, credential.ApplicationCredentialID, credential.ApplicationCredentialSecret = s.AuthURL, id, drivers.Secret(secret)
	user := behind(s)
	user.Store = credential.Store // of one project: both see the same
	one, other := open(t, credential), open(t, user)

	w, err := one.Writer(t.Context(), "blobs/large", -1)
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("0123456789"), 1e6)
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := other.PutIfAbsent(t.Context(), "blobs/small", []byte("small")); err != nil {
		t.Fatal(err)
	}
	if err := one.PutIfAbsent(t.Context(), "blobs/small", nil); !errors.Is(err, drivers.ErrExists) {
		t.Errorf("a second PutIfAbsent: %v", err)
	}
	r, _, err := other.Reader(t.Context(), "blobs/large", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, body) {
		t.Errorf("got %d bytes, %v, want the %d that were written", len(got), err, len(body))
	}
	var keys []string
	for e, err := range other.List(t.Context(), "blobs/", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, e.Key)
	}
	if want := []string{"blobs/large", "blobs/small"}; !slices.Equal(keys, want) {
		t.Errorf("keys %q, want %q", keys, want)
	}
	if err := other.Delete(t.Context(), keys...); err != nil {
		t.Error(err)
	}
	if _, err := one.Stat(t.Context(), "blobs/large"); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("after Delete: %v", err)
	}

	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"a wrong password", func(c *Config) { c.Password = "wrong" }, "password: "},
		{"another project", func(c *Config) { c.Project = "elsewhere" }, "password: "}, // keystone does not say which of them it is
		{"another region", func(c *Config) { c.Region = "RegionTwo" }, "region: "},
		{"a role that may only read", func(c *Config) { c.Username, c.Store = s.Reader, "another" }, "project: "},
		{"no service there", func(c *Config) { c.AuthURL = "http://127.0.0.1:9/v3" }, "auth_url: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := behind(s)
			config.Attempts = 1
			c.change(&config)
			d, err := Open(t.Context(), config)
			if err == nil {
				d.Close()
			}
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), s.Password) {
				t.Errorf("got %v, want an error that begins with %q", err, c.want)
			}
		})
	}
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
