//go:build integration

package minio

import (
	"io"
	"slices"
	"testing"

	"github.com/longshore-registry/longshore/internal/faultproxy"
)

// openProxied opens a driver on a new bucket through a proxy of its own. change may be nil.
func openProxied(t testing.TB, change func(*Config)) (*Driver, *faultproxy.Proxy) {
	t.Helper()
	p := faultproxy.New(t, server.Get(t).URL)
	c := newConfig(t)
	c.Endpoint = p.URL
	if change != nil {
		change(&c)
	}
	d := open(t, c)
	p.Calls()
	return d, p
}

// wantCalls fails t unless exactly these requests were sent, whatever the order of parts.
func wantCalls(t *testing.T, p *faultproxy.Proxy, want ...string) {
	t.Helper()
	got := p.Calls()
	if !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
}

// readBack returns the object at key.
func readBack(t *testing.T, d *Driver, key string) []byte {
	t.Helper()
	body, info, err := d.Reader(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	if err != nil || int64(len(got)) != info.Size {
		t.Fatalf("read %d of %d bytes: %v", len(got), info.Size, err)
	}
	return got
}
