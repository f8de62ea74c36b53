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
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/longshore-registry/longshore/config"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/plugin/storagev1"
)

// Serve is the main function of a plugin. It returns when longshore has asked the plugin to end, after the driver's Close if it has one; a
// plugin that has not ended two seconds after it was asked is killed. When longshore itself has ended, however that came, the process exits at
// once. It also exits, with words on stderr and code 1, when a person has started it.
//
// name is what the driver calls itself in errors. defaults are the settings of a user who says nothing: a struct whose fields
// have yaml tags, in the types that package config knows. They are filled from what stands below storage.plugin.config, have to pass
// Validate, and are then given to open, whose context ends when it returns, or after storage.plugin.start_timeout. The environment is longshore's own, so a
// driver may look there for credentials. An error of open that begins with the key of a setting, "bucket: no such bucket", is reported
// where that is set.
//
// The driver is used as longshore uses one that is compiled in: package drivers says what it has to do. Its extras cross, but for drivers.Filer. If
// it has a method Identity() string, longshore logs whose credentials are used.
//
// What the plugin prints to stdout or stderr becomes lines of longshore's log. slog's and log's default loggers are set up so that level and
// attributes are kept. SIGINT and SIGTERM are ignored: they reach longshore too, which needs the plugin until it has finished.
func Serve[C interface{ Validate() error }, D drivers.Driver](name string, defaults C, open func(context.Context, C) (D, error)) {
	// longshore drops what is below its own level.
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	watch()
	stderr := os.Stderr
	s := newServer(func(ctx context.Context, text string) (opened, error) {
		// go-plugin has put pipes into their places, in which the last words before a crash would be lost. Stdout itself was for the
		// handshake.
		os.Stdout, os.Stderr = stderr, stderr
		return openWith(ctx, name, defaults, open, text)
	})
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: storagev1.Handshake(),
		Plugins:         goplugin.PluginSet{storagev1.PluginService: served{server: s}},
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(options,
				grpc.MaxRecvMsgSize(storagev1.MaxMessage), grpc.MaxSendMsgSize(storagev1.MaxMessage),
				grpc.StaticStreamWindowSize(storagev1.Window), grpc.StaticConnWindowSize(storagev1.ConnectionWindow),
				grpc.ReadBufferSize(storagev1.BufferSize), grpc.WriteBufferSize(storagev1.BufferSize))...)
		},
		Logger: hclog.NewNullLogger(), // what go-plugin says of itself helps nobody
	})
	s.close()
}

// watch ends the process when longshore has ended.
func watch() {
	number, err := strconv.Atoi(os.Getenv(storagev1.WatchVariable))
	if err != nil {
		return // started by another program than longshore, or by a person
	}
	f := os.NewFile(uintptr(number), "longshore")
	syscall.CloseOnExec(number) // it is for this process alone
	go func() {
		_, _ = io.Copy(io.Discard, f) // nothing is ever written; it ends when longshore has
		if folder := os.Getenv(goplugin.EnvUnixSocketDir); folder != "" {
			sockets, _ := filepath.Glob(filepath.Join(folder, "plugin*")) // the pattern is not a bad one
			for _, socket := range sockets {
				_ = os.Remove(socket)
			}
			_ = os.Remove(folder) // nobody else is left to do it; what can't be removed stays
		}
		os.Exit(0)
	}()
}

// openWith opens the driver with its settings in YAML.
func openWith[C interface{ Validate() error }, D drivers.Driver](
	ctx context.Context, name string, defaults C, open func(context.Context, C) (D, error), text string,
) (opened, error) {
	// Nothing is taken from the environment: longshore has put in what the text refers to.
	options := config.Options{Prefix: "LONGSHORE_STORAGE_PLUGIN_CONFIG"}
	if text != "" {
		options.File, options.Text = "config", []byte(text)
	}
	c := defaults
	if _, err := config.Load(&c, options); err != nil {
		return opened{}, err
	}
	d, err := open(ctx, c)
	if err != nil {
		return opened{}, blame(err, &c)
	}
	return opened{name: name, driver: d}, nil
}

// subject is a message that begins with the key of a setting, as those of Validate do.
var subject = regexp.MustCompile(`^([a-z0-9_]+(?:\.[a-z0-9_]+)*): (?s:(.+))$`)

// blame makes an error that begins with a key of the settings a problem of the configuration.
func blame(err error, settings any) error {
	m := subject.FindStringSubmatch(err.Error())
	keys, failed := config.Keys(settings, "")
	if m == nil || failed != nil || !slices.ContainsFunc(keys, func(k config.Key) bool { return k.Path == m[1] }) {
		return err
	}
	return blamed{error: err, path: m[1], message: m[2]}
}

// blamed is an error of Open that a setting is to blame for.
type blamed struct {
	error
	path, message string
}

// Unwrap gives the error itself.
func (b blamed) Unwrap() error { return b.error }

// opened is a driver that is ready.
type opened struct {
	name   string
	driver drivers.Driver
}

// served is the plugin as go-plugin sees it.
type served struct {
	goplugin.NetRPCUnsupportedPlugin
	server *server
}

// GRPCServer is part of go-plugin's interface.
func (s served) GRPCServer(_ *goplugin.GRPCBroker, at *grpc.Server) error {
	storagev1.RegisterStorageServer(at, s.server)
	return nil
}

// GRPCClient is part of go-plugin's interface, for the other side.
func (s served) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plugin is no client")
}
