package main

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// proxy stands in front of a store. It counts the requests and delays each.
type proxy struct {
	url    string
	calls  atomic.Int64
	joined atomic.Int64 // nanoseconds that the store itself took when it was last told to join the parts of an object
	server *http.Server
	done   chan struct{}
}

func newProxy(to string, delay time.Duration) (*proxy, error) {
	u, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{url: "http://" + listener.Addr().String(), done: make(chan struct{})}
	forward := &httputil.ReverseProxy{
		Transport: &http.Transport{MaxIdleConnsPerHost: 1000, DisableCompression: true, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.Host = r.In.Host // it is signed
		},
		BufferPool: &buffers{},
		ErrorLog:   slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // clients that leave at the end of a row
	}
	p.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.calls.Add(1)
		time.Sleep(delay)
		began := time.Now()
		forward.ServeHTTP(w, r)
		if r.Method == http.MethodPost && r.URL.Query().Has("uploadId") {
			p.joined.Store(int64(time.Since(began)))
		}
	})}
	go func() {
		defer close(p.done)
		_ = p.server.Serve(listener) // it ends with close
	}()
	return p, nil
}

func (p *proxy) close() {
	_ = p.server.Close() // nobody waits for anything any more
	<-p.done
}

// buffers are those of a proxy.
type buffers struct{ pool sync.Pool }

// Get is part of httputil.BufferPool.
func (b *buffers) Get() []byte {
	if one, ok := b.pool.Get().(*[]byte); ok {
		return *one
	}
	return make([]byte, 128<<10)
}

// Put is part of httputil.BufferPool.
func (b *buffers) Put(one []byte) { b.pool.Put(&one) }

// narrow passes connections on to a server, each with a limit on what comes back.
type narrow struct {
	url      string
	listener net.Listener
	all      sync.WaitGroup
}

// newNarrow limits each connection to so many bytes a second from the server.
func newNarrow(to string, perSecond float64) (*narrow, error) {
	u, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	n := &narrow{}
	if n.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	n.url = "http://" + n.listener.Addr().String()
	n.all.Go(func() {
		for {
			in, err := n.listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			} else if err != nil {
				continue
			}
			out, err := net.Dial("tcp", u.Host)
			if err != nil {
				_ = in.Close() // which the client takes for what it is
				continue
			}
			go func() {
				_, _ = io.Copy(out, in) // either side may leave
				_ = out.Close()
			}()
			go func() {
				pace(in, out, perSecond)
				_ = in.Close() // the server has left
			}()
		}
	})
	return n, nil
}

// pace copies until either side leaves. What was not used of the last tenth of a second may be used at once.
func pace(to io.Writer, from io.Reader, perSecond float64) {
	const burst = 100 * time.Millisecond
	buffer := make([]byte, 64<<10)
	free := time.Now() // when the next byte may go
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if earliest := time.Now().Add(-burst); free.Before(earliest) {
				free = earliest
			}
			free = free.Add(time.Duration(float64(n) / perSecond * float64(time.Second)))
			time.Sleep(time.Until(free))
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (n *narrow) close() {
	_ = n.listener.Close() // once
	n.all.Wait()
}
