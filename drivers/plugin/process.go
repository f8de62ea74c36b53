package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/plugin"
	"github.com/longshore-registry/longshore/plugin/storagev1"
)

// process is one run of the plugin's program.
type process struct {
	client *goplugin.Client
	cmd    *exec.Cmd
	calls  storagev1.StorageClient
	about  *storagev1.OpenResponse
	said   *lines
	watch  *os.File // the plugin ends when the other end of this pipe closes
}

// keeper starts the program, and starts it again when it has ended.
type keeper struct {
	c Config

	turn chan struct{} // holds one value while nobody starts
	mu   sync.Mutex
	now  *process // nil: none yet

	failures int       // starts in a row that failed, or that did not last
	began    time.Time // of the last start
	last     error     // why it failed
}

func newKeeper(c Config) *keeper {
	k := &keeper{c: c, turn: make(chan struct{}, 1)}
	k.turn <- struct{}{}
	return k
}

// steady is how long a plugin has to run for its end to count as the first.
const steady = time.Minute

// running returns the process, which it starts if there is none or it has ended. After a start that failed, or a process that did not
// last, it does so at the earliest after a pause, which grows up to ten seconds; before that it fails at once.
func (k *keeper) running(ctx context.Context) (*process, error) {
	if p := k.current(); p != nil {
		return p, nil
	}
	select {
	case <-k.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { k.turn <- struct{}{} }()
	if p := k.current(); p != nil {
		return p, nil
	}
	old := k.forget()
	if old != nil {
		if time.Since(k.began) > steady {
			k.failures = 0
		}
		k.failures++
		k.last = fmt.Errorf("the plugin %s ended (%s)%s", k.name(), old.how(), old.said.tail())
	}
	if k.failures > 1 {
		pause := min(100*time.Millisecond<<min(k.failures-2, 10), 10*time.Second)
		pause += rand.N(pause / 2)
		if left := pause - time.Since(k.began); left > 0 {
			return nil, &drivers.Error{Op: "start", Driver: "plugin", Kind: drivers.ErrThrottled,
				Err: fmt.Errorf("%w; it is started again in %v", k.last, left.Round(100*time.Millisecond))}
		}
	}
	k.began = time.Now()
	p, err := k.start(ctx)
	if err != nil {
		if ctx.Err() == nil {
			k.failures++
			k.last = err
		}
		return nil, err
	}
	k.mu.Lock()
	k.now = p
	k.mu.Unlock()
	return p, nil
}

// current is the process if it runs.
func (k *keeper) current() *process {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now == nil || k.now.client.Exited() {
		return nil
	}
	return k.now
}

// forget returns the process that has ended, if there was one.
func (k *keeper) forget() *process {
	k.mu.Lock()
	defer k.mu.Unlock()
	old := k.now
	k.now = nil
	if old != nil {
		old.stop()
	}
	return old
}

// name is the program's for people.
func (k *keeper) name() string { return filepath.Base(k.c.Command[0]) }

// start starts the program and opens its driver. An error that is about a setting begins with its name.
func (k *keeper) start(ctx context.Context) (*process, error) {
	ctx, cancel := context.WithTimeout(ctx, k.c.StartTimeout)
	defer cancel()
	path, err := exec.LookPath(k.c.Command[0])
	if err != nil {
		return nil, fmt.Errorf("command: %w", err)
	}
	end, watch, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = end.Close() }() // the plugin has its own
	p := &process{cmd: exec.Command(path, k.c.Command[1:]...), watch: watch, said: &lines{name: k.name(), to: k.c.Stderr}}
	if p.said.to == nil {
		p.said.to = os.Stderr
	}
	p.cmd.ExtraFiles = []*os.File{end}
	p.cmd.Env = append(os.Environ(), plugin.WatchVariable+"=3")
	p.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: plugin.Handshake, Plugins: goplugin.PluginSet{plugin.Service: caller{}}, Cmd: p.cmd,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC}, StartTimeout: k.c.StartTimeout,
		Stderr: p.said, Logger: hclog.NewNullLogger(), SkipHostEnv: true,
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(plugin.MaxMessage), grpc.MaxCallSendMsgSize(plugin.MaxMessage)),
			grpc.WithInitialWindowSize(1 << 20),
		},
	})
	if err := p.open(ctx, k.c); err != nil {
		p.stop()
		return nil, k.explain(ctx, p, err)
	}
	return p, nil
}

// open makes the connection and the first call.
func (p *process) open(ctx context.Context, c Config) error {
	connected := make(chan error, 1)
	go func() { // go-plugin knows no contexts; stop ends it
		protocol, err := p.client.Client()
		if err == nil {
			var raw any
			raw, err = protocol.Dispense(plugin.Service)
			p.calls, _ = raw.(storagev1.StorageClient)
		}
		connected <- err
	}()
	select {
	case err := <-connected:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		p.client.Kill()
		<-connected
		return ctx.Err()
	}
	var err error
	p.about, err = p.calls.Open(ctx, &storagev1.OpenRequest{Config: string(c.Config)})
	return err
}

// explain says what a failure to start means. The first word names a setting.
func (k *keeper) explain(ctx context.Context, p *process, err error) error {
	s, isStatus := status.FromError(err)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("start_timeout: the plugin %s was not ready after %v%s", k.name(), k.c.StartTimeout, p.said.tail())
	case ctx.Err() != nil:
		return ctx.Err()
	case isStatus && s.Code() == codes.InvalidArgument:
		return problems(s)
	case isStatus && s.Code() == codes.FailedPrecondition:
		return fmt.Errorf("config.%s", s.Message())
	case strings.Contains(err.Error(), "API version"):
		return fmt.Errorf("command: the plugin %s speaks another version of the protocol than this longshore, which speaks version %d; bring both up to date: %w", k.name(), plugin.Version, err)
	case isStatus:
		return fmt.Errorf("command: the plugin %s ended while it opened its backend (%s)%s", k.name(), p.how(), p.said.tail())
	}
	return fmt.Errorf("command: %s does not start as a plugin does (%s)%s", k.name(), p.how(), p.said.tail())
}

// problems are those of the plugin's configuration, each with the path of its key.
func problems(s *status.Status) error {
	var errs []error
	for _, detail := range s.Details() {
		all, ok := detail.(*storagev1.Problems)
		if !ok {
			continue
		}
		for _, p := range all.GetProblems() {
			text := p.GetMessage()
			if p.GetHint() != "" {
				text += "; " + p.GetHint()
			}
			errs = append(errs, fmt.Errorf("%s: %s", strings.TrimSuffix("config."+p.GetPath(), "."), text))
		}
	}
	if len(errs) == 0 {
		return fmt.Errorf("config: %s", s.Message())
	}
	return errors.Join(errs...)
}

// stop ends the process.
func (p *process) stop() {
	p.client.Kill()
	_ = p.watch.Close() // it is only held
}

// how says how the process ended.
func (p *process) how() string {
	if !p.client.Exited() || p.cmd.ProcessState == nil {
		return "it runs"
	}
	return p.cmd.ProcessState.String()
}

// caller is the plugin as go-plugin sees it on this side.
type caller struct {
	goplugin.NetRPCUnsupportedPlugin
}

// GRPCServer is part of go-plugin's interface, for the other side.
func (caller) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("longshore is no plugin")
}

// GRPCClient is part of go-plugin's interface.
func (caller) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return storagev1.NewStorageClient(conn), nil
}

// lines writes what a plugin prints, with its name before each line, and keeps the last of it.
type lines struct {
	name string
	to   io.Writer

	mu   sync.Mutex
	part []byte // of a line
	last []string
}

// keptLines is how many lines an error shows.
const keptLines = 5

// Write takes part of a line, or several.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, b...)
	for {
		line, rest, found := bytes.Cut(l.part, []byte("\n"))
		if !found {
			return len(b), nil
		}
		if _, err := fmt.Fprintf(l.to, "%s: %s\n", l.name, line); err != nil {
			return 0, err
		}
		l.last = append(l.last, string(line))
		l.last = l.last[max(0, len(l.last)-keptLines):]
		l.part = bytes.Clone(rest)
	}
}

// tail is the end of what was printed, for the end of an error.
func (l *lines) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.last) == 0 {
		return ""
	}
	return "; it said: " + strings.Join(l.last, " | ")
}
