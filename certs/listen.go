package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// handshakeRecord is the first byte of a TLS connection: the type of its first record (RFC 8446, section 5.1). No method of HTTP
// begins with it.
const handshakeRecord = 0x16

// ListenOptions say what a [Listener] does with its connections.
type ListenOptions struct {
	// TLS is for connections that begin with a TLS handshake; [Config] makes one. Nil: there is no certificate. Such a connection is
	// then taken for plain HTTP, so that its client says what it always says of servers without TLS, and falls back if it does.
	TLS *tls.Config

	// Timeout is how long a client may take to send its first byte and to finish the handshake. Zero: 10 s.
	Timeout time.Duration

	// Log gets a line for each client and minute whose handshakes fail. Nil: slog.Default().
	Log *slog.Logger

	// Advice ends these lines where the client does not trust the certificate: what the operator does about it.
	Advice string
}

// Listener accepts connections of a TCP listener once it is known what they speak. Accept returns a *tls.Conn whose handshake is done, or
// the *net.TCPConn itself, of which nothing has been read: whatever the system can do with it, such as sendfile, still works.
type Listener struct {
	inner    *net.TCPListener
	options  ListenOptions
	failures *failures
	ready    chan accepted
	closed   context.Context
	close    context.CancelFunc
	pending  sync.WaitGroup // of the goroutines that wait for a client
}

// accepted is what Accept returns.
type accepted struct {
	conn net.Conn
	err  error
}

// Listen makes a Listener of a TCP listener, which it closes when it is closed itself. A client that sends nothing costs one goroutine
// until the timeout, as it does in net/http.
func Listen(inner *net.TCPListener, o ListenOptions) *Listener {
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	l := &Listener{inner: inner, options: o, ready: make(chan accepted), failures: newFailures(o.Log, o.Advice)}
	if o.TLS != nil {
		l.options.TLS = noting(o.TLS)
	}
	l.closed, l.close = context.WithCancel(context.Background())
	l.pending.Add(1)
	go l.loop()
	return l
}

// Accept waits for the next connection that has begun to speak.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case a := <-l.ready:
		return a.conn, a.err
	case <-l.closed.Done():
		return nil, net.ErrClosed
	}
}

// Close closes the listener and the connections that Accept has not returned yet, and waits until nothing of them is left.
func (l *Listener) Close() error {
	l.close()
	err := l.inner.Close()
	l.pending.Wait()
	return err
}

// Addr is that of the TCP listener.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

func (l *Listener) loop() {
	defer l.pending.Done()
	for {
		c, err := l.inner.AcceptTCP()
		if err == nil {
			l.pending.Add(1)
			go l.sort(c)
			continue
		}
		// net/http waits a little before it asks again after an error that passes, such as too many open files.
		if !l.give(nil, err) || errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// give passes a connection on to Accept, or closes it if nobody asks any more.
func (l *Listener) give(c net.Conn, err error) bool {
	select {
	case l.ready <- accepted{c, err}:
		return true
	case <-l.closed.Done():
		if c != nil {
			_ = c.Close()
		}
		return false
	}
}

// sort waits for a connection's first byte and, if that begins a handshake, for the end of that.
func (l *Listener) sort(c *net.TCPConn) {
	defer l.pending.Done()
	stop := context.AfterFunc(l.closed, func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(l.options.Timeout)) // fails only on a closed connection, which the next call reports
	var first [1]byte
	n, err := peek(c, first[:])
	if err != nil || n == 0 {
		stop()
		_ = c.Close() // silent for too long, or gone: whoever only tries whether the port is open
		return
	}
	var conn net.Conn = c
	if first[0] == handshakeRecord {
		conn, err = l.handshake(c)
	}
	if !stop() { // the listener was closed
		return
	}
	if err != nil {
		_ = c.Close()
		return
	}
	_ = c.SetDeadline(time.Time{})
	l.give(conn, nil)
}

// handshake makes a TLS connection of c. Without a certificate it notes the client and returns c.
func (l *Listener) handshake(c *net.TCPConn) (net.Conn, error) {
	if l.options.TLS == nil {
		l.failures.note(c, wantedName(c), errNoCertificate)
		return c, nil
	}
	raw := &greeting{TCPConn: c}
	conn := tls.Server(raw, l.options.TLS)
	err := conn.Handshake()
	if err != nil && l.closed.Err() == nil {
		l.failures.note(c, raw.name, err)
	}
	return conn, err
}

// greeting is a connection that notes which name its client asked for.
type greeting struct {
	*net.TCPConn
	name string
}

// noting is a config whose connections, if they are greetings, note the name.
func noting(c *tls.Config) *tls.Config {
	c = c.Clone()
	next := c.GetConfigForClient
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if g, ok := hello.Conn.(*greeting); ok {
			g.name = hello.ServerName
		}
		if next != nil {
			return next(hello)
		}
		return nil, nil
	}
	return c
}

// peek looks at what a connection has to read next and leaves it there. It waits for one byte at least; 0 bytes without an error
// are the end of the stream.
func peek(c *net.TCPConn, p []byte) (n int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var readErr error
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, _, readErr = unix.Recvfrom(int(fd), p, unix.MSG_PEEK)
			if !errors.Is(readErr, unix.EINTR) {
				return !errors.Is(readErr, unix.EAGAIN)
			}
		}
	})
	if err = errors.Join(err, readErr); err != nil {
		return 0, fmt.Errorf("waiting for the client's first byte: %w", err)
	}
	return n, nil
}

// maxHello is enough for the greeting of any client; those with post-quantum keys have about 2 KiB.
const maxHello = 8 << 10

// wantedName is the name in the greeting that c has to read next, "" if it has none or has not come whole.
func wantedName(c *net.TCPConn) string {
	p := make([]byte, maxHello)
	n, err := peek(c, p)
	if err != nil {
		return ""
	}
	g := &recorded{greeting: &greeting{TCPConn: c}, hello: p[:n]}
	config := &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		g.name = hello.ServerName
		return nil, errNoCertificate
	}}
	_ = tls.Server(g, config).Handshake() // ends with that error, or because the greeting is not whole
	return g.name
}

// recorded is a connection of which a copy has been read already. Nothing is written to it.
type recorded struct {
	*greeting
	hello []byte
}

func (r *recorded) Read(p []byte) (int, error) {
	if len(r.hello) == 0 {
		return 0, errNoCertificate
	}
	n := copy(p, r.hello)
	r.hello = r.hello[n:]
	return n, nil
}

func (r *recorded) Write(p []byte) (int, error) { return len(p), nil }
