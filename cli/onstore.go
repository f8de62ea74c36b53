package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/registry"
)

// onStore does something with the registry in the store that the configuration names, until it is done or interrupted.
func (p program) onStore(c *cobra.Command, configFile []string, do func(context.Context, *registry.Registry, loaded) error) error {
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := p.load(configFile)
	if err != nil {
		return err
	}
	store, err := l.driver.open(ctx)
	if err != nil {
		return l.placed(err)
	}
	defer closeDriver(store)
	r, err := registry.Open(ctx, store, registryOptions(l.settings, p.newLogger(l.Log)))
	if err != nil {
		return l.placed(err)
	}
	defer r.Close()
	return do(ctx, r, l)
}

// fileAnd takes arguments apart that are a configuration, which may be missing, and something else.
func fileAnd(args []string) (configFile []string, other string) {
	return args[:len(args)-1], args[len(args)-1]
}
