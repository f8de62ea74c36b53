package faultproxy

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestCut talks to a server that says each byte again, over a line that is broken, silent, held and mended.
func TestCut(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	var heard atomic.Int64
	arrived := make(chan struct{}, 100)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 1)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					heard.Add(1)
					arrived <- struct{}{}
					if _, err := c.Write(buf); err != nil {
						return
					}
				}
			}()
		}
	}()
	line := NewCut(t, "127.0.0.3", listener.Addr().String())
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", line.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	// say sends a byte and waits for its echo.
	say := func(c net.Conn, patience time.Duration) error {
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := c.Write([]byte{'x'}); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	const long, short = 10 * time.Second, 50 * time.Millisecond
	isTimeout := func(err error) bool { e := net.Error(nil); return errors.As(err, &e) && e.Timeout() }

	c := dial()
	if err := say(c, long); err != nil {
		t.Fatal(err)
	}
	line.Break()
	if err := say(c, long); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a broken line: %v", err)
	}
	if c, err := net.Dial("tcp", line.Addr); err == nil { // the reset may come before the connection is there
		if err := say(c, long); err == nil || isTimeout(err) {
			t.Errorf("a new connection on a broken line: %v", err)
		}
		_ = c.Close()
	}
	line.Mend()
	c = dial()
	if err := say(c, long); err != nil {
		t.Errorf("a mended line: %v", err)
	}
	before := heard.Load()
	line.Silence()
	late := dial()
	for _, c := range []net.Conn{c, late} {
		if err := say(c, short); !isTimeout(err) {
			t.Errorf("a silent line: %v", err)
		}
	}
	line.Mend()
	for _, c := range []net.Conn{c, late} {
		if err := say(c, long); err == nil || isTimeout(err) {
			t.Errorf("a connection that was silent: %v", err)
		}
	}
	if now := heard.Load(); now != before {
		t.Errorf("%d bytes arrived late", now-before)
	}
	if err := say(dial(), long); err != nil {
		t.Errorf("a line that was silent: %v", err)
	}
	c = dial()
	if err := say(c, long); err != nil {
		t.Fatal(err)
	}
	before = heard.Load()
	line.Hold()
	if err := say(c, short); !isTimeout(err) {
		t.Errorf("a line that is held: %v", err)
	}
	_ = c.Close()
	if now := heard.Load(); now != before {
		t.Errorf("%d bytes passed a line that is held", now-before)
	}
	for len(arrived) > 0 {
		<-arrived
	}
	line.Mend()
	select {
	case <-arrived:
	case <-time.After(long):
		t.Error("what was held never arrived")
	}
	if line.Resets() < 4 {
		t.Errorf("%d resets", line.Resets())
	}
}
