package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/registry"
	"github.com/longshore-registry/longshore/registry/api"
)

func (p program) serveCommand() *cobra.Command {
	var hosts []string
	c := &cobra.Command{
		Use:   "serve [config.yml]",
		Short: "Serve the registry",
		Long: `Serve the registry until SIGTERM or SIGINT. Then no more connections are taken, what is under way may
finish within http.shutdown_grace, and the exit code is 0. A second signal ends it at once.

Without a file the configuration is what the environment says, and the defaults:
images in ./longshore-data, on port 5000, which speaks TLS and plain HTTP. Clients that know
the machine by other names than it does itself need these in its certificate: --host nas.lan.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: configFiles,
		RunE: func(c *cobra.Command, args []string) error {
			l, err := p.load(args)
			if err != nil {
				return err
			}
			if err := l.addHosts(hosts); err != nil {
				return err
			}
			signals := make(chan os.Signal, 2)
			signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
			defer signal.Stop(signals)
			return p.serve(c.Context(), l, signals)
		},
	}
	c.Flags().StringArrayVar(&hosts, "host", nil, "a name or address by which clients know the registry, for its certificate, beside tls.hosts; may be repeated")
	return c
}

// serve opens the store and answers requests until a signal comes.
func (p program) serve(ctx context.Context, l loaded, signals <-chan os.Signal) error {
	log := p.newLogger(l.Log)
	heedMemoryLimit(log)
	// The port goes first: requests that come while the store is opened wait for their answer,
	// and a second longshore on the port touches no store.
	listener, err := listen(ctx, l.HTTP.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()

	opening, cancel := context.WithCancel(ctx)
	defer cancel()
	var r *registry.Registry
	var secure *security
	var gate *gatekeeper
	closeStore := func() {}
	opened, tried := make(chan error, 1), make(chan struct{})
	defer func() {
		cancel()
		<-tried
		gate.close()
		closeStore()
	}()
	go func() {
		defer close(tried)
		opened <- guard(func() error {
			l.driver.logTo(log)
			store, err := l.driver.open(opening)
			if err != nil {
				return err
			}
			if i, ok := store.(interface{ Identity() string }); ok {
				log.Info("credentials for the store", "identity", i.Identity())
			}
			closeStore = func() { closeDriver(store) }
			if r, err = registry.Open(opening, store, registryOptions(l.settings, log)); err != nil {
				return err
			}
			if secure, err = openSecurity(opening, l, store, log); err != nil {
				return err
			}
			if gate, err = p.openAccess(l, store, log); err != nil {
				return err
			}
			return p.bootstrap(opening, l, gate, log)
		})
	}()
	select {
	case err := <-opened:
		if advised := (adviceError{}); errors.As(err, &advised) { // not about the store
			return err
		}
		if err != nil {
			return adviceError{
				fmt.Errorf("the store cannot be opened: %w", l.placed(err)),
				fixFor(err, "run longshore check with the same configuration, which tests the store step by step"),
			}
		}
		defer r.Close()
		defer collectInBackground(ctx, r, l, log)()
		defer secure.inBackground(ctx)()
		p.announce(l, secure, listener.Addr(), gate.isLocked(ctx), log)
		options := apiOptions(l.settings, log)
		gate.apply(&options, l.Access)
		return serveHTTP(ctx, secure.listen(listener), secure.handler(gate.withLogin(api.New(r, options), l, options, log), listener.Addr(), gate.locked()), l.HTTP, log, signals)
	case s := <-signals:
		log.Info("stopped before the store was open", "signal", s.String())
		return nil
	}
}

// listen opens the port, or says which setting to change.
func listen(ctx context.Context, addr string) (*net.TCPListener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err == nil {
		return listener.(*net.TCPListener), nil
	}
	advice := "choose another address with http.addr, or LONGSHORE_HTTP_ADDR"
	_, port, _ := net.SplitHostPort(addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = fmt.Sprintf("another program has port %s. Stop it, or choose another port with http.addr in the configuration or LONGSHORE_HTTP_ADDR in the environment, such as LONGSHORE_HTTP_ADDR=:5001", port)
		if runtime.GOOS == "darwin" && port == "5000" {
			advice += ". On macOS it may be the AirPlay Receiver, which can be turned off in the system settings"
		}
	case errors.Is(err, fs.ErrPermission):
		advice = "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); or " + advice
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		advice = "this machine does not have that address; " + advice
	}
	if e := (*net.OpError)(nil); errors.As(err, &e) {
		err = e.Err // the rest repeats the address
	}
	return nil, adviceError{fmt.Errorf("cannot listen on %s: %w", addr, err), advice}
}

// serveHTTP answers requests from the listener until the first signal, lets those that are under way finish within
// the grace period, and returns nil then. A second signal breaks them off and is an error. So is the end of ctx.
func serveHTTP(ctx context.Context, listener net.Listener, handler http.Handler, s httpSettings, log *slog.Logger, signals <-chan os.Signal) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: s.HeaderTimeout,
		// No ReadTimeout and no WriteTimeout: a layer may take an hour. The API ends what makes no progress.
		IdleTimeout:    s.KeepaliveTimeout,
		MaxHeaderBytes: 128 << 10, // tokens are the largest part; nginx takes 32 KiB
		// Without TLS too, for proxies that speak it to what is behind them: those of some clouds let larger bodies pass so.
		Protocols: new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			// Clients push several layers over one connection; with the default of 1 MiB, which is the same for a connection as for one
			// stream, a layer that waits would hold up the others.
			MaxReceiveBufferPerConnection: 3 << 20, // net/http takes less than 4 MiB
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("listening on %s failed: %w", listener.Addr(), err)
	case <-ctx.Done():
		_ = server.Close()
		return ctx.Err()
	case sig := <-signals:
		log.Info("stopping: what is under way may finish", "signal", sig.String(), "grace", s.ShutdownGrace.String())
	}
	began := time.Now()
	grace, cancel := context.WithTimeout(ctx, s.ShutdownGrace)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- server.Shutdown(grace) }()
	select {
	case err := <-stopped:
		if err != nil {
			_ = server.Close()
			log.Warn("stopped; requests that did not finish in time were broken off, their clients can go on elsewhere", "setting", "http.shutdown_grace")
			return nil
		}
		log.Info("stopped", "took", time.Since(began).Round(time.Millisecond).String())
		return nil
	case sig := <-signals:
		_ = server.Close()
		return adviceError{fmt.Errorf("ended at once by a second signal (%s)", sig), "requests that were under way have been broken off; one signal lets them finish"}
	}
}
