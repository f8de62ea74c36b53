package faultproxy

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// Cut is a line between two programs that can be cut and mended. It passes bytes of TCP connections on and knows nothing of what
// they mean.
type Cut struct {
	Addr string // where it listens

	server string
	done   sync.WaitGroup

	mu     sync.Mutex
	state  lineState
	mended chan struct{} // closed when the line is not silent or held any more
	links  map[*link]bool
	resets int
}

type lineState int

const (
	whole lineState = iota
	broken
	silent
	held
	gone // the test is over
)

// link is a connection and its continuation.
type link struct {
	near, far *net.TCPConn
	once      sync.Once
}

// reset ends both halves without a word: what is under way on them is lost.
func (l *link) reset() {
	l.once.Do(func() {
		for _, c := range []*net.TCPConn{l.near, l.far} {
			_ = c.SetLinger(0) // the other side gets RST
			_ = c.Close()
		}
	})
}

// NewCut starts a line from a free port of the IP address host to the server, host:port. It ends with the test.
func NewCut(t testing.TB, host, server string) *Cut {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	c := &Cut{Addr: listener.Addr().String(), server: server, links: map[*link]bool{}, mended: make(chan struct{})}
	c.done.Go(func() {
		for {
			near, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			} else if err != nil {
				continue // the client has gone again
			}
			c.done.Go(func() { c.carry(near.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		c.become(gone)
		c.done.Wait()
	})
	return c
}

// Break resets all connections, and each new one, until Mend.
func (c *Cut) Break() { c.become(broken) }

// Silence lets nothing pass any more until Mend: connections stay open, new ones are taken, and no byte arrives. Mend resets
// them all, so that what was under way never arrives.
func (c *Cut) Silence() { c.become(silent) }

// Hold lets nothing pass until Mend; then all that came meanwhile does, also from those who have died since.
func (c *Cut) Hold() { c.become(held) }

// Mend makes the line whole again.
func (c *Cut) Mend() { c.become(whole) }

// Resets is how many connections were reset so far.
func (c *Cut) Resets() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resets
}

func (c *Cut) become(s lineState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.state
	if before == gone || before == s {
		return
	}
	c.state = s
	if s == broken || s == gone || before == silent {
		for l := range c.links {
			l.reset()
			c.resets++
		}
		clear(c.links)
	}
	if before == silent || before == held {
		close(c.mended)
		c.mended = make(chan struct{})
	}
}

// carry passes on what comes on a connection, and what is answered.
func (c *Cut) carry(near *net.TCPConn) {
	const patience = 10 * time.Second
	far, err := net.DialTimeout("tcp", c.server, patience)
	if err != nil {
		_ = near.SetLinger(0)
		_ = near.Close()
		return
	}
	l := &link{near: near, far: far.(*net.TCPConn)}
	c.mu.Lock()
	if c.state == broken || c.state == gone {
		c.resets++
		c.mu.Unlock()
		l.reset()
		return
	}
	c.links[l] = true
	c.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { c.pass(l, l.near, l.far) })
	both.Go(func() { c.pass(l, l.far, l.near) })
	both.Wait()
	c.mu.Lock()
	delete(c.links, l)
	c.mu.Unlock()
	_ = near.Close()
	_ = far.Close()
}

// pass copies until from ends or the line is cut.
func (c *Cut) pass(l *link, from, to *net.TCPConn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !c.mayPass(l) {
			return
		}
		if _, e := to.Write(buf[:n]); e != nil {
			l.reset()
			return
		}
		if err != nil {
			break
		}
	}
	if !c.mayPass(l) {
		return
	}
	if to.CloseWrite() != nil {
		l.reset()
	}
}

// mayPass reports whether what came on the link goes on. On a line that is silent or held it waits for the end of that.
func (c *Cut) mayPass(l *link) bool {
	for {
		c.mu.Lock()
		quiet, mended, linked := c.state == silent || c.state == held, c.mended, c.links[l]
		c.mu.Unlock()
		if !quiet || !linked {
			return linked
		}
		<-mended
	}
}
