package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/longshore-registry/longshore/access"
)

// maxIdle is how long a connection is kept without use. Firewalls forget it after some minutes, without telling.
const maxIdle = time.Minute

// connection is one to a server, used by one caller at a time.
type connection struct {
	*ldap.Conn
	o     *Options
	own   bool // it is bound as the registry's account
	used  time.Time
	fresh bool // nothing has been asked on it so far
}

// with calls do with a connection. One that turns out to be broken is replaced, as when the server was started anew; do is called again then. If a server does not answer
// the next one is asked. An error of do that says something of the user ends it.
func (d *Directory) with(ctx context.Context, do func(*connection) error) error {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var errs []error
	for failed := 0; failed < len(d.servers); {
		c, server, err := d.take(ctx)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		fresh := c.fresh
		stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // the ctx's own error is what counts
		err = do(c)
		if !stop() {
			return context.Cause(ctx)
		}
		if !broken(err) {
			d.keep(c)
			return err
		}
		_ = c.Close() // the error is known already
		errs = append(errs, err)
		if fresh {
			failed++
			d.current.CompareAndSwap(int32(server), int32((server+1)%len(d.servers)))
		}
	}
	return errors.Join(errs...)
}

// broken reports whether an error says something of the connection or server, so that another one may do better.
func broken(err error) bool {
	return ldap.IsErrorAnyOf(err, ldap.ErrorNetwork, ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultTimeLimitExceeded,
		ldap.LDAPResultServerDown, ldap.LDAPResultTimeout, ldap.LDAPResultConnectError)
}

// take returns a connection that is there, or makes one, and the number of its server.
func (d *Directory) take(ctx context.Context) (*connection, int, error) {
	for {
		select {
		case c := <-d.idle:
			if c.IsClosing() || time.Since(c.used) > maxIdle {
				_ = c.Close() // it may be closed already
				continue
			}
			c.fresh = false
			return c, 0, nil
		default:
			return d.dial(ctx)
		}
	}
}

// keep leaves the connection to the next caller.
func (d *Directory) keep(c *connection) {
	c.used = time.Now()
	select {
	case d.idle <- c:
	default:
		_ = c.Close() // nothing is lost with it
	}
}

// Close closes the connections that nobody uses at the moment.
func (d *Directory) Close() error {
	for {
		select {
		case c := <-d.idle:
			_ = c.Close() // nothing is lost with it
		default:
			return nil
		}
	}
}

// dial connects to the first server that answers.
func (d *Directory) dial(ctx context.Context) (*connection, int, error) {
	var errs []error
	first := int(d.current.Load())
	for i := range d.servers {
		n := (first + i) % len(d.servers)
		c, err := d.connect(ctx, d.servers[n])
		if err == nil {
			d.current.Store(int32(n))
			return &connection{Conn: c, o: &d.o, fresh: true}, n, nil
		}
		if ctx.Err() != nil {
			return nil, 0, context.Cause(ctx)
		}
		errs = append(errs, fmt.Errorf("%s: %w", d.servers[n].Redacted(), err))
		if len(d.servers) > 1 {
			d.o.Log.Warn("an LDAP server does not answer", "server", d.servers[n].Host, "err", err)
		}
	}
	return nil, 0, errors.Join(errs...)
}

// connect makes a connection, with TLS unless Plain.
func (d *Directory) connect(ctx context.Context, u *url.URL) (*ldap.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.o.Timeout)
	defer cancel()
	port := u.Port()
	if port == "" {
		port = map[string]string{"ldap": ldap.DefaultLdapPort, "ldaps": ldap.DefaultLdapsPort}[u.Scheme]
	}
	config := d.tls.Clone()
	config.ServerName = u.Hostname()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	if u.Scheme == "ldaps" {
		secure := tls.Client(raw, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = raw.Close() // the handshake's error is what counts
			return nil, err
		}
		raw = secure
	}
	c := ldap.NewConn(raw, u.Scheme == "ldaps")
	c.SetTimeout(d.o.Timeout)
	c.Start()
	if u.Scheme == "ldaps" || d.o.Plain {
		return c, nil
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() }) // a handshake that hangs is ended by it
	defer stop()
	if err := c.StartTLS(config); err != nil {
		_ = c.Close() // the error is known already
		return nil, fmt.Errorf("StartTLS: %w", err)
	}
	return c, nil
}

// bindOwn makes the connection that of the registry's account, or an anonymous one.
func (c *connection) bindOwn() error {
	if c.own || c.o.BindDN == "" && c.fresh {
		return nil
	}
	_, err := c.SimpleBind(&ldap.SimpleBindRequest{Username: c.o.BindDN, Password: c.o.BindPassword, AllowEmptyPassword: c.o.BindDN == ""})
	if err != nil {
		return fmt.Errorf("bind as %q, the registry's own account: %w", c.o.BindDN, err)
	}
	c.own = true
	return nil
}

// bindUser tries a user's password. An error that says something of him is access.ErrRefused.
func (c *connection) bindUser(dn, password string) error {
	c.own, c.fresh = false, false
	answer, err := c.SimpleBind(ldap.NewSimpleBindRequest(dn, password, []ldap.Control{ldap.NewControlBeheraPasswordPolicy()}))
	if err != nil {
		return refusal(err)
	}
	policy, ok := ldap.FindControl(answer.Controls, ldap.ControlTypeBeheraPasswordPolicy).(*ldap.ControlBeheraPasswordPolicy)
	if ok && policy.Error == changeAfterReset {
		return fmt.Errorf("the directory wants the password changed first: %w", access.ErrRefused)
	}
	return nil
}
