package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/longshore-registry/longshore/plugin/storagev1"
)

// process is one run of the plugin's program.
type process struct {
	name   string // the program's, for people
	client *goplugin.Client
	cmd    *exec.Cmd
	began  time.Time
	kill   context.CancelFunc // ends the program and what it has started, at any time
	calls  storagev1.StorageClient
	about  *storagev1.OpenResponse
	said   *lines
	watch  *os.File        // the plugin ends when the other end of this pipe closes
	folder string          // for the socket
	done   <-chan struct{} // closed when it has ended; nil before the connection is made
}

// longestFolder is how long the name of the folder for the socket can be: a socket's whole name has at most 104 bytes on some systems,
// and go-plugin's own part of it has up to 17.
const longestFolder = 104 - 1 - 17

// newProcess prepares a run of the program. An error begins with the name of a setting.
func newProcess(c Config, tell func(string)) (*process, error) {
	name := filepath.Base(c.Command[0])
	path, err := exec.LookPath(c.Command[0])
	if err != nil {
		return nil, fmt.Errorf("command: %w", err)
	}
	folder, err := os.MkdirTemp("", "longshore-") // which only this user can enter, so TLS would add nothing but work
	if err != nil {
		return nil, fmt.Errorf("command: the folder for the plugin's socket can't be made; TMPDIR chooses another place: %w", err)
	}
	if len(folder) > longestFolder {
		_ = os.Remove(folder) // just made
		return nil, fmt.Errorf("command: the name of the folder for the plugin's socket, %s, is too long for a socket; TMPDIR chooses another place", folder)
	}
	end, watch, err := os.Pipe()
	if err != nil {
		_ = os.Remove(folder)
		return nil, err
	}
	living, kill := context.WithCancel(context.Background())
	p := &process{name: name, cmd: exec.CommandContext(living, path, c.Command[1:]...), kill: kill, watch: watch, folder: folder,
		began: time.Now(), said: &lines{tell: tell}}
	// A group of its own, so that Ctrl-C does not reach it, and what a shell has started ends with the shell.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Cancel = func() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }
	p.cmd.ExtraFiles = []*os.File{end} // number 3 there
	p.cmd.Env = append(os.Environ(), storagev1.WatchVariable+"=3", goplugin.EnvUnixSocketDir+"="+folder)
	p.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: storagev1.Handshake(), Plugins: goplugin.PluginSet{storagev1.PluginService: caller{p: p}}, Cmd: p.cmd,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC}, StartTimeout: c.StartTimeout,
		Stderr: p.said, SyncStdout: p.said, SyncStderr: p.said, Logger: hclog.NewNullLogger(), SkipHostEnv: true,
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(storagev1.MaxMessage), grpc.MaxCallSendMsgSize(storagev1.MaxMessage)),
			grpc.WithStaticStreamWindowSize(storagev1.Window), grpc.WithStaticConnWindowSize(storagev1.ConnectionWindow),
			grpc.WithReadBufferSize(storagev1.BufferSize), grpc.WithWriteBufferSize(storagev1.BufferSize),
		},
	})
	return p, nil
}

// open starts the program, makes the connection and the first call. After an error the process has ended.
func (p *process) open(ctx context.Context, c Config) error {
	connected := make(chan error, 1)
	go func() {
		protocol, err := p.client.Client()
		if err == nil {
			_, err = protocol.Dispense(storagev1.PluginService)
		}
		connected <- err
	}()
	var err error
	select {
	case err = <-connected:
	case <-ctx.Done():
		p.kill() // go-plugin knows no contexts, but sees that
		<-connected
		err = ctx.Err()
	}
	_ = p.cmd.ExtraFiles[0].Close() // the plugin has its own
	if err == nil {
		p.about, err = p.calls.Open(ctx, &storagev1.OpenRequest{Config: string(c.Config)})
	}
	if err != nil {
		err = p.explain(ctx, c, err)
		p.stop()
	}
	return err
}

// explain says what a failure to start means. The first word names a setting, if one is to blame.
func (p *process) explain(ctx context.Context, c Config, err error) error {
	s, isStatus := status.FromError(err)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("start_timeout: the plugin %s was not ready after %v%s", p.name, c.StartTimeout, p.said.tail())
	case ctx.Err() != nil:
		return ctx.Err()
	case isStatus && (s.Code() == codes.InvalidArgument || s.Code() == codes.FailedPrecondition):
		return refusedBy(p.name, s)
	case isStatus && s.Code() == codes.Unavailable:
		return fmt.Errorf("command: the plugin %s ended while it opened its store (%s)%s", p.name, p.end(ctx), p.said.tail())
	case isStatus:
		return fmt.Errorf("command: %w%s", offContract(p, s.Message()), p.said.tail())
	case strings.Contains(err.Error(), "API version"):
		return fmt.Errorf("command: the plugin %s speaks another version of the contract than this longshore, which speaks version %d; bring both up to date: %w",
			p.name, storagev1.Version, err)
	}
	return fmt.Errorf("command: %s does not start as a plugin does (%s)%s", p.name, p.end(ctx), p.said.tail())
}

// refused is what a plugin said that could not open its store.
type refused struct {
	error
	kind error // of package drivers, or nil
}

// Unwrap gives errors.Is the kind.
func (r refused) Unwrap() error { return r.kind }

func refusedBy(name string, s *status.Status) error {
	r := refused{error: fmt.Errorf("the plugin %s can't open its store: %s", name, s.Message())}
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *storagev1.Problems:
			r.error = problems(d)
		case *storagev1.Failure:
			r.kind = kindOf(storagev1.ErrorOf(d))
		}
	}
	return r
}

// problems are those of the plugin's settings, each with the path of its key.
func problems(all *storagev1.Problems) error {
	var errs []error
	for _, p := range all.GetProblems() {
		text := p.GetMessage()
		if p.GetHint() != "" {
			text += "; " + p.GetHint()
		}
		errs = append(errs, fmt.Errorf("%s: %s", strings.TrimSuffix("config."+p.GetPath(), "."), text))
	}
	return errors.Join(errs...)
}

// patience is how long a plugin that was asked to end may take; patienceEnd is how long the end of one whose connection broke is waited for.
const (
	patience    = 2 * time.Second
	patienceEnd = time.Second
)

// stop asks the process to end, kills it if it does not, and returns when it has ended.
func (p *process) stop() {
	late := time.AfterFunc(patience, p.kill) // go-plugin waits for an answer, which one that hangs does not give
	p.client.Kill()
	late.Stop()
	p.kill()                   // frees what waits for it
	_ = p.watch.Close()        // it was only held
	_ = os.RemoveAll(p.folder) // one that stays does no harm
}

// end waits a moment for the end of a process whose connection has broken, and says how it came. A process that does not end is killed: it
// would never answer again.
func (p *process) end(ctx context.Context) string {
	deadline := time.NewTimer(patienceEnd)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !p.client.Exited() { // go-plugin has no channel for it until the connection is made
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "it runs"
		case <-deadline.C:
			p.kill()
			return "it runs and does not answer"
		}
	}
	return p.cmd.ProcessState.String()
}

// caller is the plugin as go-plugin sees it on this side.
type caller struct {
	goplugin.NetRPCUnsupportedPlugin
	p *process
}

// GRPCServer is part of go-plugin's interface, for the other side.
func (caller) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("longshore is no plugin")
}

// GRPCClient is part of go-plugin's interface. ctx ends with the process.
func (c caller) GRPCClient(ctx context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	c.p.done, c.p.calls = ctx.Done(), storagev1.NewStorageClient(conn)
	return c.p.calls, nil
}
