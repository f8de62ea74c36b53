// Package glance keeps objects in the image service of OpenStack, over its API of version 2.
//
//	storage:
//	  plugin:
//	    command: longshore-glance
//	    config:
//	      auth_url: https://keystone.example.com/v3
//	      application_credential_id: 8f3c…
//	      application_credential_secret: …
//
// It is a plugin, cmd/longshore-glance, and an example of one: it uses the public packages drivers and plugin alone.
//
// Glance knows images that never change, and that are found by their id. entry.go tells how objects are made of these, list.go how
// they are listed, and stream.go how bytes of any number get there. docs/glance.md has the rights that are needed, what it costs, and
// what an operator of Glance has to know.
package glance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"crypto/rand"

	"golang.org/x/sync/semaphore"

	"github.com/longshore-registry/longshore/drivers"
)

// name is how the driver calls itself in errors.
const name = "glance"

// Driver is a [drivers.Driver] on a store in a project. It can also put what is absent, and find leftovers.
type Driver struct {
	c         Config
	session   *session
	client    *http.Client
	transport *http.Transport
	names     string // how the names of the store's images begin
	secret    []byte // of which ids are made
	memory    *semaphore.Weighted
	buffers   chan []byte // of part_size, that wait for their next use

	mu      sync.Mutex
	cursors []string // that no listing uses
}

var (
	_ drivers.Driver       = (*Driver)(nil)
	_ drivers.AbsentPutter = (*Driver)(nil)
	_ drivers.Sweeper      = (*Driver)(nil)
)

// Open validates c, asks for a token, and looks for the store, which it makes where there is none. The error of a service that can't be used
// begins with the name of the setting to look at.
func Open(ctx context.Context, c Config) (*Driver, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	transport, err := newTransport(c)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: transport}
	d := &Driver{
		c: c, session: newSession(c, client), client: client, transport: transport, names: names(c.Store),
		memory: semaphore.NewWeighted(c.Memory), buffers: make(chan []byte, c.Memory/c.PartSize),
	}
	if err := d.begin(ctx); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Close closes the connections that wait for a next request. It is for tests and for a process that goes on
// without the driver; requests under way are not disturbed, and the driver can be used again.
func (d *Driver) Close() { d.transport.CloseIdleConnections() }

// begin finds the store, or makes it.
func (d *Driver) begin(ctx context.Context) error {
	a, err := d.session.get(ctx, "")
	if err != nil {
		return explain(ctx, err, "auth_url")
	}
	s := image{ID: derived(nil, "longshore", kindStore, a.project, d.c.Store), Name: "longshore-" + d.c.Store, protected: true}
	found, _, err := d.get(ctx, s.ID)
	if statusOf(err) == http.StatusNotFound {
		s.record = record{Kind: kindStore, Token: randomToken(), Secret: []byte(rand.Text())}
		var what outcome
		if what, err = d.create(ctx, s); what == taken {
			found, _, err = d.get(ctx, s.ID) // another process was first
		} else {
			found = s
		}
		if statusOf(err) == http.StatusNotFound {
			return fmt.Errorf("store: %q can't be used: its image %s was deleted, or another project has one of this id; take another name", d.c.Store, s.ID)
		}
	}
	if err != nil {
		return explain(ctx, err, "endpoint")
	}
	if found.Kind != kindStore || len(found.Secret) == 0 {
		return fmt.Errorf("store: the image %s is not that of a store", s.ID)
	}
	d.secret = found.Secret
	if err := d.sweepCursors(ctx); err != nil {
		return explain(ctx, err, "endpoint")
	}
	return nil
}

// explain puts before an error the setting that it is most likely about.
func explain(ctx context.Context, err error, setting string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var r *refusal
	if !errors.As(err, &r) || strings.Contains(strings.SplitN(r.what, " ", 2)[0], ":") {
		return err
	}
	var bad *url.Error
	switch {
	case kindOf(r) == drivers.ErrDenied:
		return fmt.Errorf("project: no right to keep images; the role member gives it: %w", err)
	case errors.As(err, &bad) && permanent(err):
		return fmt.Errorf("ca_file: %w", err)
	}
	return fmt.Errorf("%s: %w", setting, err)
}
