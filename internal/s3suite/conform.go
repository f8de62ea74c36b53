package s3suite

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/internal/faultproxy"
)

// Kind says how drivers with the configuration C are opened.
type Kind[C any] struct {
	Open     func(t testing.TB, c C) drivers.Driver // closed after the test
	Endpoint func(c *C) *string
	Prefix   func(c *C) *string
	Bucket   func(t testing.TB, c *C) // makes the bucket another one, that is new or that Open makes

	// Where is what a second process needs to open the driver, as JSON. A secret's own form hides it.
	Where func(c C) map[string]any
}

// Conform runs suite over drivers on new buckets, each behind a proxy of its own, with the settings of base.
func (k Kind[C]) Conform(t *testing.T, suite conformance.Config, base C) {
	proxies := make(map[drivers.Driver]*faultproxy.Proxy)
	direct := make(map[drivers.Driver]C)
	reopen := func(t testing.TB, c C) drivers.Driver {
		t.Helper()
		p := faultproxy.New(t, *k.Endpoint(&c))
		proxied := c
		*k.Endpoint(&proxied) = p.URL
		d := k.Open(t, proxied)
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
		k.Bucket(t, &c)
		return reopen(t, c)
	}
	suite.Reopen = func(t testing.TB, d drivers.Driver) drivers.Driver { return reopen(t, direct[d]) }
	suite.Where = func(t testing.TB, d drivers.Driver) string {
		where, err := json.Marshal(k.Where(direct[d]))
		if err != nil {
			t.Fatal(err)
		}
		return string(where)
	}
	folder := strings.Trim(*k.Prefix(&base), "/")
	if folder != "" {
		suite.Neighbour = func(t testing.TB, d drivers.Driver) drivers.Driver {
			c := direct[d]
			*k.Prefix(&c) = folder + "-2"
			return reopen(t, c)
		}
		if suite.MaxKey == 0 {
			suite.MaxKey = drivers.MaxKey
		}
		suite.MaxKey -= len(folder) + 1
	}
	suite.Faults = conformance.Faults{
		BreakReads:  fail(func(call string) bool { return call == "GET" }, faultproxy.Truncate),
		FailWrites:  fail(faultproxy.Changes, faultproxy.Denied),
		LoseReplies: fail(faultproxy.Changes, faultproxy.LoseReply),
		Hang:        fail(func(string) bool { return true }, faultproxy.Hang),
	}
	conformance.Run(t, suite)
}
