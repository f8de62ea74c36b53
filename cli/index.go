package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/index"
	"github.com/longshore-registry/longshore/registry"
)

// openIndex is the index that serve keeps; nil if there is none.
func openIndex(r *registry.Registry, store drivers.Driver, l loaded, log *slog.Logger) *index.Index {
	if l.Index.Memory == 0 {
		return nil
	}
	return index.New(r, store, index.Options{Memory: int64(l.Index.Memory), Log: log})
}

// indexInBackground keeps the index until the function that it returns is called, which waits until all is written.
func indexInBackground(ctx context.Context, ix *index.Index) (stop func()) {
	if ix == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ix.Run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

func (p program) indexCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "index",
		Short: "Make the index anew, by which repositories are found",
		Args:  noSuchCommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(&cobra.Command{
		Use:   "rebuild [config.yml]",
		Short: "Make the index anew from tags, manifests and configs",
		Long: `Make the index anew from tags, manifests and configs, while the registry serves. It is never necessary: serve finds within the hour what its index
lacks, and begins with that when it starts. The numbers of pulls are kept.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: configFiles,
		RunE: func(c *cobra.Command, args []string) error {
			return p.rebuildIndex(c, args)
		},
	})
	return c
}

func (p program) rebuildIndex(c *cobra.Command, configFile []string) error {
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
	log := p.newLogger(l.Log)
	r, err := registry.Open(ctx, store, registryOptions(l.settings, log))
	if err != nil {
		return l.placed(err)
	}
	defer r.Close()
	n, err := index.New(r, store, index.Options{Log: log}).Rebuild(ctx)
	switch {
	case ctx.Err() != nil:
		return adviceError{errors.New("interrupted"), "what was written stays; run it again for the rest"}
	case err != nil:
		return adviceError{err, "what was written stays; run it again for the rest"}
	}
	fmt.Fprintf(p.stdout, "%d repositories are in the index\n", n)
	return nil
}
