package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/bench"
	"github.com/longshore-registry/longshore/config"
)

// benchFlags are those of longshore bench that are no fields of bench.Options.
type benchFlags struct {
	bench.Options
	layerSize   string
	pids        []int
	user        string
	passwordEnv string
	ca          string
	insecure    bool
	html        string
}

func (p program) benchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench URL[,pid=N][,name=TEXT]...",
		Short: "Measure registries, side by side",
		Long: `Push and pull images of random bytes, ask for manifests and pages, and print how many a second each registry manages and how long
a client waits. Any registry that answers the OCI distribution API can be measured. Several are measured round by round, one after the
other (A B A B), and compared with the first one.

  longshore bench localhost:5000
  longshore bench --work push,pull --clients 16 --layer-size 100MB https://registry.example.com
  longshore bench --html report.html localhost:5000,pid=4711,name=new localhost:5001,pid=4712,name=old

All is pushed to a repository of its own, whose name is printed at the beginning. At the end, and after Ctrl-C, what was pushed is removed as far as the
registry allows; what stays is named. A second Ctrl-C ends the program at once. The bytes are freed when the registry collects garbage.

The workloads:
` + workloadsHelp() + `
The exit code is 1 if an operation failed.`,
		Args: cobra.MinimumNArgs(1),
	}
	f := benchFlags{Options: bench.Defaults()}
	output := addFormat(c, "table", "json")
	flags := c.Flags()
	flags.StringSliceVar(&f.Work, "work", f.Work, "what to measure, in this order")
	flags.IntVar(&f.Clients, "clients", f.Clients, "how many clients work at once")
	flags.IntVar(&f.Rounds, "rounds", f.Rounds, "how often each workload is measured at each registry")
	flags.DurationVar(&f.Time, "time", f.Time, "how long a round takes")
	flags.IntVar(&f.Count, "count", 0, "operations of a round, if it is not over by time before; 0: no bound")
	flags.DurationVar(&f.Patience, "patience", f.Patience, "how long a round may go on after its time before what hangs is given up")
	flags.IntVar(&f.Layers, "layers", f.Layers, "layers of an image")
	flags.StringVar(&f.layerSize, "layer-size", "1MB", "size of a layer")
	flags.IntVar(&f.Images, "images", f.Images, "how many images are pushed before, to be pulled")
	flags.IntVar(&f.Tags, "tags", f.Tags, "how many tags the repository has whose tags are listed")
	flags.IntVar(&f.Page, "page", f.Page, "entries on a page of tags or repositories")
	flags.IntVar(&f.Crowd, "crowd", f.Crowd, "clients of the workload crowd")
	flags.BoolVar(&f.Direct, "direct", false, "push blobs with POST and PUT, as a client does that knows digests before, and not as docker does with HEAD, POST, PATCH, PUT")
	flags.StringVar(&f.Repository, "repository", "", "where to push to; nothing else may use it (default longshore-bench/ and a random name)")
	flags.BoolVar(&f.Keep, "keep", false, "remove nothing at the end")
	flags.IntSliceVar(&f.pids, "pid", nil, "process of the first registry on this machine, whose processor time and memory are measured with its children's")
	flags.StringVar(&f.user, "user", "", "user at all registries whose URL has none; the password is in the environment")
	flags.StringVar(&f.passwordEnv, "password-env", "REGISTRY_PASSWORD", "name of the environment variable with the password")
	flags.StringVar(&f.ca, "ca", "", "PEM file of certificates to trust beside the system's")
	flags.BoolVar(&f.insecure, "insecure", false, "take any certificate")
	flags.StringVar(&f.html, "html", "", "write a report with charts to this file")
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(c.Context(), endings()...)
		defer stop()
		context.AfterFunc(ctx, stop)   // a second signal ends the program
		signal.Ignore(syscall.SIGPIPE) // a reader of the output that goes away, as head does, would end it too
		defer signal.Reset(syscall.SIGPIPE)
		if err := p.completeBench(&f, args); err != nil {
			return usageError{err}
		}
		return p.bench(ctx, f, output.value == "json")
	}
	return c
}

func workloadsHelp() string {
	var b strings.Builder
	for _, w := range bench.Workloads() {
		fmt.Fprintf(&b, "  %-14s %s\n", w.Name, w.About)
	}
	return b.String()
}

// completeBench makes options of the flags and arguments. An error names the flag.
func (p program) completeBench(f *benchFlags, args []string) error {
	size, err := config.ParseSize(f.layerSize)
	if err != nil {
		return fmt.Errorf("--layer-size: %w", err)
	}
	f.LayerSize = int64(size)
	if f.Repository == "" {
		f.Repository = bench.Defaults().Repository
	}
	for _, arg := range args {
		t, err := bench.ParseTarget(arg)
		if err != nil {
			return err
		}
		if t.User == "" && f.user != "" {
			t.User = f.user
			if t.Password = p.getenv(f.passwordEnv); t.Password == "" {
				return fmt.Errorf("--user: the password has to be in the environment variable %s", f.passwordEnv)
			}
		}
		f.Targets = append(f.Targets, t)
	}
	f.Targets[0].PIDs = append(f.Targets[0].PIDs, f.pids...)
	for _, t := range f.Targets {
		if len(t.PIDs) == 0 {
			continue
		}
		if _, err := bench.Processor(t.PIDs...); err != nil {
			return fmt.Errorf("the processes of %s can't be watched: %w", t.Name, err)
		}
	}
	if f.TLS, err = tlsConfig(f.ca, f.insecure); err != nil {
		return err
	}
	return f.Options.Validate()
}

// tlsConfig trusts the certificates in a file beside the system's, or any.
func tlsConfig(ca string, insecure bool) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure}
	if ca == "" {
		return c, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	if c.RootCAs, err = x509.SystemCertPool(); err != nil {
		c.RootCAs = x509.NewCertPool()
	}
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--ca: %s has no certificate in PEM", ca)
	}
	return c, nil
}

func (p program) bench(ctx context.Context, f benchFlags, asJSON bool) error {
	if f.html != "" {
		if err := writableFile(f.html); err != nil {
			return adviceError{fmt.Errorf("the report can't be written: %w", err), "give --html another path"}
		}
	}
	show := p.showProgress()
	show.line("all is pushed to the repository %s", f.Repository)
	quiet := context.AfterFunc(ctx, func() { show.line("interrupted; what was pushed is being removed, a second time leaves it there") })
	defer quiet()
	rounds, done := len(f.Work)*len(f.Targets)*f.Rounds, 0
	r, failed := bench.Run(ctx, f.Options, bench.Watch{
		Doing: show.doing,
		Tick: func(s bench.Step, n, failures int64, after time.Duration) {
			show.doing(fmt.Sprintf("%d of %d, %v  %s, %s: %d done, %d failed, %s", done+1, rounds, show.elapsed(), s.Work, s.Target, n, failures, bench.Span(after)))
		},
		End: func(s bench.Step, one bench.Sample) {
			done++
			show.plainLine("%d of %d, %v  %s, %s: %s a second, p50 %s, %d failed", done, rounds, show.elapsed(), s.Work, s.Target, bench.Figure(one.Rate()), bench.Span(one.P50), one.Failed)
		},
	})
	show.clear()
	err := p.writeBench(r, f.html, asJSON)
	switch {
	case ctx.Err() != nil:
		failed = adviceError{errors.New("interrupted"), "what was pushed is removed, unless the report says otherwise"}
	case failed != nil:
		failed = adviceError{failed, "the registry has to answer, and to take pushes to the repository"}
	case r.Failed() > 0:
		failed = adviceError{fmt.Errorf("%s failed", plural(int(r.Failed()), "operation")), "the reasons are below the table; the figures are of what succeeded"}
	}
	return errors.Join(failed, err)
}

func (p program) writeBench(r *bench.Report, html string, asJSON bool) error {
	var err error
	if asJSON {
		err = p.printJSON(r)
	} else if len(r.Results) > 0 {
		_, err = fmt.Fprint(p.stdout, r.Table())
	}
	if html == "" {
		return err
	}
	content, htmlErr := r.HTML()
	if htmlErr == nil {
		htmlErr = os.WriteFile(html, content, 0o644)
	}
	return errors.Join(err, htmlErr)
}
