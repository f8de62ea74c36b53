package api_test

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/registry"
	"github.com/longshore-registry/longshore/registry/api"
)

// site is a store with the processes that serve it.
type site struct {
	t       *testing.T
	mode    mode
	driver  drivers.Driver
	options options
	client  *http.Transport
	servers []*httptest.Server
}

func newSite(t *testing.T, m mode, o options) *site {
	s := &site{t: t, mode: m, driver: o.open(t), options: o, client: &http.Transport{
		DisableCompression: true, ExpectContinueTimeout: time.Minute, MaxIdleConnsPerHost: 32, Protocols: new(http.Protocols),
	}}
	s.client.Protocols.SetHTTP1(!o.http2)
	s.client.Protocols.SetUnencryptedHTTP2(o.http2)
	t.Cleanup(s.client.CloseIdleConnections)
	if o.wrap != nil {
		s.driver = o.wrap(s.driver)
	}
	if s.options.api.Log == nil {
		s.options.api.Log = slog.New(slog.DiscardHandler)
	}
	s.options.registry.Log = s.options.api.Log
	s.servers = []*httptest.Server{s.serve(), s.serve()}
	return s
}

// in is the same site for a test within the one that made it.
func (s *site) in(t *testing.T) *site {
	inner := *s
	inner.t = t
	return &inner
}

// serve starts a process: it knows what the store holds and nothing more.
func (s *site) serve() *httptest.Server {
	s.t.Helper()
	r, err := registry.Open(s.t.Context(), s.driver, s.options.registry)
	if err != nil {
		s.t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(api.New(r, s.options.api))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	s.t.Cleanup(server.Close)
	return server
}

// caller gives one client of the site.
func (s *site) caller(t *testing.T) *caller {
	return &caller{t: t, site: s, name: "row/" + strings.ToLower(rand.Text()[:12]), locations: map[int]string{}}
}

// server picks the process that takes the n-th request of a row.
func (s *site) server(which string, n int) *httptest.Server {
	switch {
	case which == "@new" || which == "" && s.mode == restarting:
		return s.serve()
	case which == "@A":
		return s.servers[0]
	case which == "@B" || which == "" && s.mode == alternating && n%2 == 0:
		return s.servers[1]
	}
	return s.servers[0]
}
