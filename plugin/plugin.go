// Package plugin makes a storage driver a program of its own, which longshore starts. The program is a few lines:
//
//	func main() { plugin.Serve("mystore", mystore.Defaults(), mystore.Open) }
//
// and is named in longshore's configuration, with the settings of the driver:
//
//	storage:
//	  plugin:
//	    command: longshore-mystore
//	    config:
//	      bucket: registry
//
// docs/plugins.md tells more. The contract on the wire is storagev1/storage.proto.
package plugin

import (
	"context"
	"errors"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/longshore-registry/longshore/config"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/plugin/storagev1"
)

// Version is that of the protocol between longshore and plugins. A plugin of another version is refused when it starts.
const Version = 1

// Handshake lets a plugin notice that it was not started by longshore.
var Handshake = goplugin.HandshakeConfig{
	ProtocolVersion: Version, MagicCookieKey: "LONGSHORE_STORAGE_PLUGIN", MagicCookieValue: "a plugin is started by longshore",
}

// Service is the name of the one service of a plugin.
const Service = "storage"

// WatchVariable holds the number of a file that ends when longshore does: a plugin without it would live on.
const WatchVariable = "LONGSHORE_PLUGIN_WATCH"

// MaxMessage is the size in bytes of the largest message on the wire. Bodies of Put are in one; all else that can be large comes in pieces.
const MaxMessage = 64 << 20

// Serve is the main function of a plugin. It returns when longshore has stopped the plugin or has itself ended; or at once, after words to
// stderr and with exit code 1, when a person has started it.
//
// name is what the driver calls itself in errors. defaults are the settings of a user who says nothing; they are filled
// from what stands below storage.plugin.config, as package config does it, and then given to open. The environment is
// longshore's own, so a driver may look there for credentials. What the plugin prints to stderr, longshore prints with its name before each line.
func Serve[C interface{ Validate() error }, D drivers.Driver](name string, defaults C, open func(context.Context, C) (D, error)) {
	log.SetFlags(0) // longshore's lines have a time
	// Ctrl-C and a service manager's SIGTERM reach all processes of a group. longshore finishes what is under way, and needs the plugin for that.
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	if watch := os.Getenv(WatchVariable); watch != "" {
		f := os.NewFile(3, "longshore")
		go func() {
			_, _ = io.Copy(io.Discard, f) // nothing is ever written; it ends when longshore has
			os.Exit(0)
		}()
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: Handshake,
		Plugins:         goplugin.PluginSet{Service: &served{opener: opener(name, defaults, open)}},
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(options, grpc.MaxRecvMsgSize(MaxMessage), grpc.MaxSendMsgSize(MaxMessage), grpc.InitialWindowSize(window))...)
		},
		Logger: hclog.NewNullLogger(), // what go-plugin says of itself helps nobody
	})
}

// window is how many bytes of a stream may be on their way. A fixed one, or gRPC would let it grow with the speed of the line.
const window = 1 << 20

// opener makes the function that opens the driver with a configuration in YAML.
func opener[C interface{ Validate() error }, D drivers.Driver](name string, defaults C, open func(context.Context, C) (D, error)) func(context.Context, string) (opened, error) {
	return func(ctx context.Context, text string) (opened, error) {
		c := defaults
		if err := load(&c, text); err != nil {
			return opened{}, err
		}
		d, err := open(ctx, c)
		if err != nil {
			return opened{}, err
		}
		return opened{name: name, driver: d}, nil
	}
}

// load fills a struct with settings. Nothing is taken from the environment: longshore has put in what it refers to.
func load[C any](into *C, text string) error {
	o := config.Options{Prefix: "LONGSHORE_STORAGE_PLUGIN_CONFIG"}
	if text != "" {
		o.File, o.Text = "config", []byte(text)
	}
	_, err := config.Load(into, o)
	return err
}

// opened is a driver that is ready.
type opened struct {
	name   string
	driver drivers.Driver
}

// served is the plugin as go-plugin sees it.
type served struct {
	goplugin.NetRPCUnsupportedPlugin
	opener func(context.Context, string) (opened, error)
}

// GRPCServer is part of go-plugin's interface.
func (s *served) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	storagev1.RegisterStorageServer(server, newServer(s.opener))
	return nil
}

// GRPCClient is part of go-plugin's interface, for the other side.
func (s *served) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plugin is no client")
}
